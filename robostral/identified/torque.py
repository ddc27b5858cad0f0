"""The torque that an identified arm needs for a motion: rigid body, rotors and friction; for feed-forward.

Note:
    Real-time: no allocation in the kernels.
"""

import numpy as np

from robostral.arm.chain import FloatArray
from robostral.identified.friction import FEATURES, friction_kernel
from robostral.jit import kernel
from robostral.kinematics.rnea import rnea_kernel


@kernel
def torque_kernel(
    model: FloatArray,
    rotor: FloatArray,
    weights: FloatArray,
    state: FloatArray,
    q: FloatArray,
    dq: FloatArray,
    ddq: FloatArray,
    work: FloatArray,
    row: FloatArray,
    friction: FloatArray,
    tau: FloatArray,
) -> int:
    """Compute the motor torques of one tick, and move the friction state on.

    Args:
        model: `Chain.model` of the identified arm.
        rotor: Rotor inertias as seen after the gear [kg·m²], shape (n,).
        weights: Friction weights, shape (n, 23).
        state: Friction state, see `robostral.identified.friction.new_state`.
        q: Joint positions [rad], shape (n,).
        dq: Joint velocities [rad/s], shape (n,).
        ddq: Joint accelerations [rad/s²], shape (n,).
        work: Work space of the dynamics kernels.
        row: Work space, shape (23,).
        friction: Filled with the part that is friction [N·m], shape (n,).
        tau: Filled with all of it [N·m], shape (n,).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE, as `rnea_kernel`.
    """
    code = rnea_kernel(model, q, dq, ddq, work, tau)
    if code != 0:
        return code
    for j in range(q.shape[0]):
        tau[j] += rotor[j] * ddq[j]
        friction[j] = abs(tau[j])
    friction_kernel(weights, state, q, dq, friction, row, friction)
    for j in range(q.shape[0]):
        tau[j] += friction[j]
    return 0


@kernel
def torque_batch_kernel(
    model: FloatArray,
    rotor: FloatArray,
    weights: FloatArray,
    state: FloatArray,
    q: FloatArray,
    dq: FloatArray,
    ddq: FloatArray,
    work: FloatArray,
    row: FloatArray,
    friction: FloatArray,
    tau: FloatArray,
) -> int:
    """Apply `torque_kernel` to rows (m, n) in order of time; returns the greatest code."""
    code = 0
    for k in range(q.shape[0]):
        code = max(
            code, torque_kernel(model, rotor, weights, state, q[k], dq[k], ddq[k], work, row, friction[k], tau[k])
        )
    return code


def scratch() -> FloatArray:
    """Allocate the work space `row` of the kernels."""
    return np.zeros(FEATURES)
