"""Forward kinematics: where the links, the flange and the tcp are.

Note:
    Poses of links are products of T_parent_joint and the joint's own motion: Lynch and Park, Modern Robotics (2017),
    chapter 4; Siciliano et al., Robotics (2009), section 2.8. Real-time: no allocation, no branch but the joint's kind.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from robostral.arm.chain import EXTRA_ROWS, KIND, POS, ROT, TURN, Chain, FloatArray
from robostral.arm.limits import Limits
from robostral.jit import inlined, kernel
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.validate import as_states
from robostral.kinematics.vector import (
    IDENTITY,
    ORIGIN,
    Rot,
    Vec,
    add,
    product,
    quarter_turn,
    rotate,
    sincos_kernel,
    turn_about_z,
)

Pose = tuple[Rot, Vec]
"""Rotation and position in registers."""


@inlined
def follow_kernel(model: FloatArray, i: int, R: Rot, p: Vec) -> Pose:
    """Compute the pose that row i of the model puts at the end of a pose (R, p)."""
    m = model[i]
    p = add(p, rotate(R, (m[POS], m[POS + 1], m[POS + 2])))
    if m[TURN] != 2.0:
        return quarter_turn(R, m[TURN]), p
    F = (m[ROT], m[ROT + 1], m[ROT + 2], m[ROT + 3], m[ROT + 4], m[ROT + 5], m[ROT + 6], m[ROT + 7], m[ROT + 8])
    return product(R, F), p


@inlined
def step_known_kernel(model: FloatArray, i: int, q_i: float, sine: float, cosine: float, R: Rot, p: Vec) -> Pose:
    """Compute what `step_kernel` does from a sine and cosine that are 0 and 1 for a sliding joint."""
    R, p = follow_kernel(model, i, R, p)
    slide = q_i * model[i, KIND]
    return turn_about_z(R, sine, cosine), add(p, (R[2] * slide, R[5] * slide, R[8] * slide))


@inlined
def step_kernel(model: FloatArray, i: int, q_i: float, R: Rot, p: Vec) -> Pose:
    """Compute the pose of link i from the pose (R, p) of link i-1 and the joint position `q_i`."""
    R, p = follow_kernel(model, i, R, p)
    if model[i, KIND] != 0.0:
        return R, add(p, (R[2] * q_i, R[5] * q_i, R[8] * q_i))
    sine, cosine = sincos_kernel(q_i)
    return turn_about_z(R, sine, cosine), p


@inlined
def store_kernel(R: Rot, p: Vec, T: FloatArray) -> None:
    """Write a pose from registers into a matrix, shape (4, 4)."""
    T[0, 0], T[0, 1], T[0, 2], T[0, 3] = R[0], R[1], R[2], p[0]
    T[1, 0], T[1, 1], T[1, 2], T[1, 3] = R[3], R[4], R[5], p[1]
    T[2, 0], T[2, 1], T[2, 2], T[2, 3] = R[6], R[7], R[8], p[2]
    T[3, 0], T[3, 1], T[3, 2], T[3, 3] = 0.0, 0.0, 0.0, 1.0


@inlined
def finite_kernel(R: Rot, p: Vec) -> int:
    """Return OK, or NOT_FINITE if a joint position on the way was not finite."""
    # Every entry inherits a NaN of the rotations; a prismatic joint's shows in the position only.
    return OK if math.isfinite(R[0] + R[4] + R[8] + p[0] + p[1] + p[2]) else NOT_FINITE


@kernel
def _walk(model: FloatArray, q: FloatArray) -> Pose:
    n = model.shape[0] - EXTRA_ROWS
    R, p = IDENTITY, ORIGIN
    for i in range(n):
        R, p = step_kernel(model, i, q[i], R, p)
    return follow_kernel(model, n + 1, R, p)


@kernel
def tcp_pose_kernel(model: FloatArray, q: FloatArray) -> tuple[float, ...]:
    """Compute T_base_tcp in registers: rotation row by row, then position; `q`, shape (n,), is not checked."""
    R, p = _walk(model, q)
    return R + p


@kernel
def tcp_kernel(model: FloatArray, q: FloatArray, T: FloatArray) -> int:
    """Compute T_base_tcp.

    Args:
        model: `Chain.model`.
        q: Joint positions [rad], shape (n,).
        T: Filled with T_base_tcp, shape (4, 4).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or T.shape[0] != 4 or T.shape[1] != 4:
        return BAD_SHAPE
    R, p = _walk(model, q)
    store_kernel(R, p, T)
    return finite_kernel(R, p)


@kernel
def frames_kernel(model: FloatArray, q: FloatArray, T: FloatArray) -> int:
    """Compute the poses in `base` of all links, the flange and the tcp.

    Args:
        model: `Chain.model`.
        q: Joint positions [rad], shape (n,).
        T: Filled with link frames 0..n-1, flange, tcp, shape (n + 2, 4, 4).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or T.shape[0] != n + 2 or T.shape[1] != 4 or T.shape[2] != 4:
        return BAD_SHAPE
    R, p = IDENTITY, ORIGIN
    for i in range(n):
        R, p = step_kernel(model, i, q[i], R, p)
        store_kernel(R, p, T[i])
    R_flange, p_flange = follow_kernel(model, n, R, p)
    store_kernel(R_flange, p_flange, T[n])
    R, p = follow_kernel(model, n + 1, R, p)
    store_kernel(R, p, T[n + 1])
    return finite_kernel(R, p)


@kernel
def tcp_batch_kernel(model: FloatArray, q: FloatArray, T: FloatArray) -> int:
    """Apply `tcp_kernel` to q (m, n) and T (m, 4, 4); returns the greatest code."""
    code = OK
    for k in range(q.shape[0]):
        code = max(code, tcp_kernel(model, q[k], T[k]))
    return code


@kernel
def frames_batch_kernel(model: FloatArray, q: FloatArray, T: FloatArray) -> int:
    """Apply `frames_kernel` to q (m, n) and T (m, n + 2, 4, 4); returns the greatest code."""
    code = OK
    for k in range(q.shape[0]):
        code = max(code, frames_kernel(model, q[k], T[k]))
    return code


def tcp(chain: Chain, q: ArrayLike, *, limits: Limits | None = None) -> FloatArray:
    """Compute T_base_tcp.

    Args:
        chain: Arm with its tcp.
        q: Joint positions [rad], shape (n,) or (m, n).
        limits: Bounds that q is held against; none if None.

    Returns:
        T_base_tcp, shape (4, 4) or (m, 4, 4).

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity; names the joint.
        JointOutOfLimit: Names joint, value and bound.
    """
    (q,) = as_states(chain, limits, q=q)
    T = np.empty((*q.shape[:-1], 4, 4))
    (tcp_kernel if q.ndim == 1 else tcp_batch_kernel)(chain.model, q, T)
    return T


def frames(chain: Chain, q: ArrayLike, *, limits: Limits | None = None) -> FloatArray:
    """Compute the poses in `base` of all links, the flange and the tcp.

    Args:
        chain: Arm with its tcp.
        q: Joint positions [rad], shape (n,) or (m, n).
        limits: Bounds that q is held against; none if None.

    Returns:
        Link frames 0..n-1, flange, tcp, shape (n + 2, 4, 4) or (m, n + 2, 4, 4).

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity; names the joint.
        JointOutOfLimit: Names joint, value and bound.
    """
    (q,) = as_states(chain, limits, q=q)
    T = np.empty((*q.shape[:-1], chain.n + 2, 4, 4))
    (frames_kernel if q.ndim == 1 else frames_batch_kernel)(chain.model, q, T)
    return T
