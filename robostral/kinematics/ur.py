"""Closed-form inverse kinematics of Universal Robots arms: all 8 branches.

Note:
    Three parallel axes (lift, elbow, wrist 1) between two pairs of crossing ones: first pan from the wrist's distance
    d4 to the plane of the arm, then wrist 2 and 3 from the tool's axes, then the planar triangle. Hawkins, "Analytic
    inverse kinematics for the Universal Robots UR-5/UR-10 arms" (2013). Real-time: no allocation.
"""

import math
from functools import lru_cache

import numpy as np

from robostral.arm.chain import KIND, POS, Chain, FloatArray, unpack
from robostral.arm.limits import Q_MAX, Q_MIN
from robostral.jit import kernel
from robostral.kinematics.codes import BAD_SHAPE, NO_SOLUTION, NOT_FINITE, OK

_REACH_TOLERANCE = 1e-9
"""How far cosines may exceed 1 by rounding, at the border of the workspace."""
_SINGULAR = 1e-9


@lru_cache(maxsize=64)
def is_ur(chain: Chain) -> bool:
    """Tell whether a chain has exactly the geometry that the closed form solves."""
    if chain.n != 6 or chain.model[:6, KIND].any():
        return False
    R_x = {0: np.eye(3), 1: np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])}
    turns = (R_x[0], R_x[1], R_x[0], R_x[0], R_x[1], R_x[1].T)
    free = ((2,), (), (0,), (0, 2), (1,), (1,))
    for i in range(6):
        T = unpack(chain.model[i])
        p = np.delete(T[:3, 3], free[i])
        if np.abs(T[:3, :3] - turns[i]).max() > 1e-12 or (p.size and np.abs(p).max() > 1e-12):
            return False
    return True


@kernel
def _clamped_acos(x: float) -> float:
    """Compute acos, NaN if x is out of range by more than rounding."""
    if abs(x) > 1.0 + _REACH_TOLERANCE:
        return math.nan
    return math.acos(min(1.0, max(-1.0, x)))


@kernel
def _nearest_turn(angle: float, near: float, low: float, high: float) -> float:
    """Add full turns until the angle is the one nearest to `near` inside [low, high]; NaN if none is inside."""
    turn = 2.0 * math.pi
    angle += turn * np.rint((near - angle) / turn)
    if angle > high:
        angle -= turn * math.ceil((angle - high) / turn)
    elif angle < low:
        angle += turn * math.ceil((low - angle) / turn)
    return angle if low <= angle <= high else math.nan


@kernel
def _last_link_pose(model: FloatArray, T: FloatArray, R: FloatArray) -> tuple[float, float, float]:
    """Fill R (3, 3) with the rotation of link 5 that puts the tcp at T (4, 4), and return its origin."""
    m = model[7]
    for i in range(3):
        for j in range(3):
            R[i, j] = T[i, 0] * m[3 * j] + T[i, 1] * m[3 * j + 1] + T[i, 2] * m[3 * j + 2]
    x, y, z = m[POS], m[POS + 1], m[POS + 2]
    return (
        T[0, 3] - R[0, 0] * x - R[0, 1] * y - R[0, 2] * z,
        T[1, 3] - R[1, 0] * x - R[1, 1] * y - R[1, 2] * z,
        T[2, 3] - R[2, 0] * x - R[2, 1] * y - R[2, 2] * z,
    )


@kernel
def _wrist_plane(R: FloatArray, q0: float, q4: float, q5_near: float) -> tuple[float, float, float]:
    """Return wrist 3, and sine and cosine of the summed angle of lift, elbow and wrist 1."""
    s0, c0, s4 = math.sin(q0), math.cos(q0), math.sin(q4)
    if abs(s4) < _SINGULAR:
        q5 = q5_near  # wrist 1 and 3 are parallel: only their sum counts
    else:
        q5 = math.atan2(-(s0 * R[0, 1] - c0 * R[1, 1]) / s4, (s0 * R[0, 0] - c0 * R[1, 0]) / s4)
    s5, c5 = math.sin(q5), math.cos(q5)
    z4x, z4y, z4z = -(s5 * R[0, 0] + c5 * R[0, 1]), -(s5 * R[1, 0] + c5 * R[1, 1]), -(s5 * R[2, 0] + c5 * R[2, 1])
    return q5, c0 * z4x + s0 * z4y, -z4z


@kernel
def _all_angles(model: FloatArray, T: FloatArray, q_near: FloatArray, R: FloatArray, Q: FloatArray) -> None:
    """Fill the 8 rows of Q with joint angles, NaN where a branch does not reach the pose."""
    d1, a2, a3 = model[0, POS + 2], model[2, POS], model[3, POS]
    d4, d5, d6 = model[3, POS + 2], -model[4, POS + 1], model[5, POS + 1]
    px, py, pz = _last_link_pose(model, T, R)
    wx, wy, wz = px - d6 * R[0, 2], py - d6 * R[1, 2], pz - d6 * R[2, 2] - d1
    pan = math.atan2(wy, wx) + 0.5 * math.pi
    swing = _clamped_acos(d4 / math.sqrt(wx * wx + wy * wy))
    for branch in range(8):
        q0 = pan + (swing if branch & 1 else -swing)
        s0, c0 = math.sin(q0), math.cos(q0)
        q4 = _clamped_acos(s0 * R[0, 2] - c0 * R[1, 2]) * (1.0 if branch & 2 else -1.0)
        q5, s_sum, c_sum = _wrist_plane(R, q0, q4, q_near[5])
        along, up = wx * c0 + wy * s0 - d5 * s_sum, wz + d5 * c_sum
        q2 = _clamped_acos((along * along + up * up - a2 * a2 - a3 * a3) / (2.0 * a2 * a3))
        q2 *= 1.0 if branch & 4 else -1.0
        q1 = math.atan2(up, along) - math.atan2(a3 * math.sin(q2), a2 + a3 * math.cos(q2))
        Q[branch, 0], Q[branch, 1], Q[branch, 2] = q0, q1, q2
        Q[branch, 3], Q[branch, 4], Q[branch, 5] = math.atan2(s_sum, c_sum) - q1 - q2, q4, q5


@kernel
def ur_ik_all_kernel(
    model: FloatArray, limits: FloatArray, T_base_tcp: FloatArray, q_near: FloatArray, R: FloatArray, Q: FloatArray
) -> int:
    """Compute all branches, each joint at its full turn nearest to `q_near` inside the limits.

    Args:
        model: `Chain.model` of a UR arm (see `is_ur`).
        limits: `Limits.array`, shape (7, 6).
        T_base_tcp: Wanted pose, shape (4, 4).
        q_near: Where full turns and a singular wrist are resolved [rad], shape (6,).
        R: Work space, shape (3, 3).
        Q: Filled with one branch per row [rad], rows of NaN where there is none, shape (8, 6).

    Returns:
        OK, BAD_SHAPE, NOT_FINITE, or NO_SOLUTION where all rows are NaN.
    """
    if model.shape[0] != 9 or q_near.shape[0] != 6 or Q.shape[0] != 8 or Q.shape[1] != 6 or limits.shape[1] != 6:
        return BAD_SHAPE
    probe = 0.0
    for i in range(4):
        probe += T_base_tcp[i, 0] + T_base_tcp[i, 1] + T_base_tcp[i, 2] + T_base_tcp[i, 3]
    for i in range(6):
        probe += q_near[i]
    if not math.isfinite(probe):
        return NOT_FINITE
    _all_angles(model, T_base_tcp, q_near, R, Q)
    code = NO_SOLUTION
    for branch in range(8):
        reached = True
        for i in range(6):
            Q[branch, i] = _nearest_turn(Q[branch, i], q_near[i], limits[Q_MIN, i], limits[Q_MAX, i])
            reached = reached and not math.isnan(Q[branch, i])
        if reached:
            code = OK
        else:
            for i in range(6):
                Q[branch, i] = math.nan
    return code


@kernel
def ur_ik_kernel(
    model: FloatArray,
    limits: FloatArray,
    T_base_tcp: FloatArray,
    q_near: FloatArray,
    R: FloatArray,
    Q: FloatArray,
    q: FloatArray,
) -> int:
    """Compute the branch nearest to `q_near` in the sense of summed squares.

    Args:
        model: `Chain.model` of a UR arm (see `is_ur`).
        limits: `Limits.array`, shape (7, 6).
        T_base_tcp: Wanted pose, shape (4, 4).
        q_near: Where to stay near [rad], shape (6,).
        R: Work space, shape (3, 3).
        Q: Work space, shape (8, 6); holds all branches afterwards.
        q: Filled with the nearest branch [rad], shape (6,); untouched unless OK.

    Returns:
        OK, BAD_SHAPE, NOT_FINITE or NO_SOLUTION.
    """
    if q.shape[0] != 6:
        return BAD_SHAPE
    code = ur_ik_all_kernel(model, limits, T_base_tcp, q_near, R, Q)
    if code != OK:
        return code
    best = math.inf
    for branch in range(8):
        distance = 0.0
        for i in range(6):
            distance += (Q[branch, i] - q_near[i]) ** 2
        if distance < best:  # false for NaN
            best = distance
            for i in range(6):
                q[i] = Q[branch, i]
    return OK
