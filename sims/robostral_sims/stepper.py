"""One policy step of a cell: observation, set-points, guard and the ticks of a World, by the run time's own kernels."""

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.contract import Contract
from robostral.control.steps import policy_step
from robostral.errors import ConfigError
from robostral.guard import Guard, Reason, Workspace
from robostral.signals import Signals
from robostral_sims.engines import World
from robostral_sims.scene import Scene


class CellStepper:
    """What is between a policy's chunk and the next observation; learned and batch engines join at this level.

    Args:
        arm: The arm that the contract names.
        contract: What the policy sees and does.
        scene: The cell as data; its region `workspace`, if any, bounds the tcp.
        dt_s: Control period [s].

    Raises:
        ConfigError: A policy step is not a whole number of ticks.
        ContractMismatch: The contract does not fit the arm or the signals.
    """

    def __init__(self, arm: Arm, contract: Contract, scene: Scene, dt_s: float) -> None:
        self._dt_s, self._step_s, n = dt_s, contract.action.dt_s, arm.chain.n
        ticks = round(self._step_s / dt_s)
        if ticks < 1 or abs(ticks * dt_s - self._step_s) > 1e-9:
            raise ConfigError(f"a policy step of {self._step_s} s is no whole number of ticks at {1.0 / dt_s:g} Hz")
        box = scene.regions.get("workspace")
        self._signals = Signals(contract, arm.chain)
        self._guard = Guard(arm.chain, arm.limits, dt_s, Workspace(box.low, box.high) if box else None)
        self._q, self._dq, self._tau = np.zeros((3, n))
        self._external = np.zeros(self._signals.external_size)
        self._seam, self._knots = np.zeros(n), np.zeros(contract.chunk_shape)
        self._q_c, self._codes = np.zeros((ticks, n)), np.zeros(ticks, dtype=np.int64)

    def reset(
        self, world: World, q: NDArray[np.float64], external: NDArray[np.float64], latency_s: float = 0.0
    ) -> None:
        """Begin an episode.

        Args:
            world: The cell, its arm at rest at `q`.
            q: Joint positions [rad], shape (n,).
            external: External signals, as the contract has them.
            latency_s: From an observation to the use of its chunk [s], less than a policy step; in whole ticks.
        """
        self._world = world
        self._external[:] = external
        self._late = min(round(latency_s / self._dt_s), len(self._codes) - 1)
        self._seam[:] = self._knots[:] = q
        self._guard.counts[:] = 0
        self._guard.reset(q)

    @property
    def limited(self) -> int:
        """How many set-points of the episode the guard has changed."""
        return int(self._guard.counts[Reason.LIMITED])

    def observe(self) -> NDArray[np.float32]:
        """Measure, and return a new observation, shape (obs_size,)."""
        obs = np.empty(self._signals.obs_size, dtype=np.float32)
        self._world.read(self._q, self._dq, self._tau)
        self._signals.observe(self._q, self._dq, self._guard.q_c, self._external, obs)
        return obs

    def step(self, chunk: NDArray[np.float32]) -> str | None:
        """Run one policy step with a chunk, shape (horizon, n), that answers the last observation.

        As on the arm, the chunk before goes on until this one is there; then deltas accumulate from the last command.

        Returns:
            Why the guard stopped the arm, or None.
        """
        late = self._late
        self._follow(slice(0, late), self._step_s - late * self._dt_s)
        self._seam[:] = self._guard.q_c
        self._signals.knots(chunk, self._seam, self._knots)
        self._follow(slice(late, None), 0.0)
        self._world.run(self._q_c)
        return None if self._guard.reason == Reason.PASSED else f"guard: {self._guard.reason.name}"

    def _follow(self, ticks: slice, t: float) -> None:
        policy_step(self._guard, self._seam, self._knots, self._step_s, t, self._q_c[ticks], self._codes[ticks])
