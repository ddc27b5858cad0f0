"""A plant that is where it was told to be: the shortest way out and back, to measure a loop and nothing else."""

import time

import numpy as np
from numpy.typing import NDArray

from robostral.arm import load_arm
from robostral.driver import DriverInfo, DriverState, PlantStatus


class Loopback:
    """Reports the last command as measured; at the arm's home at first.

    Args:
        arm: Arm's name.
        rate_hz: Control rate [Hz].

    Raises:
        UnknownName: No such arm.
    """

    def __init__(self, arm: str = "ur5e", rate_hz: float = 500.0) -> None:
        model = load_arm(arm)
        self.info = DriverInfo("loopback", model.name, model.chain.joint_names, True, ("joint_position",), rate_hz)
        self._q: NDArray[np.float64] = model.home.copy()
        self._dq: NDArray[np.float64] = np.zeros(model.chain.n)

    def connect(self) -> None:
        """Stand where it stood."""
        self._dq[:] = 0.0

    def read(self, state: DriverState) -> int:
        """Fill `state` with the last command; return OK."""
        state.q[:], state.dq[:] = self._q, self._dq
        state.t_ns = time.monotonic_ns()
        return PlantStatus.OK

    def arm(self) -> int:
        """Return OK."""
        return PlantStatus.OK

    def write(self, q_c: NDArray[np.float64]) -> int:
        """Be at `q_c` [rad], shape (n,), from now on; return OK."""
        np.subtract(q_c, self._q, out=self._dq)
        self._dq *= self.info.rate_hz
        self._q[:] = q_c
        return PlantStatus.OK

    def stop(self) -> None:
        """Stand still."""
        self._dq[:] = 0.0

    def close(self) -> None:
        """Leave nothing behind."""
