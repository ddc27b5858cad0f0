"""A branch solves every pose it is given from one configuration on, and moves as smoothly as the pose."""

import numpy as np
import pytest

from robostral.arm import load_arm
from robostral.arm.chain import transform
from robostral.kinematics import InvalidArray, NoSolution, fk, jacobian
from robostral.kinematics.branch import Branch

ARMS = ("iiwa14", "panda", "ur5e", "ur10")


@pytest.mark.parametrize("name", ARMS)
def test_a_way_in_space_is_a_way_of_the_joints(name):
    arm = load_arm(name)
    branch, rng = Branch(arm.chain, arm.limits, arm.home), np.random.default_rng(0)
    T_home = fk.tcp(arm.chain, arm.home)
    np.testing.assert_allclose(branch.solve(T_home), arm.home, atol=1e-9)
    for _ in range(30):
        turn = rng.uniform(-0.5, 0.5, 3)
        shift = rng.uniform(-0.1, 0.1, 3)
        q = arm.home
        for s in np.linspace(0.0, 1.0, 41)[1:]:
            T = T_home @ transform(s * shift, s * turn)
            before, q = q, branch.solve(T)
            np.testing.assert_allclose(fk.tcp(arm.chain, q), T, atol=1e-8)
            assert np.abs(q - before).max() < 0.15, "no jump to another branch"
        np.testing.assert_array_equal(Branch(arm.chain, arm.limits, arm.home).solve(T), q)


@pytest.mark.parametrize("name", ["iiwa14", "panda"])
def test_a_seven_joint_arm_keeps_its_elbow_in_a_plane(name):
    arm = load_arm(name)
    branch = Branch(arm.chain, arm.limits, arm.home)
    T = fk.tcp(arm.chain, arm.home) @ transform((0.05, -0.04, 0.03), (0.2, -0.1, 0.3))
    q, J = branch.solve(T), jacobian.jacobian(arm.chain, branch.solve(T))
    assert q[2] == arm.home[2]
    shift = np.array([1e-5, -2e-5, 1e-5])
    moved = T.copy()
    moved[:3, 3] += shift
    np.testing.assert_allclose(J @ (branch.solve(moved) - q), [*shift, 0, 0, 0], atol=1e-8)


@pytest.mark.parametrize("name", ARMS)
def test_out_of_reach_is_said(name):
    arm = load_arm(name)
    with pytest.raises(NoSolution, match="no joint position"):
        Branch(arm.chain, arm.limits, arm.home).solve(transform((2.0, 1.0, 1.0), (0.0, 0.0, 0.0)))


def test_other_arms_are_refused():
    arm = load_arm("wafer_rtz")
    with pytest.raises(InvalidArray, match="six or seven joints"):
        Branch(arm.chain, arm.limits, arm.home)
