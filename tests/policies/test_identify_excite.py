"""Exciting motion: begins and ends at rest, inside every limit, clear of the floor, better than the first one."""

from pathlib import Path

import numpy as np
from robostral_policies.identify.commands import excite
from robostral_policies.identify.excite import CLEAR_M, design, judge

from robostral.arm import load_arm
from robostral.kinematics.distance import Distances, plane
from robostral.oracle import count_violations

ARM = load_arm("ur5e")


def test_motion_keeps_every_limit_and_the_floor_and_is_well_conditioned() -> None:
    found = design(ARM, seconds=10.0, floor=0.0, steps=5, seed=2)
    assert found.condition <= found.first
    assert found.condition < 50.0
    assert judge(ARM, found.motion, 125.0) == (0, 0)
    _, dq, ddq, _ = found.motion.at(np.array([0.0, 10.0]))
    np.testing.assert_allclose([dq, ddq], 0.0, atol=1e-9)
    distances = Distances(ARM, [plane((0.0, 0.0, 1.0), 0.0)])
    watched = distances.compute(ARM.home).copy() > CLEAR_M
    for q in found.motion.at(np.linspace(0.0, 10.0, 120, endpoint=False))[0]:
        assert (distances.compute(q)[watched] > CLEAR_M).all()


def test_command_writes_a_motion_that_the_oracle_passes(tmp_path: Path) -> None:
    excite(arm="ur5e", out=tmp_path / "motion.csv", seconds=10.0, steps=0)
    table = np.genfromtxt(tmp_path / "motion.csv", delimiter=",", names=True)
    q = np.stack([table[f"q{i + 1}"] for i in range(6)], axis=1)
    found = count_violations(q, 1 / 125.0, ARM.limits.array)
    # Written with nine digits: jerk is a third difference of them.
    assert all(found[name]["violations"] == 0 for name in ("q", "dq", "ddq", "dddq"))
    assert (tmp_path / "motion.svg").read_text().startswith("<svg")
