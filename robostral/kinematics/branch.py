"""One branch of an arm's inverse kinematics: joint positions as a smooth, single-valued function of the tcp's pose."""

import numpy as np
from numpy.typing import ArrayLike

from robostral.arm.chain import Chain, FloatArray
from robostral.arm.limits import Q_MAX, Q_MIN, Limits
from robostral.kinematics.codes import OK
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.ik import NoSolution, pose_residual
from robostral.kinematics.jacobian import jacobian_kernel
from robostral.kinematics.lm import ik_workspace, lm_kernel
from robostral.kinematics.ur import is_ur, ur_ik_all_kernel
from robostral.kinematics.validate import InvalidArray, as_joints, as_transform

_ELBOW = 2
"""The joint of a seven-joint arm that swings its elbow about the line from shoulder to wrist."""


class Branch:
    """The inverse kinematics that holds a given configuration, and leads from there to every pose without a jump.

    UR arms are solved in closed form, others with six joints by damped least squares from `q_home`. An arm with seven
    joints keeps its third one where `q_home` has it: its elbow stays in one plane through the shoulder, and no pose
    has more than one answer.

    Args:
        chain: Arm with its tcp.
        limits: Limits to stay inside.
        q_home: A configuration of the branch, not a singular one [rad], shape (n,).

    Raises:
        InvalidArray: A wrong shape, or an arm that has neither six nor seven joints.
        NotFinite: A NaN or an infinity.
    """

    def __init__(self, chain: Chain, limits: Limits, q_home: ArrayLike) -> None:
        if chain.n not in (6, 7):
            raise InvalidArray(f"a branch needs an arm with six or seven joints; this one has {chain.n}")
        self._chain, self._q_home = chain, as_joints("q_home", q_home, chain).copy()
        self._limits = limits.array.copy()
        if chain.n == 7:
            self._limits[[Q_MIN, Q_MAX], _ELBOW] = self._q_home[_ELBOW]
        self._work, self._J = ik_workspace(chain), np.empty((6, chain.n))
        self._R: FloatArray = np.empty((3, 3))
        self._Q: FloatArray = np.empty((8, 6))
        self._sign = self._orientation(self._q_home)
        if is_ur(chain):
            T_home = np.empty((4, 4))
            tcp_kernel(chain.model, self._q_home, T_home)
            self._row = int(np.nanargmin(np.linalg.norm(self._closed(T_home) - self._q_home, axis=1)))

    def solve(self, T_base_tcp: ArrayLike) -> FloatArray:
        """Compute the joint positions of a pose [rad], shape (n,).

        Args:
            T_base_tcp: Shape (4, 4).

        Raises:
            InvalidArray: A wrong shape or kind.
            NotFinite: A NaN or an infinity.
            InvalidTransform: The pose is no rigid transform.
            NoSolution: Nothing of this branch inside the limits reaches the pose.
        """
        T = as_transform("T_base_tcp", T_base_tcp)
        if is_ur(self._chain):
            q: FloatArray = self._closed(T)[self._row].copy()
            reached = not np.isnan(q[0])
            q = q if reached else self._q_home.copy()
        else:
            q = np.empty(self._chain.n)
            code = lm_kernel(self._chain.model, self._limits, T, self._q_home, 0, 0, self._work, q)
            reached = code == OK and self._orientation(q) == self._sign
        if not reached:
            raise NoSolution(q, pose_residual(self._chain, T, q))
        return q

    def _closed(self, T: FloatArray) -> FloatArray:
        """Return all branches of the closed form, one per row, each at the full turns nearest to home."""
        ur_ik_all_kernel(self._chain.model, self._limits, T, self._q_home, self._R, self._Q)
        return self._Q

    def _orientation(self, q: FloatArray) -> float:
        """Return the sign of the determinant of the Jacobian; it changes where a branch ends."""
        jacobian_kernel(self._chain.model, q, self._J)
        columns = [k for k in range(self._chain.n) if self._chain.n == 6 or k != _ELBOW]
        return float(np.sign(np.linalg.det(self._J[:, columns])))
