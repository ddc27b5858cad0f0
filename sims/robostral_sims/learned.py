"""What a learned simulator sees of a policy step and says of it: one gripper and one part, as plain numbers.

Neither the arm nor a jaw that closes on nothing is learned: their motors are known, and so is where they go. Learned
is what jaw and part do to each other meanwhile. All geometry is told in the step's own frame: origin in the tcp before
the step, z up, y along the direction in which the fingers close; what happens does not depend on where in the cell it
happens, save for heights above the table.

| seen | columns | | said | columns |
|---|---|---|---|---|
| part's position [m] | 0:3 | | part's motion [m] | 0:3 |
| part's x and y axes | 3:9 | | part's rotation vector [rad] | 3:6 |
| its velocities [m/s, rad/s] | 9:15 | | its velocities after [m/s, rad/s] | 6:12 |
| motion of a part that is carried [m, rad] | 15:21 | | change of the gap [m] | 12 |
| its velocities after the step [m/s, rad/s] | 21:27 | | rate of the gap after [m/s] | 13 |
| gap [m], its rate [m/s] | 27:29 | | spread of the members [m] | 14 |
| commanded gap, gap of a free jaw after the step [m] | 29:31 | | how far outside what was trained on | 15 |
| heights of part and tcp above the table [m] | 31:33 | | | |
| tilt of the tool | 33:35 | | | |
| half lengths of the part [m], 1 if it is a cylinder | 35:39 | | | |
| its friction on the table, share of that which the jaw has [1] | 39:41 | | | |
| its mass [kg] | 41 | | | |
| fingers and palm after the step from the part before it: clearance [m], direction | 42:54 | | | |
"""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.jit import allocating, kernel
from robostral.kinematics.se3 import (
    matrix_from_quat_kernel,
    matrix_from_rotvec_kernel,
    quat_from_matrix_kernel,
    rotvec_from_matrix_kernel,
)

FloatArray = NDArray[np.float64]

SEEN, SAID = 54, 16
PART_P, PART_AXES, PART_V, CARRIED, CARRIED_V, GAP, GAP_C, GAP_FREE, HEIGHTS, TILT, SIZE, CLEAR = (
    0, 3, 9, 15, 21, 27, 29, 30, 31, 33, 35, 42,
)  # fmt: skip
MOTION, TURN, V_AFTER, GAP_CHANGE, GAP_RATE, SPREAD, OUTSIDE = 0, 3, 6, 12, 13, 14, 15
FLOOR = 7
"""Of `robostral_sims.watch.part_of`: how high the table is; all before it is seen as it is."""
TOLD = 14
"""The first columns of what is said are targets of training; the rest is about the answer itself."""

TCP_BACK_M = 0.010
"""How far the tcp is before the finger tips' end [m], as `scene.Jaw.tcp` has it."""
AT_REST = 1e-3
"""A part slower than this [m/s; rad/s at 0.1 m] that nothing can touch within a step stays where it is."""
CLEAR_M = 1e-3
"""What is further from the part than this after a step has not touched it [m]: steps are shorter than parts."""
FAR_M = 0.03
"""A clearance from which on the direction says nothing, and half of what clearances are told up to [m]."""


@kernel
def frame_kernel(T: FloatArray, F: FloatArray) -> None:
    """Fill the frame (3, 3) of a step that begins with the tcp at `T` (4, 4): z up, y where the tool's y points."""
    x, y = T[0, 1], T[1, 1]
    norm = math.hypot(x, y)
    x, y = (x / norm, y / norm) if norm > 1e-9 else (0.0, 1.0)
    F[0, 0], F[1, 0], F[2, 0] = y, -x, 0.0
    F[0, 1], F[1, 1], F[2, 1] = x, y, 0.0
    F[0, 2], F[1, 2], F[2, 2] = 0.0, 0.0, 1.0


@kernel
def free_gap_kernel(gap: float, gap_c: float, most: float) -> float:
    """Return the gap [m] of a jaw with nothing between its fingers after a time in which it moves by at most `most`."""
    return gap + min(max(gap_c - gap, -most), most)


@kernel
def reach_kernel(R: FloatArray, half: FloatArray, x: float, y: float, z: float) -> float:
    """Return how far a box, or a cylinder where `half[3]` is 1, of axes `R` reaches along a unit vector [m]."""
    a = abs(R[0, 0] * x + R[1, 0] * y + R[2, 0] * z)
    b = abs(R[0, 1] * x + R[1, 1] * y + R[2, 1] * z)
    c = abs(R[0, 2] * x + R[1, 2] * y + R[2, 2] * z)
    side = half[0] * math.sqrt(a * a + b * b) if half[3] > 0.5 else half[0] * a + half[1] * b
    reach: float = side + half[2] * c
    return reach


@kernel
def clearance_kernel(
    T: FloatArray, y: float, z: float, box: FloatArray, p: FloatArray, R: FloatArray, half: FloatArray, out: FloatArray
) -> None:
    """Fill how far a part is from a box of the hand, and in which direction, shape (4,); less than 0 is how deep.

    Args:
        T: T_world_tcp, shape (4, 4).
        y: Of the box's centre in the tcp [m].
        z: Likewise.
        box: Its half lengths [m], and 0, shape (4,).
        p: Position of the part [m].
        R: Its axes, shape (3, 3).
        half: Its half lengths [m], and 1 for a cylinder, shape (4,).
        out: Clearance [m], a bound from below, and the unit vector from box to part.

    Note:
        Separating axes: S. Gottschalk et al., "OBBTree", SIGGRAPH 1996; of a cylinder's side, the one to the box's
        centre stands for all.
    """
    d0 = p[0] - T[0, 3] - T[0, 1] * y - T[0, 2] * z
    d1 = p[1] - T[1, 3] - T[1, 1] * y - T[1, 2] * z
    d2 = p[2] - T[2, 3] - T[2, 1] * y - T[2, 2] * z
    along = d0 * R[0, 2] + d1 * R[1, 2] + d2 * R[2, 2]
    out[0] = -1.0
    for axis in range(16):
        if axis < 3:
            n0, n1, n2 = T[0, axis], T[1, axis], T[2, axis]
        elif axis < 6:
            n0, n1, n2 = R[0, axis - 3], R[1, axis - 3], R[2, axis - 3]
        elif axis < 15:
            i, j = (axis - 6) // 3, (axis - 6) % 3
            n0 = T[1, i] * R[2, j] - T[2, i] * R[1, j]
            n1 = T[2, i] * R[0, j] - T[0, i] * R[2, j]
            n2 = T[0, i] * R[1, j] - T[1, i] * R[0, j]
        else:
            n0, n1, n2 = d0 - along * R[0, 2], d1 - along * R[1, 2], d2 - along * R[2, 2]
        norm = math.sqrt(n0 * n0 + n1 * n1 + n2 * n2)
        if norm < 1e-3:
            continue
        n0, n1, n2 = n0 / norm, n1 / norm, n2 / norm
        way = d0 * n0 + d1 * n1 + d2 * n2
        apart = abs(way) - reach_kernel(T, box, n0, n1, n2) - reach_kernel(R, half, n0, n1, n2)
        if apart > out[0] + 1e-9:
            sign = 1.0 if way >= 0.0 else -1.0
            out[0], out[1], out[2], out[3] = apart, sign * n0, sign * n1, sign * n2
            if apart > 2.0 * FAR_M:
                break  # clearances are told up to here, and directions not as far: another axis changes nothing


@kernel
def carried_kernel(T: FloatArray, V: FloatArray, at: FloatArray, F: FloatArray, out: NDArray[np.float32]) -> None:
    """Fill the velocities, shape (6,), along `F` of what is at a point [m] and moves with a tcp at `T` of twist `V`."""
    x, y, z = at[0] - T[0, 3], at[1] - T[1, 3], at[2] - T[2, 3]
    vx, vy, vz = V[0] + V[4] * z - V[5] * y, V[1] + V[5] * x - V[3] * z, V[2] + V[3] * y - V[4] * x
    for i in range(3):
        out[i] = F[0, i] * vx + F[1, i] * vy + F[2, i] * vz
        out[3 + i] = F[0, i] * V[3] + F[1, i] * V[4] + F[2, i] * V[5]


@allocating
def see_kernel(
    T: FloatArray,
    T_after: FloatArray,
    V: FloatArray,
    part: FloatArray,
    half: FloatArray,
    hand: FloatArray,
    tool: FloatArray,
    gap_c: float,
    gap_free: float,
    dt: float,
    out: NDArray[np.float32],
) -> None:
    """Fill what is seen of a step.

    Args:
        T: T_world_tcp before the step, shape (4, 4).
        T_after: T_world_tcp after it, shape (4, 4).
        V: Velocities of the tcp in `world` after it [m/s, rad/s], shape (6,).
        part: Position [m], quat_wxyz, velocities of the part in `world`, shape (13,).
        half: What is known of the part, as `robostral_sims.watch.part_of` returns it, shape (8,).
        hand: As `robostral_sims.watch.hand` returns it, shape (2, 4).
        tool: Gap of the jaw [m] and its rate [m/s], shape (2,).
        gap_c: Commanded gap [m] at the end of the step.
        gap_free: What `free_gap_kernel` says of the whole step [m].
        dt: Duration of the step [s].
        out: Filled, shape (54,).
    """
    F, R = np.empty((3, 3)), np.empty((3, 3))
    frame_kernel(T, F)
    matrix_from_quat_kernel(part[3:7], R)
    turn = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            for k in range(3):
                turn[i, j] += T_after[i, k] * T[j, k]
    rx, ry, rz = rotvec_from_matrix_kernel(turn)
    for i in range(3):
        p, vx, vw, moved = 0.0, 0.0, 0.0, 0.0
        for k in range(3):
            lever = part[k] - T[k, 3]
            turned = (
                turn[k, 0] * (part[0] - T[0, 3]) + turn[k, 1] * (part[1] - T[1, 3]) + turn[k, 2] * (part[2] - T[2, 3])
            )
            p += F[k, i] * lever
            vx += F[k, i] * part[7 + k]
            vw += F[k, i] * part[10 + k]
            moved += F[k, i] * (turned - lever + T_after[k, 3] - T[k, 3])
        turned_by = F[0, i] * rx + F[1, i] * ry + F[2, i] * rz
        out[PART_P + i], out[PART_V + i], out[PART_V + 3 + i] = p, vx, vw
        out[CARRIED + i], out[CARRIED + 3 + i] = moved, turned_by
        out[PART_AXES + i] = F[0, i] * R[0, 0] + F[1, i] * R[1, 0] + F[2, i] * R[2, 0]
        out[PART_AXES + 3 + i] = F[0, i] * R[0, 1] + F[1, i] * R[1, 1] + F[2, i] * R[2, 1]
    there = np.empty(3)
    for i in range(3):
        there[i] = part[i]
        for k in range(3):
            there[i] += F[i, k] * out[CARRIED + k]
    carried_kernel(T_after, V, there, F, out[CARRIED_V:])
    for i in range(FLOOR):
        out[SIZE + i] = half[i]
    out[GAP], out[GAP + 1], out[GAP_C], out[GAP_FREE] = tool[0], tool[1], gap_c, gap_free
    out[HEIGHTS], out[HEIGHTS + 1] = part[2] - half[FLOOR], T[2, 3] - half[FLOOR]
    out[TILT] = F[0, 0] * T[0, 2] + F[1, 0] * T[1, 2]
    out[TILT + 1] = F[0, 1] * T[0, 2] + F[1, 1] * T[1, 2]
    apart, side, finger_z = np.empty(4), 0.5 * gap_free + hand[0, 1], TCP_BACK_M - hand[0, 2]
    for box in range(3):
        if box < 2:
            clearance_kernel(T_after, side * (2 * box - 1), finger_z, hand[0], part[:3], R, half, apart)
        else:
            palm_z = TCP_BACK_M - 2.0 * hand[0, 2] - hand[1, 2]
            clearance_kernel(T_after, 0.0, palm_z, hand[1], part[:3], R, half, apart)
        near = min(max((FAR_M - apart[0]) / FAR_M, 0.0), 1.0)
        out[CLEAR + 4 * box] = min(apart[0], 2.0 * FAR_M)
        for i in range(3):
            n = F[0, i] * apart[1] + F[1, i] * apart[2] + F[2, i] * apart[3]
            out[CLEAR + 4 * box + 1 + i] = near * n


@allocating
def tell_kernel(
    T: FloatArray,
    part: FloatArray,
    tool: FloatArray,
    part_after: FloatArray,
    tool_after: FloatArray,
    out: NDArray[np.float32],
) -> None:
    """Fill what really happened in a step as it is said, shape (14,): the inverse of `happen_kernel`."""
    F, R, R_after, turn = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3)), np.zeros((3, 3))
    frame_kernel(T, F)
    matrix_from_quat_kernel(part[3:7], R)
    matrix_from_quat_kernel(part_after[3:7], R_after)
    for i in range(3):
        for j in range(3):
            for k in range(3):
                turn[i, j] += R_after[i, k] * R[j, k]
    rx, ry, rz = rotvec_from_matrix_kernel(turn)
    for i in range(3):
        moved, v, w = 0.0, 0.0, 0.0
        for k in range(3):
            moved += F[k, i] * (part_after[k] - part[k])
            v += F[k, i] * part_after[7 + k]
            w += F[k, i] * part_after[10 + k]
        out[MOTION + i], out[V_AFTER + i], out[V_AFTER + 3 + i] = moved, v, w
        out[TURN + i] = F[0, i] * rx + F[1, i] * ry + F[2, i] * rz
    out[GAP_CHANGE], out[GAP_RATE] = tool_after[0] - tool[0], tool_after[1]


@kernel
def at_rest_kernel(part: FloatArray) -> bool:
    """Return whether a part (13,) moves so little that it stays where it is unless something comes near."""
    slow = 0.0
    for k in range(3):
        slow = max(slow, abs(part[7 + k]), 0.1 * abs(part[10 + k]))
    return slow < AT_REST


@kernel
def far_kernel(T: FloatArray, gap: float, hand: FloatArray, part: FloatArray, half: FloatArray) -> bool:
    """Return whether a hand at `T` (4, 4), its jaw open by `gap` [m], is out of reach of a part, by balls around both.

    `hand`, `part` and `half` are those of `see_kernel`, whose clearances would then all be far from `CLEAR_M`.
    """
    part_m = math.sqrt(half[0] * half[0] + half[1] * half[1] + half[2] * half[2])
    for box in range(3):
        row = hand[max(box - 1, 0)]
        y = (0.5 * gap + hand[0, 1]) * (2 * box - 1) if box < 2 else 0.0
        z = TCP_BACK_M - hand[0, 2] if box < 2 else TCP_BACK_M - 2.0 * hand[0, 2] - hand[1, 2]
        away, most = 0.0, part_m + FAR_M + math.sqrt(row[0] * row[0] + row[1] * row[1] + row[2] * row[2])
        for k in range(3):
            d = part[k] - T[k, 3] - T[k, 1] * y - T[k, 2] * z
            away += d * d
        if away < most * most:
            return False
    return True


@kernel
def may_move_kernel(part: FloatArray, seen: NDArray[np.float32]) -> bool:
    """Return whether a part (13,) moves already, or something comes near it in the step that was seen (54,).

    Where not, nothing that a network says of the step is needed.
    """
    return not at_rest_kernel(part) or min(seen[CLEAR], seen[CLEAR + 4], seen[CLEAR + 8]) <= CLEAR_M


@allocating
def happen_kernel(
    T: FloatArray,
    seen: NDArray[np.float32],
    opening: float,
    dt: float,
    said: NDArray[np.float32],
    part: FloatArray,
    tool: FloatArray,
) -> bool:
    """Let what was said happen to `part` (13,) and `tool` (2,) in place; a part that nothing can touch stays exactly.

    Args:
        T: T_world_tcp before the step, shape (4, 4).
        seen: What `see_kernel` made of the step, shape (54,).
        opening: Widest gap of the jaw [m].
        dt: Duration of the step [s].
        said: Shape (16,); not looked at where the part may not move.
        part: As `see_kernel` has it; changed.
        tool: As `see_kernel` has it; changed.

    Returns:
        What `may_move_kernel` says.
    """
    if not may_move_kernel(part, seen):
        part[7:13] = 0.0
        tool[1] = (seen[GAP_FREE] - tool[0]) / dt if abs(seen[GAP_FREE] - seen[GAP_C]) > 1e-6 else 0.0
        tool[0] = seen[GAP_FREE]
        return False
    tool[0] = min(max(tool[0] + said[GAP_CHANGE], 0.0), opening)
    tool[1] = said[GAP_RATE]
    F, R, turn, turned = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3)), np.zeros((3, 3))
    frame_kernel(T, F)
    rotvec = np.zeros(3)
    for k in range(3):
        v, w = 0.0, 0.0
        for i in range(3):
            part[k] += F[k, i] * said[MOTION + i]
            rotvec[k] += F[k, i] * said[TURN + i]
            v += F[k, i] * said[V_AFTER + i]
            w += F[k, i] * said[V_AFTER + 3 + i]
        part[7 + k], part[10 + k] = v, w
    matrix_from_quat_kernel(part[3:7], R)
    matrix_from_rotvec_kernel(rotvec, turn)
    for i in range(3):
        for j in range(3):
            for k in range(3):
                turned[i, j] += turn[i, k] * R[k, j]
    quat_from_matrix_kernel(turned, part[3:7])
    return True
