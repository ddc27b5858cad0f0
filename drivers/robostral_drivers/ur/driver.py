"""Universal Robots e-Series through the vendor protocol RTDE and the client library ur_rtde, at 500 Hz.

Note:
    Set-points go out with `servoJ`; the controller trails them by about `LOOKAHEAD_S`. It and `GAIN` are what UR's own
    client library uses (Universal_Robots_Client_Library, UrDriver: servoj lookahead 0.03 s, gain 2000).
    The controller repeats the last set-point for ever when we fall silent, so its watchdog is armed before the first
    one: a silence of 1 / `watchdog_hz` ends the program there, and the arm brakes by itself.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.arm import load_arm
from robostral.driver import DriverInfo, DriverState, PlantStatus
from robostral.errors import DriverError
from robostral.extras import require
from robostral_drivers.ur.probe import probe
from robostral_drivers.ur.wire import RobotMode, RuntimeState, Safety

LOOKAHEAD_S = 0.03
"""servoj: how far the controller looks ahead [s], 0.03 to 0.2."""
GAIN = 2000.0
"""servoj: how hard it pulls, 100 to 2000."""
STOP_M_S2 = 10.0
"""Deceleration of the tcp in the controller's own stop [m/s²]."""
STALE_PERIODS = 10
"""After so many periods without a newer time stamp there is no data."""
_LOCKSTEP_S = 2.0
_CALL_S = 3.0
_EMERGENCY = (1 << 5) | Safety.ROBOT_EMERGENCY_STOPPED | Safety.EMERGENCY_STOPPED
_FIELDS = [
    "timestamp",
    "actual_q",
    "actual_qd",
    "target_moment",
    "robot_mode",
    "runtime_state",
    "safety_status_bits",
]


class UrDriver:
    """Our side of a UR controller's wire.

    `DriverState.tau` is the controller's model torque (`target_moment`); before PolyScope 5.23 none is measured.

    Args:
        host: Address of the controller, or of a twin.
        arm: Arm's name; the controller must drive this model.
        rate_hz: Rate of measurements and set-points [Hz].
        watchdog_hz: The controller stops the arm when it hears nothing for 1 / watchdog_hz seconds.

    Raises:
        UnknownName: No such arm.
        MissingExtra: The client library is not installed.
        DriverError: A rate is not positive.
    """

    def __init__(
        self, host: str = "127.0.0.1", arm: str = "ur5e", rate_hz: float = 500.0, watchdog_hz: float = 50.0
    ) -> None:
        if not (rate_hz > 0.0 and watchdog_hz > 0.0):
            raise DriverError(f"rate_hz = {rate_hz} and watchdog_hz = {watchdog_hz} must be positive")
        self._rtde_control = require("rtde_control", "drivers")
        self._rtde_receive = require("rtde_receive", "drivers")
        self._host, self._arm, self._rate_hz, self._watchdog_hz = host, load_arm(arm), rate_hz, watchdog_hz
        self._period_s = 1.0 / rate_hz
        self._stale_ns = round(STALE_PERIODS * self._period_s * 1e9)
        self._control: Any = None
        self._receive: Any = None
        self._info: DriverInfo | None = None
        self._lockstep = self._armed = False
        self._status, self._sent, self._seen_s, self._seen_ns = PlantStatus.DISCONNECTED, 0, -1.0, 0

    @property
    def info(self) -> DriverInfo:
        """Name, joints, rate and whether the plant is a twin; valid after `connect`."""
        if self._info is None:
            raise DriverError("the UR driver is not connected; call connect() first")
        return self._info

    def connect(self) -> None:
        """Open the wire, start the control script, wait for the first measurement; a few seconds at most.

        Calling it again leaves the old connection first: that is the way back after a stop of the controller.

        Raises:
            DriverError: Names the address and what to do.
        """
        self.close()
        found = probe(self._host, self._arm.name, self._rate_hz)
        try:
            with _quiet():
                self._receive = self._rtde_receive.RTDEReceiveInterface(self._host, self._rate_hz, list(_FIELDS))
                self._control = self._rtde_control.RTDEControlInterface(self._host, self._rate_hz)
        except Exception as error:  # the client throws several standard exceptions of C++
            self.close()
            raise DriverError(f"the controller at {self._host} did not start our program: {error}") from error
        self._lockstep, self._armed, self._sent, self._seen_s = found.lockstep, False, 0, -1.0
        self._info = DriverInfo(
            "ur", self._arm.name, self._arm.chain.joint_names, found.is_twin, ("joint_position",), self._rate_hz
        )
        status = self.read(DriverState(self._arm.chain.n))
        if status != PlantStatus.OK:
            self.close()
            raise DriverError(f"the controller at {self._host} answers, but it is {status.name}; look at its pendant")

    def read(self, state: DriverState) -> PlantStatus:
        """Fill `state` with the newest measurement; return a `PlantStatus`. Never blocks longer than one period.

        A read without a write since the last one also tells the controller that we live. In front of a lock-step twin
        it waits for the measurement that follows from the last command.
        """
        receive = self._receive
        if receive is None or not receive.isConnected():
            return self._fail(PlantStatus.DISCONNECTED)
        if self._seen_s >= 0.0 and not self._sent and self._status == PlantStatus.OK:
            self._send(self._control.kickWatchdog)
        if self._lockstep:
            self._await_answer()
        self._sent = 0
        stamp = receive.getTimestamp()
        for _ in range(2):  # the receiver may swap packages between two calls
            state.q[:], state.dq[:] = receive.getActualQ(), receive.getActualQd()
            state.tau[:] = receive.getTargetMoment()
            before, stamp = stamp, receive.getTimestamp()
            if stamp == before:
                break
        now = time.monotonic_ns()
        if stamp != self._seen_s:
            self._seen_s, self._seen_ns = stamp, now
        state.t_ns, state.plant_time_s = self._seen_ns, stamp
        if now - self._seen_ns > self._stale_ns and not self._lockstep:
            return self._fail(PlantStatus.NO_DATA)
        return self._judge()

    def write(self, q_c: NDArray[np.float64]) -> PlantStatus:
        """Send one joint position command [rad], shape (n,); return a `PlantStatus`.

        The first one after `connect` or a fault also arms the watchdog, which takes a few periods more.
        """
        if self._status != PlantStatus.OK:
            return self._status
        if not self._armed:
            if not self._send(self._control.setWatchdog, self._watchdog_hz, packages=2):
                return self._fail(PlantStatus.REFUSED)
            self._armed = True
        if not self._send(self._control.servoJ, q_c.tolist(), 0.0, 0.0, self._period_s, LOOKAHEAD_S, GAIN):
            return self._fail(PlantStatus.REFUSED)
        return PlantStatus.OK

    def stop(self) -> None:
        """Let the controller stop the arm on its path; returns when it is at rest, after 3 s at most."""
        self._ask(lambda: self._control.servoStop(STOP_M_S2))

    def close(self) -> None:
        """End the control script and leave; takes about a second. Calling it twice is harmless."""
        self.stop()
        self._ask(lambda: self._control.stopScript())
        with _quiet():
            # The client disconnects when it is dropped, and sleeps half a second over each connection.
            self._control = self._receive = None
        self._fail(PlantStatus.DISCONNECTED)

    def _judge(self) -> PlantStatus:
        bits = self._receive.getSafetyStatusBits()
        if bits & _EMERGENCY:
            return self._fail(PlantStatus.EMERGENCY_STOP)
        if bits & Safety.PROTECTIVE_STOPPED:
            return self._fail(PlantStatus.PROTECTIVE_STOP)
        running = self._receive.getRobotMode() == RobotMode.RUNNING
        if not running or self._receive.getRuntimeState() != RuntimeState.PLAYING:
            return self._fail(PlantStatus.NOT_RUNNING)
        self._status = PlantStatus.OK
        return PlantStatus.OK

    def _fail(self, status: PlantStatus) -> PlantStatus:
        self._status, self._armed = status, False
        return status

    def _send(self, call: Callable[..., bool], *args: Any, packages: int = 1) -> bool:
        self._sent += packages
        try:
            return call(*args)
        except Exception:  # the connection is gone and the client could not mend it; `read` says so too
            return False

    def _ask(self, call: Callable[[], object]) -> None:
        """Make a call that waits for the controller, if there is one; the client itself would wait for minutes."""
        if self._status != PlantStatus.OK or not self._receive.isConnected():
            return
        thread = threading.Thread(target=call, daemon=True)
        with _quiet():
            thread.start()
            thread.join(_CALL_S)
        if thread.is_alive():
            self._fail(PlantStatus.NO_DATA)

    def _await_answer(self) -> None:
        expected = self._seen_s + (self._sent - 0.5) * self._period_s
        deadline = time.monotonic() + _LOCKSTEP_S
        while self._receive.getTimestamp() < expected and time.monotonic() < deadline:
            time.sleep(50e-6)


@contextmanager
def _quiet() -> Iterator[None]:
    """Send what the client prints from C++ nowhere."""
    saved = [(fd, os.dup(fd)) for fd in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for fd, _ in saved:
            os.dup2(nowhere, fd)
        yield
    finally:
        for fd, copy in saved:
            os.dup2(copy, fd)
            os.close(copy)
        os.close(nowhere)
