"""Geometric Jacobians: `J @ dq` is the twist of the tcp, linear part first.

Note:
    Siciliano et al., Robotics (2009), section 3.1: a revolute joint adds z x (p_tcp - p_i) and z, a prismatic one z
    and 0.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from robostral.arm.chain import EXTRA_ROWS, KIND, Chain, FloatArray
from robostral.arm.limits import Limits
from robostral.jit import inlined, kernel
from robostral.kinematics.codes import BAD_SHAPE, OK
from robostral.kinematics.fk import Pose, finite_kernel, follow_kernel, step_known_kernel, store_kernel
from robostral.kinematics.validate import as_states
from robostral.kinematics.vector import IDENTITY, ORIGIN, Vec, cross, rotate_back, sincos_kernel


@inlined
def _walk(model: FloatArray, q: FloatArray, J: FloatArray) -> Pose:
    """Leave origin and axis of every joint in the columns of J and return the pose of the tcp."""
    n = q.shape[0]
    for i in range(n):  # apart from the walk, so that the compiler computes several sines at once
        J[0, i], J[1, i] = sincos_kernel(q[i] * (1.0 - model[i, KIND]))
    R, p = IDENTITY, ORIGIN
    for i in range(n):
        R, p = step_known_kernel(model, i, q[i], J[0, i], J[1, i], R, p)
        J[0, i], J[1, i], J[2, i], J[3, i], J[4, i], J[5, i] = p[0], p[1], p[2], R[2], R[5], R[8]
    return follow_kernel(model, n + 1, R, p)


@inlined
def _turn_into_twists(model: FloatArray, p: Vec, J: FloatArray) -> None:
    """Replace the origins by the velocity of the point p that each joint causes."""
    for i in range(model.shape[0] - EXTRA_ROWS):
        z = (J[3, i], J[4, i], J[5, i])
        if model[i, KIND] == 0.0:
            J[0, i], J[1, i], J[2, i] = cross(z, (p[0] - J[0, i], p[1] - J[1, i], p[2] - J[2, i]))
        else:
            J[0, i], J[1, i], J[2, i], J[3, i], J[4, i], J[5, i] = z[0], z[1], z[2], 0.0, 0.0, 0.0


@inlined
def pose_jacobian_kernel(model: FloatArray, q: FloatArray, J: FloatArray) -> Pose:
    """Return T_base_tcp in registers and fill J, at least (6, n), with J_aligned; shapes are not checked."""
    R, p = _walk(model, q, J)
    _turn_into_twists(model, p, J)
    return R, p


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
    R, p = pose_jacobian_kernel(model, q, J)
    store_kernel(R, p, T)
    return finite_kernel(R, p)


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
    R, p = pose_jacobian_kernel(model, q, J)
    return finite_kernel(R, p)


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
    R, p = _walk(model, q, J)
    _turn_into_twists(model, ORIGIN, J)
    return finite_kernel(R, p)


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
    R, p = pose_jacobian_kernel(model, q, J)
    for i in range(n):
        J[0, i], J[1, i], J[2, i] = rotate_back(R, (J[0, i], J[1, i], J[2, i]))
        J[3, i], J[4, i], J[5, i] = rotate_back(R, (J[3, i], J[4, i], J[5, i]))
    return finite_kernel(R, p)


@kernel
def jacobian_batch_kernel(model: FloatArray, q: FloatArray, J: FloatArray) -> int:
    """Apply `jacobian_kernel` to q (m, n) and J (m, 6, n); returns the greatest code."""
    code = OK
    for k in range(q.shape[0]):
        code = max(code, jacobian_kernel(model, q[k], J[k]))
    return code


@kernel
def fk_jacobian_batch_kernel(model: FloatArray, q: FloatArray, T: FloatArray, J: FloatArray) -> int:
    """Apply `fk_jacobian_kernel` to q (m, n), T (m, 4, 4) and J (m, 6, n); returns the greatest code."""
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[1] != n or T.shape[1] != 4 or T.shape[2] != 4 or J.shape[1] != 6 or J.shape[2] != n:
        return BAD_SHAPE
    code = OK
    for k in range(q.shape[0]):
        R, p = pose_jacobian_kernel(model, q[k], J[k])
        store_kernel(R, p, T[k])
        code = max(code, finite_kernel(R, p))
    return code


def jacobian(
    chain: Chain,
    q: ArrayLike,
    frame: Literal["aligned", "world", "local"] = "aligned",
    *,
    limits: Limits | None = None,
) -> FloatArray:
    """Compute the Jacobian of the tcp.

    Args:
        chain: Arm with its tcp.
        q: Joint positions [rad], shape (n,) or (m, n).
        frame: `aligned`: origin of the tcp, axes of `base`; `world`: both of `base`; `local`: both of the tcp.
        limits: Bounds that q is held against; none if None.

    Returns:
        Jacobian, linear rows first, shape (6, n) or (m, 6, n).

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity; names the joint.
        JointOutOfLimit: Names joint, value and bound.
    """
    (q,) = as_states(chain, limits, q=q)
    J = np.empty((*q.shape[:-1], 6, chain.n))
    if q.ndim == 1:
        _KERNELS[frame](chain.model, q, J)
    else:
        for row, out in zip(q, J, strict=True):
            _KERNELS[frame](chain.model, row, out)
    return J


_KERNELS = {"aligned": jacobian_kernel, "world": jacobian_world_kernel, "local": jacobian_local_kernel}
