"""The controller's own kinematics: UR poses (position and rotation vector), tcp offset, forward and inverse."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.chain import invert
from robostral.errors import DriverError
from robostral.kinematics.codes import OK
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.jacobian import jacobian_kernel
from robostral.kinematics.se3 import matrix_from_rotvec_kernel, rotvec_kernel
from robostral.kinematics.ur import is_ur, ur_ik_kernel

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


class Unreachable(Exception):
    """No joint positions inside the limits put the tcp there."""


class Geometry:
    """Kinematics of a UR arm with a tcp that can be changed.

    Attributes:
        arm: The arm.
        chain: Its joints with the present tcp.
        offset: Present tcp in the flange, as a UR pose.

    Raises:
        DriverError: Not a UR arm.
    """

    def __init__(self, arm: Arm) -> None:
        if not is_ur(arm.chain):
            raise DriverError(f"a UR controller does not drive the arm '{arm.name}'")
        self.arm, self.chain = arm, arm.chain
        self.offset: Pose = pose_of(arm.chain.T_flange_tcp)
        self._T, self._J = np.eye(4), np.zeros((6, arm.chain.n))
        self._R, self._branches = np.empty((3, 3)), np.empty((8, 6))
        # A kernel compiles on its first call, for seconds: now, not in the middle of a motion.
        home = np.array(arm.home)
        self.twist(home, home)
        self.inverse(self.tcp(home), home)

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
            Unreachable: There are none inside the limits.
        """
        q, limits = np.empty(self.chain.n), self.arm.limits.array
        # The closed form alone: the search behind `ik` takes longer than a controller's period when it finds nothing.
        if ur_ik_kernel(self.chain.model, limits, matrix(pose), q_near, self._R, self._branches, q) != OK:
            raise Unreachable(f"no joint positions put the tcp at {[round(x, 4) for x in pose]}")
        return q
