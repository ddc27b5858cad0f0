"""The simulated plant answers like any other driver, in lock-step and in real time."""

import numpy as np
import pytest
from robostral_sims.driver import DEAD_MAN_PERIODS, SimDriver

from robostral.arm import load_arm
from robostral.driver import DriverState, PlantStatus, load_driver
from robostral.errors import DriverError, UnknownName
from robostral.kinematics.gravity import gravity
from robostral.oracle import count_torque_violations, count_violations
from robostral.runtime.records import Answer


@pytest.fixture
def driver():
    driver = load_driver("sim", arm="ur5e", realtime=False)
    yield driver
    driver.close()


def test_it_says_what_it_is(driver):
    assert driver.info.is_twin
    assert driver.info.command_modes == ("joint_position", "joint_torque")
    assert driver.info.joint_names == load_arm("ur5e").chain.joint_names


def test_time_passes_only_in_advance_and_the_plant_follows(driver):
    driver.connect()
    state, home = DriverState(6), load_arm("ur5e").home
    assert driver.read(state) == PlantStatus.OK
    np.testing.assert_array_equal(state.q, home)
    q_c = home.copy()
    for tick in range(500):
        q_c += 0.001 * np.sin(np.pi * tick / 500)
        assert driver.write(q_c) == PlantStatus.OK
        driver.advance()
    driver.advance(100)
    assert driver.read(state) == PlantStatus.OK
    assert state.plant_time_s == pytest.approx(1.2)
    np.testing.assert_allclose(state.q, q_c, atol=1e-4)
    np.testing.assert_allclose(state.dq, 0.0, atol=1e-6)
    assert abs(state.tau[1]) > 5.0, "the shoulder carries the arm"


def test_in_real_time_a_read_lives_through_what_has_passed():
    driver = SimDriver(realtime=True, rate_hz=500.0)
    driver.connect()
    state, seen = DriverState(6), set()
    while len(seen) < 20:
        assert driver.read(state) == PlantStatus.OK
        seen.add(round(state.plant_time_s * 500))
    assert sorted(seen) == sorted(set(range(min(seen), max(seen) + 1)) & seen)
    driver.close()


def test_what_it_cannot_take_it_refuses(driver):
    state, home = DriverState(6), load_arm("ur5e").home
    assert driver.read(state) == PlantStatus.DISCONNECTED
    assert driver.write(home) == PlantStatus.DISCONNECTED
    with pytest.raises(DriverError, match="connect"):
        driver.advance()
    driver.connect()
    assert driver.write(np.full(6, np.nan)) == PlantStatus.REFUSED
    assert driver.write(np.zeros(7)) == PlantStatus.REFUSED
    driver.stop()
    assert driver.write(home) == driver.read(state) == PlantStatus.NOT_RUNNING
    driver.connect()
    assert driver.write(home) == PlantStatus.OK
    driver.close()
    driver.close()


def test_wrong_options_are_named():
    with pytest.raises(UnknownName, match="ur5e"):
        SimDriver(arm="ur5")
    with pytest.raises(UnknownName, match="pybullet"):
        SimDriver(engine="pybulet")
    with pytest.raises(DriverError, match="rate_hz"):
        SimDriver(rate_hz=0.0)


def test_torques_that_stay_away_leave_the_arm_to_its_servos(driver):
    driver.connect()
    arm, state = load_arm("ur5e"), DriverState(6)
    assert driver.arm() == PlantStatus.OK
    hold = gravity(arm.chain, arm.home)
    for _ in range(50):
        assert driver.write_torque(hold) == PlantStatus.OK
        driver.advance()
    driver.read(state)
    np.testing.assert_allclose(state.q, arm.home, atol=1e-3)
    assert driver.write_torque(hold + np.eye(6)[1] * 20.0) == PlantStatus.OK
    driver.advance(1 + DEAD_MAN_PERIODS)
    driver.read(state)
    assert abs(state.dq[1]) > 0.05, "a torque holds for as long"
    driver.advance(200)
    driver.read(state)
    np.testing.assert_allclose(state.dq, 0.0, atol=1e-6)
    assert driver.write_torque(hold) == PlantStatus.REFUSED
    assert driver.arm() == PlantStatus.OK
    assert driver.write_torque(hold) == PlantStatus.OK
    assert driver.write_torque(np.full(6, np.nan)) == driver.write_torque(np.zeros(7)) == PlantStatus.REFUSED
    driver.stop()
    assert driver.write_torque(hold) == PlantStatus.NOT_RUNNING


@pytest.mark.parametrize("seed", [0, 3])
def test_the_shipped_policy_of_feel_and_torques_inserts_its_peg_in_the_loop(lockstep_cell, seed):
    cell = lockstep_cell("panda-peg_insert-v1", task="PegInsert", seed=seed)
    plant, arm = cell.driver, cell.driver.mounted
    cell.tick()
    assert cell.ask("rearm") == Answer.DONE
    assert cell.ask("goal", *plant.told) == Answer.DONE
    unseen = np.zeros(18, np.float32), np.zeros((2, 6), np.float32)  # the task judges by the truth alone

    def inserted():
        return plant.task.judge(*unseen, truth=plant.truth(), stopped=False).success

    assert not inserted()
    cell.run_until(lambda status: inserted() or status.mode != "RUN", limit_s=15.0)
    assert inserted()
    written, limits = cell.rows[cell.rows["written"] == 1], arm.limits.array
    found = count_violations(written["q_c"], 0.002, limits) | count_torque_violations(written["tau_c"], 0.002, limits)
    assert {name: finding["violations"] for name, finding in found.items()} == dict.fromkeys(found, 0)
    assert np.linalg.norm(written["wrench"][:, :3], axis=1).max() > 2.0, "it has felt the surface"


def test_the_truth_is_the_plants_own(driver):
    assert driver.task is None
    assert driver.info.senses == ("tau",)
    with pytest.raises(DriverError, match="connect"):
        driver.truth()
    driver.connect()
    driver.advance(10)
    np.testing.assert_allclose(driver.truth().q, load_arm("ur5e").home, atol=1e-4)
    assert driver.truth().time_s[0] == pytest.approx(0.02)


def test_an_engine_that_knows_no_torques_says_so():
    assert SimDriver("ur5e", engine="surrogate").info.command_modes == ("joint_position",)
