"""Rigid bodies in registers: a link's inertia, its motion and the wrench that moves it.

An inertia is mass, first moment (mass times centre of mass) and the matrix about the frame's origin: linear in all of
them, which is what identification needs, and summable.

Note:
    Featherstone, Rigid Body Dynamics Algorithms (2008), chapter 2.
"""

import numpy as np

from robostral.arm.chain import COM, INERTIA, MASS, Chain, FloatArray
from robostral.jit import inlined
from robostral.kinematics.vector import Rot, Vec, add, cross, dot, rotate, scale, symmetric

Sym = tuple[float, float, float, float, float, float]
Inertia = tuple[float, Vec, Sym]
"""Mass [kg], first moment [kg·m], matrix about the origin xx, xy, xz, yy, yz, zz [kg·m²]."""

WORK_COLUMNS = 64


def workspace(chain: Chain) -> FloatArray:
    """Allocate the work space of the dynamics kernels, shape (n + 1, 64); one for each thread."""
    return np.zeros((chain.n + 1, WORK_COLUMNS))


@inlined
def link_inertia(model: FloatArray, i: int) -> Inertia:
    """Read the inertia of link i, in its own frame."""
    m = model[i]
    matrix = (m[INERTIA], m[INERTIA + 1], m[INERTIA + 2], m[INERTIA + 3], m[INERTIA + 4], m[INERTIA + 5])
    return m[MASS], (m[COM], m[COM + 1], m[COM + 2]), matrix


@inlined
def wrench(body: Inertia, w: Vec, al: Vec, a: Vec) -> tuple[Vec, Vec]:
    """Compute force and moment that move a body: angular velocity, angular acceleration, acceleration of the origin."""
    m, h, matrix = body
    force = add(scale(m, a), add(cross(al, h), cross(w, cross(w, h))))
    moment = add(symmetric(matrix, al), add(cross(w, symmetric(matrix, w)), cross(h, a)))
    return force, moment


@inlined
def momentum(body: Inertia, v: Vec, w: Vec) -> tuple[Vec, Vec]:
    """Compute linear and angular momentum from the velocity of the origin and the angular velocity."""
    m, h, matrix = body
    return add(scale(m, v), cross(w, h)), add(symmetric(matrix, w), cross(h, v))


@inlined
def inertia_in_base(body: Inertia, R: Rot, p: Vec) -> Inertia:
    """Move an inertia from a link frame at pose (R, p) to the axes and origin of `base`."""
    m, h_link, S = body
    h = rotate(R, h_link)
    x = symmetric(S, (R[0], R[1], R[2]))
    y = symmetric(S, (R[3], R[4], R[5]))
    xx, xy, xz = dot(x, (R[0], R[1], R[2])), dot(x, (R[3], R[4], R[5])), dot(x, (R[6], R[7], R[8]))
    yy, yz = dot(y, (R[3], R[4], R[5])), dot(y, (R[6], R[7], R[8]))
    zz = S[0] + S[3] + S[5] - xx - yy  # the trace stays
    # About the new origin: with g = m p / 2 + h, the matrix grows by 2 (p.g 1) - p g' - g p'.
    g = add(scale(0.5 * m, p), h)
    gx, gy, gz = g[0] * p[0], g[1] * p[1], g[2] * p[2]
    matrix = (
        xx + 2.0 * (gy + gz), xy - g[0] * p[1] - g[1] * p[0], xz - g[0] * p[2] - g[2] * p[0],
        yy + 2.0 * (gx + gz), yz - g[1] * p[2] - g[2] * p[1], zz + 2.0 * (gx + gy),
    )  # fmt: skip
    return m, add(h, scale(m, p)), matrix
