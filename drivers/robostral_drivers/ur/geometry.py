"""The controller's own kinematics: UR poses (position and rotation vector), tcp offset, forward and inverse."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.chain import invert
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.ik import ik
from robostral.kinematics.jacobian import jacobian_kernel
from robostral.kinematics.se3 import matrix_from_rotvec_kernel, rotvec_kernel

FloatArray = NDArray[np.float64]
Pose = list[float]
"""x, y, z [m] and rotation vector [rad]: how UR writes a pose."""


def matrix(pose: Sequence[float]) -> FloatArray:
    """Turn a UR pose into a transform, shape (4, 4)."""
    T = np.eye(4)
    matrix_from_rotvec_kernel(np.asarray(pose[3:6], dtype=np.float64), T[:3, :3])
    T[:3, 3] = pose[:3]
    return T


def pose_of(T: FloatArray) -> Pose:
    """Turn a transform, shape (4, 4), into a UR pose."""
    rotvec = np.empty(3)
    rotvec_kernel(T[:3, :3], rotvec)
    return [float(x) for x in T[:3, 3]] + [float(x) for x in rotvec]


class Geometry:
    """Kinematics of an arm with a tcp that can be changed.

    Attributes:
        arm: The arm.
        chain: Its joints with the present tcp.
        offset: Present tcp in the flange, as a UR pose.
    """

    def __init__(self, arm: Arm) -> None:
        self.arm, self.chain = arm, arm.chain
        self.offset: Pose = pose_of(arm.chain.T_flange_tcp)
        self._T, self._J = np.eye(4), np.zeros((6, arm.chain.n))

    def set_tcp(self, offset: Sequence[float]) -> None:
        """Move the tcp to a UR pose in the flange."""
        self.offset, self.chain = list(offset), self.arm.chain.with_tcp(matrix(offset))

    def tcp(self, q: FloatArray) -> Pose:
        """Compute the UR pose of the tcp in `base` at q [rad], shape (n,)."""
        tcp_kernel(self.chain.model, q, self._T)
        return pose_of(self._T)

    def flange(self, q: FloatArray) -> Pose:
        """Compute the UR pose of the flange in `base` at q [rad], shape (n,)."""
        tcp_kernel(self.chain.model, q, self._T)
        return pose_of(self._T @ invert(matrix(self.offset)))

    def twist(self, q: FloatArray, dq: FloatArray) -> FloatArray:
        """Compute the twist of the tcp in `base` axes, shape (6,), linear part [m/s] first."""
        return self.jacobian(q) @ dq

    def jacobian(self, q: FloatArray) -> FloatArray:
        """Compute J_aligned, shape (6, n); the array is reused by the next call."""
        jacobian_kernel(self.chain.model, q, self._J)
        return self._J

    def inverse(self, pose: Sequence[float], q_near: FloatArray) -> FloatArray:
        """Compute the joint positions [rad], shape (n,), nearest to `q_near` that put the tcp at a UR pose.

        Raises:
            NoSolution: Nothing inside the limits reaches it.
        """
        return ik(self.chain, self.arm.limits, matrix(pose), q_near)
