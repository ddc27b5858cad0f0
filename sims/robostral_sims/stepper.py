"""One policy step of a cell: observation, set-points, guard and the ticks of a World, by the run time's own kernels."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.contract import Contract
from robostral.control.steps import policy_step
from robostral.errors import ConfigError
from robostral.guard import Reason, Workspace, cell_guard
from robostral.signals import Signals
from robostral_sims.engines import World
from robostral_sims.scene import Jaw, Scene, Vacuum
from robostral_sims.tasks import Start, Task, Truth
from robostral_sims.torque_path import TorquePath


class CellStepper:
    """What is between a policy's chunk and the next observation; learned and batch engines join at this level.

    Args:
        arm: The arm that the contract names, with the tcp of its tool.
        contract: What the policy sees and does.
        scene: The cell as data; its region `workspace`, if any, bounds the tcp.
        dt_s: Control period [s].

    Attributes:
        truth: What really is in the cell, as of the last observation.

    Raises:
        ConfigError: A policy step is not a whole number of ticks, or the cell lacks a tool or a signal.
        ContractMismatch: The contract does not fit the arm or the signals.
    """

    def __init__(self, arm: Arm, contract: Contract, scene: Scene, dt_s: float) -> None:
        self._dt_s, self._step_s, n = dt_s, contract.action.dt_s, arm.chain.n
        ticks = round(self._step_s / dt_s)
        if ticks < 1 or abs(ticks * dt_s - self._step_s) > 1e-9:
            raise ConfigError(f"a policy step of {self._step_s} s is no whole number of ticks at {1.0 / dt_s:g} Hz")
        box = scene.regions.get("workspace")
        self._signals = Signals(contract, arm.chain)
        bounds = Workspace(box.low, box.high) if box else None
        self._guard = cell_guard(arm, contract.action.kind, dt_s, bounds, keep_out=scene.keep_out)
        self._tau, self._seam, self._knots = np.zeros(n), np.zeros(n), np.zeros((contract.action.horizon, n))
        self._q_c, self._codes = np.zeros((ticks, n)), np.zeros(ticks, dtype=np.int64)
        self._external, self._belts = np.zeros(self._signals.external_size), np.zeros(len(scene.conveyors))
        shapes = (n, n, (len(scene.parts), 13), (len(scene.arms), 2), 1)
        self.truth = Truth(*[np.zeros(shape) for shape in shapes])
        self._plan_tools(contract, scene)
        impedance = contract.action.impedance
        self._path = TorquePath(self._guard, impedance, scene.arms[0]) if impedance else None
        self._waiting: deque[NDArray[np.float32]] = deque()

    def _plan_tools(self, contract: Contract, scene: Scene) -> None:
        """Find which arm's tool each number of the contract commands, and where its sensors go."""
        tools = [(i, arm.tool) for i, arm in enumerate(scene.arms)]
        found = [
            (i, "gap" if isinstance(tool, Jaw) else "suction") for i, tool in tools if isinstance(tool, Jaw | Vacuum)
        ]
        if contract.tools != tuple(name for _, name in found):
            raise ConfigError(
                f"the policy commands the tools {contract.tools}; the cell has {[name for _, name in found]}"
            )
        self._tool_arms = [i for i, _ in found]
        self._tools_c = np.zeros(len(scene.arms))
        k, seen = self._signals.tools, {field.name for field in contract.obs}
        if "wrench" in seen and (scene.arms[0].sensor is None or contract.action.impedance is None):
            raise ConfigError("obs.wrench: this cell has no force/torque sensor, or its law has no impedance")
        self._sensors = np.zeros(self._signals.sensor_size)
        first = k * ("tool" in seen)
        self._tool_rows = list(enumerate(self._tool_arms[:first]))
        self._tool_c_rows = list(enumerate(self._tool_arms if "tool_c" in seen else [], first))
        self._reads_wrench = "wrench" in seen

    def reset(self, world: World, start: Start, task: Task, scene: Scene, latency_s: float = 0.0) -> None:
        """Begin an episode.

        Args:
            world: The cell, at rest as `start` says.
            start: Where the arm stands, and the first external signals.
            task: Tells later external signals and drives the belts.
            scene: The cell of this episode.
            latency_s: From an observation to the use of its chunk [s], in whole ticks, less than a whole chunk.
        """
        self._world, self._task = world, task
        self._external[:] = start.external
        self._late = min(round(latency_s / self._dt_s), len(self._codes) * len(self._knots) - 1)
        self._waiting.clear()
        self._belts[:], self.truth.time_s[:], self._followed_s = 0.0, 0.0, 0.0
        self._tools_c[:] = [arm.tool.opening if isinstance(arm.tool, Jaw) else 0.0 for arm in scene.arms]
        self._seam[:] = self._knots[:] = start.q
        self._left = self._knots
        self._guard.counts[:] = 0
        self._guard.reset(start.q)
        if self._path is not None:
            self._path.reset(world, start.q, scene.arms[0].sensor, start.rng)

    @property
    def tools_c(self) -> NDArray[np.float64]:
        """What each arm's tool is commanded, as `World.set_tools` takes it, shape (a,)."""
        return self._tools_c

    @property
    def late_s(self) -> float:
        """How far into a policy step a new chunk takes over from the one before [s]."""
        return self._late % len(self._codes) * self._dt_s

    @property
    def limited(self) -> int:
        """How many set-points of the episode the guard has changed."""
        return int(self._guard.counts[Reason.LIMITED])

    def observe(self) -> NDArray[np.float32]:
        """Measure, hear what is told from outside, and return a new observation, shape (obs_size,)."""
        obs, truth, world = np.empty(self._signals.obs_size, dtype=np.float32), self.truth, self._world
        world.read(truth.q, truth.dq, self._tau)
        if len(truth.parts):
            world.read_parts(truth.parts)
        if self._tool_arms:
            world.read_tools(truth.tools)
            for row, arm in self._tool_rows:
                self._sensors[row] = truth.tools[arm, 0]
            for row, arm in self._tool_c_rows:
                self._sensors[row] = self._tools_c[arm]
        if self._path is not None:
            if self._reads_wrench:
                self._sensors[-6:] = self._path.wrist.reading
            truth.force[:] = self._path.wrist.force
        self._task.outside(truth, self._external, self._belts)
        if len(self._belts):
            world.set_belts(self._belts)
        self._signals.observe(truth.q, truth.dq, self._guard.q_c, self._external, obs, self._sensors)
        return obs

    def step(self, chunk: NDArray[np.float32]) -> str | None:
        """Run one policy step with a chunk, shape (horizon, actions), that answers the last observation.

        As on the arm, the chunk before goes on until this one is there; then deltas accumulate from the last command,
        less the chunk steps that have passed since the observation.

        Returns:
            Why the guard stopped the arm, or None.
        """
        ticks = len(self._codes)
        passed, late = divmod(self._late, ticks)
        self._waiting.append(chunk)
        self._follow(slice(0, late))
        lived = 0
        if len(self._waiting) > passed and self._adopt(self._waiting.popleft(), passed):
            self._live(slice(0, late))
            self._world.set_tools(self._tools_c)
            lived = late
        self._follow(slice(late, ticks))
        self._live(slice(lived, ticks))  # in one call where no tool is commanded, for that costs less
        self.truth.time_s[0] += self._step_s
        return None if self._guard.reason == Reason.PASSED else f"guard: {self._guard.reason.name}"

    def _adopt(self, chunk: NDArray[np.float32], passed: int) -> bool:
        """Follow a chunk, of which `passed` steps are over, from the last command on; say if it commands a tool."""
        self._seam[:] = self._guard.q_c
        self._left, self._followed_s = self._knots[: len(chunk) - passed], 0.0
        self._signals.knots(chunk[passed:], self._seam, self._left)
        if not self._tool_arms:
            return False
        before = self._tools_c.tolist()
        for arm, set_point in zip(self._tool_arms, self._signals.tool_set_points(chunk[passed]), strict=True):
            self._tools_c[arm] = set_point
        return before != self._tools_c.tolist()

    def _follow(self, ticks: slice) -> None:
        """Let reference and guard go through some ticks of this step; with impedance the law and the World, too."""
        q_c, codes = self._q_c[ticks], self._codes[ticks]
        if not len(codes):
            return
        if self._path is not None:
            self._path.run(self._seam, self._left, self._step_s, self._followed_s, len(codes))
        else:
            policy_step(self._guard, self._seam, self._left, self._step_s, self._followed_s, q_c, codes)
        self._followed_s += len(codes) * self._dt_s

    def _live(self, ticks: slice) -> None:
        """Let the World's servos follow what the guard passed in some ticks of this step."""
        if self._path is None and ticks.start < ticks.stop:
            self._world.run(self._q_c[ticks])
