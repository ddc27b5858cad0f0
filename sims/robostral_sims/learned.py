"""What a learned simulator sees of a policy step and says of it: one gripper and one part, as plain numbers.

Neither the arm nor a jaw that closes on nothing is learned: their motors are known, and so is where they go. Learned
is what jaw and part do to each other meanwhile. All geometry is told in the step's own frame: origin in the tcp before
the step, z up, y along the direction in which the fingers close; what happens does not depend on where in the cell it
happens, save for heights.

| seen | columns | | said | columns |
|---|---|---|---|---|
| part's position [m] | 0:3 | | part's motion [m] | 0:3 |
| part's x and y axes | 3:9 | | part's rotation vector [rad] | 3:6 |
| its velocities [m/s, rad/s] | 9:15 | | its velocities after [m/s, rad/s] | 6:12 |
| motion of a part that is carried [m, rad] | 15:21 | | change of the gap [m] | 12 |
| the same as velocities [m/s, rad/s] | 21:27 | | rate of the gap after [m/s] | 13 |
| gap [m], its rate [m/s] | 27:29 | | spread of the members [m] | 14 |
| commanded gap, gap of a free jaw after the step [m] | 29:31 | | how far outside what was trained on | 15 |
| heights of part and tcp in `world` [m] | 31:33 | | | |
| tilt of the tool | 33:35 | | | |
| half lengths of the part [m], 1 if it is a cylinder | 35:39 | | | |
"""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.jit import kernel
from robostral.kinematics.se3 import (
    matrix_from_quat_kernel,
    matrix_from_rotvec_kernel,
    quat_from_matrix_kernel,
    rotvec_from_matrix_kernel,
)

FloatArray = NDArray[np.float64]

SEEN, SAID = 39, 16
PART_P, PART_AXES, PART_V, CARRIED, CARRIED_V, GAP, GAP_C, GAP_FREE, HEIGHTS, TILT, SIZE = (
    0, 3, 9, 15, 21, 27, 29, 30, 31, 33, 35,
)  # fmt: skip
MOTION, TURN, V_AFTER, GAP_CHANGE, GAP_RATE, SPREAD, OUTSIDE = 0, 3, 6, 12, 13, 14, 15
TOLD = 14
"""The first columns of what is said are targets of training; the rest is about the answer itself."""

AT_REST = 1e-3
"""A part slower than this [m/s; rad/s at 0.1 m] that nothing can touch within a step stays where it is."""


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
def see_kernel(
    T: FloatArray,
    T_after: FloatArray,
    part: FloatArray,
    half: FloatArray,
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
        part: Position [m], quat_wxyz, velocities of the part in `world`, shape (13,).
        half: Half lengths of the part along its axes [m], and 1 for a cylinder, shape (4,).
        tool: Gap of the jaw [m] and its rate [m/s], shape (2,).
        gap_c: Commanded gap [m] at the end of the step.
        gap_free: What `free_gap_kernel` says of the whole step [m].
        dt: Duration of the step [s].
        out: Filled, shape (39,).
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
        out[CARRIED_V + i], out[CARRIED_V + 3 + i] = moved / dt, turned_by / dt
        out[PART_AXES + i] = F[0, i] * R[0, 0] + F[1, i] * R[1, 0] + F[2, i] * R[2, 0]
        out[PART_AXES + 3 + i] = F[0, i] * R[0, 1] + F[1, i] * R[1, 1] + F[2, i] * R[2, 1]
        out[SIZE + i] = half[i]
    out[SIZE + 3] = half[3]
    out[GAP], out[GAP + 1], out[GAP_C], out[GAP_FREE] = tool[0], tool[1], gap_c, gap_free
    out[HEIGHTS], out[HEIGHTS + 1] = part[2], T[2, 3]
    out[TILT] = F[0, 0] * T[0, 2] + F[1, 0] * T[1, 2]
    out[TILT + 1] = F[0, 1] * T[0, 2] + F[1, 1] * T[1, 2]


@kernel
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
def happen_kernel(
    T: FloatArray,
    T_after: FloatArray,
    half: FloatArray,
    gripper: FloatArray,
    said: NDArray[np.float32],
    part: FloatArray,
    tool: FloatArray,
) -> bool:
    """Let what was said happen to `part` (13,) and `tool` (2,) in place; a part that nothing can touch stays exactly.

    Args:
        T: T_world_tcp before the step, shape (4, 4).
        T_after: T_world_tcp after it, shape (4, 4).
        half: As `see_kernel` has it.
        gripper: Widest gap, radius about the tool's axis, and length beyond the tcp [m], shape (3,).
        said: Shape (16,).
        part: As `see_kernel` has it; changed.
        tool: As `see_kernel` has it; changed.

    Returns:
        Whether the part was free to move.
    """
    tool[0] = min(max(tool[0] + said[GAP_CHANGE], 0.0), gripper[0])
    tool[1] = said[GAP_RATE]
    slow, out_of_reach = 0.0, True
    for k in range(3):
        slow = max(slow, abs(part[7 + k]), 0.1 * abs(part[10 + k]))
    radius = math.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2)
    for end in (T, T_after):
        beside = math.hypot(part[0] - end[0, 3], part[1] - end[1, 3]) > gripper[1] + radius
        above = end[2, 3] - gripper[2] > part[2] + radius
        out_of_reach = out_of_reach and (beside or above)
    if slow < AT_REST and out_of_reach:
        part[7:13] = 0.0
        return False
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
