"""One policy step of a cell: observation, set-points, guard and the ticks of a World, by the run time's own kernels."""

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.contract import Contract
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
        ticks = contract.action.dt_s / dt_s
        self._ticks = round(ticks)
        if self._ticks < 1 or abs(ticks - self._ticks) > 1e-6:
            raise ConfigError(f"{1.0 / dt_s:g} Hz: a policy step of {contract.action.dt_s} s is {ticks:g} ticks")
        box = scene.regions.get("workspace")
        self._signals = Signals(contract, arm.chain)
        self._guard = Guard(arm.chain, arm.limits, dt_s, Workspace(box.low, box.high) if box else None)
        self._q, self._dq, self._tau = np.zeros((3, arm.chain.n))
        self._external = np.zeros(self._signals.external_size)
        self._knots = np.zeros(contract.chunk_shape)
        self._q_c = np.zeros((self._ticks, arm.chain.n))

    def reset(self, world: World, q: NDArray[np.float64], external: NDArray[np.float64], latency_s: float) -> None:
        """Begin an episode in `world` at rest at `q` [rad], shape (n,), with an external vector and a latency [s]."""
        self._world = world
        self._external[:] = external
        self._guard.reset(q)
        self._guard.counts[:] = 0
        self._knots[:] = q

    @property
    def limited(self) -> int:
        """How many ticks of the episode the guard changed."""
        return int(self._guard.counts[Reason.LIMITED])

    def observe(self) -> NDArray[np.float32]:
        """Measure, and return a new observation, shape (obs_size,)."""
        obs = np.empty(self._signals.obs_size, dtype=np.float32)
        self._world.read(self._q, self._dq, self._tau)
        self._signals.observe(self._q, self._dq, self._guard.q_c, self._external, obs)
        return obs

    def step(self, chunk: NDArray[np.float32]) -> str | None:
        """Run one policy step with a chunk, shape (horizon, n); return why the guard stopped the arm, if it did."""
        seam = self._guard.q_c.copy()
        self._signals.knots(chunk, seam, self._knots)
        for tick in range(self._ticks):
            self._guard.step(seam + (tick + 1) / self._ticks * (self._knots[0] - seam))
            self._q_c[tick] = self._guard.q_c
        self._world.run(self._q_c)
        return None if self._guard.reason == Reason.PASSED else f"guard: {self._guard.reason.name}"
