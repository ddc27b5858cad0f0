"""What reaches a joint is late, smoothed, limited and less friction, as closed forms say."""

import numpy as np
import pytest
from robostral_sims.actuator import BEND_RAD, Actuators
from robostral_sims.scene import Actuator, ArmMount, Scene

from robostral.arm import load_arm
from robostral.arm.limits import TAU
from robostral.errors import ConfigError

ARM = load_arm("ur5e")
DT_S = 0.001


def make(*models):
    mounts = tuple(ArmMount("ur5e", f"arm{i}", actuator=model) for i, model in enumerate(models))
    return Actuators(Scene(arms=mounts), [ARM] * len(models), DT_S)


def slide(actuators, mass, push, seconds, joint=0):
    """Push a single mass through the friction of one joint; return its path and speed."""
    q, dq, path = 0.0, 0.0, []
    tau_c, velocity = np.zeros(6), np.zeros(6)
    for k in range(round(seconds / DT_S)):
        tau_c[joint], velocity[joint] = push(k * DT_S), dq
        dq += DT_S * actuators.torques(tau_c, velocity)[joint] / mass
        q += DT_S * dq
        path.append((q, dq))
    return np.array(path).T


def test_nothing_between_changes_nothing():
    actuators, q_c = make(Actuator()), np.random.default_rng(0).normal(size=(5, 6))
    assert actuators.positions(q_c) is q_c
    tau = np.linspace(-20.0, 20.0, 6)
    np.testing.assert_array_equal(actuators.torques(tau, np.ones(6)), tau)


def test_dead_time_is_whole_ticks_for_each_arm():
    actuators, start = make(Actuator(delay_s=0.003), Actuator()), np.arange(12.0)
    actuators.reset(start)
    q_c = start + np.arange(1.0, 9.0)[:, None]
    out = np.concatenate([actuators.positions(q_c[:3]), actuators.positions(q_c[3:])])
    np.testing.assert_array_equal(out[:, 6:], q_c[:, 6:])
    np.testing.assert_array_equal(out[:3, :6], np.tile(start[:6], (3, 1)))
    np.testing.assert_array_equal(out[3:, :6], q_c[:-3, :6])


def test_a_lag_answers_a_step_exponentially():
    actuators = make(Actuator(lag_s=0.02))
    actuators.reset(np.zeros(6))
    out = actuators.positions(np.ones((100, 6)))
    t = DT_S * np.arange(1, 101)
    np.testing.assert_allclose(out[:, 2], 1.0 - np.exp(-t / 0.02), atol=1e-12)


def test_torques_are_limited_as_the_table_says_and_the_first_has_always_been_there():
    actuators, limit = make(Actuator(delay_s=0.002)), ARM.limits.array[TAU]
    np.testing.assert_array_equal(actuators.torques(2.0 * limit, np.zeros(6)), limit)
    np.testing.assert_array_equal(actuators.torques(-2.0 * limit, np.zeros(6)), limit)
    actuators.torques(-2.0 * limit, np.zeros(6))
    np.testing.assert_array_equal(actuators.torques(-2.0 * limit, np.zeros(6)), -limit)


def test_a_position_after_torques_begins_where_it_is():
    actuators = make(Actuator(delay_s=0.005, lag_s=0.01))
    actuators.torques(np.full(6, 3.0), np.zeros(6))
    q_c = np.tile(ARM.home, (4, 1))
    np.testing.assert_allclose(actuators.positions(q_c), q_c, rtol=1e-15)


def test_a_joint_sticks_below_its_break_away_torque_and_gives_a_little():
    actuators = make(Actuator(coulomb=(2.0,) * 6, stiction=(1.0,) * 6))
    q, dq = slide(actuators, 0.05, lambda t: 2.0, 3.0)
    assert q[-1] == pytest.approx(2.0 / 3.0 * BEND_RAD, rel=1e-3)
    assert abs(dq[-1]) < 1e-6


def test_beyond_it_the_mass_is_driven_by_what_coulomb_and_viscous_friction_leave():
    actuators = make(Actuator(coulomb=(2.0,) * 6, stiction=(1.0,) * 6, viscous=(4.0,) * 6))
    mass, push = 0.5, 3.2
    q, dq = slide(actuators, mass, lambda t: push, 2.0)
    assert dq[-1] == pytest.approx((push - 2.0) / 4.0, rel=1e-3), "terminal speed"
    begun = np.flatnonzero(q > 1.5 * BEND_RAD)[0]
    t = DT_S * np.arange(dq.size - begun)
    expected = dq[-1] + (dq[begun] - dq[-1]) * np.exp(-t * 4.0 / mass)
    np.testing.assert_allclose(dq[begun:], expected, atol=2e-3)


def test_a_sliding_mass_stops_where_coulomb_says_and_stays():
    actuators = make(Actuator(coulomb=(2.0,) * 6))
    mass = 0.5
    q, dq = slide(actuators, mass, lambda t: 6.0 if t < 0.2 else 0.0, 4.0)
    off = round(0.2 / DT_S)
    stop = q[off] + 0.5 * mass * dq[off] ** 2 / 2.0
    assert q[-1] == pytest.approx(stop, abs=2.0 * BEND_RAD)
    assert abs(dq[-1]) < 1e-6


def test_friction_takes_energy_out_and_never_puts_any_in():
    actuators = make(Actuator(coulomb=(1.0,) * 6, stiction=(0.5,) * 6, viscous=(0.2,) * 6))
    stored = np.array([1.5 * BEND_RAD] * 6)  # a bent bristle gives back no more than this [J]
    work, rng, dq = np.zeros(6), np.random.default_rng(1), np.zeros(6)
    for _ in range(3000):
        dq = 0.98 * dq + 0.1 * rng.normal(size=6)
        work += DT_S * dq * actuators.torques(np.zeros(6), dq)
    assert (work < -10.0 * stored).all()


def test_a_row_of_wrong_length_is_named():
    with pytest.raises(ConfigError, match="'arm0': viscous has 3 values for 6 joints"):
        make(Actuator(viscous=(1.0, 2.0, 3.0)))
