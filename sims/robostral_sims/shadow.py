"""Another cell, a learned one say, beside an engine's: told the same from the same moment, then held against it."""

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.se3 import rotvec_from_matrix_kernel
from robostral_sims.camera import apart_kernel
from robostral_sims.engines import BeyondTraining, World, WorldState, load_engine
from robostral_sims.engines.surrogate import SurrogateWorld
from robostral_sims.scene import Scene, load_mounted
from robostral_sims.watch import part_of

if TYPE_CHECKING:
    from robostral_sims.env import CellEnv


class Apart(NamedTuple):
    """How far the other cell is from the real one: tcp and part [m, rad], jaw's gap [m].

    `beyond` says that a learned one has refused a step since they met. Without a part its figures are 0.
    """

    tcp_m: float
    tcp_rad: float
    part_m: float
    part_rad: float
    gap_m: float
    beyond: bool


class Shadow:
    """Lets another World do beside an environment what that does; the environment is none the wiser.

    Args:
        env: An environment on a real engine.
        engine: Name of the other World's; `surrogate:BUNDLE` is a learned one.

    Attributes:
        other: The other World.

    Raises:
        ConfigError: The cell is not one that a learned simulator knows.
        ContractMismatch: The bundle is of another jaw.
        UnknownName: There is no such engine.
    """

    def __init__(self, env: "CellEnv", engine: str) -> None:
        self.other = load_engine(engine)(env.scene, 1.0 / env.control_hz)
        self._arm, self._env = load_mounted(env.scene.arms[0]), env
        self._both = _Both(env.world, self.other)
        env.world = cast(World, self._both)

    def meet(self, aside_m: float = 0.0) -> None:
        """Put arm, jaw and part of the other cell where those of the real one are, the part by so much along x."""
        self._both.beyond = False
        state = self._both.real.capture()
        state.parts[:, 0] += aside_m
        if isinstance(self.other, SurrogateWorld):
            self.other.meet(state)
        else:
            self.other.reset(state, self._env.episode_scene)
            self.other.set_tools(self._env.tools_c)

    def compare(self) -> Apart:
        """Say how far the two are apart now."""
        here, there = self.other.capture(), self._both.real.capture()
        tcp_m, tcp_rad = self._tcp_apart(here, there)
        part_m = part_rad = 0.0
        if len(there.parts):
            round_ = bool(part_of(self._env.episode_scene)[3])
            part_m, part_rad = apart_kernel(here.parts[0, :7].copy(), there.parts[0, :7].copy(), round_)
        gap_m = float(abs(here.tools[0, 0] - there.tools[0, 0]))
        return Apart(tcp_m, tcp_rad, float(part_m), float(part_rad), gap_m, self._both.beyond)

    def _tcp_apart(self, here: WorldState, there: WorldState) -> tuple[float, float]:
        T, U = np.empty((4, 4)), np.empty((4, 4))
        tcp_kernel(self._arm.chain.model, here.q, T)
        tcp_kernel(self._arm.chain.model, there.q, U)
        turn = rotvec_from_matrix_kernel(np.ascontiguousarray(T[:3, :3] @ U[:3, :3].T))
        return float(np.linalg.norm(T[:3, 3] - U[:3, 3])), float(np.linalg.norm(turn))


class _Both:
    """The real World, which answers, and the other one, which is told the same."""

    def __init__(self, real: World, other: World) -> None:
        self.real, self.other, self.beyond = real, other, False

    def reset(self, state: WorldState, scene: Scene | None = None) -> None:
        self.real.reset(state, scene)
        self.other.reset(state, scene)
        self.beyond = False

    def run(self, q_c: NDArray[np.float64]) -> None:
        self.real.run(q_c)
        try:
            self.other.run(q_c)
        except BeyondTraining:
            self.beyond = True

    def set_tools(self, command: NDArray[np.float64]) -> None:
        self.real.set_tools(command)
        self.other.set_tools(command)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)
