"""Requirements: a plant inside the trained ranges passes, one outside is refused and the figure is named."""

import dataclasses

import numpy as np
import pytest

from robostral.arm import Arm, load_arm
from robostral.arm.chain import MASS, POS
from robostral.arm.limits import DDQ, DQ, DTAU, Q_MIN
from robostral.errors import ConfigError, RequirementsNotMet
from robostral.requirements import (
    check_profile,
    check_requirements,
    compare_kinematics,
    kinematics_digest,
    requirements_of,
)

UR5E = load_arm("ur5e")
NEEDS = requirements_of(UR5E, max_latency_s=0.02)


def check(arm: Arm = UR5E, hz: float = 500.0, mode: str = "joint_position", latency_s: float | None = None) -> None:
    check_requirements(NEEDS, arm, control_hz=hz, command_mode=mode, latency_s=latency_s)


def with_model(row: int, column: int, change: float) -> Arm:
    model = UR5E.chain.model.copy()
    model[row, column] += change
    return dataclasses.replace(UR5E, chain=dataclasses.replace(UR5E.chain, model=model))


def with_limit(row: int, change: float) -> Arm:
    limits = dataclasses.replace(UR5E.limits, array=UR5E.limits.array.copy())
    limits.array[row, 2] += change
    return dataclasses.replace(UR5E, limits=limits)


def test_the_trained_arm_passes():
    check(latency_s=0.02)
    check(hz=125.0)
    check(hz=1000.0)


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        ({"hz": 100.0}, r"control rate 100 Hz outside \[125, 1000\]"),
        ({"hz": float("nan")}, "control rate nan Hz"),
        ({"mode": "joint_torque"}, "'joint_torque' is none of joint_position"),
        ({"latency_s": 0.0301}, "latency 30.1 ms above the trained 20 ms"),
        ({"latency_s": float("nan")}, "latency nan ms"),
        ({"arm": with_model(2, POS, 0.002)}, "tcp 2 mm from the trained arm's, allowed 1 mm"),
        ({"arm": with_limit(DQ, 0.1)}, "dq of 'elbow_joint' is .*, trained inside"),
        ({"arm": with_limit(Q_MIN, -0.1)}, "q_min of 'elbow_joint'"),
    ],
)
def test_a_figure_outside_is_named(change, figure):
    with pytest.raises(RequirementsNotMet, match=figure):
        check(**change)


def test_all_figures_are_named_at_once():
    with pytest.raises(RequirementsNotMet) as caught:
        check(with_limit(DQ, 0.1), hz=1.0, mode="wish", latency_s=1.0)
    assert len(caught.value.figures) == 4


def test_calibration_within_tolerance_and_tighter_limits_pass():
    check(with_model(2, POS, 0.0008))
    check(with_limit(DQ, -0.1))
    check(with_limit(Q_MIN, 0.1))


def test_a_limit_that_training_did_not_have_binds_nobody():
    free = UR5E.limits.array.copy()
    free[DTAU] = np.inf
    arm = dataclasses.replace(UR5E, limits=dataclasses.replace(UR5E.limits, array=free))
    needs = requirements_of(arm, max_latency_s=0.02)
    assert needs.limits[DTAU] == (None,) * 6
    check_requirements(needs, UR5E, control_hz=500.0, command_mode="joint_position")
    with pytest.raises(RequirementsNotMet, match="dtau of 'shoulder_pan_joint' is inf"):
        check(arm)


def test_an_unknown_trained_arm_is_compared_by_digest_only():
    needs = requirements_of(dataclasses.replace(UR5E, name="prototype"), max_latency_s=0.02)
    check_requirements(needs, UR5E, control_hz=500.0, command_mode="joint_position")
    with pytest.raises(RequirementsNotMet, match="'prototype', which is not known here"):
        check_requirements(needs, with_model(2, POS, 1e-4), control_hz=500.0, command_mode="joint_position")


def test_the_digest_is_of_geometry_alone():
    digest = kinematics_digest(UR5E.chain)
    assert kinematics_digest(with_model(1, MASS, 1.0).chain) == digest
    assert kinematics_digest(with_model(1, POS, 1e-12).chain) == digest
    assert kinematics_digest(with_model(1, POS, 1e-6).chain) != digest
    T_flange_tcp = np.eye(4)
    T_flange_tcp[2, 3] = 0.1
    assert kinematics_digest(UR5E.chain.with_tcp(T_flange_tcp)) != digest


def test_kinematics_are_compared_in_millimetres_and_milliradians():
    assert compare_kinematics(UR5E.chain, UR5E.chain) == (0.0, 0.0)
    angle, T = 0.003, np.eye(4)
    T[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    T[2, 3] = 0.005
    mm, mrad = compare_kinematics(UR5E.chain, UR5E.chain.with_tcp(T))
    assert (mm, mrad) == (pytest.approx(5.0), pytest.approx(3.0))


def test_a_profile_looser_than_the_vendors_is_refused():
    check_profile(UR5E)
    check_profile(with_limit(DQ, -0.5))
    check_profile(with_limit(DDQ, 5.0))  # UR publishes no acceleration: the owner's to set
    for row, change, name in ((DQ, 0.1, "dq"), (Q_MIN, -0.1, "q_min"), (DQ, np.nan, "dq")):
        with pytest.raises(ConfigError, match=rf"looser than the vendor's: {name} of 'elbow_joint' is"):
            check_profile(with_limit(row, change))
    fr3 = load_arm("fr3")
    check_profile(fr3)
    for taper in (None, fr3.limits.taper * [[1.0], [1.1]], fr3.limits.taper * [[0.9], [1.0]]):
        with pytest.raises(ConfigError, match="dq_taper"):
            check_profile(dataclasses.replace(fr3, limits=dataclasses.replace(fr3.limits, taper=taper)))
