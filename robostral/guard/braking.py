"""How the whole arm stops: together on its straight path in joint space, or each joint at its own maximum."""

import math

from robostral.arm.chain import EXTRA_ROWS, FloatArray
from robostral.guard import table as at
from robostral.guard.checks import LOOK_MARGIN
from robostral.guard.clearance import begin_watch, end_watch, jacobian_next, pass_by
from robostral.guard.stop import landing, peak_bound, stop_step
from robostral.guard.table import Reason
from robostral.jit import kernel
from robostral.kinematics.fk import tcp_kernel

STOPS, HITS, FAST = range(3)
"""Answers of `simulate_stop`."""
MOST_TICKS = 20_000
"""A stop that has not ended after so many ticks is none; all that the limits of an arm allow are far shorter."""
WORKSPACE, TCP_SPEED = int(Reason.WORKSPACE), int(Reason.TCP_SPEED)


@kernel
def store(state: FloatArray, row: int, i: int, q: float, w: float, q_next: float) -> bool:
    """Write the next position of a joint and the differences that an observer of positions sees; tell if it moves."""
    w_next = q_next - q
    state[row, i], state[row + 1, i], state[row + 2, i] = q_next, w_next, w_next - w
    return w_next != 0.0 or w_next != w


@kernel
def publish(table: FloatArray, state: FloatArray) -> None:
    """Write the last command's derivatives in units of seconds."""
    rate = 1.0 / table[at.FIGURE, at.DT]
    for i in range(state.shape[1]):
        state[at.DQ_C, i] = state[at.W, i] * rate
        state[at.DDQ_C, i] = state[at.B, i] * rate * rate


@kernel
def stop_tick(table: FloatArray, state: FloatArray, n: int, row: int, path: float) -> bool:
    """Advance the rows (q, w, b) from `row` on by one tick of the stop; return True when at rest.

    Together: all velocities shrink by one factor, chosen by the law of `robostral.guard.stop` on the path, so that the
    arm goes straight on in joint space; a joint whose acceleration does not fit yet comes in line as fast as it may.
    """
    together = path == at.PATH_TOGETHER
    beta = path_deceleration(table, state, n, row) if together else math.nan
    moving = False
    for i in range(n):
        q, w, b = state[row, i], state[row + 1, i], state[row + 2, i]
        if w == 0.0 and b == 0.0:
            continue
        if together:
            x = min(max(beta * w, -table[at.A, i]), table[at.A, i])
            x = min(max(x, b - table[at.D, i]), b + table[at.D, i])
        else:
            x = stop_step(w, b, table[at.A, i], table[at.D, i])
        moving |= store(state, row, i, q, w, q + (w + x))
    return not moving


@kernel
def path_deceleration(table: FloatArray, state: FloatArray, n: int, row: int) -> float:
    """Compute the next acceleration along the path, as a multiple of the present velocity (-1 to 0)."""
    in_a = in_d = along = square = 0.0
    for i in range(n):
        w, b = state[row + 1, i], state[row + 2, i]
        per_a = w * table[at.PER_A, i]
        in_a, in_d = max(in_a, abs(per_a)), max(in_d, abs(w) * table[at.PER_D, i])
        along += per_a * b * table[at.PER_A, i]
        square += per_a * per_a
    if not square:
        return 0.0
    return max(min(along / square, 0.0) - 1.0 / in_d, -1.0 / in_a, -landing(1.0, 1.0 / in_d))


@kernel
def simulate_stop(model: FloatArray, table: FloatArray, state: FloatArray, row: int, path: float, speed: float) -> int:
    """Simulate the stop from the rows (q, w, b) at `row`: STOPS, or HITS a limit, wall or shape, or is too FAST.

    The tcp is looked at again before it can have travelled further than its last distance from the wall, or than two
    margins: between two looks it cannot be outside the box by more than the margin that was taken off. The same goes
    for every check's distance. The tcp's speed is looked at whenever an upper bound, carried along from `speed`
    [m per tick], exceeds the limit. `CAUSE` tells why the arm would not stop well.
    """
    n = model.shape[0] - EXTRA_ROWS
    for i in range(n):
        state[at.SIM_Q, i], state[at.SIM_W, i], state[at.SIM_B, i] = state[row, i], state[row + 1, i], state[row + 2, i]
    watched = begin_watch(table, state, n, at.ROOM if row == at.Q else at.ROOM_NEXT)
    room, travelled = 0.0, 0.0
    state[at.META, at.CAUSE] = WORKSPACE
    for _ in range(MOST_TICKS):
        if stop_tick(table, state, n, at.SIM_Q, path):
            if room < travelled and room_at(model, table, state, n) < 0.0:
                return HITS
            clear = pass_by(model, table, state, watched, 0.0) and end_watch(table, state, watched)
            return STOPS if clear else HITS
        if not (within_limits(table, state, n) and pass_by(model, table, state, watched, -LOOK_MARGIN)):
            return HITS
        step, speed = travel(table, state, n, speed)
        travelled += step
        if travelled + step > max(room, 2.0 * at.BOX_MARGIN):
            room, travelled = room_at(model, table, state, n), 0.0
            if room < 0.0:
                return HITS
        if speed > table[at.FIGURE, at.TCP_STEP]:
            speed = speed_at(model, state, n)
            if speed > table[at.FIGURE, at.TCP_STEP]:
                state[at.META, at.CAUSE] = TCP_SPEED
                return FAST
    return HITS


@kernel
def within_limits(table: FloatArray, state: FloatArray, n: int) -> bool:
    """Tell whether the simulated positions and velocities keep the figures; they may use the inner margins up."""
    for i in range(n):
        q, w, per = state[at.SIM_Q, i], state[at.SIM_W, i], table[at.TAPER_PER, i]
        if not in_range(table, i, q) or abs(w) > table[at.V, i] / at.INNER:
            return False
        if per > 0.0 and w != 0.0:
            fast = abs(w) + table[at.TAPER_OFFSET, i] - 0.25 / per
            ahead = table[at.HIGH, i] - q if w > 0.0 else q - table[at.LOW, i]
            if per * fast * fast > ahead + at.POSITION_MARGIN:
                return False
    return True


@kernel
def in_range(table: FloatArray, i: int, q: float) -> bool:
    """Tell whether a position of joint i keeps its figures, which are the table's without the inner margin."""
    return bool(table[at.LOW, i] <= q + at.POSITION_MARGIN <= table[at.HIGH, i] + 2.0 * at.POSITION_MARGIN)


@kernel
def travel(table: FloatArray, state: FloatArray, n: int, speed: float) -> tuple[float, float]:
    """Bound the tcp's motion in the tick just simulated [m]: from the joints alone, and from its `speed` before.

    If all joints slow down by one factor, so does the tcp; to that come what differs from that factor, and the turn of
    the arm: column i of the Jacobian changes by at most lever i per radian of any joint.
    """
    before, after, turn = 0.0, 0.0, 0.0
    for i in range(n):
        w = state[at.SIM_W, i]
        w_before = w - state[at.SIM_B, i]
        before += table[at.LEVER, i] * abs(w_before)
        after += table[at.LEVER, i] * abs(w)
        turn += max(abs(w), abs(w_before))
    if not before:
        return after, after
    factor = after / before
    rest = 0.0
    for i in range(n):
        w = state[at.SIM_W, i]
        rest += table[at.LEVER, i] * abs(w - factor * (w - state[at.SIM_B, i]))
    return after, min(after, factor * speed + rest + after * turn)


@kernel
def fastest(model: FloatArray, table: FloatArray, state: FloatArray) -> float:
    """Bound the tcp's motion per tick [m] while each joint stops by itself from the candidate, in one look.

    A joint's velocity stays between 0 and what it is, but for what its acceleration still adds: that gives an interval
    for each axis of the tcp's velocity. To this comes the turn of the arm, as in `travel`, on the joints' ways to rest.
    """
    n, turn, lag, square = model.shape[0] - EXTRA_ROWS, 0.0, 0.0, 0.0
    J = state[at.JACOBIAN, : 6 * n].reshape((6, n))
    jacobian_next(model, state, J)
    for i in range(n):
        turn += state[at.STOP_REACH, i]
        lag += table[at.LEVER, i] * peak_bound(state[at.NEXT_W, i], state[at.NEXT_B, i], table[at.D, i])
    for axis in range(3):
        low, high = 0.0, 0.0
        for i in range(n):
            w = state[at.NEXT_W, i]
            along = J[axis, i] * w
            more = abs(J[axis, i]) * (peak_bound(w, state[at.NEXT_B, i], table[at.D, i]) - abs(w))
            low, high = low + min(along, 0.0) - more, high + max(along, 0.0) + more
        square += max(low * low, high * high)
    return math.sqrt(square) + turn * lag


@kernel
def speed_at(model: FloatArray, state: FloatArray, n: int) -> float:
    """Compute the tcp's motion [m] in the tick just simulated."""
    for i in range(n):
        state[at.LOOK, i] = state[at.SIM_Q, i] - state[at.SIM_W, i]
    tcp_kernel(model, state[at.LOOK, :n], state[at.TCP_LOOK, :16].reshape((4, 4)))
    tcp_kernel(model, state[at.SIM_Q, :n], state[at.TCP_SIM, :16].reshape((4, 4)))
    return distance(state[at.TCP_LOOK], state[at.TCP_SIM])


@kernel
def room_at(model: FloatArray, table: FloatArray, state: FloatArray, n: int) -> float:
    """Compute `room_of` the simulated position."""
    tcp_kernel(model, state[at.SIM_Q, :n], state[at.TCP_SIM, :16].reshape((4, 4)))
    return room_of(table, state[at.TCP_SIM])


@kernel
def room_of(table: FloatArray, T: FloatArray) -> float:
    """Compute how far [m] the position of a flattened pose is inside the workspace (negative: outside)."""
    room = math.inf
    for axis in range(3):
        p = T[4 * axis + 3]
        room = min(room, p - table[at.BOX_LOW, axis], table[at.BOX_HIGH, axis] - p)
    return room


@kernel
def distance(T_a: FloatArray, T_b: FloatArray) -> float:
    """Compute the distance [m] of two flattened poses."""
    x, y, z = T_a[3] - T_b[3], T_a[7] - T_b[7], T_a[11] - T_b[11]
    return math.sqrt(x * x + y * y + z * z)
