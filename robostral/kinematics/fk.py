"""Forward kinematics: where the links, the flange and the tcp are.

Note:
    Poses of links are products of T_parent_joint and the joint's own motion: Lynch and Park, Modern Robotics (2017),
    chapter 4; Siciliano et al., Robotics (2009), section 2.8. Real-time: no allocation, no branch but the joint's kind.
"""

import math

from robostral.arm.chain import EXTRA_ROWS, KIND, POS, ROT, FloatArray
from robostral.jit import kernel
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK

Pose = tuple[float, float, float, float, float, float, float, float, float, float, float, float]
"""Rotation row by row, then position: lives in registers."""


@kernel
def compose_kernel(a: Pose, b: Pose) -> Pose:
    """Compute T_a_b @ T_b_c of two poses in registers."""
    a0, a1, a2, a3, a4, a5, a6, a7, a8, ax, ay, az = a
    b0, b1, b2, b3, b4, b5, b6, b7, b8, bx, by, bz = b
    return (
        a0 * b0 + a1 * b3 + a2 * b6,
        a0 * b1 + a1 * b4 + a2 * b7,
        a0 * b2 + a1 * b5 + a2 * b8,
        a3 * b0 + a4 * b3 + a5 * b6,
        a3 * b1 + a4 * b4 + a5 * b7,
        a3 * b2 + a4 * b5 + a5 * b8,
        a6 * b0 + a7 * b3 + a8 * b6,
        a6 * b1 + a7 * b4 + a8 * b7,
        a6 * b2 + a7 * b5 + a8 * b8,
        ax + a0 * bx + a1 * by + a2 * bz,
        ay + a3 * bx + a4 * by + a5 * bz,
        az + a6 * bx + a7 * by + a8 * bz,
    )


@kernel
def row_pose_kernel(model: FloatArray, i: int) -> Pose:
    """Read the pose of row i of the model into registers."""
    m = model[i]
    return (
        m[ROT], m[ROT + 1], m[ROT + 2], m[ROT + 3], m[ROT + 4], m[ROT + 5], m[ROT + 6], m[ROT + 7], m[ROT + 8],
        m[POS], m[POS + 1], m[POS + 2],
    )  # fmt: skip


@kernel
def joint_pose_kernel(model: FloatArray, i: int, q_i: float) -> Pose:
    """Compute the pose of link i in link i-1 at joint position `q_i`."""
    r0, r1, r2, r3, r4, r5, r6, r7, r8, px, py, pz = row_pose_kernel(model, i)
    if model[i, KIND] != 0.0:
        return r0, r1, r2, r3, r4, r5, r6, r7, r8, px + r2 * q_i, py + r5 * q_i, pz + r8 * q_i
    c, s = math.cos(q_i), math.sin(q_i)
    return (
        c * r0 + s * r1, c * r1 - s * r0, r2,
        c * r3 + s * r4, c * r4 - s * r3, r5,
        c * r6 + s * r7, c * r7 - s * r6, r8,
        px, py, pz,
    )  # fmt: skip


@kernel
def store_kernel(pose: Pose, T: FloatArray) -> None:
    """Write a pose from registers into a matrix, shape (4, 4)."""
    T[0, 0], T[0, 1], T[0, 2], T[1, 0], T[1, 1], T[1, 2], T[2, 0], T[2, 1], T[2, 2], T[0, 3], T[1, 3], T[2, 3] = pose
    T[3, 0], T[3, 1], T[3, 2], T[3, 3] = 0.0, 0.0, 0.0, 1.0


@kernel
def finite_kernel(pose: Pose) -> int:
    """Return OK, or NOT_FINITE if a joint position on the way was not finite."""
    # Every entry inherits a NaN of the rotations; a prismatic joint's shows in the position only.
    probe = pose[0] + pose[4] + pose[8] + pose[9] + pose[10] + pose[11]
    return OK if math.isfinite(probe) else NOT_FINITE


@kernel
def tcp_pose_kernel(model: FloatArray, q: FloatArray) -> Pose:
    """Compute T_base_tcp in registers; `q` [rad], shape (n,), is not checked."""
    n = model.shape[0] - EXTRA_ROWS
    pose = joint_pose_kernel(model, 0, q[0])
    for i in range(1, n):
        pose = compose_kernel(pose, joint_pose_kernel(model, i, q[i]))
    return compose_kernel(pose, row_pose_kernel(model, n + 1))


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
    pose = tcp_pose_kernel(model, q)
    store_kernel(pose, T)
    return finite_kernel(pose)


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
    pose = joint_pose_kernel(model, 0, q[0])
    store_kernel(pose, T[0])
    for i in range(1, n):
        pose = compose_kernel(pose, joint_pose_kernel(model, i, q[i]))
        store_kernel(pose, T[i])
    store_kernel(compose_kernel(pose, row_pose_kernel(model, n)), T[n])
    pose = compose_kernel(pose, row_pose_kernel(model, n + 1))
    store_kernel(pose, T[n + 1])
    return finite_kernel(pose)
