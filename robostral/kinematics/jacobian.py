"""Geometric Jacobians: `J @ dq` is the twist of the tcp, linear part first.

Note:
    Siciliano et al., Robotics (2009), section 3.1: a revolute joint adds z x (p_tcp - p_i) and z, a prismatic one z
    and 0.
"""

from robostral.arm.chain import EXTRA_ROWS, KIND, FloatArray
from robostral.jit import kernel
from robostral.kinematics.codes import BAD_SHAPE
from robostral.kinematics.fk import (
    Pose,
    compose_kernel,
    finite_kernel,
    joint_pose_kernel,
    row_pose_kernel,
    store_kernel,
)


@kernel
def _walk(model: FloatArray, q: FloatArray, J: FloatArray) -> Pose:
    """Leave origin and axis of every joint in the columns of J and return the pose of the tcp."""
    n = q.shape[0]
    pose = joint_pose_kernel(model, 0, q[0])
    J[0, 0], J[1, 0], J[2, 0], J[3, 0], J[4, 0], J[5, 0] = pose[9], pose[10], pose[11], pose[2], pose[5], pose[8]
    for i in range(1, n):
        pose = compose_kernel(pose, joint_pose_kernel(model, i, q[i]))
        J[0, i], J[1, i], J[2, i], J[3, i], J[4, i], J[5, i] = pose[9], pose[10], pose[11], pose[2], pose[5], pose[8]
    return compose_kernel(pose, row_pose_kernel(model, n + 1))


@kernel
def _turn_into_twists(model: FloatArray, px: float, py: float, pz: float, J: FloatArray) -> None:
    """Replace origins by the velocity of the point p that each joint causes."""
    for i in range(J.shape[1]):
        zx, zy, zz = J[3, i], J[4, i], J[5, i]
        if model[i, KIND] == 0.0:
            rx, ry, rz = px - J[0, i], py - J[1, i], pz - J[2, i]
            J[0, i], J[1, i], J[2, i] = zy * rz - zz * ry, zz * rx - zx * rz, zx * ry - zy * rx
        else:
            J[0, i], J[1, i], J[2, i], J[3, i], J[4, i], J[5, i] = zx, zy, zz, 0.0, 0.0, 0.0


@kernel
def fk_jacobian_kernel(model: FloatArray, q: FloatArray, T: FloatArray, J: FloatArray) -> int:
    """Compute T_base_tcp and J_aligned in one walk.

    Args:
        model: `Chain.model`.
        q: Joint positions [rad], shape (n,).
        T: Filled with T_base_tcp, shape (4, 4).
        J: Filled with J_aligned, shape (6, n).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or T.shape[0] != 4 or T.shape[1] != 4 or J.shape[0] != 6 or J.shape[1] != n:
        return BAD_SHAPE
    pose = _walk(model, q, J)
    _turn_into_twists(model, pose[9], pose[10], pose[11], J)
    store_kernel(pose, T)
    return finite_kernel(pose)


@kernel
def jacobian_kernel(model: FloatArray, q: FloatArray, J: FloatArray) -> int:
    """Compute J_aligned: origin at the tcp, axes of `base`.

    Args:
        model: `Chain.model`.
        q: Joint positions [rad], shape (n,).
        J: Filled with J_aligned, shape (6, n).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or J.shape[0] != 6 or J.shape[1] != n:
        return BAD_SHAPE
    pose = _walk(model, q, J)
    _turn_into_twists(model, pose[9], pose[10], pose[11], J)
    return finite_kernel(pose)


@kernel
def jacobian_world_kernel(model: FloatArray, q: FloatArray, J: FloatArray) -> int:
    """Compute J_world: velocity of the point of the tool that passes the origin of `base`, axes of `base`.

    Args:
        model: `Chain.model`.
        q: Joint positions [rad], shape (n,).
        J: Filled with J_world, shape (6, n).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or J.shape[0] != 6 or J.shape[1] != n:
        return BAD_SHAPE
    pose = _walk(model, q, J)
    _turn_into_twists(model, 0.0, 0.0, 0.0, J)
    return finite_kernel(pose)


@kernel
def jacobian_local_kernel(model: FloatArray, q: FloatArray, J: FloatArray) -> int:
    """Compute J_local: origin and axes of the tcp.

    Args:
        model: `Chain.model`.
        q: Joint positions [rad], shape (n,).
        J: Filled with J_local, shape (6, n).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or J.shape[0] != 6 or J.shape[1] != n:
        return BAD_SHAPE
    pose = _walk(model, q, J)
    _turn_into_twists(model, pose[9], pose[10], pose[11], J)
    for i in range(n):
        for k in (0, 3):
            x, y, z = J[k, i], J[k + 1, i], J[k + 2, i]
            J[k, i] = pose[0] * x + pose[3] * y + pose[6] * z
            J[k + 1, i] = pose[1] * x + pose[4] * y + pose[7] * z
            J[k + 2, i] = pose[2] * x + pose[5] * y + pose[8] * z
    return finite_kernel(pose)
