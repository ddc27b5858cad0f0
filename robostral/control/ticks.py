"""One control tick in torque mode in one kernel call: follow the chunk, guard, Cartesian impedance, guard.

The order is that of the house: `guard_reference` holds every limit of motion on the set-point, the law turns it into
torques, `guard_command` holds those of torque. What is not finite stops the arm: the set-point brakes on its path, and
the torques that held the arm last stay, less damping.
"""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import FloatArray
from robostral.contract import Impedance
from robostral.control.impedance import Room, impedance_kernel, impedance_workspace, pack_gains
from robostral.control.interpolate import follow_kernel
from robostral.guard import Guard
from robostral.guard import table as at
from robostral.guard.kernels import begin_stop, measure_kernel, reference_kernel
from robostral.guard.table import Reason
from robostral.guard.torque import energy_kernel, torque_kernel, torque_stop_kernel
from robostral.jit import kernel
from robostral.kinematics.codes import OK
from robostral.kinematics.gravity import gravity_kernel

PASSED, LIMITED, NOT_FINITE = int(Reason.PASSED), int(Reason.LIMITED), int(Reason.NOT_FINITE)
ENERGY = int(Reason.ENERGY)

STOP_DAMPING = 0.05
"""Damping of a torque-mode stop: share of each joint's torque limit per rad/s [s/rad]; ours."""


@kernel
def impedance_tick_kernel(
    model: FloatArray,
    table: FloatArray,
    state: FloatArray,
    counts: NDArray[np.int64],
    gains: FloatArray,
    q_seam: FloatArray,
    knots: FloatArray,
    dt_step: float,
    t: float,
    speed: float,
    q: FloatArray,
    dq: FloatArray,
    room: Room,
    joints: FloatArray,
    tau_c: FloatArray,
) -> int:
    """Compute the torque command of one control tick.

    Args:
        model: `Chain.model`, of the arm with its tool.
        table: Limits of the guard.
        state: State of the guard.
        counts: Its counter per `Reason`.
        gains: Of `robostral.control.impedance.pack_gains`.
        q_seam: Set-point at which the chunk was taken over [rad], shape (n,).
        knots: Set-points at the end of each chunk step [rad], shape (H, n).
        dt_step: Duration of a chunk step [s].
        t: Time in the chunk at the tick's end [s].
        speed: How fast time in the chunk advances, 1 for real time.
        q: Measured positions [rad], shape (n,).
        dq: Measured velocities [rad/s], shape (n,).
        room: Of `impedance_workspace`.
        joints: Work space, its last row zeros, shape (4, n).
        tau_c: Filled with the command [N·m], shape (n,); always finite and inside the limits.

    Returns:
        PASSED, LIMITED, or the reason of the stop under way.
    """
    q_d, tau_d, damping, still = joints[0], joints[1], joints[2], joints[3]
    measure_kernel(model, table, state, counts, q)
    follow_kernel(table, state, q_seam, knots, dt_step, t, speed, q_d)
    code = reference_kernel(model, table, state, counts, q_d)
    # The reference's acceleration is not fed forward: it jumps at seams, by more than a torque may change in a tick,
    # and a law whose torques lag behind their rate limit oscillates.
    q_c, dq_c = state[at.Q, : tau_c.shape[0]], state[at.DQ_C, : tau_c.shape[0]]
    if impedance_kernel(model, gains, q_c, dq_c, still, q, dq, *room, tau_d) != OK:
        begin_stop(model, table, state, counts, NOT_FINITE)
        _hold_on(table, state, dq, damping, tau_d, tau_c)
        return int(state[at.META, at.LATCH])
    held = energy_kernel(model, table, q, dq, room[0], room[2], damping, tau_d)
    if held == ENERGY:
        begin_stop(model, table, state, counts, ENERGY)
    held = max(held, torque_kernel(table, state, tau_d, tau_c))
    counts[LIMITED] += held == LIMITED
    return max(code, held)


@kernel
def _hold_on(
    table: FloatArray, state: FloatArray, dq: FloatArray, damping: FloatArray, tau_d: FloatArray, tau_c: FloatArray
) -> None:
    """Go on with the torques that held the arm last, less damping; `damping` and `tau_d` are work space."""
    for i in range(tau_c.shape[0]):
        damping[i] = STOP_DAMPING * table[at.TORQUE, i]
        tau_d[i] = math.nan
    torque_stop_kernel(table, state, damping, dq, tau_d, tau_c)


class ImpedanceTick:
    """The kernel with its gains and its work space, for one arm and one guard.

    Args:
        guard: Guard of the arm; its chain must be that of the arm with its tool, under the gravity of its base.
        impedance: The law's figures, as the contract has them.

    Attributes:
        wrench: View of what spring and damper last commanded: force [N], moment [N·m] at the tcp in `base`, shape (6,).

    Note:
        Real-time: no exception, no allocation beyond Python's own call.
    """

    def __init__(self, guard: Guard, impedance: Impedance) -> None:
        stiffness, ratio = np.array(impedance.stiffness), np.array(impedance.damping_ratio)
        self._guard, self._gains = guard, pack_gains(stiffness, ratio, impedance.null_stiffness)
        self._room, self._joints = impedance_workspace(guard.chain), np.zeros((4, guard.chain.n))
        self.wrench = self._room[-1][0, :6]

    def reset(self, q: FloatArray) -> int:
        """Begin at rest in the measured pose `q` [rad], shape (n,), held against gravity; return the guard's answer."""
        gravity_kernel(self._guard.chain.model, q, self._room[0], self._joints[1])
        self._guard.reset_torque(self._joints[1])
        return self._guard.reset(q)

    def __call__(
        self,
        q_seam: FloatArray,
        knots: FloatArray,
        dt_step: float,
        t: float,
        q: FloatArray,
        dq: FloatArray,
        tau_c: FloatArray,
        speed: float = 1.0,
    ) -> int:
        """Fill `tau_c` [N·m], shape (n,), for the tick that ends at `t`; see `impedance_tick_kernel`."""
        guard = self._guard
        return int(
            impedance_tick_kernel(
                *guard.tables, self._gains, q_seam, knots, dt_step, t, speed, q, dq, self._room, self._joints, tau_c
            )
        )
