"""A whole policy step, follow and guard tick by tick, in one kernel call; bit for bit what the single ticks give."""

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import FloatArray
from robostral.control.interpolate import follow_kernel
from robostral.guard import Guard
from robostral.guard import table as at
from robostral.guard.kernels import reference_kernel
from robostral.jit import kernel

IntArray = NDArray[np.int64]


@kernel
def policy_step_kernel(
    model: FloatArray,
    table: FloatArray,
    state: FloatArray,
    counts: IntArray,
    q_seam: FloatArray,
    knots: FloatArray,
    dt_step: float,
    t: float,
    speed: float,
    q_c: FloatArray,
    codes: IntArray,
) -> None:
    """Follow a chunk for T control ticks.

    Args:
        model: `Chain.model`.
        table: Limits of the guard.
        state: State of the guard.
        counts: Its counter per `Reason`.
        q_seam: Set-point at which the chunk was taken over [rad], shape (n,).
        knots: Set-points at the end of each chunk step [rad], shape (H, n).
        dt_step: Duration of a chunk step [s].
        t: Time in the chunk at the first tick's begin [s].
        speed: How fast time in the chunk advances, 1 for real time.
        q_c: Filled with the commands [rad], shape (T, n).
        codes: Filled with the guard's answers, shape (T,).
    """
    dt = speed * table[at.FIGURE, at.DT]
    n = q_c.shape[1]
    for k in range(codes.shape[0]):
        follow_kernel(table, state, q_seam, knots, dt_step, t + (k + 1) * dt, speed, q_c[k])
        codes[k] = reference_kernel(model, table, state, counts, q_c[k])
        for i in range(n):
            q_c[k, i] = state[at.Q, i]


def policy_step(
    guard: Guard,
    q_seam: FloatArray,
    knots: FloatArray,
    dt_step: float,
    t: float,
    q_c: FloatArray,
    codes: IntArray,
    speed: float = 1.0,
) -> None:
    """Follow a chunk for `len(codes)` control ticks of the guard; see `policy_step_kernel`."""
    policy_step_kernel(*guard.tables, q_seam, knots, float(dt_step), float(t), float(speed), q_c, codes)
