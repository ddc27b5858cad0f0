"""A policy step of many arms in one call, behind the filter of `robostral_sims.many_arms` or behind the whole guard."""

from collections.abc import Callable

import numpy as np

from robostral.arm.chain import FloatArray
from robostral.contract import Contract
from robostral.control.knots import bounded_kernel, pose_knots_kernel
from robostral.control.steps import policy_step_kernel
from robostral.guard import Guard
from robostral.guard import table as at
from robostral.jit import kernel
from robostral.kinematics.lm import ik_workspace
from robostral_sims.many_arms import (
    AFTER,
    KNOT,
    LANES,
    REF,
    ROWS,
    SEAM,
    Arms,
    Chunks,
    IntArray,
    Room,
    adopt_kernel,
    check_block_kernel,
    filter_block_kernel,
    near_knots_kernel,
    new_room,
    servo_block_kernel,
)


@kernel
def _knots(
    model: FloatArray,
    bounds: FloatArray,
    posture: FloatArray,
    arms: Arms,
    c: int,
    chunk: Chunks,
    room: Room,
    near: FloatArray,
) -> None:
    """Take a chunk of cell c into its knots and its tool's command."""
    n, lane, joints = posture.shape[0], c % LANES, arms.joints[c // LANES]
    arms.tools_c[c, 1] = arms.tools_c[c, 0]
    used, passed = adopt_kernel(arms, c, chunk)
    if used < 0:
        return
    for i in range(n):
        room.q[i] = joints[i, REF + lane]
    p = near_knots_kernel(model, bounds, posture, arms.chunks[c, used], passed, room)
    for j in range(3):
        near[lane, j, n] = p[j]
        for i in range(n):
            near[lane, j, i] = room.J[j, i]
    for i in range(n):
        row = joints[i]
        row[SEAM + lane], row[KNOT + lane], row[AFTER + lane] = room.q[i], room.knot[i], room.after[i]
    arms.tools_c[c, 0] = bounded_kernel(bounds, float(arms.chunks[c, used, passed, 6]), 6)


@kernel
def move_kernel(
    model: FloatArray,
    table: FloatArray,
    bounds: FloatArray,
    posture: FloatArray,
    dt_step: float,
    arms: Arms,
    chunks: Chunks,
    room: Room,
    refs: FloatArray,
    near: FloatArray,
) -> None:
    """Move all arms by a policy step behind the filter of this module.

    Args:
        model: `Chain.model`.
        table: Limits of the guard.
        bounds: `Signals.bounds`, shape (2, 6 + k).
        posture: Where the null space is pulled to [rad], shape (n,).
        dt_step: Length of the step [s].
        arms: Moved.
        chunks: A chunk for each, shape (m, horizon, 6 + k).
        room: Work space.
        refs: Work space, shape (n, ticks * LANES).
        near: Work space, shape (LANES, 3, n + 1).
    """
    m = chunks.shape[0]
    for block in range(arms.joints.shape[0]):
        first = block * LANES
        count = min(LANES, m - first)
        for c in range(first, first + count):
            _knots(model, bounds, posture, arms, c, chunks[c], room, near)
        filter_block_kernel(table, dt_step, count, arms.joints[block], refs)
        servo_block_kernel(table[at.FIGURE, at.DT], count, arms.lag[first:], refs, arms.joints[block])
        check_block_kernel(table, first, count, arms, near)


@kernel
def move_guarded_kernel(
    model: FloatArray,
    table: FloatArray,
    bounds: FloatArray,
    posture: FloatArray,
    dt_step: float,
    arms: Arms,
    chunks: Chunks,
    refs: FloatArray,
    states: FloatArray,
    counts: IntArray,
    T: FloatArray,
    turn: FloatArray,
    work: FloatArray,
    knots: FloatArray,
    q_c: FloatArray,
    codes: IntArray,
) -> None:
    """Move all arms by a policy step behind the whole guard, tick by tick, by the kernels of the arm's own loop.

    Args:
        model: `Chain.model`.
        table: Limits of the guard.
        bounds: `Signals.bounds`, shape (2, 6 + k).
        posture: Where the null space is pulled to [rad], shape (n,).
        dt_step: Length of the step [s].
        arms: Moved.
        chunks: A chunk for each, shape (m, horizon, 6 + k).
        refs: Work space, shape (n, ticks * LANES).
        states: State of each guard, shape (m, rows, columns).
        counts: Counters of each, shape (m, reasons).
        T: Work space, shape (4, 4).
        turn: Work space, shape (6, 3).
        work: Work space of `ik_workspace`.
        knots: Work space, shape (horizon + 1, n).
        q_c: Work space, shape (ticks, n).
        codes: Work space, shape (ticks,).
    """
    m, n, ticks = chunks.shape[0], posture.shape[0], codes.shape[0]
    horizon = knots.shape[0] - 1
    for block in range(arms.joints.shape[0]):
        first = block * LANES
        count = min(LANES, m - first)
        for c in range(first, first + count):
            lane, joints, seam = c - first, arms.joints[block], knots[horizon]
            arms.tools_c[c, 1] = arms.tools_c[c, 0]
            used, passed = adopt_kernel(arms, c, chunks[c])
            for i in range(n):
                seam[i] = knots[0, i] = states[c, at.Q, i]
            left = 1
            if used >= 0:
                left, chunk = horizon - passed, arms.chunks[c, used, passed:]
                pose_knots_kernel(model, bounds, posture, chunk, seam, T, turn, work, knots[:left])
                arms.tools_c[c, 0] = bounded_kernel(bounds, float(chunk[0, 6]), 6)
            policy_step_kernel(model, table, states[c], counts[c], seam, knots[:left], dt_step, 0.0, 1.0, q_c, codes)
            arms.codes[c] = int(states[c, at.META, at.LATCH])
            for k in range(ticks):
                for i in range(n):
                    refs[i, k * LANES + lane] = q_c[k, i]
            for i in range(n):
                joints[i, REF + lane] = q_c[ticks - 1, i]
        servo_block_kernel(table[at.FIGURE, at.DT], count, arms.lag[first:], refs, arms.joints[block])


class ManyArms:
    """The arms of m cells, behind the filter of a policy step or behind the whole guard.

    Args:
        guard: Guard of the arm.
        contract: What a policy sees and does; its action is of the tcp, and of one tool.
        bounds: `Signals.bounds`.
        m: How many cells.
        whole: Whether each has a guard of its own, asked at every control tick.

    Attributes:
        arms: Their state.
        ticks: Control ticks in a policy step.
    """

    def __init__(self, guard: Guard, contract: Contract, bounds: FloatArray, m: int, *, whole: bool = False) -> None:
        action, n = contract.action, guard.chain.n
        self.ticks, blocks = round(action.dt_s / guard.dt), -(-m // LANES)
        self.arms = Arms(
            np.zeros((blocks, n, ROWS * LANES)),
            np.ones(m),
            np.zeros((m, 2), np.int64),
            np.zeros(m, np.int64),
            np.zeros(m, np.int64),
            np.zeros((m, action.horizon, *contract.chunk_shape), np.float32),
            np.zeros((m, 2)),
            np.zeros(m, np.int64),
        )
        self._guard, refs = guard, np.zeros((n, self.ticks * LANES))
        same = guard.chain.model, guard.table, bounds, np.array(action.posture), float(action.dt_s), self.arms
        self._states = np.repeat(guard.state[None], m if whole else 0, axis=0)
        self._counts = np.zeros((len(self._states), len(guard.counts)), np.int64)
        if whole:
            T, turn, work = np.zeros((4, 4)), np.zeros((6, 3)), ik_workspace(guard.chain)
            knots, q_c = np.zeros((action.horizon + 1, n)), np.zeros((self.ticks, n))
            states, counts, codes = self._states, self._counts, np.zeros(self.ticks, np.int64)
            self._move: Callable[[Chunks], None] = lambda chunks: move_guarded_kernel(
                *same, chunks, refs, states, counts, T, turn, work, knots, q_c, codes
            )
        else:
            room, near = new_room(n), np.zeros((LANES, 3, n + 1))
            self._move = lambda chunks: move_kernel(*same, chunks, room, refs, near)

    def begin(self, rows: IntArray, q: FloatArray) -> None:
        """Tell the guards of some cells, shape (k,), where their arms stand [rad], shape (k, n)."""
        for row, q_row in zip(rows if len(self._states) else (), q, strict=False):
            self._guard.reset(q_row)
            self._states[row] = self._guard.state

    def move(self, chunks: Chunks) -> None:
        """Advance by a policy step with a chunk for each, shape (m, horizon, actions) [units of the contract]."""
        self._move(chunks)
