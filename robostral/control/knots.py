"""From a policy's chunk to set-points of the joints at the end of each of its steps: what an action means.

Deltas accumulate along the chunk from the set-point consumed at the seam, in the joints or in the pose of the tcp.
"""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import FloatArray
from robostral.jit import kernel
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.lm import track_kernel
from robostral.kinematics.se3 import matrix_from_rotvec_kernel

NULL_SPACE_SHARE = 0.05
"""Share of the way to the posture that the null space moves per chunk step."""


@kernel
def bounded_kernel(bounds: FloatArray, action: float, j: int) -> float:
    """Bring number j of an action inside its bounds; what is not finite must not be clipped into a number."""
    return min(max(action, bounds[0, j]), bounds[1, j]) if math.isfinite(action) else math.nan


@kernel
def knots_kernel(
    bounds: FloatArray, scale: float, chunk: NDArray[np.float32], q_seam: FloatArray, out: FloatArray
) -> int:
    """Accumulate a chunk of joint deltas or velocities into set-points at the end of each of its steps.

    Args:
        bounds: `Signals.bounds`, lower and upper bound of the action, shape (2, n + k).
        scale: `Signals.scale`: 1 for position deltas, the chunk step [s] for velocities.
        chunk: Action chunk, shape (horizon, n + k).
        q_seam: Set-point consumed at the seam [rad], shape (n,).
        out: Filled with set-points [rad], shape (horizon, n).

    Returns:
        OK; BAD_SHAPE, and nothing was written; NOT_FINITE if the chunk or the seam holds no number, and then so does
        `out` from there on.

    Note:
        Real-time: no allocation.
    """
    horizon, n = out.shape
    if chunk.shape[0] != horizon or chunk.shape[1] != bounds.shape[1] or q_seam.shape[0] != n or bounds.shape[1] < n:
        return BAD_SHAPE
    code = OK
    for j in range(n):
        q = q_seam[j]
        for step in range(horizon):
            q += scale * bounded_kernel(bounds, float(chunk[step, j]), j)
            out[step, j] = q
        if not math.isfinite(q):
            code = NOT_FINITE
    return code


@kernel
def pose_knots_kernel(
    model: FloatArray,
    bounds: FloatArray,
    posture: FloatArray,
    chunk: NDArray[np.float32],
    q_seam: FloatArray,
    T: FloatArray,
    turn: FloatArray,
    work: FloatArray,
    out: FloatArray,
) -> int:
    """Accumulate a chunk of tcp deltas from the pose of the seam, and follow it with the joints.

    Args:
        model: `Chain.model`.
        bounds: `Signals.bounds`, shape (2, 6 + k).
        posture: Where the null space is pulled to [rad], shape (n,).
        chunk: Action chunk, shape (horizon, 6 + k): translation [m], rotation vector [rad], in `base`.
        q_seam: Set-point consumed at the seam [rad], shape (n,).
        T: Work space, shape (4, 4).
        turn: Work space, shape (6, 3).
        work: Work space of `ik_workspace`.
        out: Filled with set-points [rad], shape (horizon, n).

    Returns:
        As `knots_kernel`.

    Note:
        Real-time: no allocation; time is bounded by `robostral.kinematics.lm.TRACKING_STEPS`.
    """
    horizon, n = out.shape
    if chunk.shape[0] != horizon or chunk.shape[1] != bounds.shape[1] or q_seam.shape[0] != n or bounds.shape[1] < 6:
        return BAD_SHAPE
    code, R = tcp_kernel(model, q_seam, T), turn[:3]
    for step in range(horizon):
        for j in range(3):
            T[j, 3] += bounded_kernel(bounds, float(chunk[step, j]), j)
            turn[4, j] = bounded_kernel(bounds, float(chunk[step, 3 + j]), 3 + j)
        matrix_from_rotvec_kernel(turn[4], R)
        for j in range(3):
            x, y, z = T[0, j], T[1, j], T[2, j]
            for i in range(3):
                T[i, j] = R[i, 0] * x + R[i, 1] * y + R[i, 2] * z
        for i in range(n):
            out[step, i] = q_seam[i] if step == 0 else out[step - 1, i]
        track_kernel(model, T, posture, NULL_SPACE_SHARE, work, out[step])
        for i in range(n):
            if not math.isfinite(out[step, i]):
                code = NOT_FINITE
    return code
