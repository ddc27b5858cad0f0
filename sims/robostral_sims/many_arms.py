"""Many arms of one model at once, a policy step of all in one call: chunks become knots, set-points, joint motion.

Cells stand in blocks of `LANES`, each quantity of a joint side by side for the cells of a block, so that the loop over
the ticks runs on vectors. All cells are stepped from the moment at which their chunk is used to the next such moment:
with an episode's latency that is later than the observation, and what is observed is kept on the way.

The filter of a policy step stands in for the guard, from the guard's own table. It holds the bounds of the action, the
range of every joint, its velocity, acceleration and jerk (the reference filter's, at 0.95 of the limits, tick by tick),
and that the tcp, and its stop, stay in the workspace. It does not look for links near each other or near a shape to
keep out of, for singular poses, for a set-point too far to be meant, or for the tcp's speed limit, which the bounds of
the action keep far away; and a stop is foreseen from the joints' deceleration limits, not simulated. What was learned
behind it has to be tried behind the whole guard.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import FloatArray
from robostral.control.interpolate import filter_kernel
from robostral.control.knots import NULL_SPACE_SHARE, bounded_kernel
from robostral.guard import table as at
from robostral.guard.table import Reason
from robostral.jit import kernel
from robostral.kinematics.jacobian import pose_jacobian_kernel
from robostral.kinematics.lm import TRACKING_DAMPING, damp_kernel, solve_kernel
from robostral.kinematics.se3 import matrix_from_rotvec_kernel
from robostral.kinematics.vector import Vec, rotate, rotate_back

IntArray = NDArray[np.int64]
Chunks = NDArray[np.float32]

LANES = 64
ROWS = 16
REF, STEP, BEND, SEAM, KNOT, AFTER, AIM, LINE, Q, DQ, SEEN_Q, SEEN_DQ, SEEN_C, WHEN, GAIN, FORWARD = (
    row * LANES for row in range(ROWS)
)
"""Rows of `Arms.joints`: last command with its differences, set-point at the seam, knots after one and two steps, what
the servo aims at, what the lag has reached, position and velocity, these and the command as observed, tick after which
that is, servo's gain and share of feed-forward. The lag's share per tick is `Arms.lag`."""

PASSED, WORKSPACE = int(Reason.PASSED), int(Reason.WORKSPACE)


class Arms(NamedTuple):
    """The arms of m cells; the arrays are the kernels' own.

    Attributes:
        joints: Shape (blocks, n, ROWS * LANES).
        lag: Share per tick of what the lag has left [1], shape (m,).
        late: From an observation to the use of its chunk, whole policy steps and ticks beyond them, shape (m, 2).
        steps: Policy steps of the episode, shape (m,).
        new: Where in the ring the next chunk goes, shape (m,).
        chunks: The last chunks, a ring, shape (m, horizon, horizon, actions).
        tools_c: What the tool is commanded, and was when the step began, shape (m, 2).
        codes: `Reason` of the step, shape (m,).
    """

    joints: FloatArray
    lag: FloatArray
    late: IntArray
    steps: IntArray
    new: IntArray
    chunks: Chunks
    tools_c: FloatArray
    codes: IntArray


class Room(NamedTuple):
    """Work space of `near_knots_kernel`: Jacobian, its factor, a twist, a rotation, three rows of joints, and ones."""

    J: FloatArray
    L: FloatArray
    x: FloatArray
    turn: FloatArray
    q: FloatArray
    knot: FloatArray
    after: FloatArray
    free: FloatArray


def new_room(n: int) -> Room:
    """Make work space for arms of `n` joints."""
    shapes: list[tuple[int, ...]] = [(6, n), (6, 6), (6,), (3, 3), (n,), (n,), (n,)]
    arrays = [np.zeros(shape) for shape in shapes]
    return Room(*arrays, np.ones(n))  # type: ignore[call-arg]


@kernel
def place_kernel(arms: Arms, c: int, q: FloatArray, gain: float, forward: float, ticks: int) -> None:
    """Let cell c stand at rest at `q` [rad], shape (n,), with its servos' gain [1/s] and share of feed-forward [1]."""
    lane, joints = c % LANES, arms.joints[c // LANES]
    for i in range(q.shape[0]):
        row = joints[i]
        for at_q in (REF, SEAM, KNOT, AFTER, AIM, LINE, Q, SEEN_Q, SEEN_C):
            row[at_q + lane] = q[i]
        for at_rest in (STEP, BEND, DQ, SEEN_DQ):
            row[at_rest + lane] = 0.0
        row[WHEN + lane] = float(ticks - 1 - arms.late[c, 1])
        row[GAIN + lane], row[FORWARD + lane] = gain, forward
    arms.steps[c], arms.codes[c] = 0, PASSED


@kernel
def adopt_kernel(arms: Arms, c: int, chunk: Chunks) -> tuple[int, int]:
    """Keep a chunk of cell c; return which of the ring is used now, -1 for none yet, and its steps that are over."""
    horizon, passed, step, new = arms.chunks.shape[1], arms.late[c, 0], arms.steps[c], arms.new[c]
    kept = arms.chunks[c, new]
    for row in range(chunk.shape[0]):
        for j in range(chunk.shape[1]):
            kept[row, j] = chunk[row, j]
    arms.steps[c], arms.new[c] = step + 1, new + 1 if new + 1 < horizon else 0
    if step < passed:
        return -1, passed
    return new - passed if new >= passed else new - passed + horizon, passed


@kernel
def _pull(J: FloatArray, posture: FloatArray, x: FloatArray, q: FloatArray) -> None:
    """Pull q, shape (n,), towards the posture, and take what that does to the tcp off a twist x, shape (6,)."""
    for k in range(q.shape[0]):
        move = NULL_SPACE_SHARE * (posture[k] - q[k])
        q[k] += move
        for i in range(6):
            x[i] -= J[i, k] * move


@kernel
def _cover(J: FloatArray, L: FloatArray, x: FloatArray, q: FloatArray) -> None:
    """Move q, shape (n,), by the least step that covers a twist, shape (6,), given in x."""
    solve_kernel(L, x)
    for i in range(6):
        for k in range(q.shape[0]):
            q[k] += J[i, k] * x[i]


@kernel
def near_knots_kernel(
    model: FloatArray,
    bounds: FloatArray,
    posture: FloatArray,
    chunk: Chunks,
    passed: int,
    room: Room,
) -> Vec:
    """Find the knots after one and two steps of a chunk of tcp deltas, as `pose_knots_kernel` does, in less time.

    One step from the seam, one from there, by whose Jacobian the second knot is found too: only the velocity towards
    that is used.

    Args:
        model: `Chain.model`.
        bounds: `Signals.bounds`, shape (2, 6 + k).
        posture: Where the null space is pulled to [rad], shape (n,).
        chunk: Shape (horizon, 6 + k).
        passed: Steps of it that are over.
        room: Its `q` holds the set-point at the seam [rad]; `knot` and `after` are filled.

    Returns:
        The tcp after one step, in `base` [m].
    """
    J, L, x, turn, q, knot, after, free = room
    n = q.shape[0]
    R, p = pose_jacobian_kernel(model, q, J)
    damp_kernel(J, n, free, TRACKING_DAMPING, L)
    for i in range(6):
        x[i] = bounded_kernel(bounds, float(chunk[passed, i]), i)
    matrix_from_rotvec_kernel(x[3:6], turn)
    to = p[0] + x[0], p[1] + x[1], p[2] + x[2]
    for k in range(n):
        knot[k] = q[k]
    _pull(J, posture, x, knot)
    _cover(J, L, x, knot)
    R_here, here = pose_jacobian_kernel(model, knot, J)
    damp_kernel(J, n, free, TRACKING_DAMPING, L)
    for j in range(3):  # row j of the pose that was asked for, then of what is left to turn
        row = turn[j, 0], turn[j, 1], turn[j, 2]
        row = rotate_back(R, row)
        turn[j, 0], turn[j, 1], turn[j, 2] = rotate(R_here, row)
    x[0], x[1], x[2] = to[0] - here[0], to[1] - here[1], to[2] - here[2]
    # Of a rotation this small its antisymmetric half is the rotation vector.
    x[3], x[4], x[5] = turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]
    for i in range(3):
        x[3 + i] *= 0.5
    _cover(J, L, x, knot)
    for k in range(n):
        after[k] = knot[k]
    if passed + 1 < chunk.shape[0]:
        for i in range(6):
            x[i] = bounded_kernel(bounds, float(chunk[passed + 1, i]), i)
        _pull(J, posture, x, after)
        _cover(J, L, x, after)
    return to


@kernel
def check_block_kernel(table: FloatArray, first: int, count: int, arms: Arms, near: FloatArray) -> None:
    """Reject what cells were commanded where the stop that would have to follow ends outside the workspace.

    Args:
        table: Limits of the guard.
        first: First cell of the block.
        count: Cells of it.
        arms: Moved as commanded.
        near: Of each cell, the tcp at its knot in `base` [m] and how it moves with the joints there, (LANES, 3, n + 1).

    Note:
        All joints stop together, the slowest at its deceleration limit, which it takes A / D ticks to reach.
    """
    joints, n = arms.joints[first // LANES], near.shape[2] - 1
    for lane in range(count):
        if arms.steps[first + lane] <= arms.late[first + lane, 0]:
            continue
        longest = 0.0
        for i in range(n):
            speed = abs(joints[i, STEP + lane])
            longest = max(longest, speed * table[at.PER_A, i] + table[at.A, i] * table[at.PER_D, i])
        for j in range(3):
            end = near[lane, j, n]
            for i in range(n):
                row = joints[i]
                end += near[lane, j, i] * (row[REF + lane] - row[KNOT + lane] + 0.5 * longest * row[STEP + lane])
            if not table[at.BOX_LOW, j] <= end <= table[at.BOX_HIGH, j]:
                arms.codes[first + lane] = WORKSPACE


@kernel
def filter_block_kernel(table: FloatArray, dt_step: float, count: int, joints: FloatArray, refs: FloatArray) -> None:
    """Run the reference filter of a block through a chunk step.

    Args:
        table: Limits of the guard.
        dt_step: Duration of a chunk step [s].
        count: Cells of the block.
        joints: Its part of `Arms.joints`, shape (n, ROWS * LANES).
        refs: Filled with the commands [rad], shape (n, ticks * LANES).
    """
    count, ticks = min(count, LANES), refs.shape[1] // LANES
    for i in range(joints.shape[0]):
        row, out = joints[i], refs[i]
        limits = (
            table[at.FIGURE, at.DT], table[at.LOW, i], table[at.HIGH, i],
            table[at.V, i], table[at.A, i], table[at.D, i],
        )  # fmt: skip
        for k in range(ticks):
            last = k == ticks - 1
            share, begin, first = 0.0 if last else (k + 1) / ticks, KNOT if last else SEAM, k * LANES
            for c in range(count):
                way = row[begin + LANES + c] - row[begin + c]
                q, w = row[REF + c], row[STEP + c]
                x = filter_kernel(q, w, row[BEND + c], row[begin + c] + share * way, way / dt_step, limits)
                row[STEP + c], row[BEND + c] = w + x, x
                row[REF + c] = q + (w + x)
                out[first + c] = q + (w + x)


@kernel
def servo_block_kernel(dt: float, count: int, lag: FloatArray, refs: FloatArray, joints: FloatArray) -> None:
    """Let the servos of a block follow commands; see `robostral_sims.engines.surrogate.follow_servo_kernel`.

    Args:
        dt: Control period [s].
        count: Cells of the block.
        lag: Its part of `Arms.lag`, shape (count,).
        refs: Commands [rad], shape (n, ticks * LANES).
        joints: Its part of `Arms.joints`; moved, and what is observed is kept.
    """
    count, ticks = min(count, LANES), refs.shape[1] // LANES
    for i in range(joints.shape[0]):
        row, ref = joints[i], refs[i]
        for k in range(ticks):
            first, now = k * LANES, float(k)
            for c in range(count):
                aim, q, line = row[AIM + c], row[Q + c], row[LINE + c]
                line += lag[c] * (ref[first + c] - line)
                dq = row[GAIN + c] * (aim - q) + row[FORWARD + c] * (line - aim) / dt
                q += dt * dq
                row[AIM + c], row[LINE + c], row[Q + c], row[DQ + c] = line, line, q, dq
                seen = row[WHEN + c] == now
                row[SEEN_Q + c] = q if seen else row[SEEN_Q + c]
                row[SEEN_DQ + c] = dq if seen else row[SEEN_DQ + c]
                row[SEEN_C + c] = ref[first + c] if seen else row[SEEN_C + c]
