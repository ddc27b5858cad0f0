"""An identified arm in the loop: its friction is fed forward, and a contact stops it, once, where nothing else does."""

from dataclasses import replace

import numpy as np
import pytest
from servo_cell import ARM, ExactPlant, N, Servo, far_goal, make_contract, near_goal, violations
from test_law import CONTRACT, DT, TorquePlant, torque_violations

from robostral.arm import load_arm
from robostral.errors import ConfigError
from robostral.identified import ContactObserver, IdentifiedArm, JointFriction, Parameters, Ranges
from robostral.identified.friction import COULOMB, FEATURES, VISCOUS, friction_kernel, new_state
from robostral.kinematics import gravity
from robostral.runtime.ladder import Cause, Mode
from robostral.runtime.lockstep import LockStep
from robostral.runtime.options import LoopOptions
from robostral.runtime.records import Answer

WEIGHTS = np.zeros((N, FEATURES))
WEIGHTS[:, VISCOUS], WEIGHTS[:, COULOMB] = [4.0, 4.0, 2.0, 0.02, 0.02, 0.01], [3.0, 3.0, 1.5, 0.0, 0.0, 0.0]
THRESHOLD = 1.0


def identified() -> IdentifiedArm:
    friction = tuple(JointFriction("viscous_coulomb", tuple(row)) for row in WEIGHTS.tolist())
    row, wide = (0.0,) * N, ((-9.0,) * N, (9.0,) * N)
    ranges = Ranges(q=wide, dq=wide, ddq=wide)
    return IdentifiedArm(Parameters(ARM.table, row, friction, row, row, (THRESHOLD,) * N, 1.0, 0.0, ranges))


class RoughPlant(TorquePlant):
    """An arm whose joints have the friction that was identified."""

    def __init__(self):
        super().__init__()
        self.state, self.row, self.rub = new_state(N), np.zeros(FEATURES), np.zeros(N)

    def write_torque(self, tau_c):
        friction_kernel(WEIGHTS, self.state, self.q, self.dq, np.zeros(N), self.row, self.rub)
        self.push -= self.rub
        status = super().write_torque(tau_c)
        self.push += self.rub
        self._tau[:] = tau_c
        return status


def armed(plant=None, **options):
    plant = plant or RoughPlant()
    cell = LockStep(plant, ARM, Servo(CONTRACT), options=LoopOptions(**options))
    cell.tick()
    assert cell.ask("rearm") == Answer.DONE
    return cell, plant


def lag(cell):
    cell.ask("goal", *near_goal(1))
    rows = cell.tick(700)
    assert cell.mode == Mode.RUN
    return np.abs(rows["q"] - rows["q_c"]).max()


def test_friction_that_is_known_does_not_hold_the_arm_back():
    smooth, blind, knowing = lag(armed(TorquePlant())[0]), lag(armed()[0]), lag(armed(identified=identified())[0])
    assert blind > 2.0 * smooth
    assert knowing < 1.1 * smooth


def test_what_pushes_the_arm_is_in_the_log_and_free_motion_is_not():
    cell, plant = armed(identified=identified())
    for seed in (1, 2):
        cell.ask("goal", *near_goal(seed))
        cell.tick(1500)
    assert (cell.rows["contact"] == -1).all()
    assert np.abs(cell.rows["tau_ext"]).max() < 0.5 * THRESHOLD
    plant.push[0] = 20.0
    cell.tick(120)
    assert cell.rows["contact"][-1] == 0
    assert cell.rows["tau_ext"][-1][0] == pytest.approx(20.0, abs=3.0)
    assert cell.mode == Mode.RUN, "nobody asked to stop"


def test_a_contact_stops_the_arm_within_100_ms_and_the_operator_can_drive_away():
    cell, plant = armed(identified=identified(), stop_on_contact=True)
    cell.ask("goal", *far_goal())
    cell.tick(300)
    assert cell.mode == Mode.RUN
    plant.push[0] = -2.0
    rows = cell.tick(50)
    assert np.flatnonzero(rows["mode"] == Mode.BRAKE).size
    assert rows["cause"][-1] == Cause.CONTACT
    cell.run_until(lambda status: status.mode == "HOLD", limit_s=2.0)
    cell.tick(2500)
    assert cell.ask("rearm") == Answer.DONE
    assert cell.ask("jog", -0.2, 0.0, 0.0, 0.0, 0.0, 0.0) == Answer.DONE
    rows = cell.tick(50)
    assert (rows["contact"] == 0).all()
    assert (rows["mode"] == Mode.JOG).all(), "a contact that goes on is told once"
    assert violations(cell.rows) == torque_violations(cell.rows) == 0


def test_what_is_not_a_number_is_forgotten():
    observer = ContactObserver(identified(), ARM.chain, DT)
    q, hold = ARM.home.copy(), gravity.gravity(ARM.chain, ARM.home)
    observer.step(q, np.zeros(N), np.full(N, np.nan))
    for _ in range(200):
        assert not observer.step(q, np.zeros(N), hold)
    np.testing.assert_allclose(observer.tau_ext, 0.0, atol=1e-9)
    assert any(observer.step(q, np.zeros(N), hold + 20.0) for _ in range(100))
    assert not any(observer.step(q, np.zeros(N), hold + 20.0) for _ in range(100))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="the identified arm is 'ur5e', this one 'ur10e'"):
        identified().mounted(load_arm("ur10e"))
    longer = ARM.chain.model.copy()
    longer[2, 2] += 1e-3
    with pytest.raises(ConfigError, match="other lengths"):
        identified().mounted(replace(ARM, chain=replace(ARM.chain, model=longer)))
    with pytest.raises(ConfigError, match="stop_on_contact needs `identified`"):
        armed(stop_on_contact=True)
    with pytest.raises(ConfigError, match="driver 'exact' measures no torques"):
        LockStep(ExactPlant(), ARM, Servo(make_contract()), options=LoopOptions(identified=identified()))


def test_the_tool_stays_and_so_do_the_limits():
    T = np.eye(4)
    T[2, 3] = 0.1
    tooled = replace(ARM, chain=ARM.chain.with_tcp(T))
    mounted = identified().mounted(tooled)
    np.testing.assert_allclose(mounted.chain.T_flange_tcp, T, atol=1e-9)
    assert mounted.limits is tooled.limits
