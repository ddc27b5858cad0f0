"""Identification from end to end on a small planted arm, whose truth is known."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from robostral_policies.identify.campaign import Planted, judge, judge_contact
from robostral_policies.identify.commands import identify as identify_command
from robostral_policies.identify.read_csv import write_csv

from robostral.arm import load_arm
from robostral.identified import load_arm_bundle

ARM = load_arm("ur5e")
ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("ROBOSTRAL_DATA", ROOT.parent / "shared" / "data")) / "arm_logs"


@pytest.fixture(scope="module")
def judged() -> tuple[dict[str, object], Planted]:
    return judge(ARM, 1, runs=3, seconds=10.0, steps=0)


def test_planted_truth_is_found_and_generalises(judged: tuple[dict[str, object], Planted]) -> None:
    figures, _ = judged
    assert figures["ratio_to_least_squares"] < 0.7
    assert figures["worst_nmse"] < 1.0
    assert figures["friction_error"] < 0.12  # 30 s of motion; `robostral planted judge` asks for 60 s
    assert figures["families_right"] >= 0.8
    assert figures["worst_certain_parameter"] < 0.02
    assert 0.8 < figures["coverage_in_distribution"] < 0.97
    assert figures["torque_lag_s"] == pytest.approx(0.004, abs=0.002)


def test_torque_steps_are_seen_and_free_motion_is_quiet(judged: tuple[dict[str, object], Planted]) -> None:
    _, planted = judged
    figures = judge_contact(planted, ARM, minutes=3.0, steps=36, seed=0)
    assert figures["false_alarms"] == 0
    assert figures["steps"]["moving"]["seen"] >= 0.9
    assert figures["steps"]["at_rest"]["seen"] >= 0.9


def test_command_writes_a_bundle_that_loads_and_a_report(
    judged: tuple[dict[str, object], Planted], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = judged[1].test
    write_csv(tmp_path / "log.csv", log)
    identify_command((tmp_path / "log.csv",), arm="ur5e", out=tmp_path / "arm", test_from=0.7 * float(log.t[-1]))
    found = load_arm_bundle(tmp_path / "arm")
    assert found.arm.chain.joint_names == ARM.chain.joint_names
    report = json.loads((tmp_path / "arm.report" / "report.json").read_text())
    assert report["held_out"]["mean_nmse"] < report["held_out"]["mean_nmse_least_squares"]
    for engine in report["engines"].values():
        assert engine["identified"] < engine["published"]
    assert "<svg" in (tmp_path / "arm.report" / "report.html").read_text()
    assert "mean nMSE" in capsys.readouterr().out


def test_our_kernel_and_the_fit_agree_on_the_torque(judged: tuple[dict[str, object], Planted]) -> None:
    trace, found = judged[1].found.trace, judged[1].found.found
    assert trace is not None
    tau, friction = found.torque(trace.q, trace.dq, trace.ddq)
    np.testing.assert_allclose(tau - friction, trace.predicted - trace.friction, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "test_from", "least"),
    [("ur10", 18.0, (0.037, 0.014, 0.015, 0.012, 0.028, 0.084)), ("panda", 16.13, None)],
)
def test_real_logs_are_no_worse_than_least_squares(
    name: str, test_from: float, least: tuple[float, ...] | None
) -> None:
    from robostral_policies.identify.pipeline import identify, read_logs

    path = DATA / f"{name}_exciting_trajectory.db3"
    if not path.is_file():
        pytest.skip(f"no log at {path}")
    arm = load_arm(name)
    found = identify(arm, read_logs(arm, [path]), test_from=test_from)
    held_out = found.report["held_out"]
    assert held_out["mean_nmse"] <= held_out["mean_nmse_least_squares"]
    assert 0.85 <= held_out["coverage"] <= 0.95
    for score, known in zip(found.scores, least or [1.0] * len(found.scores), strict=True):
        for bar in (score.nmse_least_squares, known):
            assert score.nmse <= bar + max(0.05 * bar, 0.001), score
