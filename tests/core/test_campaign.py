"""The campaign finds nothing with the guard as it is, and finds something with a guard that is broken."""

import json
from pathlib import Path

import numpy as np
import pytest

from robostral.arm import arm_names, load_arm
from robostral.dispatch import dispatch
from robostral.guard import Guard
from robostral.guard.campaign import attack_arm, guards_of, judge, zone
from robostral.guard.checks import KEEP_OUT_DISTANCE
from robostral.oracle import count_torque_violations, sphere_distances


@pytest.mark.parametrize("name", arm_names())
def test_hostile_steps_find_nothing(name: str) -> None:
    done: list[int] = []
    found = attack_arm(name, 60_000, 3, done.append)
    assert found["failures"] == found["infeasible_stops"] == 0
    assert set(found["violations"].values()) == {0}
    assert {"q", "dq", "ddq", "dddq", "tau", "dtau", "keep_out"} <= set(found["violations"])
    assert sum(done) == found["steps"] == sum(found["answers"].values())
    assert found["worst_ratio"]["ddq"] > 0.99, "the campaign was not hostile"


def test_a_planted_violation_is_counted() -> None:
    arm = load_arm("fr3")
    guard, ball = guards_of(arm, 0)[2]
    still = np.repeat(arm.home[None], 5000, axis=0)
    starts = np.zeros(1, np.int64)
    assert all(count == 0 for count, _ in judge(arm, guard, ball, still, starts).values())
    for kind in ("dq", "ddq", "dddq"):
        jumpy = still.copy()
        jumpy[100:, 3] += 0.01
        assert judge(arm, guard, ball, jumpy, starts)[kind][0] > 0
    folded = still.copy()
    folded[:, 3] = -3.3
    assert judge(arm, guard, ball, folded, starts)["q"][0] > 0
    into = still.copy()
    radius = sphere_distances(arm, arm.home[None], ball.center, ball.radius)[0] + ball.radius
    near = type(ball)(ball.center, float(radius - 0.5 * KEEP_OUT_DISTANCE))
    assert judge(arm, guard, near, into, starts)["keep_out"][0] > 0
    tau = np.zeros((10, 7))
    tau[5, 6] = 12.1
    found = count_torque_violations(tau, 0.001, arm.limits.array)
    assert found["tau"]["violations"] == 1
    assert found["dtau"]["violations"] == 2


def test_the_oracle_needs_nothing_of_the_guard() -> None:
    arm = load_arm("ur5e")
    wide = Guard(arm.chain, arm.limits, 0.002)
    touching = np.repeat(np.array([[0.0, -1.57, 3.1, 0.0, 0.0, 0.0]]), 10, axis=0)
    guard, ball = guards_of(arm, 0)[0]
    assert judge(arm, guard, ball, touching, np.zeros(1, np.int64))["self_collision"][0] > 0
    assert "self_collision" not in judge(arm, wide, None, touching, np.zeros(1, np.int64))


def test_the_ball_is_in_reach_and_clear_of_home() -> None:
    for name in arm_names():
        arm = load_arm(name)
        ball = zone(arm, 0)
        assert sphere_distances(arm, arm.home[None], ball.center, ball.radius)[0] > KEEP_OUT_DISTANCE


def test_the_command_writes_evidence(tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    assert dispatch(["guard", "campaign", "--arm", "ur5e", "--steps", "3e3", "--json", str(file)]) == 0
    evidence = json.loads(file.read_text())
    assert evidence["failures"] == 0
    assert evidence["arms"]["ur5e"]["bound_95"] == pytest.approx(1e-3)
    assert {"revision", "system", "cpu", "versions"} <= set(evidence["machine"])
    assert dispatch(["guard", "campaign", "--arm", "ur5x", "--steps", "10"]) == 2
    assert dispatch(["guard", "campaign", "--steps", "0"]) == 2
