"""Cartesian impedance: the tcp hangs on a spring and a damper from a set-point that moves, by joint torques.

The set-point is the guard's last command in joint space, so that every limit of the first stage is held before the law
begins; its pose, twist and acceleration are what the tcp follows. Contact may push the tcp away from it.

    tau = J' (K e + D (v_d - v)) + N (k (q_d - q) + d (dq_d - dq)) + M ddq_d + C dq + g

with the pose error e (position, rotation vector of R_d R'), its stiffness K and damping D, all along the axes of
`base`, and N, which keeps the null space's spring of a redundant arm from pushing the tcp.

Note:
    Hogan, "Impedance control" (1985); Ott, Cartesian Impedance Control of Redundant and Flexible-Joint Robots (2008),
    chapter 3; dynamically consistent null space and effective inertia: Khatib, "Inertial properties in robotic
    manipulation" (1995). Damping gives every mode of spring and inertia its ratio, after Albu-Schaeffer et al.,
    "Cartesian impedance control of redundant robots" (2003): with B = K^1/2 (J M^-1 J') K^1/2 and ratios Z it is
    `2 Z^1/2 K^1/2 B^-1/2 K^1/2 Z^1/2`, always passive, and exact where the six ratios are equal. Damping each axis by
    its own inertia would leave modes with a twentieth of the ratio. Damping against zero velocity would lag a moving
    set-point by millimetres: the set-point's velocity is fed forward, and its acceleration costs nothing beside the
    Coriolis term. Real-time: no allocation; time is bounded by `robostral.control.symmetric.SWEEPS`.
"""

import math

import numpy as np

from robostral.arm.chain import EXTRA_ROWS, Chain, FloatArray
from robostral.control.symmetric import backwards_kernel, diagonalise_kernel, factorise_kernel, forwards_kernel
from robostral.jit import kernel
from robostral.kinematics.body import workspace
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.crba import crba_kernel
from robostral.kinematics.jacobian import pose_jacobian_kernel
from robostral.kinematics.rnea import rnea_kernel
from robostral.kinematics.se3 import rotvec_from_rows_kernel
from robostral.kinematics.vector import Rot, dot

STIFFNESS, RATIO, NULL_STIFFNESS = 0, 6, 12
"""Columns of the gains: stiffness [N/m, N·m/rad] and damping ratio per axis, stiffness of the null space [N·m/rad]."""
GAINS = 13
WRENCH = 0
"""Row of the scratch that holds the commanded wrench after each call: force [N], moment [N·m] at the tcp in `base`."""
_E, _V, _PULL, _B, _U = 1, 2, 3, 4, 10
Room = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
"""Work space of the law: (work, J, M, A, scratch)."""
_FLOOR = 1e-9
"""Share of its trace added to J M^-1 J', so that its factor exists at singular poses too."""


def pack_gains(stiffness: FloatArray, ratio: FloatArray, null_stiffness: float) -> FloatArray:
    """Pack the gains of `impedance_kernel` into one array, shape (13,).

    Args:
        stiffness: Of the tcp along the axes of `base` [N/m, N·m/rad], shape (6,).
        ratio: Damping ratio of each axis [1], shape (6,); 1 does not overshoot.
        null_stiffness: Of the null space [N·m/rad]; arms of six joints have none.
    """
    return np.concatenate((stiffness, ratio, [null_stiffness])).astype(np.float64)


def impedance_workspace(chain: Chain) -> Room:
    """Allocate what `impedance_kernel` works in; one for each thread."""
    n = chain.n
    return workspace(chain), np.zeros((6, n)), np.zeros((n, n)), np.zeros((6, 6)), np.zeros((16, max(n, 6)))


@kernel
def impedance_kernel(
    model: FloatArray,
    gains: FloatArray,
    q_d: FloatArray,
    dq_d: FloatArray,
    ddq_d: FloatArray,
    q: FloatArray,
    dq: FloatArray,
    work: FloatArray,
    J: FloatArray,
    M: FloatArray,
    A: FloatArray,
    scratch: FloatArray,
    tau: FloatArray,
) -> int:
    """Compute the joint torques of one control tick.

    Args:
        model: `Chain.model`; its gravity and last link must be those of the arm with its tool.
        gains: Of `pack_gains`, shape (13,).
        q_d: Set-point [rad], shape (n,).
        dq_d: Its velocity [rad/s], shape (n,).
        ddq_d: Its acceleration [rad/s²], shape (n,).
        q: Measured positions [rad], shape (n,).
        dq: Measured velocities [rad/s], shape (n,).
        work: First of `impedance_workspace`.
        J: Second of it; holds J_aligned afterwards.
        M: Third of it.
        A: Fourth of it.
        scratch: Last of it; row `WRENCH` holds the wrench of spring and damper afterwards.
        tau: Filled with torques [N·m], shape (n,).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE; torques that are not OK are no command.
    """
    n = model.shape[0] - EXTRA_ROWS
    if gains.shape[0] != GAINS or q_d.shape[0] != n or dq_d.shape[0] != n or tau.shape[0] != n:
        return BAD_SHAPE
    code = rnea_kernel(model, q, dq, ddq_d, work, tau)
    if code != OK:
        return code
    _errors(model, q_d, dq_d, q, dq, J, scratch)
    crba_kernel(model, q, work, M)
    _mobility(M, J, A, work)
    wrench, e = scratch[WRENCH], scratch[_E]
    _damp(gains, A, scratch)
    for i in range(6):
        wrench[i] += gains[STIFFNESS + i] * e[i]
    if n > 6:
        _pull_null_space(gains[NULL_STIFFNESS], q_d, dq_d, q, dq, J, M, A, work, scratch, tau)
    probe = 0.0
    for j in range(n):
        for i in range(6):
            tau[j] += J[i, j] * wrench[i]
        probe += tau[j]
    return OK if math.isfinite(probe) else NOT_FINITE


@kernel
def _errors(
    model: FloatArray,
    q_d: FloatArray,
    dq_d: FloatArray,
    q: FloatArray,
    dq: FloatArray,
    J: FloatArray,
    scratch: FloatArray,
) -> None:
    """Fill the errors of pose and twist along the axes of `base`, and J at the measured pose."""
    e, v = scratch[_E], scratch[_V]
    R_d, p_d = pose_jacobian_kernel(model, q_d, J)
    _add_twist(J, dq_d, 1.0, 0.0, v)
    R, p = pose_jacobian_kernel(model, q, J)
    _add_twist(J, dq, -1.0, 1.0, v)
    e[0], e[1], e[2] = p_d[0] - p[0], p_d[1] - p[1], p_d[2] - p[2]
    e[3], e[4], e[5] = rotvec_from_rows_kernel(_turned(R_d, R))


@kernel
def _add_twist(J: FloatArray, dq: FloatArray, sign: float, keep: float, v: FloatArray) -> None:
    """Replace v, 6 numbers, by keep v + sign J dq."""
    for i in range(6):
        total = 0.0
        for j in range(dq.shape[0]):
            total += J[i, j] * dq[j]
        v[i] = keep * v[i] + sign * total


@kernel
def _turned(A: Rot, B: Rot) -> Rot:
    """Compute A @ B' in registers."""
    a0, a1, a2 = (A[0], A[1], A[2]), (A[3], A[4], A[5]), (A[6], A[7], A[8])
    b0, b1, b2 = (B[0], B[1], B[2]), (B[3], B[4], B[5]), (B[6], B[7], B[8])
    return (
        dot(a0, b0), dot(a0, b1), dot(a0, b2),
        dot(a1, b0), dot(a1, b1), dot(a1, b2),
        dot(a2, b0), dot(a2, b1), dot(a2, b2),
    )  # fmt: skip


@kernel
def _mobility(M: FloatArray, J: FloatArray, A: FloatArray, work: FloatArray) -> None:
    """Fill A with J M^-1 J', rows i < 6 of `work` with L^-1 J', and M with its factor L.

    A's diagonal is the inverse of the effective inertia along each axis.
    """
    n = M.shape[0]
    factorise_kernel(M)
    for i in range(6):
        for j in range(n):
            work[i, j] = J[i, j]
        forwards_kernel(M, work[i])
    trace = 0.0
    for i in range(6):
        for j in range(i + 1):
            total = 0.0
            for k in range(n):
                total += work[i, k] * work[j, k]
            A[i, j] = A[j, i] = total
        trace += A[i, i]
    for i in range(6):
        A[i, i] += _FLOOR * trace


@kernel
def _damp(gains: FloatArray, A: FloatArray, scratch: FloatArray) -> None:
    """Fill the wrench with that of the damper; A stays."""
    wrench, v, B, U = scratch[WRENCH], scratch[_V], scratch[_B:_U], scratch[_U:]
    for i in range(6):
        for j in range(i, 6):
            B[i, j] = math.sqrt(gains[STIFFNESS + i] * gains[STIFFNESS + j]) * A[i, j]
        wrench[i] = 0.0
    diagonalise_kernel(B, U, 6)
    for m in range(6):
        along = 0.0
        for i in range(6):
            along += U[m, i] * math.sqrt(gains[STIFFNESS + i] * gains[RATIO + i]) * v[i]
        along *= 2.0 / math.sqrt(max(B[m, m], _FLOOR))  # an axis without stiffness has no damping either
        for i in range(6):
            wrench[i] += U[m, i] * along
    for i in range(6):
        wrench[i] *= math.sqrt(gains[STIFFNESS + i] * gains[RATIO + i])


@kernel
def _pull_null_space(
    k: float,
    q_d: FloatArray,
    dq_d: FloatArray,
    q: FloatArray,
    dq: FloatArray,
    J: FloatArray,
    M: FloatArray,
    A: FloatArray,
    work: FloatArray,
    scratch: FloatArray,
    tau: FloatArray,
) -> None:
    """Add the pull towards `q_d` less the wrench with which it would push the tcp; A becomes its own factor."""
    n = q.shape[0]
    pull, push = scratch[_PULL], scratch[_E]
    for j in range(n):
        inertia = 1.0 / (M[j, j] * M[j, j])  # M_jj again, from its factor, whose diagonal is kept inverted
        for i in range(j):
            inertia += M[j, i] * M[j, i]
        pull[j] = k * (q_d[j] - q[j]) + 2.0 * math.sqrt(k * inertia) * (dq_d[j] - dq[j])
        tau[j] += pull[j]
    forwards_kernel(M, pull)
    for i in range(6):
        push[i] = 0.0
        for j in range(n):
            push[i] += work[i, j] * pull[j]
    factorise_kernel(A)
    forwards_kernel(A, push)
    backwards_kernel(A, push)
    for j in range(n):
        for i in range(6):
            tau[j] -= J[i, j] * push[i]
