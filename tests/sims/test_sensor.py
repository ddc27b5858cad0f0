"""The wrist's sensor: the tool's weight is off in every pose; bias, delay, low pass and noise are as asked for."""

import numpy as np
import pytest
from robostral_sims.randomize import Plant
from robostral_sims.scene import ForceTorque
from robostral_sims.sensor import FILTER_S, MEAN, MEAN_VECTOR, PEAK, Wrist, sensor_of

from robostral.arm import load_arm
from robostral.arm.chain import transform
from robostral.kinematics import fk

DT, MASS, COM = 0.002, 0.4, np.array([0.01, -0.02, 0.05])
ARM = load_arm("panda")
CHAIN = ARM.chain.with_tcp(transform((0.0, 0.01, 0.10), (0.0, 0.2, 0.3))).with_gravity((0.0, 0.0, -9.81))
POSES = ARM.home + np.random.default_rng(0).uniform(-0.5, 0.5, (6, 7))


def wrist(**figures) -> Wrist:
    made = Wrist(CHAIN, MASS, COM, DT)
    made.reset(ForceTorque(**figures), np.random.default_rng(1))
    return made


def raw(q: np.ndarray, force=(0.0, 0.0, 0.0), moment=(0.0, 0.0, 0.0)) -> np.ndarray:
    """Return what the flange feels of the tool's weight and of a wrench at the tcp, in `base`."""
    T, T_tcp = fk.frames(CHAIN, q)[-2:]
    weight = np.array([0.0, 0.0, -9.81 * MASS])
    arm = T_tcp[:3, 3] - T[:3, 3]
    return np.concatenate((weight + force, np.cross(T[:3, :3] @ COM, weight) + moment + np.cross(arm, force)))


def still(sensor: Wrist, q: np.ndarray, signal: np.ndarray, ticks: int = 1) -> np.ndarray:
    for _ in range(ticks):
        sensor.step(q, signal, np.zeros(6))
    return sensor.reading.copy()


@pytest.mark.parametrize("q", POSES)
def test_a_wrench_at_the_tcp_is_read_as_such_in_every_pose(q):
    np.testing.assert_allclose(still(wrist(), q, raw(q)), 0.0, atol=1e-12)
    force, moment = np.array([3.0, -4.0, 12.0]), np.array([0.1, 0.2, -0.3])
    np.testing.assert_allclose(still(wrist(), q, raw(q, force, moment)), [*force, *moment], atol=1e-12)


def test_bias_turns_with_the_flange():
    bias = np.array([1.0, -0.5, 0.25])
    for q in POSES:
        R = fk.frames(CHAIN, q)[-2][:3, :3]
        np.testing.assert_allclose(still(wrist(force_bias=tuple(bias)), q, raw(q))[:3], R @ bias, atol=1e-12)


def test_delay_is_in_whole_ticks():
    sensor, q = wrist(delay_s=0.006), POSES[0]
    still(sensor, q, raw(q), 10)
    seen = [still(sensor, q, raw(q, (0.0, 0.0, 5.0)))[2] for _ in range(5)]
    np.testing.assert_allclose(seen, [0.0, 0.0, 0.0, 5.0, 5.0], atol=1e-12)


def test_low_pass_has_its_time_constant():
    sensor, q = wrist(cutoff_hz=10.0), POSES[0]
    reached = still(sensor, q, raw(q, (0.0, 0.0, 5.0)), round(1.0 / (2.0 * np.pi * 10.0) / DT))[2]
    assert reached == pytest.approx(5.0 * (1.0 - np.exp(-1.0)), rel=0.02)


def test_noise_has_its_spread_and_its_seed():
    one, other = wrist(force_noise=0.5, torque_noise=0.02), wrist(force_noise=0.5, torque_noise=0.02)
    noise = one.noise(4000)
    np.testing.assert_array_equal(noise, other.noise(4000))
    np.testing.assert_allclose(noise.std(axis=0), [0.5] * 3 + [0.02] * 3, rtol=0.05)


def test_the_force_limit_sees_the_mean_of_50_ms():
    sensor, q = wrist(force_noise=3.0, delay_s=0.01), POSES[0]
    still(sensor, q, raw(q), 50)
    for _ in range(5):  # 100 N for 10 ms
        sensor.step(q, raw(q, (60.0, 0.0, 80.0)), np.ones(6))
    assert sensor.force[MEAN] == pytest.approx(100.0 * 0.010 / FILTER_S)
    np.testing.assert_allclose(sensor.force[MEAN_VECTOR], (12.0, 0.0, 16.0), atol=1e-9)
    still(sensor, q, raw(q), 100)
    assert sensor.force[MEAN] == pytest.approx(0.0, abs=1e-9)
    assert sensor.force[PEAK] == pytest.approx(20.0)


def test_a_plant_names_the_sensor_of_its_episode():
    sensor = sensor_of(Plant({"force_bias_z": 0.7, "wrench_delay_s": 0.008}))
    assert sensor.force_bias == (0.0, 0.0, 0.7)
    assert (sensor.delay_s, sensor.cutoff_hz) == (0.008, 100.0)
