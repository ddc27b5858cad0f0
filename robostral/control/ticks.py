"""One control tick in torque mode in one kernel call: follow the chunk, guard, Cartesian impedance, guard.

The order is that of the house: `guard_reference` holds every limit of motion on the set-point, the law turns it into
torques, `guard_command` holds those of torque.
"""

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import FloatArray
from robostral.contract import Impedance
from robostral.control.impedance import Room
from robostral.control.interpolate import follow_kernel
from robostral.control.law import Friction, TorqueLaw, torque_law_kernel
from robostral.guard import Guard
from robostral.guard.kernels import measure_kernel, reference_kernel
from robostral.jit import kernel


@kernel
def impedance_tick_kernel(
    model: FloatArray,
    table: FloatArray,
    state: FloatArray,
    counts: NDArray[np.int64],
    q_seam: FloatArray,
    knots: FloatArray,
    dt_step: float,
    t: float,
    speed: float,
    q: FloatArray,
    dq: FloatArray,
    gains: FloatArray,
    friction: Friction,
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
        q_seam: Set-point at which the chunk was taken over [rad], shape (n,).
        knots: Set-points at the end of each chunk step [rad], shape (H, n).
        dt_step: Duration of a chunk step [s].
        t: Time in the chunk at the tick's end [s].
        speed: How fast time in the chunk advances, 1 for real time.
        q: Measured positions [rad], shape (n,).
        dq: Measured velocities [rad/s], shape (n,).
        gains: Of `robostral.control.impedance.pack_gains`.
        friction: As `robostral.control.law.torque_law_kernel` has it.
        room: Of `impedance_workspace`.
        joints: Work space, its last row zeros, shape (4, n).
        tau_c: Filled with the command [N·m], shape (n,); always finite and inside the limits.

    Returns:
        PASSED, LIMITED, or the reason of the stop under way.
    """
    q_d = joints[0]
    measure_kernel(model, table, state, counts, q)
    follow_kernel(table, state, q_seam, knots, dt_step, t, speed, q_d)
    code = reference_kernel(model, table, state, counts, q_d)
    return max(code, torque_law_kernel(model, table, state, counts, q, dq, gains, friction, room, joints, tau_c))


class ImpedanceTick:
    """The kernel with its gains and its work space, for one arm and one guard.

    Args:
        guard: Guard of the arm; its chain must be that of the arm with its tool, under the gravity of its base.
        impedance: The law's figures, as the contract has them.

    Note:
        Real-time: no exception, no allocation beyond Python's own call.
    """

    def __init__(self, guard: Guard, impedance: Impedance) -> None:
        self._guard, self._law = guard, TorqueLaw(guard, impedance)

    def reset(self, q: FloatArray) -> int:
        """Begin at rest in the measured pose `q` [rad], shape (n,), held against gravity; return the guard's answer."""
        self._law.reset(q)
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
        return int(
            impedance_tick_kernel(
                *self._guard.tables, q_seam, knots, dt_step, t, speed, q, dq, *self._law.tables, tau_c
            )
        )
