"""A learned World: the arm follows its servos as their equation says, jaw and part do what a bundle expects."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from robostral import bundle as bundles
from robostral.bundle import OnnxPolicy
from robostral.contract import Sealed, check_same
from robostral.errors import ConfigError
from robostral.jit import kernel
from robostral.kinematics.jacobian import fk_jacobian_kernel
from robostral_sims.actuator import Actuators
from robostral_sims.engines import BeyondTraining, EngineError, WorldState
from robostral_sims.learned import OUTSIDE, SAID, SEEN, free_gap_kernel, happen_kernel, may_move_kernel, see_kernel
from robostral_sims.scene import Jaw, Scene, load_mounted
from robostral_sims.solids import transform
from robostral_sims.watch import contract_of, hand, jaw_of, part_of

FloatArray = NDArray[np.float64]

BUNDLE = "jaw-part-v1"
"""The bundle that simulates a jaw and a part, whatever arm carries the jaw."""
STEP_S = 0.04
"""Policy step that it advances by [s]."""
MAX_OUTSIDE = 0.5
"""How far what is seen may be outside what was trained on, summed over the columns, in shares of their ranges."""


@kernel
def follow_servo_kernel(
    reached: FloatArray,
    aim: FloatArray,
    stiffness: FloatArray,
    share: FloatArray,
    dt: float,
    q: FloatArray,
    dq: FloatArray,
) -> None:
    """Let servos follow set-points, as `scene.Servo` says: `dq = stiffness (aim - q) + share d(aim)/dt`, tick by tick.

    Args:
        reached: Set-points at each tick's end [rad], shape (ticks, n).
        aim: Set-points when the first tick begins [rad], shape (n,); becomes the last row of `reached`.
        stiffness: Position gains [1/s], shape (n,).
        share: Shares of velocity feed-forward [1], shape (n,).
        dt: Length of a tick [s].
        q: Positions [rad], shape (n,); changed.
        dq: Velocities [rad/s], shape (n,); changed.
    """
    for row in range(reached.shape[0]):
        for i in range(q.shape[0]):
            dq[i] = stiffness[i] * (aim[i] - q[i]) + share[i] * (reached[row, i] - aim[i]) / dt
            q[i] += dt * dq[i]
            aim[i] = reached[row, i]


def check_known(scene: Scene) -> None:
    """Refuse a cell that no learned simulator knows: more than one arm with position servos, a jaw and one part.

    Raises:
        ConfigError: Names what is not known.
    """
    unknown = [f"{len(scene.arms)} arms"] if len(scene.arms) > 1 else []
    unknown += [f"conveyor '{belt.name}'" for belt in scene.conveyors]
    unknown += [f"the force/torque sensor of '{arm.device}'" for arm in scene.arms if arm.sensor is not None]
    if unknown:
        raise ConfigError(f"engine 'surrogate' has not learned {', '.join(unknown)}; use pybullet or mujoco here")
    if scene.parts:
        part_of(scene)


class SurrogateWorld:
    """A scene of one arm, with a jaw and one part or with no part at all; implements `robostral_sims.engines.World`.

    Jaw and part advance by whole policy steps of the bundle: between two of them they are where they were. Without a
    part nothing is learned, and nothing that the arm might touch is felt.

    Args:
        scene: The cell.
        dt_s: Control period [s].
        bundle: Name or path of the bundle.

    Raises:
        ConfigError: The cell is not one that a learned simulator knows, or a step is no whole number of ticks.
        ContractMismatch: The bundle is of another jaw.
        UnknownName: There is no such bundle.
    """

    def __init__(self, scene: Scene, dt_s: float, bundle: str = BUNDLE) -> None:
        check_known(scene)
        self._dt_s, self._block = dt_s, round(STEP_S / dt_s)
        if abs(self._block * dt_s - STEP_S) > 1e-9:
            raise ConfigError(f"'{bundle}' steps by {STEP_S} s, which is no whole number of ticks of {dt_s} s")
        self._policy = _policy(bundle) if scene.parts else None
        if self._policy is not None:
            ours = Sealed.seal(contract_of(jaw_of(scene), STEP_S))
            check_same(ours, self._policy.sealed, "the cell's jaw", f"bundle '{bundle}'")
        self._arm, self._scene = load_mounted(scene.arms[0]), scene
        self._seen, self._said = np.empty((1, SEEN), np.float32), np.empty(SAID, np.float32)
        self._T, self._T_after, self._V = np.eye(4), np.eye(4), np.zeros(6)
        self._J = np.empty((6, self.n))
        self.reset(WorldState.at_rest(scene, self._arm.home), scene)

    @property
    def n(self) -> int:
        """Number of joints."""
        return self._arm.chain.n

    @property
    def dt_s(self) -> float:
        """Control period [s]."""
        return self._dt_s

    def reset(self, state: WorldState, scene: Scene | None = None) -> None:
        """Put the cell into `state`."""
        scene = self._scene = scene or self._scene
        mount, tool = scene.arms[0], scene.arms[0].tool
        self._actuators = Actuators(scene, [self._arm], self._dt_s)
        self._actuators.reset(state.q_c)
        self._T_world_base = transform(mount.base)
        self._stiffness = np.full(self.n, mount.servo.stiffness)
        self._share = np.full(self.n, mount.servo.feed_forward)
        self._q, self._dq, self._q_c, self._aim = (x.copy() for x in (state.q, state.dq, state.q_c, state.q_c))
        self._tool, self._gap_c, self._gap_speed = state.tools[0].copy(), float(state.tools_c[0]), 0.0
        if isinstance(tool, Jaw):
            self._gap_speed = 2.0 * tool.speed
        self._gap_free, self._ticks = float(self._tool[0]), 0
        self._parts, self._size = state.parts.copy(), np.zeros(8)
        if scene.parts:
            jaw = jaw_of(scene)
            self._size = part_of(scene)
            self._opening, self._hand = jaw.opening, hand(jaw)
        self._look(self._T)

    def meet(self, state: WorldState) -> None:
        """Stand where `state` has arm, jaw and part; what is commanded, and what is on its way, stays."""
        self._q[:], self._dq[:] = state.q, state.dq
        self._tool[:], self._parts[:], self._gap_free = state.tools[0], state.parts, float(state.tools[0, 0])
        self._look(self._T)

    @property
    def part(self) -> FloatArray:
        """What is known of the part, as `robostral_sims.watch.part_of` returns it, shape (8,); zeros without a part."""
        return self._size

    def run(self, q_c: FloatArray) -> None:
        """Advance by one tick for each row of `q_c`, shape (ticks, n) [rad].

        Raises:
            BeyondTraining: What is seen lies outside what the bundle was trained on.
        """
        while len(q_c):
            now, q_c = q_c[: self._block - self._ticks], q_c[self._block - self._ticks :]
            reached = self._actuators.positions(np.ascontiguousarray(now))
            follow_servo_kernel(reached, self._aim, self._stiffness, self._share, self._dt_s, self._q, self._dq)
            self._q_c[:] = now[-1]
            self._gap_free = free_gap_kernel(self._gap_free, self._gap_c, self._gap_speed * self._dt_s * len(now))
            self._ticks += len(now)
            if self._ticks == self._block:
                self._ticks = 0
                self._advance()

    def _advance(self) -> None:
        if self._policy is None:
            self._tool[:] = self._gap_free, (self._gap_free - self._tool[0]) / STEP_S
            return
        self._look(self._T_after)
        part, tool, said = self._parts[0], self._tool, self._said
        known = self._T, self._T_after, self._V, part, self._size, self._hand
        see_kernel(*known, tool, self._gap_c, self._gap_free, STEP_S, self._seen[0])
        if may_move_kernel(part, self._seen[0]):
            said[:] = self._policy.infer(self._seen)[0, 0]
        free = happen_kernel(self._T, self._seen[0], self._opening, STEP_S, said, part, tool)
        self._T[:], self._gap_free = self._T_after, float(tool[0])
        if free and said[OUTSIDE] > MAX_OUTSIDE:
            raise BeyondTraining(
                f"engine 'surrogate' was never shown anything like this (outside by {said[OUTSIDE]:.2g} of the ranges "
                f"trained on, {MAX_OUTSIDE} is the bound); use pybullet or mujoco here"
            )

    def run_torque(self, tau_c: FloatArray) -> None:
        """Refuse: torques are not learned.

        Raises:
            EngineError: Always.
        """
        raise EngineError("engine 'surrogate' knows position servos only; use pybullet or mujoco for torque commands")

    def set_tools(self, command: FloatArray) -> None:
        """Command the jaw's gap [m], shape (1,)."""
        self._gap_c = float(command[0])

    def set_belts(self, speed: FloatArray) -> None:
        """Do nothing: the cells that this World knows have no conveyor."""

    def read(self, q: FloatArray, dq: FloatArray, tau: FloatArray) -> None:
        """Fill positions [rad] and velocities [rad/s], shape (n,) each; torques are not known and stay zero."""
        q[:], dq[:], tau[:] = self._q, self._dq, 0.0

    def read_parts(self, out: FloatArray) -> None:
        """Fill the part's state, shape (1, 13), as in `WorldState.parts`."""
        out[:] = self._parts

    def read_tools(self, out: FloatArray) -> None:
        """Fill the jaw's gap [m] and rate [m/s], shape (1, 2)."""
        out[0] = self._tool

    def read_wrenches(self, out: FloatArray) -> None:
        """Fill zeros: forces are not learned."""
        out[:] = 0.0

    def capture(self) -> WorldState:
        """Return the present state; `reset` with it continues from the last whole policy step."""
        arrays = self._q.copy(), self._dq.copy(), self._q_c.copy(), self._parts.copy(), self._tool[None].copy()
        return WorldState(*arrays, np.array([self._gap_c]), np.full(1, -1), np.zeros(0))

    def render(self, width: int, height: int) -> NDArray[np.uint8]:
        """Draw the cell with Bullet's renderer, shape (height, width, 3)."""
        from robostral_sims.engines.pybullet import PyBulletWorld

        drawn = PyBulletWorld(self._scene, self._dt_s, drawn=True)
        try:
            drawn.reset(self.capture(), self._scene)
            return drawn.render(width, height)
        finally:
            drawn.close()

    def close(self) -> None:
        """Do nothing: what a World holds here is memory alone."""

    def _look(self, T_world_tcp: FloatArray) -> None:
        """Fill where the tcp is, shape (4, 4), and note its twist in `world`."""
        fk_jacobian_kernel(self._arm.chain.model, self._q, T_world_tcp, self._J)
        T_world_tcp[:] = self._T_world_base @ T_world_tcp
        self._V.reshape(2, 3)[:] = (self._J @ self._dq).reshape(2, 3) @ self._T_world_base[:3, :3].T


@lru_cache(maxsize=4)
def _policy(bundle: str) -> OnnxPolicy:
    """Load a bundle once a process: a session keeps nothing of what it answered."""
    return OnnxPolicy(bundles.load(bundles.find(bundle)))
