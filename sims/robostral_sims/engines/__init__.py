"""What an engine is to the rest: a World that moves a scene's arms one control tick at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from robostral.errors import RobostralError, UnknownName
from robostral_sims.scene import Scene

_ENGINES = {"pybullet": "robostral_sims.engines.pybullet:PyBulletWorld"}


class EngineError(RobostralError):
    """An engine cannot build a scene, or lost it."""


@dataclass(frozen=True)
class WorldState:
    """Everything that a World needs to start again, bit for bit.

    Attributes:
        q, dq: Joint positions [rad] and velocities [rad/s] of all arms in the scene's order, shape (n,).
        q_c: The command that the servos hold [rad], shape (n,).
        parts: Position [m], quat_wxyz, linear [m/s] and angular velocity [rad/s] in `world` per part, shape (k, 13).
    """

    q: NDArray[np.float64]
    dq: NDArray[np.float64]
    q_c: NDArray[np.float64]
    parts: NDArray[np.float64]

    @classmethod
    def at_rest(cls, scene: Scene, q: NDArray[np.float64]) -> "WorldState":
        """Return the state with the arms at rest at `q`, shape (n,), and every part where the scene puts it."""
        parts = [(*part.pose.p, *part.pose.quat_wxyz, *([0.0] * 6)) for part in scene.parts]
        return cls(q.copy(), np.zeros_like(q), q.copy(), np.array(parts, dtype=np.float64).reshape(len(parts), 13))


class World(Protocol):
    """One simulated cell, stepped at the control period; a process may hold any number, and they share nothing."""

    @property
    def n(self) -> int:
        """Number of joints of all arms."""
        ...

    @property
    def dt_s(self) -> float:
        """Control period [s]: the length of one tick."""
        ...

    def reset(self, state: WorldState, scene: Scene | None = None) -> None:
        """Build the world anew in `state`; what ran before leaves no trace. `scene` may change figures, not arms."""
        ...

    def run(self, q_c: NDArray[np.float64]) -> None:
        """Advance by one tick for each row of `q_c`, shape (ticks, n) [rad]; servos follow, as `scene.Servo` says."""
        ...

    def read(self, q: NDArray[np.float64], dq: NDArray[np.float64], tau: NDArray[np.float64]) -> None:
        """Fill measured positions [rad], velocities [rad/s] and motor torques [N·m], shape (n,) each."""
        ...

    def capture(self) -> WorldState:
        """Return the present state; `reset` with it always continues in the same way."""
        ...

    def render(self, width: int, height: int) -> NDArray[np.uint8]:
        """Draw what the scene's camera sees, shape (height, width, 3), without a display."""
        ...

    def close(self) -> None:
        """Release the engine; calling it twice is harmless."""
        ...


def load_engine(name: str) -> Callable[[Scene, float], World]:
    """Return the maker of Worlds `(scene, dt_s) -> World` that is registered as `name`.

    Raises:
        UnknownName: No engine has this name.
        MissingExtra: The engine is not installed.
    """
    if name not in _ENGINES:
        raise UnknownName("engine", name, _ENGINES)
    module, attribute = _ENGINES[name].split(":")
    return cast(Callable[[Scene, float], World], getattr(import_module(module), attribute))
