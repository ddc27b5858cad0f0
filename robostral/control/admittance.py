"""Admittance on a position interface: the set-point gives way to a measured wrench like a mass on spring and damper.

Along each axis of `base`, m a + d v + k x = f: x is how far the tcp is pushed away from the pose of the reference.
With k = 0 it goes where it is led; f may be a measured wrench less a wanted one, and the tcp then seeks that wrench.

Note:
    Hogan, "Impedance control" (1985); Siciliano et al., Robotics (2009), section 9.3. Solved implicitly, so that any
    figures are stable at any rate. The set-point then goes through the guard like any other. Real-time: no allocation.
"""

import math

import numpy as np

from robostral.arm.chain import Chain, FloatArray
from robostral.jit import kernel
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.lm import ik_workspace, track_kernel
from robostral.kinematics.se3 import matrix_from_rotvec_kernel

MASS, DAMPING, STIFFNESS = range(3)
"""Rows of the gains, one column per axis of `base`: [kg, kg·m²], [N·s/m, N·m·s/rad], [N/m, N·m/rad]."""
OFFSET, VELOCITY = range(2)
"""Rows of the state: how far the tcp is pushed away [m, rad] and how fast [m/s, rad/s]."""


def admittance_gains(mass: FloatArray, stiffness: FloatArray, ratio: float = 1.0) -> FloatArray:
    """Pack gains with a damping ratio, shape (3, 6).

    Args:
        mass: Virtual mass and inertia per axis [kg, kg·m²], shape (6,).
        stiffness: Of the spring back to the reference [N/m, N·m/rad], shape (6,), above 0.
        ratio: Damping ratio [1].
    """
    return np.array([mass, 2.0 * ratio * np.sqrt(np.multiply(mass, stiffness)), stiffness])


def admittance_workspace(chain: Chain) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Allocate state and work space of `admittance_kernel`: (state, scratch, work); the state is at rest."""
    return np.zeros((2, 6)), np.zeros((7, 4)), ik_workspace(chain)


@kernel
def admittance_kernel(
    model: FloatArray,
    gains: FloatArray,
    most: FloatArray,
    wrench: FloatArray,
    q_ref: FloatArray,
    dt: float,
    state: FloatArray,
    scratch: FloatArray,
    work: FloatArray,
    q_d: FloatArray,
) -> int:
    """Compute the set-point of one control tick.

    Args:
        model: `Chain.model`.
        gains: Rows MASS, DAMPING, STIFFNESS, shape (3, 6).
        most: How far it may be pushed along each axis [m, rad], shape (6,).
        wrench: What pushes: force [N] and moment [N·m] at the tcp along the axes of `base`, shape (6,).
        q_ref: Reference that it gives way from [rad], shape (n,).
        dt: Control period [s].
        state: First of `admittance_workspace`; kept from tick to tick.
        scratch: Second of it.
        work: Third of it.
        q_d: Filled with the set-point [rad], shape (n,); the last one on entry.

    Returns:
        OK; BAD_SHAPE or NOT_FINITE, and then state and `q_d` stand as they were.
    """
    n = q_d.shape[0]
    if gains.shape != (3, 6) or state.shape != (2, 6) or wrench.shape[0] != 6 or q_ref.shape[0] != n:
        return BAD_SHAPE
    probe = 0.0
    for i in range(6):
        probe += wrench[i]
    T, R = scratch[:4], scratch[4:7, :3]
    if tcp_kernel(model, q_ref, T) != OK or not math.isfinite(probe):
        return NOT_FINITE
    for i in range(6):
        give_way(gains, most[i], wrench[i], dt, i, state)
    matrix_from_rotvec_kernel(state[OFFSET, 3:], R)
    for j in range(3):
        T[j, 3] += state[OFFSET, j]
        x, y, z = T[0, j], T[1, j], T[2, j]
        for i in range(3):
            T[i, j] = R[i, 0] * x + R[i, 1] * y + R[i, 2] * z
    track_kernel(model, T, q_ref, 1.0, work, q_d)
    return OK


@kernel
def give_way(gains: FloatArray, most: float, f: float, dt: float, i: int, state: FloatArray) -> None:
    """Move axis i on by one tick, implicitly; at its bound it rests."""
    m, d, k = gains[MASS, i], gains[DAMPING, i], gains[STIFFNESS, i]
    x, v = state[OFFSET, i], state[VELOCITY, i]
    v = (m * v + dt * (f - k * x)) / (m + dt * (d + dt * k))
    x += dt * v
    if abs(x) > most:
        x, v = math.copysign(most, x), 0.0
    state[OFFSET, i], state[VELOCITY, i] = x, v
