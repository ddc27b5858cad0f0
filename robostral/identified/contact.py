"""External torque and contact from what the joints measure: causal filters, thresholds with a known false-alarm rate.

All signals pass the same low-pass, so that model and measurement are equally late, and the acceleration is that
filter's own derivative.

Note:
    The model-based residual of De Luca, Albu-Schäffer, Haddadin, Hirzinger, "Collision detection and safe reaction with
    the DLR-III lightweight manipulator arm" (2006), with measured motion in place of the momentum integral.
    Real-time: no allocation.
"""

import math

import numpy as np

from robostral.arm.chain import FloatArray
from robostral.identified.friction import friction_kernel
from robostral.jit import kernel
from robostral.kinematics.rnea import rnea_kernel

CORNER_HZ = 8.0
"""Corner of each of the two equal low-pass stages: 20 ms late each."""
HOLD_S = 0.01
"""A threshold counts as passed after this time beyond it."""
COUNT, QUIET = 6, 10
"""Columns of the ticks beyond the threshold, and of the last load. Before them: first and second stage of position,
velocity, and torque less friction; between them: position, velocity and friction as late as the torque channel."""
COLUMNS = 11


def new_filter(n: int) -> FloatArray:
    """Return filter states that take the next sample as what has always been, shape (n, 11)."""
    state = np.zeros((n, COLUMNS))
    state[:, 0] = np.nan
    return state


@kernel
def filter_kernel(
    filters: FloatArray, lag: float, dt: float, q: FloatArray, dq: FloatArray, tau: FloatArray, motion: FloatArray
) -> None:
    """Move the filters on by one tick, and fill `motion` with filtered q, dq, ddq; its row 3 holds the friction."""
    gain = 1.0 - math.exp(-2.0 * math.pi * CORNER_HZ * dt)
    late = 1.0 - math.exp(-dt / lag) if lag > 0.0 else 1.0
    for j in range(q.shape[0]):
        f, friction = filters[j], motion[3, j]
        if not math.isfinite(f[0]):
            f[0], f[1], f[2], f[3], f[4], f[5] = q[j], q[j], dq[j], dq[j], tau[j] - friction, tau[j] - friction
            f[6], f[7], f[8], f[9] = 0.0, q[j], dq[j], friction
        last = f[3]
        f[7] += late * (q[j] - f[7])
        f[8] += late * (dq[j] - f[8])
        f[9] += late * (friction - f[9])
        f[0] += gain * (f[7] - f[0])
        f[1] += gain * (f[0] - f[1])
        f[2] += gain * (f[8] - f[2])
        f[3] += gain * (f[2] - f[3])
        f[4] += gain * (tau[j] - f[9] - f[4])
        f[5] += gain * (f[4] - f[5])
        motion[0, j], motion[1, j], motion[2, j] = f[1], f[3], (f[3] - last) / dt


@kernel
def contact_kernel(
    model: FloatArray,
    rotor: FloatArray,
    weights: FloatArray,
    friction_state: FloatArray,
    filters: FloatArray,
    threshold: FloatArray,
    lag: float,
    dt: float,
    q: FloatArray,
    dq: FloatArray,
    tau: FloatArray,
    motion: FloatArray,
    work: FloatArray,
    row: FloatArray,
    tau_ext: FloatArray,
) -> int:
    """Estimate the external torque at one tick, and tell whether something touches the arm.

    Friction turns with the sign of the velocity as measured; filtered first, it would turn late.

    Args:
        model: `Chain.model` of the identified arm.
        rotor: Rotor inertias [kg·m²], shape (n,).
        weights: Friction weights, shape (n, 23).
        friction_state: State of the friction model, shape (n, 6).
        filters: State of the filters, shape (n, 11), see `new_filter`.
        threshold: Torque that free motion does not reach [N·m], shape (n,).
        lag: How late the torque channel is [s].
        dt: Control period [s].
        q: Measured position [rad], shape (n,).
        dq: Measured velocity [rad/s], shape (n,).
        tau: Measured motor torque [N·m], shape (n,).
        motion: Work space, shape (5, n); left with filtered q, dq, ddq, with friction and rigid-body torque.
        work: Work space of the dynamics kernels.
        row: Work space, shape (23,).
        tau_ext: Filled with the torque that something outside exerts on the arm [N·m], shape (n,).

    Returns:
        Index of the joint that feels a contact, -1 for none, -2 if a number is not finite.
    """
    n = q.shape[0]
    for j in range(n):
        motion[4, j] = filters[j, QUIET]
    friction_kernel(weights, friction_state, q, dq, motion[4], row, motion[3])
    filter_kernel(filters, lag, dt, q, dq, tau, motion)
    if rnea_kernel(model, motion[0], motion[1], motion[2], work, motion[4]) != 0:
        return -2
    for j in range(n):
        motion[4, j] += rotor[j] * motion[2, j]
        filters[j, QUIET] = abs(motion[4, j])
        tau_ext[j] = motion[4, j] - filters[j, 5]
    return _touched(filters, threshold, dt, tau_ext)


@kernel
def _touched(filters: FloatArray, threshold: FloatArray, dt: float, tau_ext: FloatArray) -> int:
    """Count for how long each joint's external torque is beyond its threshold; answer as `contact_kernel` does."""
    touched, worst = -1, 0.0
    for j in range(tau_ext.shape[0]):
        share = abs(tau_ext[j]) / threshold[j]
        filters[j, COUNT] = filters[j, COUNT] + 1.0 if share > 1.0 else 0.0
        if filters[j, COUNT] * dt >= HOLD_S and share > worst:
            touched, worst = j, share
        if not math.isfinite(tau_ext[j]):
            return -2
    return touched


@kernel
def contact_batch_kernel(
    model: FloatArray,
    rotor: FloatArray,
    weights: FloatArray,
    friction_state: FloatArray,
    filters: FloatArray,
    threshold: FloatArray,
    lag: float,
    dt: float,
    q: FloatArray,
    dq: FloatArray,
    tau: FloatArray,
    motion: FloatArray,
    work: FloatArray,
    row: FloatArray,
    tau_ext: FloatArray,
    touched: FloatArray,
) -> None:
    """Apply `contact_kernel` to rows (m, n) in order of time; fills `tau_ext` (m, n) and the answers, shape (m,)."""
    for k in range(q.shape[0]):
        touched[k] = contact_kernel(
            model, rotor, weights, friction_state, filters, threshold, lag, dt,
            q[k], dq[k], tau[k], motion, work, row, tau_ext[k],
        )  # fmt: skip
