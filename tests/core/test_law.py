"""Torque mode in the loop: the same law as in the environment, inside every limit, and never blind."""

import time
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from servo_cell import ARM, HORIZON, ExactPlant, N, Servo, far_goal, make_contract, near_goal, tcp, violations

from robostral.arm.limits import TAU
from robostral.contract import Action, Impedance
from robostral.control.law import JOINT_TORQUE, PositionLaw, TorqueLaw, command_mode_of, law_of
from robostral.driver import PlantStatus, load_driver
from robostral.errors import ConfigError
from robostral.guard import Guard, Reason
from robostral.oracle import count_torque_violations, count_violations
from robostral.runtime.ladder import Cause, Mode
from robostral.runtime.lockstep import LockStep
from robostral.runtime.loopback import Loopback
from robostral.runtime.options import LoopOptions
from robostral.runtime.records import Answer
from robostral.signals import obs_field

DT = 0.002
SOFT = Impedance((1000.0,) * 3 + (10.0,) * 3, (1.0,) * 6, 0.0)
LOW, HIGH = (-0.06,) * N, (0.06,) * N
CONTRACT = make_contract(
    action=Action("joint_position_delta", LOW, HIGH, "rad", "joint", HORIZON, 0.04, 0.12, impedance=SOFT)
)


class TorquePlant(Loopback):
    """An arm under joint torques only, and what somebody pushes or hangs on it."""

    def __init__(self, payload: tuple[float, list[float]] | None = None) -> None:
        super().__init__("ur5e", 1.0 / DT)
        self.info = replace(self.info, name="torque", command_modes=(JOINT_TORQUE,), senses=("tau", "wrench"))
        self.chain = ARM.chain.with_payload(*payload) if payload else ARM.chain
        self.push, self.status, self.frozen_ns = np.zeros(N), PlantStatus.OK, 0
        self.written, self.stops, self.wrench = [], 0, np.zeros(6)

    def read(self, state):
        super().read(state)
        state.wrench[:] = self.wrench
        state.t_ns = self.frozen_ns or state.t_ns
        return self.status

    def write(self, q_c):
        raise AssertionError("a plant in torque mode was sent positions")

    def write_torque(self, tau_c):
        self.written.append(tau_c.copy())
        return super().write_torque(tau_c + self.push)

    def stop(self):
        super().stop()
        self.stops += 1


def armed(plant=None, options=None, contract=CONTRACT):
    plant = plant or TorquePlant()
    cell = LockStep(plant, ARM, Servo(contract), options=options)
    cell.tick()
    assert cell.ask("rearm") == Answer.DONE
    return cell, plant


def torque_violations(rows):
    written = rows[rows["written"] == 1]
    found = count_torque_violations(written["tau_c"], DT, ARM.limits.array)
    return sum(finding["violations"] for finding in found.values())


def settle(cell, goal):
    cell.run_until(lambda status: status.goal_error_m < 0.001, limit_s=8.0)
    cell.tick(200)


def test_the_law_follows_from_the_contract():
    guard = Guard(ARM.chain, ARM.limits, DT)
    assert isinstance(law_of(make_contract(), guard), PositionLaw)
    assert isinstance(law_of(CONTRACT, guard), TorqueLaw)
    assert command_mode_of(CONTRACT) == JOINT_TORQUE


def test_it_reaches_its_goal_inside_every_limit_of_motion_and_torque():
    cell, plant = armed()
    goal = near_goal(1)
    assert cell.ask("goal", *goal) == Answer.DONE
    settle(cell, goal)
    assert cell.mode == Mode.RUN
    assert np.linalg.norm(tcp(plant.q)[:3] - goal[:3]) < 0.002
    assert violations(cell.rows) == torque_violations(cell.rows) == 0
    assert len(plant.written) == (cell.rows["written"] == 1).sum() > 500
    np.testing.assert_array_equal(plant.written, cell.rows["tau_c"][cell.rows["written"] == 1])


def test_what_the_loop_writes_is_what_the_environments_law_says_bit_for_bit():
    cell, _ = armed()
    cell.ask("goal", *far_goal())
    cell.tick(300)
    rows = cell.rows[cell.rows["written"] == 1]
    guard = Guard(ARM.chain, ARM.limits, DT, capsules=ARM.capsules)
    law, tau = TorqueLaw(guard, SOFT), np.zeros(N)
    guard.reset(ARM.home)
    law.reset(ARM.home)
    for row in rows:
        assert guard.step(row["q_c"].copy()) == Reason.PASSED
        law(row["q"].copy(), row["dq"].copy(), tau)
        np.testing.assert_array_equal(tau, row["tau_c"])


def test_a_pushed_arm_gives_way_and_comes_back():
    cell, plant = armed()
    there = tcp(plant.q)[:3]
    plant.push[1] = 30.0
    cell.tick(500)
    pushed = np.linalg.norm(tcp(plant.q)[:3] - there)
    plant.push[1] = 0.0
    cell.tick(800)
    assert 0.01 < pushed < 0.1
    assert np.linalg.norm(tcp(plant.q)[:3] - there) < 1e-4
    assert cell.mode == Mode.IDLE
    assert torque_violations(cell.rows) == 0


def test_a_payload_that_is_told_is_held_up():
    def sag(options):
        cell, plant = armed(TorquePlant((2.0, [0.0, 0.0, 0.1])), options)
        cell.tick(800)
        return tcp(ARM.home)[2] - tcp(plant.q)[2], cell, plant

    untold, cell, plant = sag(None)
    told, _, _ = sag(LoopOptions(payload=(2.0, 0.0, 0.0, 0.1)))
    assert untold == pytest.approx(2.0 * 9.81 / SOFT.stiffness[2], rel=0.1)
    assert abs(told) < 1e-5
    assert cell.ask("stop") == Answer.DONE
    assert cell.ask("payload", 2.0, 0.0, 0.0, 0.1) == Answer.DONE
    written = len(plant.written)
    cell.tick(5)
    assert len(plant.written) == written
    assert cell.ask("rearm") == Answer.DONE
    before = plant.q.copy()
    cell.tick(500)
    np.testing.assert_allclose(plant.q, before, atol=1e-4)


def test_a_stop_in_mid_motion_ends_in_a_held_arm_and_a_new_arming_does_not_jerk():
    cell, plant = armed()
    cell.ask("goal", *far_goal())
    cell.tick(400)
    assert np.abs(plant.dq).max() > 0.3
    cell.ask("stop")
    cell.run_until(lambda status: status.mode == "HOLD", limit_s=2.0)
    cell.tick(1500)
    np.testing.assert_allclose(plant.q, cell.rows["q_c"][-1], atol=1e-4)
    plant.push[1] = 20.0  # it stands on its spring: a new arming must not let go of the force at once
    cell.tick(1500)
    assert cell.ask("rearm") == Answer.DONE
    cell.tick(300)
    assert cell.rows["written"][1:].all()
    assert violations(cell.rows) == torque_violations(cell.rows) == 0


@pytest.mark.parametrize("fault", ["no data", "not a number", "no wrench", "frozen"])
def test_without_measurements_only_the_plants_own_stop_is_left(fault):
    feeling = msgspec.structs.replace(CONTRACT, obs=(obs_field("wrench", ARM.chain), *CONTRACT.obs))
    cell, plant = armed(contract=feeling)
    cell.ask("goal", *far_goal())
    cell.tick(300)
    assert cell.mode == Mode.RUN
    if fault == "no wrench":
        plant.wrench[3] = np.nan
    elif fault == "no data":
        plant.status = PlantStatus.NO_DATA
    elif fault == "not a number":
        plant.dq[2] = np.nan
    else:
        plant.frozen_ns = time.monotonic_ns()
    rows = cell.tick(7 if fault == "frozen" else 1)
    assert cell.mode == Mode.FAULT
    assert cell.rows["cause"][-1] == Cause.PLANT
    assert plant.stops == 1
    assert not rows["written"][-1]
    assert np.isfinite(plant.written).all()


def test_too_much_kinetic_energy_stops_the_arm():
    cell, plant = armed(options=LoopOptions(energy=2.0))
    cell.ask("goal", *far_goal())
    cell.tick(50)
    plant.dq[0] = 3.0
    cell.tick(1)
    assert cell.mode == Mode.BRAKE
    assert cell.rows["guard"][-1] == Reason.ENERGY
    assert (np.abs(plant.written) <= ARM.limits.array[TAU]).all()


def test_a_driver_that_only_says_that_it_takes_torques_is_refused():
    plant = ExactPlant()
    plant.info = TorquePlant().info
    with pytest.raises(ConfigError, match="driver 'torque' has no write_torque, which joint_torque needs"):
        LockStep(plant, ARM, Servo(CONTRACT))


@pytest.mark.parametrize("engine", ["pybullet", "mujoco"])
def test_a_loop_in_torque_mode_reaches_its_goal_in_both_engines(engine):
    plant: Any = load_driver("sim", realtime=False, engine=engine)
    plant.connect()
    cell = LockStep(plant, ARM, Servo(CONTRACT), plant.advance)
    cell.tick()
    assert cell.ask("rearm") == Answer.DONE
    assert cell.ask("goal", *near_goal(1)) == Answer.DONE
    cell.run_until(lambda status: status.goal_error_m < 0.001, limit_s=8.0)
    assert cell.status.goal_error_m < 0.001
    assert violations(cell.rows) == 0
    assert cell.rows["tau_c"].any()
    plant.close()


@pytest.mark.parametrize("seed", [0, 1])
def test_whatever_an_operator_a_push_and_a_lost_measurement_do_no_limit_breaks(seed):
    rng = np.random.default_rng(seed)
    cell, plant = armed()
    for _ in range(150):
        deed = rng.integers(10)
        if deed == 0:
            plant.push[:] = rng.normal(0.0, 4.0, N) * (rng.random(N) < 0.3)
        elif deed == 1:
            plant.status = PlantStatus.NO_DATA
            cell.tick()
            plant.status = PlantStatus.OK
        else:
            ops = ["goal", "goal", "jog", "move_to", "home", "stop", "rearm", "speed", "hold", "resume"]
            op = ops[rng.integers(len(ops))]
            args = {"goal": near_goal(int(rng.integers(100)), 0.6), "jog": rng.normal(0.0, 0.5, N), "speed": [0.7]}
            cell.ask(op, *args.get(op, ARM.home + rng.uniform(-0.5, 0.5, N) if op == "move_to" else []))
        if cell.mode in {Mode.HOLD, Mode.FAULT} and rng.random() < 0.7:
            plant.push[:] = 0.0
            cell.run_until(lambda _: cell.ask("rearm") == Answer.DONE, limit_s=4.0)
        cell.tick(int(rng.integers(1, 150)))
    modes = set(cell.rows["mode"].tolist())
    assert {Mode.RUN, Mode.MOVING, Mode.BRAKE, Mode.FAULT, Mode.IDLE, Mode.HOLD} <= modes
    assert np.isfinite(plant.written).all()
    written, limits = cell.rows[cell.rows["written"] == 1], ARM.limits.array
    broken = np.flatnonzero(np.diff(written["tick"]) > 1) + 1  # there the plant's own stop took over
    for part in np.split(written, broken):
        cuts = np.flatnonzero(np.diff(part["session"])) + 1
        found = count_torque_violations(part["tau_c"], DT, limits)
        for session in np.split(part, cuts):
            found |= count_violations(session["q_c"], DT, limits)
            assert {name: each["violations"] for name, each in found.items()} == dict.fromkeys(found, 0)
