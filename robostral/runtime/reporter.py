"""What the loop tells about itself: the status record, with the pose of the tcp and its way to the goal."""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import Chain
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.se3 import quat_from_matrix_kernel
from robostral.runtime import records
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.records import Answer, Record
from robostral.signals import GOAL_ERROR, GOAL_SIZE, observe_kernel

FloatArray = NDArray[np.float64]
_ERROR_PLAN = np.array([[GOAL_ERROR, 0, 6, 0]], dtype=np.int64)
_NO_SENSORS: FloatArray = np.empty(0)


class Reporter:
    """Fills and publishes the status.

    Args:
        mailbox: Where to.
        chain: The arm.

    Attributes:
        status: The record; the loop fills the rest of it.
        own_pose: Room for a pose of the tcp, shape (7,).
    """

    def __init__(self, mailbox: Mailbox, chain: Chain) -> None:
        self.status: Record = records.empty(mailbox.status.dtype)
        self._mailbox, self._chain = mailbox, chain
        self.own_pose: FloatArray = np.zeros(GOAL_SIZE)
        self._T: FloatArray = np.eye(4)
        self._quat: FloatArray = np.zeros(4)
        self._error: NDArray[np.float32] = np.zeros(6, np.float32)
        self._J: FloatArray = np.zeros((6, chain.n))

    def answer(self, serial: int, answer: Answer) -> None:
        """Note that an operator command was handled."""
        self.status["serial"], self.status["answer"] = serial, answer

    def pose(self, q: FloatArray, out: FloatArray) -> None:
        """Compute the tcp's position [m] and quat_wxyz in `base`, shape (7,)."""
        tcp_kernel(self._chain.model, q, self._T)
        quat_from_matrix_kernel(self._T[:3, :3], self._quat)
        out[:3], out[3:] = self._T[:3, 3], self._quat

    def publish(self, q: FloatArray, dq: FloatArray, q_c: FloatArray, external: FloatArray) -> None:
        """Add the arm's part and publish.

        Args:
            q: Measured joint positions [rad], shape (n,).
            dq: Measured joint velocities [rad/s], shape (n,).
            q_c: Last command [rad], shape (n,).
            external: External signals; a goal where there are 7.
        """
        status = self.status
        status["q"], status["dq"], status["q_c"] = q, dq, q_c
        tcp_kernel(self._chain.model, q, self._T)
        quat_from_matrix_kernel(self._T[:3, :3], self._quat)
        status["p_tcp"], status["quat_wxyz"], status["goal"] = self._T[:3, 3], self._quat, external
        if len(external) >= GOAL_SIZE:
            model = self._chain.model
            observe_kernel(_ERROR_PLAN, model, q, dq, q_c, external, _NO_SENSORS, self._J, self._error)
            x, y, z, rx, ry, rz = self._error.tolist()
            status["goal_error_m"], status["goal_error_rad"] = math.hypot(x, y, z), math.hypot(rx, ry, rz)
        self._mailbox.status.publish(status)
