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
        self._home, self._rng = arm.home, np.random.default_rng(seed)
        self._seam, self._knots, self._tau = arm.home, np.zeros((HORIZON, arm.chain.n)), np.zeros(arm.chain.n)
        self._step, self._q_d = np.zeros(arm.chain.n), arm.home
        self.new_chunk()

    def new_chunk(self) -> None:
        """Take over another chunk from the last command on; not part of a tick."""
        self._seam[:] = self.guard.q_c
        towards = 0.1 * (self._home - self._seam) + self._rng.normal(0.0, 0.02, self._seam.shape)
        self._knots[:] = self._seam + towards * np.arange(1, HORIZON + 1)[:, None]
        self._step[:] = towards * (self.guard.dt / STEP_S)
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

    def aim(self) -> None:
        """Choose the set-point of the next `guard_tick`; not part of it."""
        np.add(self.guard.q_c, self._step, out=self._q_d)

    def guard_tick(self) -> int:
        """Do the guard's part of a position-mode tick alone: measure, first stage, second stage."""
        guard = self.guard
        guard.measure(guard.q_c)
        code = guard.step(self._q_d)
        guard.command(guard.q_c)
        return code


def measure(cell: Cell, tick: Callable[[], int], ticks: int) -> tuple[NDArray[np.int64], int, int]:
    """Tick and time, a new chunk every `CHUNK_TICKS`.

    Returns:
        Nanoseconds per tick; memory blocks that the ticks kept; garbage collections during them.
    """
    spent, blocks = np.zeros(ticks, np.int64), np.zeros(2, np.int64)
    collections = _collections()
    blocks[0] = sys.getallocatedblocks()  # walks all of Python's memory: beside every tick it would empty the caches
    _live(cell, tick, spent)
    blocks[1] = sys.getallocatedblocks()
    return spent, int(blocks[1] - blocks[0]), _collections() - collections


def _live(cell: Cell, tick: Callable[[], int], spent: NDArray[np.int64]) -> None:
    now = time.perf_counter_ns
    for k in range(len(spent)):
        if k % CHUNK_TICKS == 0:
            cell.new_chunk()
        cell.aim()
        began = now()
        code = tick()
        spent[k] = now() - began
        if code > Reason.LIMITED:
            raise RuntimeError(f"the guard stopped the bench: {Reason(code).name}")


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


def machine(length_ns: int, ticks: int) -> NDArray[np.int64]:
    """Look at the clock for `length_ns` at a time; what a look takes longer is the machine's own doing [ns]."""
    spent, now = np.zeros(ticks, np.int64), time.perf_counter_ns
    for k in range(ticks):
        began = ended = now()
        while ended - began < length_ns:
            ended = now()
        spent[k] = ended - began
    return spent


def percentiles(spent: NDArray[np.int64]) -> dict[str, float]:
    """Sum up times [ns] in microseconds."""
    p50, p99, p999 = np.percentile(spent, [50.0, 99.0, 99.9]) / 1e3
    return {"p50": float(p50), "p99": float(p99), "p999": float(p999), "max": float(spent.max() / 1e3)}


def run(arm: str = "panda", ticks: int = 10_000, rate_hz: float = 500.0) -> dict[str, Any]:
    """Measure the guard and the whole tick of an arm; the figures of `robostral bench loop`.

    Beside each stands `machine`: the same for a tick of the same median that only looks at the clock. What both have in
    their tails are interrupts.
    """
    cell = Cell(load_arm(arm), rate_hz)
    figures: dict[str, Any] = {"arm": arm, "rate_hz": rate_hz, "ticks": ticks}
    gc.collect()
    gc.freeze()
    try:
        for name, tick in (("compute_us", cell.tick), ("guard_us", cell.guard_tick)):
            measure(cell, tick, 2 * CHUNK_TICKS)
            spent, kept, collections = measure(cell, tick, ticks)
            alone = machine(int(np.median(spent)), ticks)
            figures[name] = percentiles(spent) | {"kept_blocks": kept, "collections": collections}
            figures[name]["machine"] = percentiles(alone)
    finally:
        gc.unfreeze()
    return figures
