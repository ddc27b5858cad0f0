"""Inverse kinematics: joint positions inside the limits that put the tcp at a pose."""

import numpy as np
from numpy.typing import ArrayLike

from robostral.arm.chain import Chain, FloatArray
from robostral.arm.limits import Limits
from robostral.errors import RobostralError
from robostral.kinematics.codes import OK
from robostral.kinematics.ur import is_ur, ur_ik_all_kernel, ur_ik_kernel
from robostral.kinematics.validate import InvalidArray, as_joints, as_transform


class NoSolution(RobostralError):
    """No joint position inside the limits reaches the pose."""


def ik(chain: Chain, limits: Limits, T_base_tcp: ArrayLike, q_near: ArrayLike) -> FloatArray:
    """Compute the joint positions nearest to `q_near` that put the tcp at a pose.

    Args:
        chain: Arm with its tcp.
        limits: Limits to stay inside.
        T_base_tcp: Wanted pose, shape (4, 4).
        q_near: Where to stay near [rad], shape (n,).

    Returns:
        Joint positions [rad], shape (n,).

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity.
        InvalidTransform: The pose is no rigid transform.
        NoSolution: Nothing inside the limits reaches the pose.
    """
    T, q_near = as_transform("T_base_tcp", T_base_tcp), as_joints("q_near", q_near, chain)
    if not is_ur(chain):
        raise InvalidArray(f"no closed form for the {chain.n} joints of this chain")
    q = np.empty(chain.n)
    if ur_ik_kernel(chain.model, limits.array, T, q_near, np.empty((3, 3)), np.empty((8, 6)), q) != OK:
        raise NoSolution(f"no joint position inside the limits reaches p = {np.round(T[:3, 3], 4).tolist()} m")
    return q


def ur_ik_all(chain: Chain, limits: Limits, T_base_tcp: ArrayLike, q_near: ArrayLike) -> FloatArray:
    """Compute all branches of a UR arm that lie inside the limits, shape (k, 6) with k <= 8.

    Raises:
        InvalidArray: A wrong shape or kind, or not a UR arm.
        NotFinite: A NaN or an infinity.
        InvalidTransform: The pose is no rigid transform.
    """
    T, q_near = as_transform("T_base_tcp", T_base_tcp), as_joints("q_near", q_near, chain)
    if not is_ur(chain):
        raise InvalidArray("the closed form needs a UR arm")
    Q = np.empty((8, 6))
    ur_ik_all_kernel(chain.model, limits.array, T, q_near, np.empty((3, 3)), Q)
    return Q[~np.isnan(Q[:, 0])]
