"""The guard's second stage in torque mode: limits of torque and of its change, and a stop.

Note:
    Position mode needs none of this: its law is the identity, which `Guard.command` checks. Real-time: no allocation.
"""

import math

from robostral.arm.chain import FloatArray
from robostral.guard import table as at
from robostral.guard.table import Reason
from robostral.jit import kernel

PASSED, LIMITED, SIZE, NOT_FINITE = int(Reason.PASSED), int(Reason.LIMITED), int(Reason.SIZE), int(Reason.NOT_FINITE)


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
