"""The command guard: nothing reaches a driver's `write` that did not pass here, in simulation too.

A software command guard, not a rated safety function: that stays in the robot controller.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robostral.arm.arm import Arm
from robostral.arm.capsules import Capsules
from robostral.arm.chain import Chain, FloatArray
from robostral.arm.limits import Limits
from robostral.guard import kernels
from robostral.guard.checks import pack_checks
from robostral.guard.stop import (
    LIMITED_ACCELERATION,
    LIMITED_CLEARANCE,
    LIMITED_CONDITIONING,
    LIMITED_JERK,
    LIMITED_POSITION,
    LIMITED_TCP_SPEED,
    LIMITED_VELOCITY,
)
from robostral.guard.table import (
    DDQ_C,
    DQ_C,
    LATCH,
    LIMITED_BITS,
    META,
    TAU_C,
    TORQUE,
    Q,
    Reason,
    Workspace,
    new_state,
    pack_limits,
)
from robostral.guard.torque import torque_kernel, torque_stop_kernel
from robostral.keep_out import KeepOut

__all__ = [
    "LIMITED_ACCELERATION",
    "LIMITED_CLEARANCE",
    "LIMITED_CONDITIONING",
    "LIMITED_JERK",
    "LIMITED_POSITION",
    "LIMITED_TCP_SPEED",
    "LIMITED_VELOCITY",
    "SINGULAR",
    "Guard",
    "Reason",
    "Workspace",
    "cell_guard",
]

SINGULAR = (17.0, 30.0)
"""Condition numbers of the Jacobian to slow down at and to stop at, for Cartesian commands; those of MoveIt Servo."""

_FLOAT = np.dtype(np.float64)


class Guard:
    """Holds every limit on the commands of one arm, tick by tick, whatever is asked.

    Limits are held against the last *command* at nominal dt. From every command that it emits, a jerk-limited stop
    inside all limits, inside the workspace and away from all that it may not touch exists, and that stop is what a
    reject begins. After a reject or `brake` the guard is locked: further set-points are not looked at until `reset`.

    Args:
        chain: Kinematics of the arm.
        limits: Its limits profile.
        dt: Control period [s].
        workspace: Box in `base` for the tcp; None holds no box.
        capsules: Shape of the arm, for the distances to itself and to `keep_out`; None holds none.
        keep_out: Shapes in `base` that the arm keeps out of.
        conditioning: Condition numbers to slow down at and to stop at, see `SINGULAR`; None holds none, as where
            set-points are made in joint space: a singular pose is no harm there.
        energy: Greatest kinetic energy in torque mode [J].
        start_tolerance: How far the first set-point after `reset` may be from the pose [rad].
        tracking_tolerance: How far the measured position may be from the last command [rad].

    Attributes:
        table, state, counts: Limits, state, and one counter per `Reason`; a stop counts once, its ticks do not.
        tables: (model, table, state, counts), the first arguments of the kernels in `robostral.guard.kernels`.
        q_c, dq_c, ddq_c: Views of the last command and its derivatives at nominal dt [rad, rad/s, rad/s²], shape (n,).
        tau_c: View of the last torque command [N·m], shape (n,); torque mode only.

    Raises:
        ConfigError: A limit is missing or makes no sense.

    Note:
        The methods are for one control tick: no exception, no allocation beyond Python's own call.
    """

    def __init__(
        self,
        chain: Chain,
        limits: Limits,
        dt: float,
        workspace: Workspace | None = None,
        *,
        capsules: Capsules | None = None,
        keep_out: Sequence[KeepOut] = (),
        conditioning: tuple[float, float] | None = None,
        energy: float = np.inf,
        start_tolerance: float = 0.02,
        tracking_tolerance: float = 0.3,
    ) -> None:
        self.chain, self.dt = chain, dt
        checks = pack_checks(chain, limits, capsules, keep_out)
        self.table = pack_limits(
            chain,
            limits,
            dt,
            workspace,
            checks=checks,
            conditioning=conditioning,
            energy=energy,
            start_tolerance=start_tolerance,
            tracking_tolerance=tracking_tolerance,
        )
        self.state = new_state(chain.n, len(checks))
        self.counts: NDArray[np.int64] = np.zeros(len(Reason), np.int64)
        self.q_c, self.dq_c, self.ddq_c, self.tau_c = (self.state[row, : chain.n] for row in (Q, DQ_C, DDQ_C, TAU_C))
        self.tables = (chain.model, self.table, self.state, self.counts)
        self._input, self._shape, self._wrong_size = np.empty(chain.n), (chain.n,), np.array([])

    @property
    def reason(self) -> Reason:
        """Why the guard is locked; PASSED when it is not."""
        return Reason(int(self.state[META, LATCH]))

    @property
    def limited(self) -> int:
        """Bits of the limits that changed the last passed command."""
        return int(self.state[META, LIMITED_BITS])

    @property
    def rejected(self) -> int:
        """How many answers of all kinds were rejects; a stop that was asked for (STOPPED) is none."""
        return int(self.counts[Reason.LIMITED + 1 :].sum() - self.counts[Reason.STOPPED])

    def reset(self, q: FloatArray) -> int:
        """Start at rest in the measured pose `q` [rad], shape (n,); return PASSED, or why the guard stays locked."""
        return kernels.reset_kernel(*self.tables, self._vector(q))

    def step(self, q_d: FloatArray) -> int:
        """Take the set-point of the next tick [rad], shape (n,), and advance `q_c` to what may be written.

        Returns:
            PASSED (bit for bit), LIMITED (nearest allowed command), or the reason of the stop whose tick `q_c` now is.
        """
        return kernels.reference_kernel(*self.tables, self._vector(q_d))

    def coast(self) -> int:
        """Advance by one tick at constant velocity, checked like any set-point; return its `Reason`."""
        return kernels.coast_kernel(*self.tables)

    def brake(self, reason: int = Reason.STOPPED) -> int:
        """Advance by one tick of the stop, beginning it for `reason` if none is under way; return 1 when at rest."""
        return kernels.brake_kernel(*self.tables, int(reason))

    def measure(self, q: FloatArray) -> int:
        """Compare the measured position [rad], shape (n,), with `q_c`; TRACKING makes the next tick brake."""
        return kernels.measure_kernel(*self.tables, self._vector(q))

    def command(self, q_c: FloatArray) -> int:
        """Second stage in position mode, just before the write: PASSED only for the very command that passed."""
        return kernels.command_kernel(*self.tables, self._vector(q_c))

    def reset_torque(self, tau: FloatArray) -> None:
        """Begin torque mode at the measured torques `tau` [N·m], shape (n,), brought inside the limits."""
        most = self.table[TORQUE, : self.chain.n]
        self.tau_c[:] = np.clip(np.nan_to_num(tau), -most, most)

    def torque(self, tau_d: FloatArray) -> int:
        """Second stage in torque mode: advance `tau_c` towards `tau_d` [N·m], shape (n,); return its `Reason`.

        PASSED and LIMITED advance; after a reject `tau_c` stands as it was, and `torque_stop` has to follow.
        """
        return torque_kernel(self.table, self.state, self._vector(tau_d), self.tau_c)

    def torque_stop(self, dq: FloatArray, tau_hold: FloatArray, damping: FloatArray) -> int:
        """Advance `tau_c` by one tick of the torque-mode stop; see `robostral.guard.torque.torque_stop_kernel`."""
        return torque_stop_kernel(self.table, self.state, damping, dq, tau_hold, self.tau_c)

    def _vector(self, q: FloatArray) -> FloatArray:
        # The kernels are compiled for one type: a plain writable vector. What is of another size is not converted.
        if type(q) is not np.ndarray or q.shape != self._shape or q.dtype != _FLOAT:
            return self._wrong_size
        self._input[:] = q
        return self._input


def cell_guard(
    arm: Arm,
    kind: str,
    dt: float,
    workspace: Workspace | None = None,
    *,
    keep_out: Sequence[KeepOut] = (),
    reduced: bool = False,
    energy: float = np.inf,
) -> Guard:
    """Make the guard of an arm in its cell: the same in simulation and on the plant.

    Args:
        arm: The arm with the tcp of its tool.
        kind: Kind of the contract's action; one that commands the tcp has the distance from singular poses held.
        dt: Control period [s].
        workspace: Box in `base` for the tcp.
        keep_out: Shapes in `base` that the arm keeps out of.
        reduced: Whether the tcp is limited to 250 mm/s, for work with people in the cell.
        energy: Greatest kinetic energy in torque mode [J].
    """
    return Guard(
        arm.chain,
        arm.limits.reduced() if reduced else arm.limits,
        dt,
        workspace,
        capsules=arm.capsules,
        keep_out=keep_out,
        conditioning=SINGULAR if kind.startswith("tcp_") else None,
        energy=energy,
    )
