"""Limits of an arm as one array, each figure with the text of its source."""

from dataclasses import dataclass, replace

from robostral.arm.chain import FloatArray

Q_MIN, Q_MAX, DQ, DDQ, DDDQ, TAU, DTAU = range(7)
"""Rows of `Limits.array`: [rad], [rad], [rad/s], [rad/s²], [rad/s³], [N·m], [N·m/s] (prismatic: m, N)."""

REDUCED_TCP_SPEED = 0.25
"""Greatest speed of the tcp [m/s] with people in the cell: the reduced speed of ISO 10218-1."""

ROW_NAMES = ("q_min", "q_max", "dq", "ddq", "dddq", "tau", "dtau")


@dataclass(frozen=True, eq=False)
class Limits:
    """What an arm may do.

    Attributes:
        array: Read-only rows `Q_MIN..DTAU`, shape (7, n).
        tcp_speed: Greatest speed of the tcp [m/s].
        sources: Where each row and `tcp_speed` comes from; a figure that no vendor publishes begins with `ours`.
        taper: Rows offset [rad/s] and deceleration [rad/s²], shape (2, n), of a vendor's own limit of the speed near a
            position limit, `sqrt(2 * deceleration * distance) - offset`; None where the vendor states none.
    """

    array: FloatArray
    tcp_speed: float
    sources: dict[str, str]
    taper: FloatArray | None = None

    def reduced(self) -> "Limits":
        """Return the same profile with the tcp at reduced speed at most."""
        return replace(self, tcp_speed=min(self.tcp_speed, REDUCED_TCP_SPEED))
