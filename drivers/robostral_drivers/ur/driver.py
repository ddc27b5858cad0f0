"""Universal Robots e-Series through the vendor protocol RTDE and the client library ur_rtde, at 500 Hz.

Note:
    Set-points go out with `servoJ`; the controller trails them by about `LOOKAHEAD_S`. It and `GAIN` are what UR's own
    client library uses (Universal_Robots_Client_Library, UrDriver: servoj lookahead 0.03 s, gain 2000).
    The controller repeats the last set-point for ever when we fall silent, so its watchdog is armed before the first
    one: a silence of 1 / `watchdog_hz` ends the program there, and the arm brakes by itself.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.arm import load_arm
from robostral.driver import DriverInfo, DriverState, PlantStatus
from robostral.errors import DriverError
from robostral_drivers.ur.client import Client
from robostral_drivers.ur.probe import probe
from robostral_drivers.ur.wire import RobotMode, RuntimeState, Safety

LOOKAHEAD_S = 0.03
"""servoj: how far the controller looks ahead [s], 0.03 to 0.2."""
GAIN = 2000.0
"""servoj: how hard it pulls, 100 to 2000."""
STOP_M_S2 = 10.0
"""Deceleration of the tcp in the controller's own stop [m/s²]."""
LOST_NS = 500_000_000
"""After so long without data [ns] the connection is given up, before the client tries to mend it (2.5 s)."""
_LOCKSTEP_S = 2.0
_EMERGENCY = (1 << 5) | Safety.ROBOT_EMERGENCY_STOPPED | Safety.EMERGENCY_STOPPED


class UrDriver:
    """Our side of a UR controller's wire.

    `DriverState.tau` is the controller's model torque (`target_moment`); before PolyScope 5.23 none is measured.

    Args:
        host: Address of the controller, or of a twin.
        arm: Arm's name; the controller must drive this model.
        rate_hz: Rate of measurements and set-points [Hz].
        watchdog_hz: The controller stops the arm when it hears nothing for 1 / watchdog_hz seconds; we call its data
            stale after the same time.

    Raises:
        UnknownName: No such arm.
        DriverError: A rate is not positive.
    """

    def __init__(
        self, host: str = "127.0.0.1", arm: str = "ur5e", rate_hz: float = 500.0, watchdog_hz: float = 50.0
    ) -> None:
        if not (rate_hz > 0.0 and watchdog_hz > 0.0):
            raise DriverError(f"rate_hz = {rate_hz} and watchdog_hz = {watchdog_hz} must be positive")
        self._host, self._arm, self._rate_hz, self._watchdog_hz = host, load_arm(arm), rate_hz, watchdog_hz
        self._period_s = 1.0 / rate_hz
        self._stale_ns = round(1e9 / watchdog_hz)
        self._client: Client | None = None
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
            MissingExtra: The client library is not installed.
            DriverError: Names the address and what to do.
        """
        self.close()
        found = probe(self._host, self._arm.name, self._rate_hz)
        self._client = Client(self._host, self._rate_hz)
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
        client = self._client
        if client is None or client.lost:
            return self._fail(PlantStatus.DISCONNECTED)
        receive = client.receive
        if not receive.isConnected():
            client.abandon()
            return self._fail(PlantStatus.DISCONNECTED)
        if self._seen_s >= 0.0 and not self._sent and self._status == PlantStatus.OK:
            self._send(client.control.kickWatchdog)
        if self._lockstep:
            self._await_answer(receive)
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
        silent_ns = 0 if self._lockstep else now - self._seen_ns
        if silent_ns > LOST_NS:
            client.abandon()
        return self._fail(PlantStatus.NO_DATA) if silent_ns > self._stale_ns else self._judge(receive)

    def arm(self) -> PlantStatus:
        """Arm the controller's watchdog, once after `connect`; from then on it wants to hear us at its rate."""
        if self._status != PlantStatus.OK or self._client is None:
            return self._status
        if not self._armed:
            if not self._send(self._client.control.setWatchdog, self._watchdog_hz, packages=2):
                return self._fail(PlantStatus.REFUSED)
            self._armed = True
        return PlantStatus.OK

    def write(self, q_c: NDArray[np.float64]) -> PlantStatus:
        """Send one joint position command [rad], shape (n,); return a `PlantStatus`.

        Where nobody called `arm` before, the first one does, and takes a few periods.
        """
        status = self.arm()
        if status != PlantStatus.OK or self._client is None:
            return status
        if not self._send(self._client.control.servoJ, q_c.tolist(), 0.0, 0.0, self._period_s, LOOKAHEAD_S, GAIN):
            return self._fail(PlantStatus.REFUSED)
        return PlantStatus.OK

    def set_payload(self, mass: float, com: NDArray[np.float64]) -> PlantStatus:
        """Tell the controller mass [kg] and centre of mass in the flange [m], shape (3,); return a `PlantStatus`."""
        if self._status != PlantStatus.OK or self._client is None:
            return self._status
        taken = self._send(self._client.control.setPayload, mass, com.tolist(), packages=2)
        return PlantStatus.OK if taken else PlantStatus.REFUSED

    def stop(self) -> None:
        """Let the controller stop the arm on its path; returns when it is at rest, after 3 s at most.

        A stop that outlasts the watchdog's patience ends the program too; then `connect` again.
        """
        self._ask(lambda control: control.servoStop(STOP_M_S2))

    def close(self) -> None:
        """End the control script and leave; takes about a second. Calling it twice is harmless."""
        self.stop()
        self._ask(lambda control: control.stopScript())
        if self._client is not None:
            self._client.close()
            self._client = None
        self._fail(PlantStatus.DISCONNECTED)

    def _judge(self, receive: Any) -> PlantStatus:
        bits = receive.getSafetyStatusBits()
        if bits & _EMERGENCY:
            return self._fail(PlantStatus.EMERGENCY_STOP)
        if bits & Safety.PROTECTIVE_STOPPED:
            return self._fail(PlantStatus.PROTECTIVE_STOP)
        if receive.getRobotMode() != RobotMode.RUNNING or receive.getRuntimeState() != RuntimeState.PLAYING:
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

    def _ask(self, call: Callable[[Any], object]) -> None:
        client = self._client
        if client is None or self._status != PlantStatus.OK:
            return
        if not client.receive.isConnected() or not client.ask(lambda: call(client.control)):
            client.abandon()
            self._fail(PlantStatus.DISCONNECTED)

    def _await_answer(self, receive: Any) -> None:
        expected = self._seen_s + (self._sent - 0.5) * self._period_s
        deadline = time.monotonic() + _LOCKSTEP_S
        while receive.getTimestamp() < expected and time.monotonic() < deadline:
            time.sleep(50e-6)
