"""What the shipped arms hold: figures of different sources agree, and tables that contradict themselves are refused."""

import msgspec
import numpy as np
import pytest

from robostral.arm import arm_names, load_arm
from robostral.arm.arm import build_arm
from robostral.arm.chain import EXTRA_ROWS, GRAVITY, TURN, invert, transform
from robostral.arm.limits import DDDQ, DDQ, DQ, DTAU, Q_MAX, Q_MIN, TAU
from robostral.errors import ConfigError, UnknownName
from robostral.kinematics import condition, crba, distance, fk, gravity, jacobian

# d1, a2, a3, d4, d5, d6 [m] of the vendor's article "DH parameters for calculations of kinematics and dynamics"
DH_UR = {
    "ur3e": (0.15185, -0.24355, -0.2132, 0.13105, 0.08535, 0.0921),
    "ur5e": (0.1625, -0.425, -0.3922, 0.1333, 0.0997, 0.0996),
    "ur10": (0.1273, -0.612, -0.5723, 0.163941, 0.1157, 0.0922),
    "ur10e": (0.1807, -0.6127, -0.57155, 0.17415, 0.11985, 0.11655),
}


def dh(a: float, alpha: float, d: float, theta: float) -> np.ndarray:
    c, s, ca, sa = np.cos(theta), np.sin(theta), np.cos(alpha), np.sin(alpha)
    return np.array([[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [0, sa, ca, d], [0, 0, 0, 1]])


def test_eight_arms_ship():
    assert arm_names() == ["fr3", "iiwa14", "panda", "ur10", "ur10e", "ur3e", "ur5e", "wafer_rtz"]


def test_unknown_arm_names_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'ur5e'"):
        load_arm("ur5")


@pytest.mark.parametrize("name", sorted(DH_UR))
def test_ur_arms_agree_with_the_vendors_dh_table(name):
    d1, a2, a3, d4, d5, d6 = DH_UR[name]
    q = np.array([0.3, -1.2, 1.9, -0.4, -1.1, 2.5])
    rows = zip((0, a2, a3, 0, 0, 0), (1, 0, 0, 1, -1, 0), (d1, 0, 0, d4, d5, d6), q, strict=True)
    T = np.eye(4)
    for a, quarter, d, theta in rows:
        T = T @ dh(a, quarter * np.pi / 2, d, theta)
    np.testing.assert_allclose(fk.tcp(load_arm(name).chain, q), T, atol=1e-12)


@pytest.mark.parametrize("name", arm_names())
class TestEveryArm:
    def test_every_figure_has_a_source(self, name):
        table = load_arm(name).table
        assert all(len(text) > 20 for text in (*load_arm(name).limits.sources.values(), *table.sources.values()))

    def test_limits_are_ordered_and_no_row_is_a_copy_of_another(self, name):
        rows = load_arm(name).limits.array
        assert (rows[Q_MIN] < rows[Q_MAX]).all()
        assert (rows[[DQ, DDQ, DDDQ, TAU, DTAU]] > 0).all()
        assert np.isfinite(rows).all()
        assert not np.array_equal(rows[DQ], rows[DDQ])
        assert (rows[DDDQ] > rows[DDQ]).all()

    def test_every_joint_stops_within_its_range(self, name):
        rows = load_arm(name).limits.array
        travel = rows[DQ] ** 2 / (2 * rows[DDQ]) + rows[DQ] * rows[DDQ] / (2 * rows[DDDQ])
        assert (travel < 0.5 * (rows[Q_MAX] - rows[Q_MIN])).all()

    def test_arrays_cannot_be_written(self, name):
        arm = load_arm(name)
        for array in (arm.chain.model, arm.limits.array, arm.capsules.array, arm.capsules.links, arm.capsules.pairs):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0

    def test_home_is_inside_limits_well_conditioned_and_free_of_self_collision(self, name):
        arm = load_arm(name)
        assert (arm.limits.array[Q_MIN] < arm.home).all()
        assert (arm.home < arm.limits.array[Q_MAX]).all()
        assert condition.condition(arm.chain, arm.home) < 17
        assert distance.Distances(arm).compute(arm.home).min() > 0.01
        assert fk.tcp(arm.chain, arm.home)[2, 2] == pytest.approx(-1.0, abs=1e-9)  # tool down

    def test_capsules_cover_every_link_that_has_mass_but_not_its_neighbours_pair(self, name):
        arm = load_arm(name)
        assert set(arm.capsules.links.tolist()) == set(range(-1, arm.chain.n))
        a, b = arm.capsules.links[arm.capsules.pairs].T
        assert (np.abs(a - b) > 1).all()
        assert all(arm.capsules.excluded.values())

    def test_torque_limits_carry_the_arm_itself_at_home(self, name):
        from robostral.kinematics import gravity

        arm = load_arm(name)
        assert (np.abs(gravity.gravity(arm.chain, arm.home)) < arm.limits.array[TAU]).all()


def test_fr3_stays_inside_the_table_of_the_vendors_documentation():
    rows = load_arm("fr3").limits.array
    assert (rows[Q_MAX] <= [2.9007, 1.8361, 2.9007, -0.1169, 2.8763, 4.6216, 3.0508]).all()
    assert (rows[Q_MIN] >= [-2.9007, -1.8361, -2.9007, -3.0770, -2.8763, 0.4398, -3.0508]).all()


def test_iiwa_torques_are_those_of_the_brochure_and_its_limits_stop_before_the_hard_stop():
    rows = load_arm("iiwa14").limits.array
    assert rows[TAU].tolist() == [320, 320, 176, 176, 110, 40, 40]
    np.testing.assert_allclose(np.degrees(rows[Q_MAX]), [168, 118, 168, 118, 168, 118, 173])


def test_the_wafer_robot_lifts_turns_and_reaches():
    arm = load_arm("wafer_rtz")
    lift, theta, reach = 0.2, 0.7, 0.3
    T = fk.tcp(arm.chain, np.array([lift, theta, reach]))
    radius = reach - 0.12
    np.testing.assert_allclose(T[:3, 3], [radius * np.cos(theta), radius * np.sin(theta), 0.36 + lift], atol=1e-12)
    np.testing.assert_allclose(T[:3, 0], [np.cos(theta), np.sin(theta), 0.0], atol=1e-12)


def test_pandas_link_4_is_projected_and_says_so():
    link = load_arm("panda").table.joints[3].link
    assert "triangle inequality" in link.note


def test_a_tool_moves_the_tcp_only():
    chain = load_arm("ur5e").chain
    T_flange_tcp = transform((0.01, -0.02, 0.15), (0.1, 0.2, 0.3))
    q = np.full(6, 0.4)
    frames = fk.frames(chain.with_tcp(T_flange_tcp), q)
    np.testing.assert_allclose(frames[:-1], fk.frames(chain, q)[:-1], atol=0)
    np.testing.assert_allclose(invert(frames[-2]) @ frames[-1], T_flange_tcp, atol=1e-12)
    np.testing.assert_allclose(chain.with_tcp(T_flange_tcp).T_flange_tcp, T_flange_tcp, atol=1e-12)


def test_quarter_turns_are_found_and_nothing_else():
    turns = {name: load_arm(name).chain.model[:-EXTRA_ROWS, TURN].tolist() for name in ("ur5e", "iiwa14")}
    assert turns == {"ur5e": [0, 1, 0, 0, 1, -1], "iiwa14": [0, 2, 2, 1, 2, 1, 2]}


def test_a_table_with_a_bad_tensor_a_missing_source_or_a_short_row_is_refused():
    table = load_arm("ur5e").table
    joint = table.joints[2]
    bad_tensor = msgspec.structs.replace(joint.link, inertia=(0.1, 0.0, 0.0, 0.1, 0.0, 0.3))
    bad_source = msgspec.structs.replace(joint.link, source="hearsay")
    for link, message in ((bad_tensor, "triangle inequality by 0.1"), (bad_source, "'hearsay' is not listed")):
        joints = (*table.joints[:2], msgspec.structs.replace(joint, link=link), *table.joints[3:])
        with pytest.raises(ConfigError, match=message):
            build_arm(msgspec.structs.replace(table, joints=joints))
    with pytest.raises(ConfigError, match="'home' has 5 values for 6 joints"):
        build_arm(msgspec.structs.replace(table, home=table.home[:5]))


def test_a_payload_adds_its_kinetic_energy_and_its_weight():
    """Mass matrix: as of a body that moves with the flange; gravity: as of a weight at its centre of mass."""
    arm, com, S = load_arm("panda"), np.array([0.01, -0.02, 0.08]), np.diag([2e-3, 3e-3, 4e-3])
    q, m = arm.home, 1.3
    loaded = arm.chain.with_payload(m, com, S[np.triu_indices(3)])
    bare = arm.chain.with_tcp(transform(com, (0.0, 0.0, 0.0)))
    J, R = jacobian.jacobian(bare, q), fk.tcp(bare, q)[:3, :3]
    added = m * J[:3].T @ J[:3] + J[3:].T @ (R @ S @ R.T) @ J[3:]
    np.testing.assert_allclose(crba.crba(loaded, q) - crba.crba(arm.chain, q), added, atol=1e-12)
    weight = -m * J[:3].T @ np.array(GRAVITY)
    np.testing.assert_allclose(gravity.gravity(loaded, q) - gravity.gravity(arm.chain, q), weight, atol=1e-9)
