"""Joint impedance: each joint hangs on a spring and a damper from its set-point, over a model fed forward.

    tau = k (q_d - q) + d (dq_d - dq) + M ddq_d + C dq + g + friction

The model takes over what is known (gravity, Coriolis, the inertia of the wanted acceleration, friction), so that the
spring holds only what is not.

Note:
    Siciliano et al., Robotics (2009), section 8.5. Friction is fed forward at the wanted velocity: at the measured one
    its sign would chatter at rest. Real-time: no allocation.
"""

import math

import numpy as np

from robostral.arm.chain import Chain, FloatArray
from robostral.jit import kernel
from robostral.kinematics.body import workspace
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.crba import crba_kernel
from robostral.kinematics.rnea import rnea_kernel

SMOOTHING = 0.02
"""Speed [rad/s] over which Coulomb friction changes its sign."""


def joint_damping(chain: Chain, q: FloatArray, stiffness: FloatArray, ratio: float = 1.0) -> FloatArray:
    """Compute the damping [N·m·s/rad], shape (n,), that gives each joint by itself a damping ratio.

    Args:
        chain: The arm.
        q: Where, as the inertia depends on it [rad], shape (n,).
        stiffness: Of the joints' springs [N·m/rad], shape (n,).
        ratio: Damping ratio [1]; 1 does not overshoot.
    """
    M = np.zeros((chain.n, chain.n))
    crba_kernel(chain.model, np.array(q, dtype=np.float64), workspace(chain), M)
    return np.asarray(2.0 * ratio * np.sqrt(stiffness * np.diag(M)))


@kernel
def joint_impedance_kernel(
    model: FloatArray,
    stiffness: FloatArray,
    damping: FloatArray,
    q_d: FloatArray,
    dq_d: FloatArray,
    ddq_d: FloatArray,
    q: FloatArray,
    dq: FloatArray,
    friction: FloatArray,
    work: FloatArray,
    tau: FloatArray,
) -> int:
    """Compute the joint torques of one control tick.

    Args:
        model: `Chain.model`, of the arm with its tool.
        stiffness: Of the joints' springs [N·m/rad], shape (n,).
        damping: Of the joints' dampers [N·m·s/rad], shape (n,).
        q_d: Set-point [rad], shape (n,).
        dq_d: Its velocity [rad/s], shape (n,).
        ddq_d: Its acceleration [rad/s²], shape (n,).
        q: Measured positions [rad], shape (n,).
        dq: Measured velocities [rad/s], shape (n,).
        friction: Fed forward [N·m], shape (n,): of `friction_kernel`, of an identified arm, or zero.
        work: Work space of `robostral.kinematics.body.workspace`.
        tau: Filled with torques [N·m], shape (n,).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE; torques that are not OK are no command.
    """
    n = tau.shape[0]
    if stiffness.shape[0] != n or damping.shape[0] != n or q_d.shape[0] != n or dq_d.shape[0] != n:
        return BAD_SHAPE
    if friction.shape[0] != n:
        return BAD_SHAPE
    code = rnea_kernel(model, q, dq, ddq_d, work, tau)
    if code != OK:
        return code
    probe = 0.0
    for i in range(n):
        tau[i] += stiffness[i] * (q_d[i] - q[i]) + damping[i] * (dq_d[i] - dq[i]) + friction[i]
        probe += tau[i]
    return OK if math.isfinite(probe) else NOT_FINITE


@kernel
def friction_kernel(coulomb: FloatArray, viscous: FloatArray, dq_d: FloatArray, friction: FloatArray) -> None:
    """Compute the friction of a motion at `dq_d`, for feed-forward.

    Args:
        coulomb: Coulomb friction [N·m], shape (n,).
        viscous: Viscous friction [N·m·s/rad], shape (n,).
        dq_d: Wanted velocity [rad/s], shape (n,).
        friction: Filled [N·m], shape (n,).
    """
    for i in range(friction.shape[0]):
        friction[i] = coulomb[i] * math.tanh(dq_d[i] / SMOOTHING) + viscous[i] * dq_d[i]
