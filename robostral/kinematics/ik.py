"""Inverse kinematics: joint positions inside the limits that put the tcp at a pose."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robostral.arm.chain import Chain, FloatArray
from robostral.arm.limits import Limits
from robostral.errors import RobostralError
from robostral.kinematics import fk
from robostral.kinematics.codes import OK
from robostral.kinematics.lm import TOLERANCE, descend_kernel, ik_workspace, lm_batch_kernel, lm_kernel
from robostral.kinematics.se3 import rotvec_kernel
from robostral.kinematics.ur import is_ur, ur_ik_all_kernel, ur_ik_kernel
from robostral.kinematics.validate import InvalidArray, as_array, as_joints, as_transform


class NoSolution(RobostralError):
    """No joint position inside the limits reaches the pose.

    Args:
        q: Joint positions that came closest [rad], shape (n,).
        residual: How far they are from the pose: distance [m] and angle [rad].
    """

    def __init__(self, q: FloatArray, residual: tuple[float, float]) -> None:
        self.q, self.residual = q, residual
        away = f"{residual[0]:.3g} m and {residual[1]:.3g} rad away"
        super().__init__(f"no joint position inside the limits reaches the pose; the best one found is {away}")


def ik(
    chain: Chain,
    limits: Limits,
    T_base_tcp: ArrayLike,
    q_near: ArrayLike,
    *,
    posture: ArrayLike | None = None,
    restarts: int = 200,
    seed: int = 0,
) -> FloatArray:
    """Compute joint positions inside the limits that put the tcp at a pose.

    UR arms are solved in closed form, at the branch nearest to `q_near`; other arms by damped least squares from
    `q_near` and, where that fails, from further starts.

    Args:
        chain: Arm with its tcp.
        limits: Limits to stay inside.
        T_base_tcp: Wanted pose, shape (4, 4).
        q_near: Where to stay near, and where to start [rad], shape (n,).
        posture: Where the null space of a redundant arm should go [rad], shape (n,).
        restarts: Further starts; 0 stays on the branch of `q_near`, for tracking.
        seed: Chooses the sequence of starts.

    Returns:
        Joint positions [rad], shape (n,), within 1e-9 m and 1e-9 rad of the pose.

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity.
        InvalidTransform: The pose is no rigid transform.
        NoSolution: Nothing inside the limits reaches the pose; carries the best one and its residual.
    """
    T, near = as_transform("T_base_tcp", T_base_tcp), as_joints("q_near", q_near, chain)
    if near.ndim != 1:
        raise InvalidArray(f"q_near has shape {near.shape}, needs ({chain.n},)")
    q, work = np.empty(chain.n), ik_workspace(chain)
    if is_ur(chain):
        if ur_ik_kernel(chain.model, limits.array, T, near, np.empty((3, 3)), np.empty((8, 6)), q) == OK:
            return q
        restarts = min(restarts, 1)  # the closed form is complete: the search below only measures how near one can get
    if lm_kernel(chain.model, limits.array, T, near, restarts, seed, work, q) != OK:
        raise NoSolution(q, pose_residual(chain, T, q))
    if posture is None or chain.n <= 6:
        return q
    return _settle(chain, limits, T, as_joints("posture", posture, chain), work, q)


def _settle(
    chain: Chain, limits: Limits, T: FloatArray, posture: FloatArray, work: FloatArray, q: FloatArray
) -> FloatArray:
    """Let the null space drift towards `posture`; return `q` itself where that loses the pose."""
    settled = q.copy()
    for weight in (0.3, 0.3, 0.0):
        error = descend_kernel(chain.model, limits.array, T, posture, weight, work, settled)
    return settled if error < TOLERANCE * TOLERANCE else q


def pose_residual(chain: Chain, T: FloatArray, q: FloatArray) -> tuple[float, float]:
    """Return how far from a pose (4, 4) the tcp is at joint positions (n,): distance [m] and angle [rad]."""
    T_now, rotvec = np.empty((4, 4)), np.empty(3)
    fk.tcp_kernel(chain.model, q, T_now)
    rotvec_kernel(np.ascontiguousarray(T[:3, :3] @ T_now[:3, :3].T), rotvec)
    return float(np.linalg.norm(T[:3, 3] - T_now[:3, 3])), float(np.linalg.norm(rotvec))


def ik_batch(
    chain: Chain, limits: Limits, T_base_tcp: ArrayLike, q_near: ArrayLike, *, restarts: int = 200, seed: int = 0
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Solve many poses by damped least squares.

    Args:
        chain: Arm with its tcp.
        limits: Limits to stay inside.
        T_base_tcp: Wanted poses, shape (m, 4, 4).
        q_near: First start of each [rad], shape (n,) or (m, n).
        restarts: Further starts of each.
        seed: Chooses the sequence of starts.

    Returns:
        Joint positions [rad], shape (m, n), always inside the limits, and which of them solve their pose, shape (m,).

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity.
    """
    m = np.shape(T_base_tcp)[0]
    T = as_array("T_base_tcp", T_base_tcp, (m, 4, 4))
    near = np.ascontiguousarray(np.broadcast_to(as_joints("q_near", q_near, chain), (m, chain.n)))
    q, codes = np.empty((m, chain.n)), np.empty(m, dtype=np.int64)
    lm_batch_kernel(chain.model, limits.array, T, near.copy(), restarts, seed, ik_workspace(chain), q, codes)
    return q, codes == OK


def ur_ik_all(chain: Chain, limits: Limits, T_base_tcp: ArrayLike, q_near: ArrayLike) -> FloatArray:
    """Compute all branches of a UR arm that lie inside the limits, shape (k, 6) with k <= 8.

    Raises:
        InvalidArray: A wrong shape or kind, or not a UR arm.
        NotFinite: A NaN or an infinity.
        InvalidTransform: The pose is no rigid transform.
    """
    T, near = as_transform("T_base_tcp", T_base_tcp), as_joints("q_near", q_near, chain)
    if not is_ur(chain):
        raise InvalidArray("the closed form needs the geometry of a UR arm")
    Q = np.empty((8, 6))
    ur_ik_all_kernel(chain.model, limits.array, T, near, np.empty((3, 3)), Q)
    return Q[~np.isnan(Q[:, 0])]
