"""The driver against a twin: connect, stream, stop, faults, and what it says when it cannot."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from conftest import Twin
from robostral_drivers.ur.driver import LOOKAHEAD_S, UrDriver
from robostral_drivers.ur.script import SERVOJ

from robostral.driver import DriverState, PlantStatus, load_driver


@pytest.fixture
def driver(twin: Twin) -> Iterator[UrDriver]:
    driver = load_driver("ur", host=twin.host, watchdog_hz=4.0)
    assert isinstance(driver, UrDriver)
    driver.connect()
    yield driver
    driver.close()


def swing(driver: UrDriver, joint: int, size: float, ticks: int) -> list[np.ndarray]:
    """Stream half a cosine of `size` [rad] on one joint; return the set-points."""
    state, sent = DriverState(6), []
    assert driver.read(state) == PlantStatus.OK
    start, deadline = state.q.copy(), time.monotonic()
    for k in range(1, ticks + 1):
        q_c = start.copy()
        q_c[joint] += size * (1.0 - np.cos(np.pi * k / ticks)) / 2.0
        assert driver.write(q_c) == PlantStatus.OK
        assert driver.read(state) == PlantStatus.OK
        sent.append(q_c)
        deadline += 1.0 / driver.info.rate_hz
        time.sleep(max(0.0, deadline - time.monotonic()))
    return sent


def test_a_twin_is_known_as_one(driver: UrDriver) -> None:
    info = driver.info
    assert info.is_twin
    assert (info.name, info.arm, info.rate_hz, len(info.joint_names)) == ("ur", "ur5e", 500.0, 6)


def test_streams_set_points_and_stops(driver: UrDriver, twin: Twin) -> None:
    before = len(twin.commands())
    sent = swing(driver, 5, 0.3, 250)
    driver.stop()
    state = DriverState(6)
    assert driver.read(state) == PlantStatus.OK
    assert abs(state.q[5] - sent[-1][5]) < 2.0 * LOOKAHEAD_S
    came = twin.commands()[before:]
    np.testing.assert_array_equal(came[came[:, 1] == SERVOJ][:, 2:], sent)
    twin.settle()
