"""What an engine is to the rest: a World that moves a scene's arms one control tick at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from robostral.errors import RobostralError, UnknownName
from robostral_sims.scene import Jaw, Scene

_ENGINES = {
    "pybullet": "robostral_sims.engines.pybullet:PyBulletWorld",
    "mujoco": "robostral_sims.engines.mujoco:MujocoWorld",
}
_LEARNED = {"surrogate": "robostral_sims.engines.surrogate:SurrogateWorld"}


class EngineError(RobostralError):
    """An engine cannot build a scene, or lost it."""


class BeyondTraining(EngineError):
    """A learned engine met what it was not trained on; what the cell shows after that step is a guess."""


@dataclass(frozen=True)
class WorldState:
    """Everything that a World needs to start again, bit for bit.

    Attributes:
        q, dq: Joint positions [rad] and velocities [rad/s] of all arms in the scene's order, shape (n,).
        q_c: The command that the servos hold [rad], shape (n,).
        parts: Position [m], quat_wxyz, linear [m/s] and angular velocity [rad/s] in `world` per part, shape (k, 13).
        tools: Per arm: gap [m] and its rate [m/s] of a jaw, 1 while a vacuum is on and 0, zeros else; shape (a, 2).
        tools_c: What the tools are commanded, as `World.set_tools` takes it, shape (a,).
        held: Per arm: index of the part that its vacuum holds, -1 for none, shape (a,), int64.
        belts: What the belts are commanded [m/s], shape (b,).
    """

    q: NDArray[np.float64]
    dq: NDArray[np.float64]
    q_c: NDArray[np.float64]
    parts: NDArray[np.float64]
    tools: NDArray[np.float64]
    tools_c: NDArray[np.float64]
    held: NDArray[np.int64]
    belts: NDArray[np.float64]

    @classmethod
    def at_rest(cls, scene: Scene, q: NDArray[np.float64]) -> "WorldState":
        """Return the cell at rest: arms at `q`, shape (n,), parts where the scene puts them, jaws open, belts off."""
        parts = [(*part.pose.p, *part.pose.quat_wxyz, *([0.0] * 6)) for part in scene.parts]
        tools_c = np.array([arm.tool.opening if isinstance(arm.tool, Jaw) else 0.0 for arm in scene.arms])
        return cls(
            q=q.copy(),
            dq=np.zeros_like(q),
            q_c=q.copy(),
            parts=np.array(parts, dtype=np.float64).reshape(len(parts), 13),
            tools=np.stack([tools_c, np.zeros_like(tools_c)], axis=1),
            tools_c=tools_c,
            held=np.full(len(scene.arms), -1),
            belts=np.zeros(len(scene.conveyors)),
        )


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

    def run_torque(self, tau_c: NDArray[np.float64]) -> None:
        """Advance by one tick under joint torques [N·m], shape (n,), in place of the servos; gravity acts too."""
        ...

    def set_tools(self, command: NDArray[np.float64]) -> None:
        """Command each arm's tool from now on, shape (a,): gap of a jaw [m], 1 or 0 of a vacuum; others ignore it."""
        ...

    def set_belts(self, speed: NDArray[np.float64]) -> None:
        """Run the conveyors at these speeds [m/s] from now on, shape (b,)."""
        ...

    def read_parts(self, out: NDArray[np.float64]) -> None:
        """Fill the parts' states, shape (k, 13), as in `WorldState.parts`."""
        ...

    def read_tools(self, out: NDArray[np.float64]) -> None:
        """Fill the tools' states, shape (a, 2): a jaw's gap [m] and rate [m/s]; a vacuum's seal, 1 or 0, and 0."""
        ...

    def read_wrenches(self, out: NDArray[np.float64]) -> None:
        """Fill what tool and world exert on each flange, shape (a, 6): force [N], moment [N·m] there, in `base`.

        The weight of the tool, and of what it holds, is in it, as in a real sensor's raw reading.
        """
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

    `surrogate:BUNDLE` is a learned engine with another bundle, a name or a path, than its own.

    Raises:
        UnknownName: No engine has this name.
        MissingExtra: The engine is not installed.
    """
    engines = _ENGINES | _LEARNED
    engine, _, bundle = name.partition(":")
    if engine not in engines or (bundle and engine not in _LEARNED):
        raise UnknownName("engine", name, engines)
    module, attribute = engines[engine].split(":")
    make = getattr(import_module(module), attribute)
    return cast(Callable[[Scene, float], World], partial(make, bundle=bundle) if bundle else make)


def engine_names() -> list[str]:
    """List the engines that take any cell, the default first; `surrogate` stands in for them in some."""
    return list(_ENGINES)
