"""What a control tick costs: the guard alone, and read -> impedance law between both guard stages -> write.

The plant is a loopback: it is where the last command put it. Capsules, a box, a ball and a plane are held. Whoever
measures chooses the scheduling; these functions only tick, time and count.
"""

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm, load_arm
from robostral.arm.chain import FloatArray
from robostral.contract import Impedance
from robostral.control.ticks import ImpedanceTick
from robostral.driver import DriverState
from robostral.guard import SINGULAR, Guard, Reason, Workspace
from robostral.keep_out import KeepOutPlane, KeepOutSphere

CHUNK_TICKS = 40
HORIZON, STEP_S = 3, 0.04
IMPEDANCE = Impedance((600.0, 600.0, 600.0, 30.0, 30.0, 30.0), (1.0,) * 6, 10.0)


class Loopback:
    """A plant that is where the last command of the guard put it, and keeps the torques written to it."""

    def __init__(self, guard: Guard) -> None:
        self._guard, self.tau = guard, np.zeros(guard.chain.n)

    def read(self, state: DriverState) -> int:
        """Fill the measurements."""
        state.q[:], state.dq[:] = self._guard.q_c, self._guard.dq_c
        return 0

    def write(self, tau_c: FloatArray) -> int:
        """Take the torques [N·m], shape (n,)."""
        self.tau[:] = tau_c
        return 0


class Cell:
    """An arm that follows chunks of a random policy around its home, tick by tick.

    Args:
        arm: The arm.
        rate_hz: Control rate [Hz].
        seed: Of the policy.
    """

    def __init__(self, arm: Arm, rate_hz: float = 500.0, seed: int = 0) -> None:
        shapes = (KeepOutSphere((0.0, 0.0, 2.0), 0.2), KeepOutPlane((0.0, 0.0, 1.0), -0.5))
        box = Workspace((-2.0, -2.0, -1.0), (2.0, 2.0, 2.0))
        self.guard = Guard(
            arm.chain,
            arm.limits,
            1.0 / rate_hz,
            box,
            capsules=arm.capsules,
            keep_out=shapes,
            conditioning=SINGULAR,
            energy=1e3,
        )
        self._law, self._driver, self._state = (
            ImpedanceTick(self.guard, IMPEDANCE),
            Loopback(self.guard),
            DriverState(arm.chain.n),
        )
        self._law.reset(arm.home)
        self._home, self._rng, self._tick = arm.home, np.random.default_rng(seed), 0
        self._seam, self._knots, self._tau = arm.home, np.zeros((HORIZON, arm.chain.n)), np.zeros(arm.chain.n)
        self._q_d = arm.home

    def new_chunk(self) -> None:
        """Take over another chunk from the last command on; not part of a tick."""
        self._seam[:] = self.guard.q_c
        towards = 0.1 * (self._home - self._seam) + self._rng.normal(0.0, 0.02, self._seam.shape)
        self._knots[:] = self._seam + towards * np.arange(1, HORIZON + 1)[:, None]
        self._tick = 0

    def tick(self) -> int:
        """Read, follow, guard, law, guard, write; return the guard's answer."""
        state = self._state
        self._driver.read(state)
        self._tick += 1
        t = self._tick * self.guard.dt
        code = self._law(self._seam, self._knots, STEP_S, t, state.q, state.dq, self._tau)
        self._driver.write(self._tau)
        return code

    def guard_tick(self) -> int:
        """Do the guard's part of a position-mode tick alone: measure, first stage, second stage."""
        guard, q_d = self.guard, self._q_d
        self._tick += 1
        np.subtract(self._knots[-1], self._seam, out=q_d)
        q_d *= self.guard.dt / (HORIZON * STEP_S)
        q_d += guard.q_c
        guard.measure(guard.q_c)
        code = guard.step(q_d)
        guard.command(guard.q_c)
        return code


def measure(cell: Cell, tick: Callable[[], int], ticks: int) -> tuple[NDArray[np.int64], int, int]:
    """Tick and time, a new chunk every `CHUNK_TICKS`.

    Returns:
        Nanoseconds per tick; memory blocks that the ticks kept; garbage collections during them.
    """
    spent, now, kept = np.zeros(ticks, np.int64), time.perf_counter_ns, 0
    collections = sum(generation["collections"] for generation in gc.get_stats())
    for k in range(ticks):
        if k % CHUNK_TICKS == 0:
            cell.new_chunk()
        blocks = sys.getallocatedblocks()
        began = now()
        code = tick()
        ended = now()
        del_blocks = sys.getallocatedblocks() - blocks
        if k > CHUNK_TICKS:
            kept += del_blocks
        spent[k] = ended - began
        if code > Reason.LIMITED:
            raise RuntimeError(f"the guard stopped the bench: {Reason(code).name}")
    return spent, kept, sum(generation["collections"] for generation in gc.get_stats()) - collections


def percentiles(spent: NDArray[np.int64]) -> dict[str, float]:
    """Sum up times [ns] in microseconds."""
    p50, p99, p999 = np.percentile(spent, [50.0, 99.0, 99.9]) / 1e3
    return {"p50": float(p50), "p99": float(p99), "p999": float(p999), "max": float(spent.max() / 1e3)}


def run(arm: str = "panda", ticks: int = 10_000, rate_hz: float = 500.0) -> dict[str, Any]:
    """Measure the guard and the whole tick of an arm; the figures of `robostral bench loop`."""
    cell = Cell(load_arm(arm), rate_hz)
    figures: dict[str, Any] = {"arm": arm, "rate_hz": rate_hz, "ticks": ticks}
    gc.collect()
    gc.freeze()
    try:
        for name, tick in (("compute_us", cell.tick), ("guard_us", cell.guard_tick)):
            measure(cell, tick, 2 * CHUNK_TICKS)
            spent, kept, collections = measure(cell, tick, ticks)
            figures[name] = percentiles(spent) | {"kept_blocks": kept, "collections": collections}
    finally:
        gc.unfreeze()
    return figures
