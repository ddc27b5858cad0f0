"""A policy that moves the tcp runs in the real loop: seams, guard and ladder are the same, the way is straight."""

import numpy as np
import pytest
from servo_cell import ARM, HORIZON, Servo, armed, make_contract, tcp, violations

from robostral.contract import Action
from robostral.runtime.ladder import Mode
from robostral.runtime.records import Answer

STEP_M, STEP_RAD, GAIN = 0.01, 0.04, 0.2


class TcpServo(Servo):
    """chunk step k = a share of what is left of the goal's error, at most a step."""

    def __init__(self) -> None:
        most = (STEP_M,) * 3 + (STEP_RAD,) * 3
        posture = tuple(ARM.home.tolist())
        action = Action("tcp_pose_delta", tuple(-x for x in most), most, "m, rad", "base", HORIZON, 0.04, 0.12, posture)
        super().__init__(make_contract(action=action))
        self._most = np.array(most, np.float32)

    def infer(self, obs):
        left, chunk = obs[:, -6:].astype(np.float64), []
        for _ in range(HORIZON):
            share = GAIN * min(1.0, float((self._most / np.maximum(GAIN * np.abs(left), 1e-9)).min()))
            chunk.append(share * left)
            left = (1.0 - share) * left
        return np.stack(chunk, axis=1).astype(np.float32)


def test_the_tcp_goes_straight_to_a_goal_inside_every_limit():
    cell, plant = armed(policy=TcpServo())
    start = tcp(plant.q)
    goal = start + np.array([0.08, -0.10, 0.06, 0.0, 0.0, 0.0, 0.0])
    assert cell.ask("goal", *goal) == Answer.DONE
    cell.run_until(lambda status: status.goal_error_m < 0.001, limit_s=8.0)
    path = np.array([tcp(q)[:3] for q in plant.written]) - start[:3]
    way = (goal - start)[:3] / np.linalg.norm((goal - start)[:3])
    aside = np.linalg.norm(path - np.outer(path @ way, way), axis=1)
    assert cell.mode == Mode.RUN
    assert aside.max() < 0.003
    assert violations(cell.rows) == 0


def test_a_stop_in_mid_motion_and_a_new_arming_carry_on():
    cell, plant = armed(policy=TcpServo())
    goal = tcp(ARM.home + np.array([0.3, 0.1, -0.1, 0.1, 0.0, 0.2]))
    cell.ask("goal", *goal)
    cell.tick(300)
    assert np.abs(plant.dq).max() > 0.01
    assert cell.ask("stop") == Answer.DONE
    cell.run_until(lambda status: status.mode == "HOLD", limit_s=1.0)
    assert cell.ask("rearm") == Answer.DONE
    cell.ask("goal", *goal)
    cell.run_until(lambda status: status.goal_error_m < 0.001, limit_s=12.0)
    assert tcp(plant.q)[:3] == pytest.approx(goal[:3], abs=0.002)
    assert violations(cell.rows) == 0
