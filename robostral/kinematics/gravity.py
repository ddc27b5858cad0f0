"""Torques that hold the arm still against gravity.

Note:
    tau_i = -z_i . ((h - m p_i) x g) with mass m and first moment h of all that joint i moves. Real-time: no
    allocation.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from robostral.arm.chain import COM, EXTRA_ROWS, KIND, MASS, POS, Chain, FloatArray
from robostral.arm.limits import Limits
from robostral.jit import kernel
from robostral.kinematics.body import WORK_COLUMNS, workspace
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.fk import step_kernel
from robostral.kinematics.validate import as_states
from robostral.kinematics.vector import IDENTITY, ORIGIN, add, cross, dot, rotate, scale


@kernel
def gravity_kernel(model: FloatArray, q: FloatArray, work: FloatArray, tau: FloatArray) -> int:
    """Compute the torques that hold the arm still.

    Args:
        model: `Chain.model`.
        q: Joint positions [rad], shape (n,).
        work: Work space, see `workspace`.
        tau: Filled with torques [N·m], shape (n,).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or tau.shape[0] != n or work.shape[0] != n + 1 or work.shape[1] != WORK_COLUMNS:
        return BAD_SHAPE
    R, p = IDENTITY, ORIGIN
    for i in range(n):
        R, p = step_kernel(model, i, q[i], R, p)
        h = add(rotate(R, (model[i, COM], model[i, COM + 1], model[i, COM + 2])), scale(model[i, MASS], p))
        r = work[i]
        r[0], r[1], r[2], r[3], r[4], r[5] = p[0], p[1], p[2], R[2], R[5], R[8]
        r[6], r[7], r[8] = h
    g = (model[n + 2, POS], model[n + 2, POS + 1], model[n + 2, POS + 2])
    m, h = 0.0, ORIGIN
    for i in range(n - 1, -1, -1):
        r = work[i]
        z, m, h = (r[3], r[4], r[5]), m + model[i, MASS], add(h, (r[6], r[7], r[8]))
        if model[i, KIND] == 0.0:
            tau[i] = dot(z, cross(g, (h[0] - m * r[0], h[1] - m * r[1], h[2] - m * r[2])))
        else:
            tau[i] = -m * dot(z, g)
    return OK if math.isfinite(p[0] + p[1] + p[2] + R[0] + R[4] + R[8]) else NOT_FINITE


@kernel
def gravity_batch_kernel(model: FloatArray, q: FloatArray, work: FloatArray, tau: FloatArray) -> int:
    """Apply `gravity_kernel` to every row of arrays of shape (m, n); returns the greatest code."""
    code = OK
    for k in range(q.shape[0]):
        code = max(code, gravity_kernel(model, q[k], work, tau[k]))
    return code


def gravity(chain: Chain, q: ArrayLike, *, limits: Limits | None = None) -> FloatArray:
    """Compute the torques that hold the arm still.

    Args:
        chain: Arm.
        q: Joint positions [rad], shape (n,) or (m, n).
        limits: Bounds that q is held against; none if None.

    Returns:
        Torques [N·m], same shape.

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity; names the joint.
        JointOutOfLimit: Names joint, value and bound.
    """
    (q,) = as_states(chain, limits, q=q)
    tau = np.empty(q.shape)
    (gravity_kernel if q.ndim == 1 else gravity_batch_kernel)(chain.model, q, workspace(chain), tau)
    return tau
