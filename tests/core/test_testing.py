"""The plug-in's fixtures, used as a user would."""

import numpy as np
import pytest

GOAL = (-0.48, -0.12, 0.30)


def reach(cell, goal=GOAL) -> np.ndarray:
    cell.ask("rearm")
    cell.ask("home")
    cell.run_until(lambda status: status.mode == "IDLE", 20.0)
    cell.ask("goal", *goal, *cell.status.quat_wxyz)
    return cell.run_until(lambda status: status.goal_error_m < 0.003, 8.0)


def test_a_cell_in_lock_step_reaches_a_goal_twice_the_same(lockstep_cell) -> None:
    first, second = lockstep_cell("ur5e-reach-v1"), lockstep_cell("ur5e-reach-v1")
    rows = reach(first)
    assert first.status.goal_error_m < 0.005
    assert rows["q"].tobytes() == reach(second)["q"].tobytes()


def test_a_served_policy_answers_as_the_local_one(served_policy) -> None:
    from robostral.bundle import OnnxPolicy, load

    obs = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 27)).astype(np.float32)
    local = OnnxPolicy(load("ur5e-reach-v1"))
    assert np.array_equal(served_policy("ur5e-reach-v1").infer(obs), local.infer(obs))


def test_a_twin_talks_to_the_vendors_own_client(ur_twin) -> None:
    receive = pytest.importorskip("rtde_receive")
    twin = ur_twin("127.0.0.83")
    assert twin.ready.startswith("127.0.0.83")
    client = receive.RTDEReceiveInterface("127.0.0.83")
    try:
        assert len(client.getActualQ()) == 6
    finally:
        client.disconnect()
