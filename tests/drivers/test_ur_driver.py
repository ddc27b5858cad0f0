"""The driver against a twin: streaming, stops, faults and the way back, and what it says when it cannot."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from robostral_drivers.ur.driver import UrDriver
from robostral_drivers.ur.script import SERVOJ
from ur_rig import Twin, eventually, fresh_host

from robostral.driver import DriverState, PlantStatus, load_driver
from robostral.errors import DriverError
from robostral.runtime.realtime import RealClock

PERIOD_NS = 2_000_000


@pytest.fixture
def driver(twin: Twin) -> Iterator[UrDriver]:
    """Patient with a busy machine: the sharp watchdog is tested by itself."""
    driver = load_driver("ur", host=twin.host, watchdog_hz=4.0)
    assert isinstance(driver, UrDriver)
    driver.connect()
    yield driver
    driver.close()


def swing(driver: UrDriver, joint: int, size: float, ticks: int) -> list[NDArray[np.float64]]:
    """Stream half a cosine of `size` [rad] on one joint, a period at a time; return the set-points."""
    state, sent = DriverState(6), []
    assert driver.read(state) == PlantStatus.OK
    start, clock = state.q.copy(), RealClock()
    deadline = clock.now_ns()
    for k in range(1, ticks + 1):
        q_c = start.copy()
        q_c[joint] += size * (1.0 - np.cos(np.pi * k / ticks)) / 2.0
        assert driver.write(q_c) == PlantStatus.OK
        assert driver.read(state) == PlantStatus.OK
        sent.append(q_c)
        deadline = clock.wait_until(deadline + PERIOD_NS)
    return sent


def follows(driver: UrDriver, size: float, ticks: int = 50) -> bool:
    """Tell whether the arm takes a swing of its fifth joint and arrives where that ends."""
    end, state = swing(driver, 4, size, ticks)[-1], DriverState(6)
    eventually(lambda: driver.read(state) != PlantStatus.OK or abs(state.q[4] - end[4]) < 1e-3)
    return bool(abs(state.q[4] - end[4]) < 1e-3)


def becomes(driver: UrDriver, status: PlantStatus) -> None:
    state = DriverState(6)
    eventually(lambda: driver.read(state) == status)
    assert driver.write(state.q) == status


def test_streams_set_points_and_stops(driver: UrDriver, twin: Twin) -> None:
    info, state = driver.info, DriverState(6)
    assert info.is_twin
    assert (info.name, info.arm, info.rate_hz, len(info.joint_names)) == ("ur", "ur5e", 500.0, 6)
    before = len(twin.commands())
    sent = swing(driver, 5, 0.3, 250)
    driver.stop()
    assert driver.read(state) == PlantStatus.OK
    assert abs(state.q[5] - sent[-1][5]) < 0.02
    came = twin.commands()[before:]
    np.testing.assert_array_equal(came[came[:, 1] == SERVOJ][:, 2:], sent)
    swing(driver, 5, -0.3, 250)


def test_a_jump_that_no_robot_would_follow_is_a_protective_stop(driver: UrDriver, twin: Twin) -> None:
    state = DriverState(6)
    assert driver.read(state) == PlantStatus.OK
    assert driver.write(state.q + 0.5) == PlantStatus.OK
    becomes(driver, PlantStatus.PROTECTIVE_STOP)
    with pytest.raises(DriverError, match="protective stop; find the cause, then unlock"):
        driver.connect()
    assert twin.lab.ask("unlock protective stop").startswith("Cannot unlock protective stop until 5s")
    twin.lab.advance(2500)
    assert twin.lab.ask("unlock protective stop") == "Protective stop releasing"
    driver.connect()
    assert follows(driver, 0.05)


def test_an_emergency_stop_needs_power_and_brakes(driver: UrDriver, twin: Twin) -> None:
    twin.lab.fault("emergency_stop")
    becomes(driver, PlantStatus.EMERGENCY_STOP)
    with pytest.raises(DriverError, match="is ROBOT_EMERGENCY_STOP; clear it on the pendant"):
        driver.connect()
    twin.lab.fault("release_emergency_stop")
    with pytest.raises(DriverError, match="is POWER_OFF; power it on and release the brakes"):
        driver.connect()
    twin.lab.ask("power on")
    twin.lab.ask("brake release")
    driver.connect()
    assert follows(driver, 0.05)


def test_a_stopped_program_and_a_frozen_controller_are_told_apart(driver: UrDriver, twin: Twin) -> None:
    twin.lab.fault("program_stop")
    becomes(driver, PlantStatus.NOT_RUNNING)
    driver.connect()
    assert follows(driver, -0.05)
    twin.lab.fault("freeze")
    becomes(driver, PlantStatus.NO_DATA)
    twin.lab.fault("freeze", 0)
    becomes(driver, PlantStatus.OK)
    assert follows(driver, 0.05)


def test_a_controller_that_hangs_is_given_up_and_found_again(driver: UrDriver, twin: Twin) -> None:
    """The client would connect anew by itself, and end the process with it."""
    state = DriverState(6)
    os.kill(twin.child.pid, signal.SIGSTOP)
    eventually(lambda: driver.read(state) == PlantStatus.NO_DATA)
    eventually(lambda: driver.read(state) == PlantStatus.DISCONNECTED)
    os.kill(twin.child.pid, signal.SIGCONT)
    becomes(driver, PlantStatus.DISCONNECTED)
    driver.connect()
    assert follows(driver, 0.05)


def test_packages_that_are_lost_or_late_do_no_harm(driver: UrDriver, twin: Twin) -> None:
    twin.lab.fault("drop", 0.2)
    assert follows(driver, 0.05, 100)
    twin.lab.fault("drop", 0)
    twin.lab.fault("delay", 3)
    assert follows(driver, -0.05, 100)
    twin.lab.fault("delay", 0)


def test_local_control_is_refused(twin: Twin) -> None:
    twin.lab.fault("local_control")
    with pytest.raises(DriverError, match="switch the pendant to remote control"):
        UrDriver(twin.host).connect()
    twin.lab.fault("local_control", 0)


def test_nobody_there_is_told_at_once() -> None:
    host, began = fresh_host(), time.monotonic()
    with pytest.raises(DriverError, match=rf"nothing listens at {host}:30004; start the twin \(robostral twin ur"):
        UrDriver(host).connect()
    assert time.monotonic() - began < 1.0


def test_another_arm_and_a_rate_out_of_range_are_refused(twin: Twin) -> None:
    with pytest.raises(DriverError, match="does not send at 1000 Hz"):
        UrDriver(twin.host, rate_hz=1000.0).connect()
    with pytest.raises(DriverError, match="must be positive"):
        UrDriver(twin.host, watchdog_hz=0.0)
    with pytest.raises(DriverError, match="not connected"):
        _ = UrDriver(twin.host).info


CLIENT = """
import sys
from robostral.driver import DriverState, load_driver
from robostral.runtime.realtime import RealClock
driver, state, clock = load_driver("ur", host=sys.argv[1]), DriverState(6), RealClock()
driver.connect()
driver.read(state)
q_c, k = state.q.copy(), 0
while True:
    k += 1
    q_c[5] += min(k / 250.0, 1.0) * 0.002
    driver.write(q_c)
    driver.read(state)
    if k == 300:
        print("moving", flush=True)
    clock.wait_until(clock.now_ns() + 2_000_000)
"""


def test_the_arm_stops_when_its_client_is_killed(twin: Twin) -> None:
    """The watchdog that the driver arms is the controller's own: it outlives us."""
    client = subprocess.Popen([sys.executable, "-c", CLIENT, twin.host], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "moving\n"
    assert not twin.lab.state()["at_rest"]
    client.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    client.wait()
    eventually(lambda: twin.lab.state()["program"] == "STOPPED")
    twin.settle()
    # 20 ms of patience, 0.1 s from 1 rad/s at 10 rad/s², and what a busy machine adds.
    assert time.monotonic() - killed < 1.0
    client.stdout.close()


def run_in_lockstep(twin: Twin, ticks: int) -> NDArray[np.float64]:
    """From the twin's home, stream the same motion; return time, q, dq, tau of every tick."""
    driver, state, rows = UrDriver(twin.host), DriverState(6), []
    driver.connect()
    try:
        for k in range(ticks):
            assert driver.read(state) == PlantStatus.OK
            rows.append([state.plant_time_s, *state.q, *state.dq, *state.tau])
            driver.write(HOME + 0.2 * np.sin(2.0 * np.pi * k / ticks) * SHAPE)
    finally:
        driver.close()
    return np.array(rows)


HOME = np.array([0.0, -np.pi / 2, np.pi / 2, -np.pi / 2, -np.pi / 2, 0.0])
SHAPE = np.array([1.0, 0.5, -0.5, 0.25, 0.0, -1.0])


def test_lock_step_is_bit_identical(lockstep: tuple[Twin, Twin]) -> None:
    first, second = (run_in_lockstep(twin, 300) for twin in lockstep)
    np.testing.assert_array_equal(first, second)
    # One period a command, after the three packages that arm the watchdog and send the first one.
    np.testing.assert_allclose(np.diff(first[2:, 0]), 1e-9 * PERIOD_NS, atol=1e-12)
    assert np.ptp(first[:, 1]) > 0.3


def test_in_lock_step_time_passes_only_when_asked(lockstep: tuple[Twin, Twin]) -> None:
    lab = lockstep[0].lab
    before = lab.state()["time"]
    lab.advance(500)
    assert lab.state()["time"] == pytest.approx(before + 1.0)
    with pytest.raises(DriverError, match="unknown fault 'protectivestop'; did you mean 'protective_stop'"):
        lab.fault("protectivestop")


def test_the_controller_hears_of_the_payload(driver: UrDriver, twin: Twin) -> None:
    from robostral.driver import TakesPayload

    assert isinstance(driver, TakesPayload)
    assert driver.set_payload(1.5, np.array([0.0, 0.01, 0.05])) == PlantStatus.OK
    eventually(lambda: bool(np.isclose(twin.commands()[:, 2:6], [1.5, 0.0, 0.01, 0.05]).all(axis=1).any()))
    driver.close()
    assert driver.set_payload(1.0, np.zeros(3)) == PlantStatus.DISCONNECTED
