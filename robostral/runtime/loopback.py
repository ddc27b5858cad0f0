"""A plant that is where it was told to be: the shortest way out and back, to measure a loop and nothing else."""

import time

import numpy as np
from numpy.typing import NDArray

from robostral.arm import load_arm
from robostral.control.law import JOINT_POSITION, JOINT_TORQUE
from robostral.driver import DriverInfo, DriverState, PlantStatus
from robostral.kinematics.aba import aba_kernel
from robostral.kinematics.body import workspace

STEPS = 4
"""Steps of integration in a period under torques: the law's stiffest mode needs them, on a wrist that weighs little."""


class Loopback:
    """Reports the last command as measured; at the arm's home at first. Under torques it moves as its inertias ask.

    A tick without torques finds it on its brakes.

    Args:
        arm: Arm's name.
        rate_hz: Control rate [Hz].

    Raises:
        UnknownName: No such arm.
    """

    def __init__(self, arm: str = "ur5e", rate_hz: float = 500.0) -> None:
        model, modes = load_arm(arm), (JOINT_POSITION, JOINT_TORQUE)
        self.info = DriverInfo("loopback", model.name, model.chain.joint_names, True, modes, rate_hz, ("tau",))
        self.chain = model.chain
        self.q: NDArray[np.float64] = model.home.copy()
        self.dq, self._ddq, self._driven = np.zeros(model.chain.n), np.zeros(model.chain.n), False
        self._tau, self._work = np.zeros(model.chain.n), workspace(model.chain)

    def connect(self) -> None:
        """Stand where it stood."""
        self.stop()

    def read(self, state: DriverState) -> int:
        """Fill `state` with the last command, or where the torques have led; return OK."""
        if not self._driven:
            self.dq[:] = 0.0
        self._driven = False
        state.q[:], state.dq[:], state.tau[:] = self.q, self.dq, self._tau
        state.t_ns = time.monotonic_ns()
        return PlantStatus.OK

    def arm(self) -> int:
        """Return OK."""
        return PlantStatus.OK

    def write(self, q_c: NDArray[np.float64]) -> int:
        """Be at `q_c` [rad], shape (n,), from now on; return OK."""
        np.subtract(q_c, self.q, out=self.dq)
        self.dq *= self.info.rate_hz
        self.q[:], self._driven = q_c, True
        return PlantStatus.OK

    def write_torque(self, tau_c: NDArray[np.float64]) -> int:
        """Live through one period under `tau_c` [N·m], shape (n,), by our own forward dynamics; return OK."""
        dt, self._driven, self._tau[:] = 1.0 / (STEPS * self.info.rate_hz), True, tau_c
        for _ in range(STEPS):
            aba_kernel(self.chain.model, self.q, self.dq, self._tau, self._work, self._ddq)
            self._ddq *= dt
            self.dq += self._ddq
            np.multiply(self.dq, dt, out=self._ddq)
            self.q += self._ddq
        return PlantStatus.OK

    def stop(self) -> None:
        """Stand still."""
        self.dq[:] = 0.0

    def close(self) -> None:
        """Leave nothing behind."""
