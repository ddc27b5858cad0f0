"""How the whole arm stops: together on its straight path in joint space, or each joint at its own maximum."""

import math

from robostral.arm.chain import EXTRA_ROWS, FloatArray
from robostral.guard import table as at
from robostral.guard.stop import landing, stop_step
from robostral.jit import kernel
from robostral.kinematics.fk import tcp_kernel

ROUNDING = 1e-9
"""Relative slack of the simulated stop against its own limits, which are 1e-6 inside the figures."""


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
    beta = path_deceleration(table, state, n, row) if path == at.PATH_TOGETHER else 0.0
    moving = False
    for i in range(n):
        q, w, b = state[row, i], state[row + 1, i], state[row + 2, i]
        if w == 0.0 and b == 0.0:
            continue
        if path == at.PATH_TOGETHER:
            x = min(max(beta * w, -table[at.A, i]), table[at.A, i])
            x = min(max(x, b - table[at.D, i]), b + table[at.D, i])
        else:
            x = stop_step(w, b, table[at.A, i], table[at.D, i])
        moving |= store(state, row, i, q, w, q + (w + x))
    return not moving


@kernel
def path_deceleration(table: FloatArray, state: FloatArray, n: int, row: int) -> float:
    """Compute the next acceleration along the path, as a multiple of the present velocity (-1 to 0)."""
    in_a, in_d, along, square = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        w, b = state[row + 1, i], state[row + 2, i]
        in_a, in_d = max(in_a, abs(w) / table[at.A, i]), max(in_d, abs(w) / table[at.D, i])
        along += w * b / (table[at.A, i] * table[at.A, i])
        square += w * w / (table[at.A, i] * table[at.A, i])
    if square == 0.0:
        return 0.0
    return max(min(along / square, 0.0) - 1.0 / in_d, -1.0 / in_a, -landing(1.0, 1.0 / in_d))


@kernel
def stops_inside(model: FloatArray, table: FloatArray, state: FloatArray, row: int, path: float) -> bool:
    """Simulate the stop from the rows (q, w, b) at `row`; tell whether it ends, within the limits and the workspace.

    The tcp is looked at again before it can have travelled further than its last distance from the wall, or than two
    margins: between two looks it cannot be outside the box by more than the margin that was taken off.
    """
    n = model.shape[0] - EXTRA_ROWS
    ticks = 0.0
    for i in range(n):
        state[at.SIM_Q, i], state[at.SIM_W, i], state[at.SIM_B, i] = state[row, i], state[row + 1, i], state[row + 2, i]
        w, b = abs(state[row + 1, i]), abs(state[row + 2, i])
        ticks = max(ticks, (w + b * b / table[at.D, i]) / table[at.A, i] + 4.0 * table[at.A, i] / table[at.D, i])
    room, travelled = 0.0, 0.0
    for _ in range(2 * int(ticks) + 16):
        if stop_tick(table, state, n, at.SIM_Q, path):
            return room >= travelled or inside_at(model, table, state, n) >= 0.0
        step = 0.0
        for i in range(n):
            w = abs(state[at.SIM_W, i])
            if not table[at.LOW, i] - ROUNDING <= state[at.SIM_Q, i] <= table[at.HIGH, i] + ROUNDING:
                return False
            if w > table[at.V, i] * (1.0 + ROUNDING):
                return False
            step += table[at.LEVER, i] * w
        travelled += step
        if travelled + step > max(room, 2.0 * at.BOX_MARGIN):
            room, travelled = inside_at(model, table, state, n), 0.0
            if room < 0.0:
                return False
    return False


@kernel
def inside_at(model: FloatArray, table: FloatArray, state: FloatArray, n: int) -> float:
    """Compute `inside` at the simulated position."""
    tcp_kernel(model, state[at.SIM_Q, :n], state[at.TCP_SIM, :16].reshape((4, 4)))
    return inside(table, state[at.TCP_SIM])


@kernel
def inside(table: FloatArray, T: FloatArray) -> float:
    """Compute how far [m] the position of a flattened pose is inside the workspace (negative: outside)."""
    room = math.inf
    for axis in range(3):
        p = T[4 * axis + 3]
        room = min(room, p - table[at.BOX_LOW, axis], table[at.BOX_HIGH, axis] - p)
    return room
