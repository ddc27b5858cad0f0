"""The identification regressor: torques are linear in the inertial parameters, `tau = Y(q, dq, ddq) @ pi`.

Note:
    Atkeson, An, Hollerbach, "Estimation of inertial parameters of manipulator loads and links" (1986). Each column is
    the torque of one unit parameter. Real-time: no allocation.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from robostral.arm.chain import EXTRA_ROWS, KIND, MASS, POS, TURN, Chain, FloatArray
from robostral.arm.limits import Limits
from robostral.jit import inlined, kernel
from robostral.kinematics.body import WORK_COLUMNS, Inertia, workspace, wrench
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.crba import joint_twist
from robostral.kinematics.fk import step_kernel
from robostral.kinematics.rnea import link_motion
from robostral.kinematics.validate import as_states
from robostral.kinematics.vector import IDENTITY, ORIGIN, add, cross, rotate, sincos_kernel

PARAMETERS = TURN - MASS
"""Inertial parameters of a link: mass, first moment (3), inertia about the frame's origin (6), as in the model."""


def parameters(chain: Chain) -> FloatArray:
    """Return the inertial parameters pi of all links, shape (10 * n,)."""
    return chain.model[: chain.n, MASS:TURN].flatten()


@inlined
def _unit(c: int) -> Inertia:
    """Return the inertia whose parameter c is 1 and whose others are 0."""
    h = (1.0 if c == 1 else 0.0, 1.0 if c == 2 else 0.0, 1.0 if c == 3 else 0.0)
    xx, xy, xz = 1.0 if c == 4 else 0.0, 1.0 if c == 5 else 0.0, 1.0 if c == 6 else 0.0
    yy, yz, zz = 1.0 if c == 7 else 0.0, 1.0 if c == 8 else 0.0, 1.0 if c == 9 else 0.0
    return 1.0 if c == 0 else 0.0, h, (xx, xy, xz, yy, yz, zz)


@kernel
def regressor_kernel(
    model: FloatArray, q: FloatArray, dq: FloatArray, ddq: FloatArray, work: FloatArray, Y: FloatArray
) -> int:
    """Compute the regressor.

    Args:
        model: `Chain.model`; its inertias are not used.
        q: Joint positions [rad], shape (n,).
        dq: Joint velocities [rad/s], shape (n,).
        ddq: Joint accelerations [rad/s²], shape (n,).
        work: Work space, see `workspace`.
        Y: Filled, shape (n, 10 * n); columns 10 i to 10 i + 9 belong to link i.

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or dq.shape[0] != n or ddq.shape[0] != n or Y.shape[0] != n or Y.shape[1] != PARAMETERS * n:
        return BAD_SHAPE
    if work.shape[0] != n + 1 or work.shape[1] != WORK_COLUMNS:
        return BAD_SHAPE
    R, p, w, al = IDENTITY, ORIGIN, ORIGIN, ORIGIN
    a = (-model[n + 2, POS], -model[n + 2, POS + 1], -model[n + 2, POS + 2])
    probe = 0.0
    for k in range(n):
        sine, cosine = sincos_kernel(q[k] * (1.0 - model[k, KIND]))
        _, w, al, a = link_motion(model, k, q[k], dq[k], ddq[k], sine, cosine, w, al, a)
        R, p = step_kernel(model, k, q[k], R, p)
        v, z = joint_twist(model, k, R, p)
        s = work[k]
        s[0], s[1], s[2], s[3], s[4], s[5] = v[0], v[1], v[2], z[0], z[1], z[2]
        for c in range(PARAMETERS):
            force, moment = wrench(_unit(c), w, al, a)
            force = rotate(R, force)
            moment = add(rotate(R, moment), cross(p, force))
            column = PARAMETERS * k + c
            for i in range(n):
                s, Y[i, column] = work[i], 0.0
                if i <= k:
                    Y[i, column] = force[0] * s[0] + force[1] * s[1] + force[2] * s[2]
                    Y[i, column] += moment[0] * s[3] + moment[1] * s[4] + moment[2] * s[5]
            probe += Y[k, column]
    return OK if math.isfinite(probe) else NOT_FINITE


@kernel
def regressor_batch_kernel(
    model: FloatArray, q: FloatArray, dq: FloatArray, ddq: FloatArray, work: FloatArray, Y: FloatArray
) -> int:
    """Apply `regressor_kernel` to arrays of shape (m, n) and Y (m, n, 10 * n); returns the greatest code."""
    code = OK
    for k in range(q.shape[0]):
        code = max(code, regressor_kernel(model, q[k], dq[k], ddq[k], work, Y[k]))
    return code


def regressor(chain: Chain, q: ArrayLike, dq: ArrayLike, ddq: ArrayLike, *, limits: Limits | None = None) -> FloatArray:
    """Compute the regressor Y, so that the torques of the motion are Y @ parameters(chain).

    Args:
        chain: Arm.
        q: Joint positions [rad], shape (n,) or (m, n).
        dq: Joint velocities [rad/s], same shape.
        ddq: Joint accelerations [rad/s²], same shape.
        limits: Bounds that q is held against; none if None.

    Returns:
        Regressor, shape (n, 10 * n) or (m, n, 10 * n).

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity; names the joint.
        JointOutOfLimit: Names joint, value and bound.
    """
    q, dq, ddq = as_states(chain, limits, q=q, dq=dq, ddq=ddq)
    Y = np.empty((*q.shape, PARAMETERS * chain.n))
    (regressor_kernel if q.ndim == 1 else regressor_batch_kernel)(chain.model, q, dq, ddq, workspace(chain), Y)
    return Y
