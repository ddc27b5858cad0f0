"""How far the arm is from what it may not touch, and from singular poses: looked at only where a bound does not do.

Each check keeps a lower bound of what is left of its distance. Every tick takes from it what the joints' motion can
take at most; only when that is not enough to prove that nothing is wrong, the distance itself is computed. In the same
way singular values are bounded by how much the Jacobian can have changed.
"""

import math

from robostral.arm.chain import EXTRA_ROWS, FloatArray
from robostral.guard import table as at
from robostral.guard.checks import FIRST, LAST, LINK_A, LINK_B, LOOK_MARGIN, RADII, REACH, REASON, SEGMENT, SHAPE, STOP
from robostral.guard.stop import stop_bound
from robostral.jit import kernel
from robostral.kinematics.closest import load, segment_box, segment_plane, segment_segment, subtract
from robostral.kinematics.condition import singular_values_kernel
from robostral.kinematics.distance import BOX, PLANE
from robostral.kinematics.fk import step_kernel
from robostral.kinematics.jacobian import pose_jacobian_kernel
from robostral.kinematics.vector import IDENTITY, ORIGIN, Vec, add, rotate, rotate_back

LEAST_SHARE = 0.05
"""To which share of what was asked the speed is brought down at most, before a stop is the answer."""
MOST_CONDITION = 1e6
"""Condition numbers count up to here: beyond it, rounding decides which of two poses is nearer to singular."""


@kernel
def place_links(model: FloatArray, state: FloatArray, row: int) -> None:
    """Compute the poses of all links at the position in `row`; each is 9 numbers of rotation, then the origin."""
    R, p = IDENTITY, ORIGIN
    for i in range(model.shape[0] - EXTRA_ROWS):
        R, p = step_kernel(model, i, state[row, i], R, p)
        for k in range(9):
            state[at.FRAMES + i, k] = R[k]
        state[at.FRAMES + i, 9], state[at.FRAMES + i, 10], state[at.FRAMES + i, 11] = p


@kernel
def into_base(state: FloatArray, link: int, p: Vec) -> Vec:
    """Move a point from the frame of a link, placed by `place_links`, to `base`."""
    if link < 0:
        return p
    T = state[at.FRAMES + link]
    R = (T[0], T[1], T[2], T[3], T[4], T[5], T[6], T[7], T[8])
    return add(rotate(R, p), (T[9], T[10], T[11]))


@kernel
def room_left(check: FloatArray, state: FloatArray) -> float:
    """Compute how much a check's distance is above what the guard keeps [m], the links being placed."""
    a = int(check[LINK_A])
    p = into_base(state, a, load(check, SEGMENT))
    u = subtract(into_base(state, a, load(check, SEGMENT + 3)), p)
    kind = int(check[SHAPE])
    if kind == PLANE:
        distance, _, _, _ = segment_plane(p, u, load(check, SHAPE + 1), check[SHAPE + 4])
    elif kind == BOX:
        r = check[SHAPE + 1 : SHAPE + 10]
        R = (r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8])
        from_center = subtract(p, load(check, SHAPE + 10))
        distance, _, _, _ = segment_box(rotate_back(R, from_center), rotate_back(R, u), load(check, SHAPE + 13))
    else:
        b = int(check[LINK_B])
        s = into_base(state, b, load(check, SHAPE + 1))
        distance, _, _, _ = segment_segment(p, u, s, subtract(into_base(state, b, load(check, SHAPE + 4)), s))
    return float(distance - check[RADII] - check[STOP] - LOOK_MARGIN)


@kernel
def shrinks(check: FloatArray, w: FloatArray) -> float:
    """Bound by how much a motion of the joints `w`, shape (n,), can change a check's distance [m]."""
    total = 0.0
    for i in range(int(check[FIRST]), int(check[LAST]) + 1):
        total += check[REACH + i] * abs(w[i])
    return total


@kernel
def survey_pose(model: FloatArray, table: FloatArray, state: FloatArray, row: int) -> int:
    """Compute the room of every check at a position, into `ROOM`; return 0, or the reason that has none left."""
    cause = 0
    if table.shape[0] > at.CHECKS:
        place_links(model, state, row)
    for c in range(at.CHECKS, table.shape[0]):
        room = room_left(table[c], state)
        state[at.ROOM, c - at.CHECKS] = room
        if not room >= 0.0:
            cause = int(table[c, REASON])
    return cause


@kernel
def survey(model: FloatArray, table: FloatArray, state: FloatArray) -> tuple[int, float]:
    """Bound the room of every check at the candidate, into `ROOM_NEXT`; look where the bound proves nothing.

    `CLEAR` tells whether every check has room for any way that the joints can take to rest, each by itself.

    Returns:
        0, or the reason that has no room left; and the share of the candidate's speed at which no check's distance
        shrinks faster than in proportion to what is left of it.
    """
    cause, share, looked, clear = 0, 1.0, False, True
    gain, floor = table[at.FIGURE, at.APPROACH_GAIN], table[at.FIGURE, at.APPROACH_FLOOR]
    for i in range(model.shape[0] - EXTRA_ROWS):
        reach = stop_bound(state[at.NEXT_W, i], state[at.NEXT_B, i], table[at.A, i], table[at.D, i])
        state[at.STOP_REACH, i] = reach
    for c in range(at.CHECKS, table.shape[0]):
        k = c - at.CHECKS
        step, stop = 0.0, 0.0
        for i in range(int(table[c, FIRST]), int(table[c, LAST]) + 1):
            step += table[c, REACH + i] * abs(state[at.NEXT_W, i])
            stop += table[c, REACH + i] * state[at.STOP_REACH, i]
        before = state[at.ROOM, k]
        room = before - step
        if step > gain * room + floor or stop > room:
            if not looked:
                place_links(model, state, at.NEXT_Q)
                looked = True
            room = room_left(table[c], state)
            most = gain * max(room, 0.0) + floor
            if before - room > most:
                share = min(share, most / (before - room))
            if not room >= 0.0:
                cause = int(table[c, REASON])
            clear &= stop <= room
        state[at.ROOM_NEXT, k] = room
    state[at.META, at.CLEAR] = 1.0 if clear else 0.0
    return cause, max(share, LEAST_SHARE)


@kernel
def begin_watch(table: FloatArray, state: FloatArray, n: int, rooms: int) -> int:
    """Choose the checks to watch in a simulated stop: those that the joints' own ways to rest could use up.

    Returns:
        How many they are; `WATCHED` lists them, `ROOM_SIM` holds the rooms of all.
    """
    watched = 0
    for c in range(at.CHECKS, table.shape[0]):
        room = state[rooms, c - at.CHECKS]
        state[at.ROOM_SIM, c - at.CHECKS] = room
        if shrinks(table[c], state[at.STOP_REACH]) > room:
            state[at.WATCHED, watched] = c
            watched += 1
    for i in range(n):
        state[at.TRAVEL, i] = 0.0
    return watched


@kernel
def pass_by(model: FloatArray, table: FloatArray, state: FloatArray, watched: int, least: float) -> bool:
    """Take the motion of a tick of the simulated stop from the rooms that are watched; look where < `least` is left.

    Returns:
        Whether every check that was looked at has room.
    """
    looked = False
    for i in range(model.shape[0] - EXTRA_ROWS):
        state[at.TRAVEL, i] += abs(state[at.SIM_W, i])
    for j in range(watched):
        c = int(state[at.WATCHED, j])
        k = c - at.CHECKS
        state[at.ROOM_SIM, k] -= shrinks(table[c], state[at.SIM_W])
        if state[at.ROOM_SIM, k] < least:
            if not looked:
                place_links(model, state, at.SIM_Q)
                looked = True
            state[at.ROOM_SIM, k] = room_left(table[c], state)
            if not state[at.ROOM_SIM, k] >= 0.0:
                state[at.META, at.CAUSE] = table[c, REASON]
                return False
    return True


@kernel
def end_watch(table: FloatArray, state: FloatArray, watched: int) -> bool:
    """Tell whether the simulated stop as a whole has left room to every check that was not watched."""
    j = 0
    for c in range(at.CHECKS, table.shape[0]):
        if j < watched and state[at.WATCHED, j] == c:
            j += 1
        elif shrinks(table[c], state[at.TRAVEL]) > state[at.ROOM_SIM, c - at.CHECKS]:
            state[at.META, at.CAUSE] = table[c, REASON]
            return False
    return True


@kernel
def jacobian_next(model: FloatArray, state: FloatArray, J: FloatArray) -> None:
    """Compute the Jacobian at the candidate, axes of `base`, into J, shape (6, n)."""
    pose_jacobian_kernel(model, state[at.NEXT_Q, : J.shape[1]], J)


@kernel
def survey_condition(model: FloatArray, table: FloatArray, state: FloatArray) -> tuple[bool, float]:
    """Bound the condition number at the candidate; compute it where the bound is not below the figure to slow at.

    Returns:
        Whether it is not beyond the figure to stop at, or falls; and the share of the candidate's speed that it allows.
    """
    n, change, meta = model.shape[0] - EXTRA_ROWS, 0.0, state[at.META]
    slow, stop = table[at.FIGURE, at.CONDITION_SLOW], table[at.FIGURE, at.CONDITION_STOP]
    if not math.isfinite(slow):
        return True, 1.0
    for i in range(n):
        change += table[at.SWING, i] * abs(state[at.NEXT_W, i])
    most, least = meta[at.S_MOST] + change, meta[at.S_LEAST] - change
    if most > slow * least:  # always where `least` is not above 0
        J = state[at.JACOBIAN, : 6 * n].reshape((6, n))
        jacobian_next(model, state, J)
        singular_values_kernel(J, state[at.SIGMA])
        most, least = state[at.SIGMA, 0], state[at.SIGMA, min(6, n) - 1]
    condition = min(most / least, MOST_CONDITION) if least > 0.0 else MOST_CONDITION
    meta[at.S_MOST_NEXT], meta[at.S_LEAST_NEXT], meta[at.CONDITION_NEXT] = most, least, condition
    if condition <= slow or condition <= meta[at.CONDITION]:
        return True, 1.0
    return condition <= stop, max((stop - condition) / (stop - slow), LEAST_SHARE) if stop > slow else 1.0
