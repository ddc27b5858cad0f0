"""What a driver is: our side of a plant's wire. A simulated World, a twin and a real arm all look like this."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import entry_points
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robostral.errors import UnknownName

GROUP = "robostral.drivers"


class PlantStatus(IntEnum):
    """Answer of `read` and `write`; everything but OK makes the loop stop with this as the reason."""

    OK = 0
    NO_DATA = 1
    """Nothing new arrived within the plant's own time-out."""
    DISCONNECTED = 2
    PROTECTIVE_STOP = 3
    EMERGENCY_STOP = 4
    NOT_RUNNING = 5
    """Motors off, program stopped, or not in remote control."""
    REFUSED = 6
    """The plant did not take the command."""


@dataclass(frozen=True)
class DriverInfo:
    """What the loop must know before it arms."""

    name: str
    arm: str
    joint_names: tuple[str, ...]
    is_twin: bool
    """False asks for a bundle signed by a key that the owner trusts."""
    command_modes: tuple[str, ...]
    rate_hz: float
    senses: tuple[str, ...] = ()
    """What it measures beside position and velocity: `tau` of its motors (a model's torques are none), `wrench`."""


class DriverState:
    """Preallocated measurements of one tick; `Driver.read` fills it in place.

    Attributes:
        q, dq, tau: Measured position [rad], velocity [rad/s], torque [N·m], shape (n,), float64.
        wrench: Force [N] and moment [N·m] at the tcp in `base`, without the tool's weight, shape (6,); of drivers whose
            info says that they sense it.
        t_ns: Local monotonic receipt time [ns].
        plant_time_s: The plant's own clock [s]; compared with itself only.
    """

    __slots__ = ("dq", "plant_time_s", "q", "t_ns", "tau", "wrench")

    def __init__(self, n: int) -> None:
        self.q: NDArray[np.float64] = np.zeros(n)
        self.dq: NDArray[np.float64] = np.zeros(n)
        self.tau: NDArray[np.float64] = np.zeros(n)
        self.wrench: NDArray[np.float64] = np.zeros(6)
        self.t_ns = 0
        self.plant_time_s = 0.0


class Driver(Protocol):
    """Our side of a plant's wire. Constructed with keyword arguments from the run preset; connects in `connect`."""

    @property
    def info(self) -> DriverInfo:
        """Name, joints, rate and whether the plant is a twin; valid after `connect`."""
        ...

    def connect(self) -> None:
        """Open the wire and wait for the first measurement.

        Raises:
            DriverError: Names the address and what to do.
        """
        ...

    def read(self, state: DriverState) -> int:
        """Fill `state` with the newest measurement; return a `PlantStatus`. Never blocks longer than one period."""
        ...

    def arm(self) -> int:
        """Get the plant ready for commands, its own dead-man included; return a `PlantStatus`.

        Called at rest, at every re-arm; it may take some periods, which `write` may not.
        """
        ...

    def write(self, q_c: NDArray[np.float64]) -> int:
        """Send one joint position command [rad], shape (n,); return a `PlantStatus`. Called by the loop only."""
        ...

    def stop(self) -> None:
        """Ask the plant for its own stop: the last rung of the ladder."""
        ...

    def close(self) -> None:
        """Leave the wire cleanly; calling it twice is harmless."""
        ...


@runtime_checkable
class TakesTorque(Protocol):
    """A driver of an arm that takes joint torques; its info names the command mode `joint_torque`."""

    def write_torque(self, tau_c: NDArray[np.float64]) -> int:
        """Send joint torques [N·m], shape (n,), for one period; return a `PlantStatus`. Called by the loop only.

        They hold the arm against gravity as well: what a controller adds by itself the driver takes off. Where none
        come any more, the plant has to stop and hold the arm by itself; torques then need `arm` again.
        """
        ...


@runtime_checkable
class TakesPayload(Protocol):
    """A driver whose controller wants to know what the arm carries."""

    def set_payload(self, mass: float, com: NDArray[np.float64]) -> int:
        """Tell it mass [kg] and centre of mass in the flange [m], shape (3,); return a `PlantStatus`.

        Called at rest and locked only; it may take some periods.
        """
        ...


def load_driver(name: str, **options: Any) -> Driver:
    """Build a driver by its registered name.

    Raises:
        UnknownName: No installed package registers this driver.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        raise UnknownName("driver", name, points)
    factory = cast(Callable[..., Driver], points[name].load())
    return factory(**options)
