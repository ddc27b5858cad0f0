"""The page of a learned simulator says what was found, and refuses what is not about it."""

import json
import sys
from pathlib import Path

import msgspec
import pytest
from robostral_policies.surrogate.evaluate import Bar, Beside, Calibration, Evaluation, OpenLoop
from robostral_policies.surrogate.improve import Improvement, Run
from robostral_policies.surrogate.report import report

from robostral import bundle
from robostral.bench import machine
from robostral.bundle import Success
from robostral.errors import ConfigError

sys.path.append(str(Path(__file__).parents[1] / "sims"))
import planted_jaw

ROWS = tuple(
    OpenLoop(arm, pilot, what, steps, 40, 2, (0.1 * steps, 0.7 * steps), (0.01 * steps, 0.1 * steps))
    for arm in ("all", "panda", "engine itself, 0.1 mm aside")
    for pilot in ("all", "expert")
    for what in ("tcp", "grasped")
    for steps in (1, 10, 50)
)


@pytest.fixture
def found(tmp_path):
    """Write a bundle, its evaluation and its speed; return their paths and the evaluation."""
    folder = planted_jaw.write(tmp_path / "planted-v1")
    evaluation = Evaluation(
        "planted-v1",
        bundle.load(Path(folder)).digest.hex(),
        "Planted-v0",
        0,
        ROWS,
        (Beside("PickPlace-v0", "panda", "expert", Success.of(48, 50), Success.of(50, 50), -4.0, 1),),
        Calibration(0.9, {"all": Success.of(91, 100)}, {"parts 1.5 times as large": Success.of(99, 100)}),
        (Bar("tcp, 50 steps", "median <= 2 mm", "5.00 mm, p95 35.00 mm", False),),
        "a revision",
        "a machine",
        "today",
    )
    rates = {"environment": 1000.0, "engine": 2000.0, "ensemble, batch 1024": 101_000.0}
    timed = [{"what": what, "steps_per_s": rate, "us_per_step": 1e6 / rate, "times_environment": rate / 1e3,
              "times_engine": rate / 2e3, "us_of": {}} for what, rate in rates.items()]  # fmt: skip
    bars = [{"what": "ensemble, batch 1024", "asked": 60.0, "found": 101.0, "reached": True}]
    speed = {"machine": machine(), "surrogate": {"rows": timed, "bars": bars, "cell": "panda-pick_place", "rounds": 1}}
    (tmp_path / "evaluation.json").write_bytes(msgspec.json.encode(evaluation))
    (tmp_path / "speed.json").write_text(json.dumps(speed))
    return folder, tmp_path, evaluation


def test_the_page_holds_what_was_found_and_where_it_fails(found):
    folder, here, _ = found
    report(folder, evaluation=here / "evaluation.json", speed=here / "speed.json")
    text = (here / "report.html").read_text()
    for fact in ("48 of 50", "-4.0", "<td>5.00</td><td>35.00</td>", "missed", "101.0 x", "parts 1.5 times as large",
                 "<svg", "Missed: tcp, 50 steps", "panda, expert: tcp", "engine itself, 0.1 mm aside: tcp",
                 "tcp, 1 step<"):  # fmt: skip
        assert fact in text, fact
    assert "aside, expert" not in text, "what stands apart is no failure"
    assert "http" not in text.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "https://matplotlib.org", ""
    ).replace("http://creativecommons.org", "")


def test_what_training_in_it_saves_is_said(found):
    folder, here, _ = found
    runs = (Run("surrogate", 0, 0, 60.0, Success.of(97, 100)), Run("pybullet", 0, 90_000, 90.0, Success.of(98, 100)))
    trained = Improvement("planted-v1", "panda-pick_place", ("dagger.rounds=4",), 300_000, runs, -1.0, 10, "r", "m")
    (here / "improvement.json").write_bytes(msgspec.json.encode(trained))
    report(folder, evaluation=here / "evaluation.json", improvement=here / "improvement.json")
    text = (here / "report.html").read_text()
    for fact in ("97 of 100", "90,000", "-1.0 points", "for one policy it does not pay", "from 10 trainings on"):
        assert fact in text, fact


def test_break_even_is_where_both_take_the_same_time(found):
    folder, here, _ = found
    target = here / "elsewhere.html"
    report(folder, evaluation=here / "evaluation.json", speed=here / "speed.json", out=target)
    trained_s = bundle.load(Path(folder)).manifest.cost.training_s
    steps = trained_s / (1 / 1000 - 1 / 101_000)
    assert f"<td>{steps:,.0f}</td>" in target.read_text()


def test_what_is_missing_or_of_another_bundle_is_named(found):
    folder, here, evaluation = found
    with pytest.raises(ConfigError, match="surrogate eval"):
        report(folder, evaluation=here / "nothing.json")
    (here / "evaluation.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(evaluation, digest="0" * 64)))
    with pytest.raises(ConfigError, match="judges another bundle"):
        report(folder, evaluation=here / "evaluation.json")
    (here / "evaluation.json").write_bytes(msgspec.json.encode(evaluation))
    (here / "speed.json").write_text("{}")
    with pytest.raises(ConfigError, match="not of `robostral bench surrogate`"):
        report(folder, evaluation=here / "evaluation.json", speed=here / "speed.json")
    report(folder, evaluation=here / "evaluation.json")
    assert "Not measured" in (here / "report.html").read_text()
