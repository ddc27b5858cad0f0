"""The joint-space inertia matrix by the composite-rigid-body algorithm.

Note:
    Featherstone, Rigid Body Dynamics Algorithms (2008), section 6.2, with every quantity in the axes and about the
    origin of `base`: there composite inertias are plain sums. Real-time: no allocation.
"""

import numpy as np
from numpy.typing import ArrayLike

from robostral.arm.chain import EXTRA_ROWS, KIND, Chain, FloatArray
from robostral.arm.limits import Limits
from robostral.jit import inlined, kernel
from robostral.kinematics.body import WORK_COLUMNS, inertia_in_base, link_inertia, momentum, workspace
from robostral.kinematics.codes import BAD_SHAPE, OK
from robostral.kinematics.fk import finite_kernel, step_known_kernel
from robostral.kinematics.validate import as_states
from robostral.kinematics.vector import IDENTITY, ORIGIN, Rot, Vec, add, cross, sincos_kernel

# Columns of the work space: the joint's twist about the origin of base (0..5, linear part first), the link's inertia in
# base (6..15), sine and cosine.
_SINE, _COSINE = 16, 17


@inlined
def joint_twist(model: FloatArray, i: int, R: Rot, p: Vec) -> tuple[Vec, Vec]:
    """Return the twist of joint i about the origin of `base` from the pose (R, p) of its link."""
    z = (R[2], R[5], R[8])
    return (cross(p, z), z) if model[i, KIND] == 0.0 else (z, ORIGIN)


@inlined
def _outwards(model: FloatArray, q: FloatArray, work: FloatArray) -> int:
    n = q.shape[0]
    for i in range(n):
        work[i, _SINE], work[i, _COSINE] = sincos_kernel(q[i] * (1.0 - model[i, KIND]))
    R, p = IDENTITY, ORIGIN
    for i in range(n):
        R, p = step_known_kernel(model, i, q[i], work[i, _SINE], work[i, _COSINE], R, p)
        row = work[i]
        v, w = joint_twist(model, i, R, p)
        row[0], row[1], row[2], row[3], row[4], row[5] = v[0], v[1], v[2], w[0], w[1], w[2]
        m, h, S = inertia_in_base(link_inertia(model, i), R, p)
        row[6], row[7], row[8], row[9] = m, h[0], h[1], h[2]
        row[10], row[11], row[12], row[13], row[14], row[15] = S
    return finite_kernel(R, p)


@inlined
def _fill(model: FloatArray, q: FloatArray, work: FloatArray, M: FloatArray) -> int:
    n = q.shape[0]
    code = _outwards(model, q, work)
    m, h, S = 0.0, ORIGIN, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for i in range(n - 1, -1, -1):
        r = work[i]
        m, h = m + r[6], add(h, (r[7], r[8], r[9]))
        S = (S[0] + r[10], S[1] + r[11], S[2] + r[12], S[3] + r[13], S[4] + r[14], S[5] + r[15])
        f, k = momentum((m, h, S), (r[0], r[1], r[2]), (r[3], r[4], r[5]))
        for j in range(i + 1):
            s = work[j]
            M[i, j] = f[0] * s[0] + f[1] * s[1] + f[2] * s[2] + k[0] * s[3] + k[1] * s[4] + k[2] * s[5]
            M[j, i] = M[i, j]
    return code


@kernel
def crba_kernel(model: FloatArray, q: FloatArray, work: FloatArray, M: FloatArray) -> int:
    """Compute the joint-space inertia matrix.

    Args:
        model: `Chain.model`.
        q: Joint positions [rad], shape (n,).
        work: Work space, see `workspace`.
        M: Filled with the symmetric matrix [kg·m²], shape (n, n).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or M.shape[0] != n or M.shape[1] != n:
        return BAD_SHAPE
    if work.shape[0] != n + 1 or work.shape[1] != WORK_COLUMNS:
        return BAD_SHAPE
    return _fill(model, q, work, M)


@kernel
def crba_batch_kernel(model: FloatArray, q: FloatArray, work: FloatArray, M: FloatArray) -> int:
    """Apply `crba_kernel` to q (m, n) and M (m, n, n); returns the greatest code."""
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[1] != n or M.shape[1] != n or M.shape[2] != n or work.shape[0] != n + 1 or work.shape[1] != WORK_COLUMNS:
        return BAD_SHAPE
    code = OK
    for k in range(q.shape[0]):
        code = max(code, _fill(model, q[k], work, M[k]))
    return code


def crba(chain: Chain, q: ArrayLike, *, limits: Limits | None = None) -> FloatArray:
    """Compute the joint-space inertia matrix.

    Args:
        chain: Arm.
        q: Joint positions [rad], shape (n,) or (m, n).
        limits: Bounds that q is held against; none if None.

    Returns:
        Inertia matrix [kg·m²], shape (n, n) or (m, n, n).

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity; names the joint.
        JointOutOfLimit: Names joint, value and bound.
    """
    (q,) = as_states(chain, limits, q=q)
    M = np.empty((*q.shape, chain.n))
    (crba_kernel if q.ndim == 1 else crba_batch_kernel)(chain.model, q, workspace(chain), M)
    return M
