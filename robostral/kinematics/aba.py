"""Forward dynamics by the articulated-body algorithm: the acceleration that torques cause.

Note:
    Featherstone, Rigid Body Dynamics Algorithms (2008), section 7.3, with every quantity in the axes and about the
    origin of `base`: there articulated inertias are plain sums. Real-time: no allocation.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from robostral.arm.chain import EXTRA_ROWS, POS, Chain, FloatArray
from robostral.arm.limits import Limits
from robostral.jit import inlined, kernel
from robostral.kinematics.body import WORK_COLUMNS, inertia_in_base, link_inertia, momentum, workspace
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.crba import joint_twist
from robostral.kinematics.fk import step_kernel
from robostral.kinematics.validate import as_states
from robostral.kinematics.vector import IDENTITY, ORIGIN, Vec, add, cross, scale

# Columns of the work space, spatial vectors linear part first: joint twist s, velocity product c, bias wrench b,
# U = A s, then u = tau - s.b and 1 / (s.U), then the articulated inertia A row by row.
_S, _C, _B, _U, _u, _D, _A = 0, 6, 12, 18, 24, 25, 26


@inlined
def _store(row: FloatArray, at: int, linear: Vec, angular: Vec) -> None:
    row[at], row[at + 1], row[at + 2] = linear
    row[at + 3], row[at + 4], row[at + 5] = angular


@inlined
def _outwards(model: FloatArray, q: FloatArray, dq: FloatArray, work: FloatArray) -> None:
    R, p, v, w = IDENTITY, ORIGIN, ORIGIN, ORIGIN
    for i in range(q.shape[0]):
        R, p = step_kernel(model, i, q[i], R, p)
        row = work[i]
        s_v, s_w = joint_twist(model, i, R, p)
        d_v, d_w = scale(dq[i], s_v), scale(dq[i], s_w)
        _store(row, _S, s_v, s_w)
        _store(row, _C, add(cross(w, d_v), cross(v, d_w)), cross(w, d_w))
        v, w = add(v, d_v), add(w, d_w)
        body = inertia_in_base(link_inertia(model, i), R, p)
        f, k = momentum(body, v, w)
        _store(row, _B, cross(w, f), add(cross(w, k), cross(v, f)))
        m, h, S = body
        A = row[_A:]
        A[0], A[1], A[2], A[3], A[4], A[5] = m, 0.0, 0.0, 0.0, h[2], -h[1]
        A[6], A[7], A[8], A[9], A[10], A[11] = 0.0, m, 0.0, -h[2], 0.0, h[0]
        A[12], A[13], A[14], A[15], A[16], A[17] = 0.0, 0.0, m, h[1], -h[0], 0.0
        A[18], A[19], A[20], A[21], A[22], A[23] = 0.0, -h[2], h[1], S[0], S[1], S[2]
        A[24], A[25], A[26], A[27], A[28], A[29] = h[2], 0.0, -h[0], S[1], S[3], S[4]
        A[30], A[31], A[32], A[33], A[34], A[35] = -h[1], h[0], 0.0, S[2], S[4], S[5]


@inlined
def _inwards(tau: FloatArray, work: FloatArray) -> None:
    for i in range(tau.shape[0] - 1, -1, -1):
        row = work[i]
        s, c, b, U, A = row[_S:_C], row[_C:_B], row[_B:_U], row[_U:_u], row[_A:]
        inertia, u = 0.0, tau[i]
        for j in range(6):
            U[j] = 0.0
            for k in range(6):
                U[j] += A[6 * j + k] * s[k]
            inertia += s[j] * U[j]
            u -= s[j] * b[j]
        row[_u], row[_D] = u, 1.0 / inertia
        if i == 0:
            break
        b_parent, A_parent = work[i - 1, _B:_U], work[i - 1, _A:]
        for j in range(6):
            share, bias = U[j] * row[_D], b[j]
            for k in range(6):
                entry = A[6 * j + k] - share * U[k]
                A_parent[6 * j + k] += entry
                bias += entry * c[k]
            b_parent[j] += bias + share * u


@kernel
def aba_kernel(
    model: FloatArray, q: FloatArray, dq: FloatArray, tau: FloatArray, work: FloatArray, ddq: FloatArray
) -> int:
    """Compute the joint accelerations that torques cause, gravity included.

    Args:
        model: `Chain.model`.
        q: Joint positions [rad], shape (n,).
        dq: Joint velocities [rad/s], shape (n,).
        tau: Torques [N·m], shape (n,).
        work: Work space, see `workspace`.
        ddq: Filled with accelerations [rad/s²], shape (n,).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE (also where a joint moves no mass).
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or dq.shape[0] != n or tau.shape[0] != n or ddq.shape[0] != n:
        return BAD_SHAPE
    if work.shape[0] != n + 1 or work.shape[1] != WORK_COLUMNS:
        return BAD_SHAPE
    _outwards(model, q, dq, work)
    _inwards(tau, work)
    a0, a1, a2 = -model[n + 2, POS], -model[n + 2, POS + 1], -model[n + 2, POS + 2]
    a3, a4, a5, probe = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        row = work[i]
        c, U, s = row[_C:], row[_U:], row[_S:]
        a0, a1, a2, a3, a4, a5 = a0 + c[0], a1 + c[1], a2 + c[2], a3 + c[3], a4 + c[4], a5 + c[5]
        pull = U[0] * a0 + U[1] * a1 + U[2] * a2 + U[3] * a3 + U[4] * a4 + U[5] * a5
        x = (row[_u] - pull) * row[_D]
        a0, a1, a2 = a0 + x * s[0], a1 + x * s[1], a2 + x * s[2]
        a3, a4, a5 = a3 + x * s[3], a4 + x * s[4], a5 + x * s[5]
        ddq[i] = x
        probe += x
    return OK if math.isfinite(probe) else NOT_FINITE


@kernel
def aba_batch_kernel(
    model: FloatArray, q: FloatArray, dq: FloatArray, tau: FloatArray, work: FloatArray, ddq: FloatArray
) -> int:
    """Apply `aba_kernel` to every row of arrays of shape (m, n); returns the greatest code."""
    code = OK
    for k in range(q.shape[0]):
        code = max(code, aba_kernel(model, q[k], dq[k], tau[k], work, ddq[k]))
    return code


def aba(chain: Chain, q: ArrayLike, dq: ArrayLike, tau: ArrayLike, *, limits: Limits | None = None) -> FloatArray:
    """Compute the joint accelerations that torques cause, gravity included.

    Args:
        chain: Arm.
        q: Joint positions [rad], shape (n,) or (m, n).
        dq: Joint velocities [rad/s], same shape.
        tau: Torques [N·m], same shape.
        limits: Bounds that q is held against; none if None.

    Returns:
        Accelerations [rad/s²], same shape.

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity; names the joint.
        JointOutOfLimit: Names joint, value and bound.
    """
    q, dq, tau = as_states(chain, limits, q=q, dq=dq, tau=tau)
    ddq = np.empty(q.shape)
    (aba_kernel if q.ndim == 1 else aba_batch_kernel)(chain.model, q, dq, tau, workspace(chain), ddq)
    return ddq
