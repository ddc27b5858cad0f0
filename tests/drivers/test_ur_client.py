"""The vendor's client library in front of the twin: its receive, control and io interfaces must not be able to tell."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rtde_control
import rtde_io
import rtde_receive
from robostral_drivers.ur.geometry import Geometry, matrix
from ur_rig import Twin, eventually

from robostral.arm import load_arm


@pytest.fixture(scope="module")
def receive(twin: Twin) -> Iterator[Any]:
    client = rtde_receive.RTDEReceiveInterface(twin.host)
    yield client
    client.disconnect()


@pytest.fixture(scope="module")
def control(twin: Twin) -> Iterator[Any]:
    client = rtde_control.RTDEControlInterface(twin.host)
    yield client
    client.stopScript()
    client.disconnect()


@pytest.fixture
def home(control: Any, twin: Twin) -> list[float]:
    q = load_arm("ur5e").home.tolist()
    assert control.moveJ(q, 3.0, 20.0)
    twin.settle()
    return q


def at(receive: Any, q: list[float]) -> bool:
    return bool(np.abs(np.array(receive.getActualQ()) - q).max() < 1e-3)


def test_it_looks_like_a_robot_that_is_ready(receive: Any, control: Any) -> None:
    assert (receive.getRobotMode(), receive.getSafetyMode(), receive.getRuntimeState()) == (7, 1, 2)
    assert (receive.getRobotStatus(), receive.getSafetyStatusBits()) == (3, 1)
    assert control.isProgramRunning()
    assert control.isConnected()
    before = receive.getTimestamp()
    eventually(lambda: receive.getTimestamp() > before)


def test_moves_arrive(control: Any, receive: Any, home: list[float]) -> None:
    goal = [home[0] + 0.2, *home[1:]]
    assert control.moveJ(goal, 3.0, 20.0)
    eventually(lambda: at(receive, goal))
    geometry = Geometry(load_arm("ur5e"))
    assert control.moveL(geometry.tcp(np.array(home)), 1.0, 5.0)
    eventually(lambda: at(receive, home))
    assert control.moveJ_IK(geometry.tcp(np.array(goal)), 3.0, 20.0)
    eventually(lambda: at(receive, goal))
    assert control.moveJ([[*home, 3.0, 20.0, 0.0], [*goal, 3.0, 20.0, 0.0]])
    eventually(lambda: at(receive, goal))


def test_an_asynchronous_move_is_watched_and_stopped(control: Any, receive: Any, home: list[float]) -> None:
    assert control.moveJ([home[0] + 1.0, *home[1:]], 1.0, 5.0, True)
    eventually(lambda: control.getAsyncOperationProgressEx().isAsyncOperationRunning())
    eventually(lambda: receive.getActualQ()[0] > home[0] + 0.05)
    control.stopJ(20.0)
    eventually(lambda: control.getAsyncOperationProgress() < 0)
    assert receive.getActualQ()[0] < home[0] + 0.9


def test_speeds_are_held_and_stopped(control: Any, receive: Any, home: list[float], twin: Twin) -> None:
    assert control.speedJ([0.0, 0.0, 0.0, 0.0, 0.0, 0.5], 20.0)
    eventually(lambda: abs(receive.getActualQd()[5] - 0.5) < 1e-2)
    assert control.speedStop(20.0)
    assert control.speedL([0.0, 0.0, -0.05, 0.0, 0.0, 0.0], 5.0)
    eventually(lambda: abs(receive.getActualTCPSpeed()[2] + 0.05) < 1e-3)
    assert control.speedStop(20.0)
    eventually(lambda: bool(control.isSteady()))


def test_its_kinematics_are_ours(control: Any, receive: Any, home: list[float]) -> None:
    geometry = Geometry(load_arm("ur5e"))
    eventually(lambda: np.allclose(receive.getActualTCPPose(), geometry.tcp(np.array(receive.getActualQ())), atol=1e-6))
    offset = [0.0, 0.02, 0.1, 0.0, 0.3, 0.0]
    assert control.setTcp(offset)
    np.testing.assert_allclose(control.getTCPOffset(), offset)
    expected = matrix(geometry.tcp(np.array(home))) @ matrix(offset)
    np.testing.assert_allclose(matrix(control.getForwardKinematics(home, offset)), expected, atol=1e-9)
    eventually(lambda: np.allclose(matrix(receive.getActualTCPPose()), expected, atol=1e-4))
    q = control.getInverseKinematics(control.getForwardKinematics(home, offset))
    np.testing.assert_allclose(q, home, atol=1e-6)
    assert control.setTcp([0.0] * 6)
    assert not control.getInverseKinematicsHasSolution([2.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert not control.isJointsWithinSafetyLimits([0.0, 0.0, 9.0, 0.0, 0.0, 0.0])


def test_settings_come_back(control: Any, receive: Any) -> None:
    assert control.setPayload(1.5, [0.0, 0.0, 0.05])
    eventually(lambda: receive.getPayload() == 1.5)
    assert receive.getPayloadCog() == [0.0, 0.0, 0.05]


def test_io_and_speed_slider(twin: Twin, receive: Any) -> None:
    io = rtde_io.RTDEIOInterface(twin.host)
    assert io.setStandardDigitalOut(3, True)
    assert io.setConfigurableDigitalOut(1, True)
    assert io.setToolDigitalOut(0, True)
    assert io.setAnalogOutputVoltage(0, 0.5)
    assert io.setAnalogOutputCurrent(1, 0.25)
    assert io.setSpeedSlider(0.5)
    eventually(lambda: receive.getTargetSpeedFraction() == 0.5)
    assert receive.getActualDigitalOutputBits() == 1 << 3 | 1 << 9 | 1 << 16
    assert (receive.getStandardAnalogOutput0(), receive.getStandardAnalogOutput1()) == (5.0, 0.008)
    assert io.setStandardDigitalOut(3, False)
    assert io.setSpeedSlider(1.0)
    eventually(lambda: receive.getTargetSpeedFraction() == 1.0)
    io.disconnect()


def test_the_script_can_be_stopped_and_sent_again(control: Any, receive: Any, home: list[float]) -> None:
    control.stopScript()
    assert not control.isProgramRunning()
    assert not control.moveJ(home)
    assert control.reuploadScript()
    eventually(control.isProgramRunning)
    assert control.moveJ([home[0] + 0.1, *home[1:]], 3.0, 20.0)


def test_the_upper_registers_serve_as_well(twin: Twin, control: Any) -> None:
    control.stopScript()
    control.disconnect()
    flags = rtde_control.RTDEControlInterface
    upper = flags(twin.host, 500.0, flags.FLAG_UPLOAD_SCRIPT | flags.FLAG_UPPER_RANGE_REGISTERS)
    assert upper.isSteady()
    upper.stopScript()
    upper.disconnect()
    assert control.reconnect()
    assert control.isSteady()


def test_a_second_controller_is_told_that_the_registers_are_taken(twin: Twin, control: Any) -> None:
    with pytest.raises(RuntimeError, match="already in use"):
        rtde_control.RTDEControlInterface(twin.host)
    assert control.isSteady()


def test_numbers_that_are_none_end_the_program(control: Any, receive: Any, home: list[float]) -> None:
    control.servoJ([math.nan] * 6, 0.0, 0.0, 0.002, 0.03, 2000.0)
    eventually(lambda: not control.isProgramRunning())
    assert not control.moveJ(home)  # clears the command register, or the next script would begin with it
    assert control.reuploadScript()
    eventually(control.isProgramRunning)
    assert at(receive, home)


def test_a_joint_that_reaches_its_end_is_a_protective_stop(
    control: Any, receive: Any, home: list[float], twin: Twin
) -> None:
    assert control.speedJ([0.0, 0.0, 3.0, 0.0, 0.0, 0.0], 20.0)
    eventually(receive.isProtectiveStopped)
    assert not control.moveJ(home)
    twin.settle()
    assert np.pi - 0.1 < receive.getActualQ()[2] < np.pi + 0.5
    twin.lab.advance(2500)
    assert twin.lab.ask("unlock protective stop") == "Protective stop releasing"
    assert control.reuploadScript()
    eventually(control.isProgramRunning)


def test_a_command_without_emulation_ends_the_program(control: Any, home: list[float]) -> None:
    assert not control.moveUntilContact([0.0, 0.0, -0.01, 0.0, 0.0, 0.0])
    assert not control.isProgramRunning()
    assert control.reuploadScript()
    eventually(control.isProgramRunning)
