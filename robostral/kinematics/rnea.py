"""Inverse dynamics by the recursive Newton-Euler algorithm: the torques of a motion.

Note:
    Luh, Walker, Paul, "On-line computational scheme for mechanical manipulators" (1980); Featherstone, Rigid Body
    Dynamics Algorithms (2008), section 5.3. Every quantity lives in its link's frame. Real-time: no allocation.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from robostral.arm.chain import EXTRA_ROWS, KIND, POS, ROT, TURN, Chain, FloatArray
from robostral.arm.limits import Limits
from robostral.jit import inlined, kernel
from robostral.kinematics.body import WORK_COLUMNS, link_inertia, workspace, wrench
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.validate import as_states
from robostral.kinematics.vector import ORIGIN, Rot, Vec, add, cross, rotate, rotate_back, sincos_kernel

# Columns of the work space, row i + 1 for link i: sine, cosine, origin in the link before it, force, moment.
_SINE, _COSINE, _P, _F, _N = 0, 1, 2, 5, 8


@inlined
def _fixed_rotation(model: FloatArray, i: int) -> Rot:
    m = model[i]
    return m[ROT], m[ROT + 1], m[ROT + 2], m[ROT + 3], m[ROT + 4], m[ROT + 5], m[ROT + 6], m[ROT + 7], m[ROT + 8]


@inlined
def _into_link(model: FloatArray, i: int, sine: float, cosine: float, v: Vec) -> Vec:
    """Turn a vector from the axes of link i-1 into those of link i."""
    turn = model[i, TURN]
    if turn == 0.0:
        x, y, z = v
    elif turn != 2.0:
        x, y, z = v[0], turn * v[2], -turn * v[1]
    else:
        x, y, z = rotate_back(_fixed_rotation(model, i), v)
    return cosine * x + sine * y, cosine * y - sine * x, z


@inlined
def _out_of_link(model: FloatArray, i: int, sine: float, cosine: float, v: Vec) -> Vec:
    """Turn a vector from the axes of link i into those of link i-1."""
    x, y, z = cosine * v[0] - sine * v[1], sine * v[0] + cosine * v[1], v[2]
    turn = model[i, TURN]
    if turn == 0.0:
        return x, y, z
    if turn != 2.0:
        return x, -turn * z, turn * y
    return rotate(_fixed_rotation(model, i), (x, y, z))


@inlined
def _load(row: FloatArray, at: int) -> Vec:
    return row[at], row[at + 1], row[at + 2]


@inlined
def _store(row: FloatArray, at: int, v: Vec) -> None:
    row[at], row[at + 1], row[at + 2] = v


@inlined
def link_motion(
    model: FloatArray,
    i: int,
    q_i: float,
    dq_i: float,
    ddq_i: float,
    sine: float,
    cosine: float,
    w: Vec,
    al: Vec,
    a: Vec,
) -> tuple[Vec, Vec, Vec, Vec]:
    """Compute the motion of link i, in its own axes, from that of link i-1.

    Returns:
        Origin in link i-1 [m], angular velocity, angular acceleration, acceleration of the origin.
    """
    sliding = model[i, KIND]
    slide = sliding * q_i
    p = (
        model[i, POS] + slide * model[i, ROT + 2],
        model[i, POS + 1] + slide * model[i, ROT + 5],
        model[i, POS + 2] + slide * model[i, ROT + 8],
    )
    a = _into_link(model, i, sine, cosine, add(a, add(cross(al, p), cross(w, cross(w, p)))))
    w, al = _into_link(model, i, sine, cosine, w), _into_link(model, i, sine, cosine, al)
    speed = sliding * dq_i
    a = add(a, (2.0 * w[1] * speed, -2.0 * w[0] * speed, sliding * ddq_i))
    speed = dq_i - speed
    al = add(al, (w[1] * speed, -w[0] * speed, (1.0 - sliding) * ddq_i))
    return p, (w[0], w[1], w[2] + speed), al, a


@inlined
def _outwards(model: FloatArray, q: FloatArray, dq: FloatArray, ddq: FloatArray, work: FloatArray) -> None:
    """Leave in the work space what moves each link alone."""
    n = q.shape[0]
    for i in range(n):
        work[i + 1, _SINE], work[i + 1, _COSINE] = sincos_kernel(q[i] * (1.0 - model[i, KIND]))
    w, al, a = ORIGIN, ORIGIN, (-model[n + 2, POS], -model[n + 2, POS + 1], -model[n + 2, POS + 2])
    for i in range(n):
        row = work[i + 1]
        p, w, al, a = link_motion(model, i, q[i], dq[i], ddq[i], row[_SINE], row[_COSINE], w, al, a)
        force, moment = wrench(link_inertia(model, i), w, al, a)
        _store(row, _P, p)
        _store(row, _F, force)
        _store(row, _N, moment)


@kernel
def rnea_kernel(
    model: FloatArray, q: FloatArray, dq: FloatArray, ddq: FloatArray, work: FloatArray, tau: FloatArray
) -> int:
    """Compute the joint torques of a motion, gravity included.

    Args:
        model: `Chain.model`.
        q: Joint positions [rad], shape (n,).
        dq: Joint velocities [rad/s], shape (n,).
        ddq: Joint accelerations [rad/s²], shape (n,).
        work: Work space, see `workspace`.
        tau: Filled with torques [N·m], shape (n,).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or dq.shape[0] != n or ddq.shape[0] != n or tau.shape[0] != n:
        return BAD_SHAPE
    if work.shape[0] != n + 1 or work.shape[1] != WORK_COLUMNS:
        return BAD_SHAPE
    _outwards(model, q, dq, ddq, work)
    force, moment = ORIGIN, ORIGIN
    for i in range(n - 1, -1, -1):
        row = work[i + 1]
        force, moment = add(force, _load(row, _F)), add(moment, _load(row, _N))
        tau[i] = moment[2] if model[i, KIND] == 0.0 else force[2]
        force = _out_of_link(model, i, row[_SINE], row[_COSINE], force)
        moment = add(_out_of_link(model, i, row[_SINE], row[_COSINE], moment), cross(_load(row, _P), force))
    # A NaN anywhere reaches the wrench on the base.
    return OK if math.isfinite(force[0] + force[1] + force[2] + moment[0] + moment[1] + moment[2]) else NOT_FINITE


@kernel
def rnea_batch_kernel(
    model: FloatArray, q: FloatArray, dq: FloatArray, ddq: FloatArray, work: FloatArray, tau: FloatArray
) -> int:
    """Apply `rnea_kernel` to every row of arrays of shape (m, n); returns the greatest code."""
    code = OK
    for k in range(q.shape[0]):
        code = max(code, rnea_kernel(model, q[k], dq[k], ddq[k], work, tau[k]))
    return code


def rnea(chain: Chain, q: ArrayLike, dq: ArrayLike, ddq: ArrayLike, *, limits: Limits | None = None) -> FloatArray:
    """Compute the joint torques of a motion, gravity included.

    Args:
        chain: Arm.
        q: Joint positions [rad], shape (n,) or (m, n).
        dq: Joint velocities [rad/s], same shape.
        ddq: Joint accelerations [rad/s²], same shape.
        limits: Bounds that q is held against; none if None.

    Returns:
        Torques [N·m], same shape.

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity; names the joint.
        JointOutOfLimit: Names joint, value and bound.
    """
    q, dq, ddq = as_states(chain, limits, q=q, dq=dq, ddq=ddq)
    tau = np.empty(q.shape)
    (rnea_kernel if q.ndim == 1 else rnea_batch_kernel)(chain.model, q, dq, ddq, workspace(chain), tau)
    return tau
