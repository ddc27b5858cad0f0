"""A learned cell beside a real engine's: told the same set-points from the same moment, then held against it."""

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.se3 import rotvec_from_matrix_kernel
from robostral_sims.camera import apart_kernel
from robostral_sims.engines import BeyondTraining, World, WorldState
from robostral_sims.engines.surrogate import BUNDLE, SurrogateWorld
from robostral_sims.scene import Scene, load_mounted

if TYPE_CHECKING:
    from robostral_sims.env import CellEnv


class Apart(NamedTuple):
    """How far the learned cell is from the real one: tcp and part [m, rad], jaw's gap [m].

    `beyond` says that the learned one has refused a step since they met. Without a part its figures are 0.
    """

    tcp_m: float
    tcp_rad: float
    part_m: float
    part_rad: float
    gap_m: float
    beyond: bool


class Shadow:
    """Lets a learned World do beside an environment what that does; the environment is none the wiser.

    Args:
        env: An environment on a real engine.
        bundle: Name or path of the learned simulator.

    Raises:
        ConfigError: The cell is not one that a learned simulator knows.
        ContractMismatch: The bundle is of another jaw.
    """

    def __init__(self, env: "CellEnv", bundle: str = BUNDLE) -> None:
        self.learned = SurrogateWorld(env.scene, 1.0 / env.control_hz, bundle)
        self._arm, self._env = load_mounted(env.scene.arms[0]), env
        self._both = _Both(env.world, self.learned)
        env.world = cast(World, self._both)

    def meet(self) -> None:
        """Put arm, jaw and part of the learned cell where those of the real one are."""
        self._both.beyond = False
        self.learned.meet(self._both.real.capture())

    def compare(self) -> Apart:
        """Say how far the two are apart now."""
        here, there = self.learned.capture(), self._both.real.capture()
        tcp_m, tcp_rad = self._tcp_apart(here, there)
        part_m = part_rad = 0.0
        if len(there.parts):
            round_ = bool(self.learned.part[3])
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
    """The real World, which answers, and the learned one, which is told the same."""

    def __init__(self, real: World, learned: SurrogateWorld) -> None:
        self.real, self.learned, self.beyond = real, learned, False

    def reset(self, state: WorldState, scene: Scene | None = None) -> None:
        self.real.reset(state, scene)
        self.learned.reset(state, scene)
        self.beyond = False

    def run(self, q_c: NDArray[np.float64]) -> None:
        self.real.run(q_c)
        try:
            self.learned.run(q_c)
        except BeyondTraining:
            self.beyond = True

    def set_tools(self, command: NDArray[np.float64]) -> None:
        self.real.set_tools(command)
        self.learned.set_tools(command)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)
