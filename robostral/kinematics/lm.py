"""Inverse kinematics of any chain: damped least squares inside joint limits, with restarts and a null-space posture.

Note:
    Levenberg-Marquardt with damping proportional to the squared error: Sugihara, "Solvability-unconcerned inverse
    kinematics by the Levenberg-Marquardt method" (2011). Joints that rest on a limit and are pushed outwards leave the
    step: Bertsekas, "Projected Newton methods" (1982). Restarts from the additive sequence of the generalised golden
    ratio (Roberts, 2018). Real-time: no allocation; time is bounded by the number of restarts.
"""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import EXTRA_ROWS, KIND, Chain, FloatArray
from robostral.arm.limits import Q_MAX, Q_MIN
from robostral.jit import inlined, kernel
from robostral.kinematics.codes import BAD_SHAPE, NO_SOLUTION, NOT_FINITE, OK
from robostral.kinematics.jacobian import pose_jacobian_kernel
from robostral.kinematics.se3 import rotvec_from_rows_kernel
from robostral.kinematics.vector import Rot, Vec, dot

ITERATIONS = 24
"""Steps from one start before the next start is tried."""
TOLERANCE = 1e-9
"""Greatest error of a solution, in position [m] and in rotation [rad] alike."""
TRACKING_STEPS = 2
"""Steps of `track_kernel`: after 12 mm and 80 mrad the second one leaves less than a micrometre."""
TRACKING_DAMPING = 1e-5
"""Added to the squares of the Jacobian's singular values: bounds the joints' steps beside a singularity."""
_DAMPING = 0.1
_FLOOR = 1e-12
_STALLED = 0.95


def ik_workspace(chain: Chain) -> FloatArray:
    """Allocate the work space of `lm_kernel`, shape (16, max(n, 6)); one for each thread."""
    return np.zeros((16, max(chain.n, 6)))


# Rows of the work space: the Jacobian (6), the Cholesky factor (6), then one row each.
_FACTOR, _E, _X, _FREE, _BEST = 6, 12, 13, 14, 15


@inlined
def _error(T: FloatArray, R: Rot, p: Vec, e: FloatArray) -> float:
    """Fill e with the twist that leads from the pose (R, p) to T in one unit of time; return the squared error."""
    t0, t1, t2 = (T[0, 0], T[0, 1], T[0, 2]), (T[1, 0], T[1, 1], T[1, 2]), (T[2, 0], T[2, 1], T[2, 2])
    r0, r1, r2 = (R[0], R[1], R[2]), (R[3], R[4], R[5]), (R[6], R[7], R[8])
    rows = (
        dot(t0, r0), dot(t0, r1), dot(t0, r2),
        dot(t1, r0), dot(t1, r1), dot(t1, r2),
        dot(t2, r0), dot(t2, r1), dot(t2, r2),
    )  # fmt: skip
    x, y, z = rotvec_from_rows_kernel(rows)
    e[0], e[1], e[2], e[3], e[4], e[5] = T[0, 3] - p[0], T[1, 3] - p[1], T[2, 3] - p[2], x, y, z
    squared: float = e[0] * e[0] + e[1] * e[1] + e[2] * e[2] + x * x + y * y + z * z
    return squared


@kernel
def damp_kernel(J: FloatArray, n: int, free: FloatArray, damping: float, A: FloatArray) -> None:
    """Fill A (6, 6) with the Cholesky factor of J J' + damping over the free joints; diagonal inverted."""
    for i in range(6):
        for j in range(i + 1):
            total = damping if i == j else 0.0
            for k in range(n):
                total += J[i, k] * free[k] * J[j, k]
            for k in range(j):
                total -= A[i, k] * A[j, k]
            A[i, j] = 1.0 / math.sqrt(total) if i == j else total * A[j, j]


@kernel
def solve_kernel(A: FloatArray, x: FloatArray) -> None:
    """Replace the first 6 of x by the solution of L L' y = x."""
    for i in range(6):
        total = x[i]
        for k in range(i):
            total -= A[i, k] * x[k]
        x[i] = total * A[i, i]
    for i in range(5, -1, -1):
        total = x[i]
        for k in range(i + 1, 6):
            total -= A[k, i] * x[k]
        x[i] = total * A[i, i]


@kernel
def _move(model: FloatArray, limits: FloatArray, q: FloatArray, i: int, step: float) -> None:
    """Move joint i, by a full turn less where that keeps it inside its limits, else up to them."""
    low, high, turn = limits[Q_MIN, i], limits[Q_MAX, i], 2.0 * math.pi
    x = q[i] + step
    if model[i, KIND] == 0.0:
        if x > high and x - turn >= low:
            x -= turn
        elif x < low and x + turn <= high:
            x += turn
    q[i] = min(high, max(low, x))


@kernel
def _free_joints(limits: FloatArray, q: FloatArray, J: FloatArray, e: FloatArray, free: FloatArray) -> None:
    for i in range(q.shape[0]):
        push = 0.0
        for k in range(6):
            push += J[k, i] * e[k]
        stuck = (q[i] <= limits[Q_MIN, i] and push < 0.0) or (q[i] >= limits[Q_MAX, i] and push > 0.0)
        free[i] = 0.0 if stuck else 1.0


@kernel
def descend_kernel(
    model: FloatArray,
    limits: FloatArray,
    T: FloatArray,
    posture: FloatArray,
    weight: float,
    work: FloatArray,
    q: FloatArray,
) -> float:
    """Improve q in place until it solves the pose or stalls; return the last squared error.

    With a positive `weight` the null space moves that share of the way to `posture` in each of the steps.
    """
    n = q.shape[0]
    J, A = work[0:_FACTOR], work[_FACTOR:_E]
    e, x, free = work[_E], work[_X], work[_FREE]
    before = error = math.inf
    for step in range(ITERATIONS):
        R, p = pose_jacobian_kernel(model, q, J)
        error = _error(T, R, p, e)
        if weight == 0.0 and (error < 0.25 * TOLERANCE * TOLERANCE or (step >= 8 and error > _STALLED * before)):
            break
        before = error
        _free_joints(limits, q, J, e, free)
        damp_kernel(J, n, free, _DAMPING * error + _FLOOR, A)
        for i in range(6):
            x[i] = e[i]
            for k in range(n):
                x[i] -= weight * J[i, k] * free[k] * (posture[k] - q[k])
        solve_kernel(A, x)
        for k in range(n):
            pull = weight * (posture[k] - q[k])
            for i in range(6):
                pull += J[i, k] * x[i]
            _move(model, limits, q, k, free[k] * pull)
    return error


@kernel
def track_kernel(
    model: FloatArray, T: FloatArray, posture: FloatArray, weight: float, work: FloatArray, q: FloatArray
) -> float:
    """Follow a pose from a solution nearby: differential inverse kinematics in `TRACKING_STEPS` damped steps.

    Args:
        model: `Chain.model`.
        T: Wanted T_base_tcp, shape (4, 4).
        posture: Where the null space is pulled to [rad], shape (n,).
        weight: Share of the way there that the null space moves.
        work: Work space, see `ik_workspace`.
        q: Joint positions nearby; replaced [rad], shape (n,). No limit is held.

    Returns:
        Squared error before the last step.
    """
    n = q.shape[0]
    J, A = work[0:_FACTOR], work[_FACTOR:_E]
    e, x, free = work[_E], work[_X], work[_FREE]
    error = math.inf
    for i in range(n):
        free[i] = 1.0
    for step in range(TRACKING_STEPS):
        R, p = pose_jacobian_kernel(model, q, J)
        error = _error(T, R, p, e)
        damp_kernel(J, n, free, TRACKING_DAMPING, A)
        pull = weight if step == 0 else 0.0
        for i in range(6):
            x[i] = e[i]
            for k in range(n):
                x[i] -= pull * J[i, k] * (posture[k] - q[k])
        solve_kernel(A, x)
        for k in range(n):
            move = pull * (posture[k] - q[k])
            for i in range(6):
                move += J[i, k] * x[i]
            q[k] += move
    return error


@kernel
def _start(limits: FloatArray, seed: int, k: int, n: int, q: FloatArray) -> None:
    """Fill q with point k of a low-discrepancy sequence inside the limits."""
    ratio = 2.0
    for _ in range(12):
        ratio = (1.0 + ratio) ** (1.0 / (n + 1))
    step = 1.0
    for i in range(n):
        step /= ratio
        at = 0.5 + step * (k + 1009 * seed)
        q[i] = limits[Q_MIN, i] + (at - math.floor(at)) * (limits[Q_MAX, i] - limits[Q_MIN, i])


@kernel
def lm_kernel(
    model: FloatArray,
    limits: FloatArray,
    T_base_tcp: FloatArray,
    q_near: FloatArray,
    restarts: int,
    seed: int,
    work: FloatArray,
    q: FloatArray,
) -> int:
    """Solve from `q_near`, then from `restarts` more starts until one succeeds.

    Args:
        model: `Chain.model`.
        limits: `Limits.array`, shape (7, n).
        T_base_tcp: Wanted pose, shape (4, 4).
        q_near: First start [rad], shape (n,); moved inside the limits.
        restarts: Further starts; 0 stays on the branch of `q_near`, for tracking.
        seed: Chooses the sequence of starts.
        work: Work space, see `ik_workspace`.
        q: Filled with the solution, or with the best start's end [rad], shape (n,); always inside the limits.

    Returns:
        OK, BAD_SHAPE, NOT_FINITE or NO_SOLUTION.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or q_near.shape[0] != n or limits.shape[1] != n or work.shape[0] != 16:
        return BAD_SHAPE
    if T_base_tcp.shape[0] != 4 or T_base_tcp.shape[1] != 4 or work.shape[1] != max(n, 6):
        return BAD_SHAPE
    best, probe = work[_BEST], 0.0
    for i in range(n):
        best[i] = q[i] = min(limits[Q_MAX, i], max(limits[Q_MIN, i], q_near[i]))
        probe += q_near[i]
    for i in range(4):
        probe += T_base_tcp[i, 0] + T_base_tcp[i, 1] + T_base_tcp[i, 2] + T_base_tcp[i, 3]
    if not math.isfinite(probe):
        return NOT_FINITE
    least = math.inf
    for k in range(restarts + 1):
        if k > 0:
            _start(limits, seed, k, n, q)
        error = descend_kernel(model, limits, T_base_tcp, q_near, 0.0, work, q)
        if error < TOLERANCE * TOLERANCE:
            return OK
        if error < least:
            least = error
            for i in range(n):
                best[i] = q[i]
    for i in range(n):
        q[i] = best[i]
    return NO_SOLUTION


@kernel
def lm_batch_kernel(
    model: FloatArray,
    limits: FloatArray,
    T_base_tcp: FloatArray,
    q_near: FloatArray,
    restarts: int,
    seed: int,
    work: FloatArray,
    q: FloatArray,
    codes: NDArray[np.int64],
) -> int:
    """Apply `lm_kernel` to T (m, 4, 4), q_near (m, n), q (m, n) and codes (m,); returns the greatest code."""
    greatest = OK
    for k in range(q.shape[0]):
        codes[k] = lm_kernel(model, limits, T_base_tcp[k], q_near[k], restarts, seed, work, q[k])
        greatest = max(greatest, codes[k])
    return greatest
