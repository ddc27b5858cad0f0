"""The guard's second stage in torque mode: limits of torque, of its change and of kinetic energy, and a stop.

Note:
    Energy: a control barrier function, power <= rate (greatest energy - energy), as in arXiv 2411.02186.
    Position mode needs none of this: its law is the identity, which `Guard.command` checks. Real-time: no allocation.
"""

import math

from robostral.arm.chain import FloatArray
from robostral.guard import table as at
from robostral.guard.table import Reason
from robostral.jit import kernel
from robostral.kinematics.codes import OK
from robostral.kinematics.crba import crba_kernel
from robostral.kinematics.gravity import gravity_kernel

PASSED, LIMITED, SIZE, NOT_FINITE = int(Reason.PASSED), int(Reason.LIMITED), int(Reason.SIZE), int(Reason.NOT_FINITE)
ENERGY = int(Reason.ENERGY)

ENERGY_RATE = 20.0
"""How fast the arm may use up what is left to its greatest kinetic energy [1/s]."""
ENERGY_EXCESS = 1.1
"""Share of the greatest kinetic energy from which on the arm stops: until then its torques only brake it."""


@kernel
def torque_kernel(table: FloatArray, state: FloatArray, tau_d: FloatArray, tau_c: FloatArray) -> int:
    """Take one torque command: pass it, or bring it inside torque and torque-rate limits; reject what is not finite.

    Args:
        table: Limits of `pack_limits`.
        state: State of `new_state`; row `TAU_C` holds the last torque command.
        tau_d: Wanted torques [N·m], shape (n,).
        tau_c: Filled with the command [N·m], shape (n,); untouched after a reject.

    Returns:
        PASSED, LIMITED, SIZE or NOT_FINITE.
    """
    n = tau_c.shape[0]
    if tau_d.shape[0] != n:
        return SIZE
    for i in range(n):
        if not math.isfinite(tau_d[i]):
            return NOT_FINITE
    code = PASSED
    for i in range(n):
        most, change, last = table[at.TORQUE, i], table[at.TORQUE_STEP, i], state[at.TAU_C, i]
        tau = min(max(tau_d[i], -most, last - change), most, last + change)
        if tau != tau_d[i]:
            code = LIMITED
        tau_c[i] = state[at.TAU_C, i] = tau
    return code


@kernel
def torque_stop_kernel(
    table: FloatArray, state: FloatArray, damping: FloatArray, dq: FloatArray, tau_hold: FloatArray, tau_c: FloatArray
) -> int:
    """Compute the next torque of a stop: what holds the arm against gravity, less damping times velocity, limited.

    Args:
        table: Limits of `pack_limits`.
        state: State of `new_state`.
        damping: Gains [N·m·s/rad], shape (n,).
        dq: Measured velocities [rad/s], shape (n,); one that is not finite counts as zero.
        tau_hold: Torques that hold the arm at rest (gravity) [N·m], shape (n,); not finite: the last command is kept.
        tau_c: Filled with the command [N·m], shape (n,); always finite and inside the limits.

    Returns:
        PASSED, or LIMITED.
    """
    for i in range(tau_c.shape[0]):
        hold = tau_hold[i] if math.isfinite(tau_hold[i]) else state[at.TAU_C, i]
        rate = dq[i] if math.isfinite(dq[i]) else 0.0
        tau_c[i] = min(max(hold - damping[i] * rate, -table[at.TORQUE, i]), table[at.TORQUE, i])
    return torque_kernel(table, state, tau_c, tau_c)


@kernel
def energy_kernel(
    model: FloatArray,
    table: FloatArray,
    q: FloatArray,
    dq: FloatArray,
    work: FloatArray,
    M: FloatArray,
    hold: FloatArray,
    tau_d: FloatArray,
) -> int:
    """Take from wanted torques what would bring the arm beyond its kinetic energy.

    What is taken slows all joints down in proportion to their speeds: it is a multiple of the momentum M dq.

    Args:
        model: `Chain.model`, of the arm with its tool.
        table: Limits of `pack_limits`.
        q: Measured positions [rad], shape (n,).
        dq: Measured velocities [rad/s], shape (n,).
        work: Work space of `robostral.kinematics.body.workspace`.
        M: Work space, shape (n, n).
        hold: Work space, shape (n,).
        tau_d: Wanted torques [N·m], shape (n,); changed as little as the limit asks.

    Returns:
        PASSED, LIMITED, or ENERGY: beyond the limit by more than a moment explains, the arm has to stop.
    """
    most = table[at.FIGURE, at.ENERGY]
    if not math.isfinite(most):
        return PASSED
    n = tau_d.shape[0]
    if crba_kernel(model, q, work, M) != OK or gravity_kernel(model, q, work, hold) != OK:
        return ENERGY
    twice, power = 0.0, 0.0
    for i in range(n):
        power += dq[i] * (tau_d[i] - hold[i])
        hold[i] = 0.0
        for j in range(n):
            hold[i] += M[i, j] * dq[j]
        twice += dq[i] * hold[i]
    code, allowed = PASSED, ENERGY_RATE * (most - 0.5 * twice)
    if power > allowed:
        code = LIMITED
        for i in range(n):
            tau_d[i] -= (power - allowed) / twice * hold[i]
    return code if 0.5 * twice <= ENERGY_EXCESS * most else ENERGY
