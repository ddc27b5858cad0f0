"""Inverse kinematics: what it returns reaches the pose inside the limits, or it says how far away it stayed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robostral.arm import load_arm
from robostral.arm.chain import transform
from robostral.arm.limits import Q_MAX, Q_MIN
from robostral.kinematics import InvalidArray, InvalidTransform, NoSolution, NotFinite, fk
from robostral.kinematics.codes import NO_SOLUTION, NOT_FINITE
from robostral.kinematics.ik import ik, ik_batch, ur_ik_all
from robostral.kinematics.lm import ik_workspace, lm_kernel
from robostral.kinematics.ur import is_ur

ARMS = {name: load_arm(name) for name in ("panda", "ur5e", "ur10e", "iiwa14")}
seeds = st.integers(0, 2**32 - 1)
TOOL = transform((0.02, -0.03, 0.15), (0.2, -0.4, 0.1))


def inside(arm, q):
    return bool(((arm.limits.array[Q_MIN] <= q) & (q <= arm.limits.array[Q_MAX])).all())


def random_q(arm, seed):
    return np.random.default_rng(seed).uniform(arm.limits.array[Q_MIN], arm.limits.array[Q_MAX])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(ARMS)), seeds)
def test_forward_of_inverse_is_the_pose(name, seed):
    arm = ARMS[name]
    chain = arm.chain.with_tcp(TOOL)
    T = fk.tcp(chain, random_q(arm, seed))
    q = ik(chain, arm.limits, T, arm.home)
    assert inside(arm, q)
    np.testing.assert_allclose(fk.tcp(chain, q), T, atol=5e-9)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["ur5e", "ur10e"]), seeds)
def test_ur_branches_hold_the_one_we_came_from_and_the_nearest_wins(name, seed):
    arm = ARMS[name]
    q = random_q(arm, seed)
    T = fk.tcp(arm.chain, q)
    branches = ur_ik_all(arm.chain, arm.limits, T, q)
    assert 1 <= len(branches) <= 8
    for branch in branches:
        assert inside(arm, branch)
        np.testing.assert_allclose(fk.tcp(arm.chain, branch), T, atol=1e-8)
    np.testing.assert_allclose(ik(arm.chain, arm.limits, T, q), q, atol=1e-4)
    near = ik(arm.chain, arm.limits, T, arm.home)
    assert np.linalg.norm(near - arm.home) <= np.linalg.norm(branches - arm.home, axis=1).min() + 1e-9


def test_a_generic_pose_has_8_branches_and_home_is_one_of_them():
    arm = ARMS["ur5e"]
    q = np.array([0.4, -1.3, 1.1, -0.7, 1.2, 0.5])
    branches = ur_ik_all(arm.chain, arm.limits, fk.tcp(arm.chain, q), q)
    assert len(branches) == 8
    assert len(np.unique(branches.round(6), axis=0)) == 8


def test_a_singular_wrist_keeps_wrist_3_where_it_was():
    arm = ARMS["ur5e"]
    q = np.array([0.4, -1.3, 1.1, -0.7, 0.0, 0.5])
    np.testing.assert_allclose(ik(arm.chain, arm.limits, fk.tcp(arm.chain, q), q), q, atol=1e-6)


def test_ur_geometry_is_recognised_by_figures_not_by_name():
    assert [name for name, arm in ARMS.items() if is_ur(arm.chain)] == ["ur5e", "ur10e"]
    with pytest.raises(InvalidArray, match="UR arm"):
        ur_ik_all(ARMS["panda"].chain, ARMS["panda"].limits, np.eye(4), ARMS["panda"].home)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["panda", "iiwa14"]), seeds)
def test_tracking_stays_on_its_branch(name, seed):
    arm = ARMS[name]
    rng = np.random.default_rng(seed)
    q = arm.home
    for _ in range(5):
        goal = np.clip(q + rng.uniform(-0.01, 0.01, q.size), arm.limits.array[Q_MIN], arm.limits.array[Q_MAX])
        found = ik(arm.chain, arm.limits, fk.tcp(arm.chain, goal), q, restarts=0)
        assert np.abs(found - q).max() < 0.1
        q = found


def test_the_null_space_goes_towards_the_posture():
    arm = ARMS["panda"]
    T = fk.tcp(arm.chain, arm.home)
    posture = arm.home + np.array([0.5, 0, -0.5, 0, 0, 0, 0])
    free = ik(arm.chain, arm.limits, T, arm.home)
    drawn = ik(arm.chain, arm.limits, T, arm.home, posture=posture)
    np.testing.assert_allclose(fk.tcp(arm.chain, drawn), T, atol=5e-9)
    assert np.linalg.norm(drawn - posture) < 0.9 * np.linalg.norm(free - posture)


@pytest.mark.parametrize("name", sorted(ARMS))
def test_out_of_reach_names_the_residual_and_stays_inside_the_limits(name):
    arm = ARMS[name]
    T = transform((3.0, 0.0, 0.5), (0, 0, 0))
    with pytest.raises(NoSolution, match=r"best one found is \d") as caught:
        ik(arm.chain, arm.limits, T, arm.home, restarts=5)
    error = caught.value
    assert inside(arm, error.q)
    away = np.linalg.norm(fk.tcp(arm.chain, error.q)[:3, 3] - T[:3, 3])
    assert error.residual[0] == pytest.approx(away)
    assert 1.0 < away < 4.0


def test_batches_solve_and_say_where_they_did_not():
    arm = ARMS["panda"]
    rng = np.random.default_rng(0)
    Q = rng.uniform(arm.limits.array[Q_MIN], arm.limits.array[Q_MAX], (200, 7))
    T = fk.tcp(arm.chain, Q)
    T[7, :3, 3] = 5.0
    q, solved = ik_batch(arm.chain, arm.limits, T, arm.home)
    assert np.flatnonzero(~solved).tolist() == [7]
    assert all(inside(arm, row) for row in q)
    np.testing.assert_allclose(fk.tcp(arm.chain, q)[solved], T[solved], atol=5e-9)
    again, _ = ik_batch(arm.chain, arm.limits, T, arm.home)
    np.testing.assert_array_equal(q, again)


def test_bad_input_is_named():
    arm = ARMS["panda"]
    T = fk.tcp(arm.chain, arm.home)
    with pytest.raises(InvalidTransform, match=r"R\.T @ R differs from 1 by"):
        ik(arm.chain, arm.limits, 2 * T, arm.home)
    with pytest.raises(NotFinite, match="q_near of joint 'joint3' = nan"):
        ik(arm.chain, arm.limits, T, [0, 0, np.nan, -1, 0, 1, 0])
    with pytest.raises(InvalidArray, match=r"needs \(4, 4\)"):
        ik(arm.chain, arm.limits, np.eye(3), arm.home)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_the_kernel_never_returns_nan(poison):
    arm = ARMS["panda"]
    q, work = np.empty(7), ik_workspace(arm.chain)
    T = fk.tcp(arm.chain, arm.home)
    T[1, 3] = poison
    assert lm_kernel(arm.chain.model, arm.limits.array, T, arm.home, 3, 0, work, q) == NOT_FINITE
    assert inside(arm, q)
    T[1, 3] = 1e200
    assert lm_kernel(arm.chain.model, arm.limits.array, T, arm.home, 3, 0, work, q) == NO_SOLUTION
    assert inside(arm, q)
