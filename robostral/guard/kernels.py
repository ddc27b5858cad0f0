"""The guard's first stage and its stop as kernels; all of them take the tables of `robostral.guard.table`.

Every kernel has the arguments (model, table, state, counts, ...): `Chain.model`, `pack_limits(...)`, `new_state(n)` and
an int64 array with one counter per `Reason`. Row `Q` of the state holds the command after each call.

Note:
    Real-time: no allocation, no exception. The work of a tick is bounded: `BISECTIONS` per limited joint, and one
    simulated stop of each kind near the wall of the workspace, near a shape, or where links are near each other.
"""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import EXTRA_ROWS, FloatArray
from robostral.guard import table as at
from robostral.guard.braking import (
    FAST,
    HITS,
    STOPS,
    distance,
    fastest,
    in_range,
    publish,
    room_of,
    simulate_stop,
    stop_tick,
    store,
)
from robostral.guard.clearance import MOST_CONDITION, survey, survey_condition, survey_pose
from robostral.guard.stop import (
    LIMITED_CLEARANCE,
    LIMITED_CONDITIONING,
    LIMITED_TCP_SPEED,
    limit_step,
    peak_bound,
    stop_fits,
    stop_step,
)
from robostral.guard.table import Reason
from robostral.jit import kernel
from robostral.kinematics.fk import tcp_kernel

IntArray = NDArray[np.int64]

PASSED, LIMITED, SIZE, NOT_FINITE = int(Reason.PASSED), int(Reason.LIMITED), int(Reason.SIZE), int(Reason.NOT_FINITE)
START_POSE, JUMPED, WORKSPACE = int(Reason.START_POSE), int(Reason.JUMP), int(Reason.WORKSPACE)
TRACKING, COMMAND, TCP_SPEED = int(Reason.TRACKING), int(Reason.COMMAND), int(Reason.TCP_SPEED)
STOPPED, CONDITIONING = int(Reason.STOPPED), int(Reason.CONDITIONING)

SPEED_BISECTIONS = 12
SLOW_SHARE = 0.95
"""Where too fast a tcp is slowed down to, as a share of its limit: the stop may be a little faster in between."""


@kernel
def reference_kernel(model: FloatArray, table: FloatArray, state: FloatArray, counts: IntArray, q_d: FloatArray) -> int:
    """Take one set-point for the next tick: pass it, change it as little as the limits ask, or reject it and brake.

    Args:
        model: `Chain.model`.
        table: Limits of `pack_limits`.
        state: State of `new_state`.
        counts: Counter per `Reason`, shape (19,).
        q_d: Wanted joint positions at the next tick [rad], shape (n,).

    Returns:
        `Reason`; while a stop is under way its reason, and `q_d` is not looked at.
    """
    if state[at.META, at.LATCH]:
        stop_tick(table, state, model.shape[0] - EXTRA_ROWS, at.Q, state[at.META, at.PATH])
        publish(table, state)
        return int(state[at.META, at.LATCH])
    code = screen(model, table, state, q_d) or propose(model, table, state, q_d)
    counts[code] += 1
    if code > LIMITED:
        latch(model, table, state, code)
        stop_tick(table, state, model.shape[0] - EXTRA_ROWS, at.Q, state[at.META, at.PATH])
    publish(table, state)
    return code


@kernel
def reset_kernel(model: FloatArray, table: FloatArray, state: FloatArray, counts: IntArray, q: FloatArray) -> int:
    """Start anew at rest in the measured pose `q` [rad], shape (n,); the only way out of a stop.

    Returns:
        PASSED, or NOT_FINITE, SIZE, START_POSE (outside the joints' range), WORKSPACE, SELF_COLLISION or KEEP_OUT: then
        the guard stays locked.
    """
    n = model.shape[0] - EXTRA_ROWS
    code = screen_pose(model, table, state, q)
    if code:
        counts[code] += 1
        latch(model, table, state, code)
        return code
    for i in range(n):
        state[at.Q, i], state[at.W, i], state[at.B, i] = q[i], 0.0, 0.0
    for k in range(16):
        state[at.TCP, k] = state[at.TCP_NEXT, k]
    state[at.META] = 0.0
    state[at.META, at.FRESH] = 1.0
    state[at.META, at.S_MOST], state[at.META, at.CONDITION] = math.inf, MOST_CONDITION
    publish(table, state)
    return PASSED


@kernel
def brake_kernel(model: FloatArray, table: FloatArray, state: FloatArray, counts: IntArray, reason: int) -> int:
    """Emit one tick of the stop, which begins for `reason` if none is under way; return 1 when at rest, else 0."""
    begin_stop(model, table, state, counts, reason if LIMITED < reason < counts.shape[0] else STOPPED)
    at_rest = stop_tick(table, state, model.shape[0] - EXTRA_ROWS, at.Q, state[at.META, at.PATH])
    publish(table, state)
    return 1 if at_rest else 0


@kernel
def coast_kernel(model: FloatArray, table: FloatArray, state: FloatArray, counts: IntArray) -> int:
    """Go on at constant velocity for one tick, checked like any set-point; return its `Reason`."""
    n = model.shape[0] - EXTRA_ROWS
    q_d = state[at.NEXT_Q, :n]
    for i in range(n):
        q_d[i] = state[at.Q, i] + state[at.W, i]
    return reference_kernel(model, table, state, counts, q_d)


@kernel
def measure_kernel(model: FloatArray, table: FloatArray, state: FloatArray, counts: IntArray, q: FloatArray) -> int:
    """Compare the measured position with the last command; beyond the tolerance the next `step` brakes."""
    n = model.shape[0] - EXTRA_ROWS
    if state[at.META, at.LATCH]:
        return int(state[at.META, at.LATCH])
    near = q.shape[0] == n
    for i in range(min(n, q.shape[0])):
        near &= abs(q[i] - state[at.Q, i]) <= table[at.FIGURE, at.TRACKING_TOLERANCE]
    if near:
        return PASSED
    counts[TRACKING] += 1
    latch(model, table, state, TRACKING)
    return TRACKING


@kernel
def command_kernel(model: FloatArray, table: FloatArray, state: FloatArray, counts: IntArray, q_c: FloatArray) -> int:
    """Check, just before the write, that `q_c` is bit for bit what the first stage passed."""
    n = model.shape[0] - EXTRA_ROWS
    same = q_c.shape[0] == n
    for i in range(min(n, q_c.shape[0])):
        same &= math.isfinite(q_c[i]) and q_c[i] == state[at.Q, i]
    if same:
        return PASSED
    counts[COMMAND] += 1
    if not state[at.META, at.LATCH]:
        latch(model, table, state, COMMAND)
    return COMMAND


@kernel
def screen_numbers(n: int, q: FloatArray) -> int:
    """Tell whether a vector is n finite numbers: PASSED, SIZE or NOT_FINITE."""
    if q.shape[0] != n:
        return SIZE
    for i in range(n):
        if not math.isfinite(q[i]):
            return NOT_FINITE
    return PASSED


@kernel
def screen_pose(model: FloatArray, table: FloatArray, state: FloatArray, q: FloatArray) -> int:
    """Look at a pose to begin at, and make it the candidate; return PASSED, or what forbids to stand there."""
    n = model.shape[0] - EXTRA_ROWS
    code = screen_numbers(n, q)
    if code:
        return code
    for i in range(n):
        if not in_range(table, i, q[i]):
            return START_POSE
        state[at.NEXT_Q, i] = q[i]
    tcp_kernel(model, q, state[at.TCP_NEXT, :16].reshape((4, 4)))
    if not room_of(table, state[at.TCP_NEXT]) >= 0.0:
        return WORKSPACE
    return survey_pose(model, table, state, at.NEXT_Q)


@kernel
def screen(model: FloatArray, table: FloatArray, state: FloatArray, q_d: FloatArray) -> int:
    """Look at a set-point as a whole: what is wrong here cannot be mended by a limit."""
    n = model.shape[0] - EXTRA_ROWS
    code = screen_numbers(n, q_d)
    if code:
        return code
    for i in range(n):
        distance = abs(q_d[i] - state[at.Q, i])
        if state[at.META, at.FRESH] and not distance <= table[at.FIGURE, at.START_TOLERANCE]:
            return START_POSE
        if not distance <= table[at.JUMP, i]:
            return JUMPED
    return PASSED


@kernel
def propose(model: FloatArray, table: FloatArray, state: FloatArray, q_d: FloatArray) -> int:
    """Find the allowed command nearest to `q_d` and make it the last command, or return why there is none."""
    n = model.shape[0] - EXTRA_ROWS
    bits = limit_joints(table, state, n, q_d)
    cause, clear_share = survey(model, table, state)
    steady, steady_share = survey_condition(model, table, state)
    if min(clear_share, steady_share) < 1.0:
        bits |= slow_joints(table, state, n, q_d, clear_share, steady_share)
        cause, _ = survey(model, table, state)
        steady, _ = survey_condition(model, table, state)
    tcp_kernel(model, state[at.NEXT_Q, :n], state[at.TCP_NEXT, :16].reshape((4, 4)))
    code, path = stop_path(model, table, state, cause)
    if code == FAST:
        bits |= LIMITED_TCP_SPEED
        slow_down(model, table, state)
        cause, _ = survey(model, table, state)
        steady, _ = survey_condition(model, table, state)
        code, path = stop_path(model, table, state, cause)
    if code == FAST:
        code, path = go_on_stopping(model, table, state)
        survey(model, table, state)
    if code != STOPS:
        return TCP_SPEED if code == FAST else int(state[at.META, at.CAUSE])
    if not steady:
        return CONDITIONING
    accept(table, state, n)
    state[at.META, at.PATH], state[at.META, at.LIMITED_BITS] = path, bits
    return LIMITED if bits else PASSED


@kernel
def limit_joints(table: FloatArray, state: FloatArray, n: int, q_d: FloatArray) -> int:
    """Make the nearest step that each joint's limits allow the candidate; return the bits of the limits that bind."""
    bits = 0
    for i in range(n):
        q, w, b = state[at.Q, i], state[at.W, i], state[at.B, i]
        low, high, offset, per = table[at.LOW, i], table[at.HIGH, i], table[at.TAPER_OFFSET, i], table[at.TAPER_PER, i]
        q_next, cut = limit_step(
            q, w, b, q_d[i], low, high, table[at.V, i], table[at.A, i], table[at.D, i], offset, per
        )
        bits |= cut
        store(state, at.NEXT_Q, i, q, w, q_next)
    return bits


@kernel
def accept(table: FloatArray, state: FloatArray, n: int) -> None:
    """Make the candidate the last command."""
    for i in range(n):
        state[at.Q, i], state[at.W, i], state[at.B, i] = state[at.NEXT_Q, i], state[at.NEXT_W, i], state[at.NEXT_B, i]
    for k in range(table.shape[0] - at.CHECKS):
        state[at.ROOM, k] = state[at.ROOM_NEXT, k]
    for k in range(16):
        state[at.TCP, k] = state[at.TCP_NEXT, k]
    meta = state[at.META]
    meta[at.FRESH] = 0.0
    meta[at.S_MOST], meta[at.S_LEAST] = meta[at.S_MOST_NEXT], meta[at.S_LEAST_NEXT]
    meta[at.CONDITION] = meta[at.CONDITION_NEXT]


@kernel
def slow_joints(
    table: FloatArray, state: FloatArray, n: int, q_d: FloatArray, clear_share: float, steady_share: float
) -> int:
    """Slow the candidate down, as far as on-path braking reaches; return the bits of what asked for it.

    Clearance asks for a share of the candidate's own speed, conditioning for one of the speed that was wanted: else
    each tick would slow down what the tick before has slowed down already.
    """
    for i in range(n):
        state[at.SIM_Q, i], state[at.SIM_W, i], state[at.SIM_B, i] = state[at.Q, i], state[at.W, i], state[at.B, i]
    stop_tick(table, state, n, at.SIM_Q, at.PATH_TOGETHER)
    wanted, allowed, braked = 0.0, 0.0, 0.0
    for i in range(n):
        wanted += min(abs(q_d[i] - state[at.Q, i]), table[at.V, i]) * table[at.PER_A, i]
        allowed += abs(state[at.NEXT_W, i]) * table[at.PER_A, i]
        braked += abs(state[at.SIM_W, i]) * table[at.PER_A, i]
    clear, steady = clear_share * allowed, steady_share * wanted
    bits = (LIMITED_CLEARANCE if clear < allowed else 0) | (LIMITED_CONDITIONING if steady < allowed else 0)
    if not bits:
        return 0
    towards = max(0.0, (min(clear, steady) - braked) / (allowed - braked)) if allowed > braked else 0.0
    for i in range(n):
        x = state[at.SIM_B, i] + towards * (state[at.NEXT_B, i] - state[at.SIM_B, i])
        move_towards(table, state, i, x)
    return bits


@kernel
def stop_path(model: FloatArray, table: FloatArray, state: FloatArray, cause: int) -> tuple[int, float]:
    """Find how the arm could stop from the candidate: STOPS and a `PATH_` figure, or HITS or FAST if it could not.

    `cause` is the answer of `survey`; where the candidate HITS, `CAUSE` tells what.
    """
    room = room_of(table, state[at.TCP_NEXT])
    speed = distance(state[at.TCP], state[at.TCP_NEXT])
    if room < 0.0 or cause:
        state[at.META, at.CAUSE] = cause if cause else WORKSPACE
        return HITS, at.PATH_UNKNOWN
    if speed > table[at.FIGURE, at.TCP_STEP]:
        return FAST, at.PATH_UNKNOWN
    reach, peak = 0.0, 0.0
    for i in range(model.shape[0] - EXTRA_ROWS):
        w, b = state[at.NEXT_W, i], state[at.NEXT_B, i]
        reach += table[at.LEVER, i] * state[at.STOP_REACH, i]
        peak += table[at.LEVER, i] * peak_bound(w, b, table[at.D, i])
    if reach <= room and state[at.META, at.CLEAR]:
        most = table[at.FIGURE, at.TCP_STEP]
        if peak <= most or fastest(model, table, state) <= most:
            return STOPS, at.PATH_UNKNOWN
    together = simulate_stop(model, table, state, at.NEXT_Q, at.PATH_TOGETHER, speed)
    if together == STOPS:
        return STOPS, at.PATH_TOGETHER
    alone = simulate_stop(model, table, state, at.NEXT_Q, at.PATH_ALONE, speed)
    return (STOPS if alone == STOPS else max(together, alone)), at.PATH_ALONE


@kernel
def slow_down(model: FloatArray, table: FloatArray, state: FloatArray) -> None:
    """Move the candidate towards the on-path stop until the tcp is a little slower than its limit."""
    n = model.shape[0] - EXTRA_ROWS
    for i in range(n):
        state[at.SIM_Q, i], state[at.SIM_W, i], state[at.SIM_B, i] = state[at.Q, i], state[at.W, i], state[at.B, i]
        state[at.LOOK, i] = state[at.NEXT_B, i]
    stop_tick(table, state, n, at.SIM_Q, at.PATH_TOGETHER)
    good, bad = 0.0, 1.0
    for _ in range(SPEED_BISECTIONS):
        share = 0.5 * (good + bad)
        if step_towards(model, table, state, share) <= SLOW_SHARE * table[at.FIGURE, at.TCP_STEP]:
            good = share
        else:
            bad = share
    step_towards(model, table, state, good)


@kernel
def step_towards(model: FloatArray, table: FloatArray, state: FloatArray, share: float) -> float:
    """Put the candidate `share` of the way from the on-path stop in `SIM_B` to `LOOK`; return the tcp's step [m]."""
    n = model.shape[0] - EXTRA_ROWS
    for i in range(n):
        x = state[at.SIM_B, i] + share * (state[at.LOOK, i] - state[at.SIM_B, i])
        move_towards(table, state, i, x)
    tcp_kernel(model, state[at.NEXT_Q, :n], state[at.TCP_NEXT, :16].reshape((4, 4)))
    return distance(state[at.TCP], state[at.TCP_NEXT])


@kernel
def move_towards(table: FloatArray, state: FloatArray, i: int, x: float) -> None:
    """Make acceleration x the candidate of joint i, or the joint's own stop if none would be possible after x."""
    q, w, b = state[at.Q, i], state[at.W, i], state[at.B, i]
    if not joint_can_stop(table, i, q + (w + x), w + x, x):
        x = stop_step(w, b, table[at.A, i], table[at.D, i])
    store(state, at.NEXT_Q, i, q, w, q + (w + x))


@kernel
def joint_can_stop(table: FloatArray, i: int, q: float, w: float, b: float) -> bool:
    """Tell whether joint i can stop from (q, w, b) as its own limits ask."""
    offset, per = table[at.TAPER_OFFSET, i], table[at.TAPER_PER, i]
    return stop_fits(q, w, b, table[at.LOW, i], table[at.HIGH, i], table[at.A, i], table[at.D, i], offset, per)


@kernel
def go_on_stopping(model: FloatArray, table: FloatArray, state: FloatArray) -> tuple[int, float]:
    """Make the next tick of the stop that the last command is known to have the candidate, without a reject."""
    n = model.shape[0] - EXTRA_ROWS
    path = at.PATH_TOGETHER if state[at.META, at.PATH] == at.PATH_TOGETHER else at.PATH_ALONE
    for i in range(n):
        state[at.NEXT_Q, i], state[at.NEXT_W, i], state[at.NEXT_B, i] = state[at.Q, i], state[at.W, i], state[at.B, i]
    stop_tick(table, state, n, at.NEXT_Q, path)
    tcp_kernel(model, state[at.NEXT_Q, :n], state[at.TCP_NEXT, :16].reshape((4, 4)))
    for i in range(n):
        q, w, b = state[at.NEXT_Q, i], state[at.NEXT_W, i], state[at.NEXT_B, i]
        if not joint_can_stop(table, i, q, w, b):
            return FAST, path
    return STOPS, path


@kernel
def begin_stop(model: FloatArray, table: FloatArray, state: FloatArray, counts: IntArray, reason: int) -> None:
    """Lock the guard and count why, unless a stop is under way; its first tick is the next one."""
    if not state[at.META, at.LATCH]:
        counts[reason] += 1
        latch(model, table, state, reason)


@kernel
def latch(model: FloatArray, table: FloatArray, state: FloatArray, reason: int) -> None:
    """Decide how to stop from the last command, which is known to be possible."""
    state[at.META, at.LATCH] = reason
    if state[at.META, at.PATH] == at.PATH_UNKNOWN:
        together = simulate_stop(model, table, state, at.Q, at.PATH_TOGETHER, math.inf)
        state[at.META, at.PATH] = at.PATH_TOGETHER if together == STOPS else at.PATH_ALONE
