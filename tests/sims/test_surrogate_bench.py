"""The figures of a learned simulator: every batch is timed, and each stands beside the environment and the engine."""

import planted_jaw
import pytest
from robostral_sims.surrogate_bench import BATCHES, report, run

from robostral.errors import ConfigError


def test_what_is_measured_stands_beside_environment_and_engine(tmp_path):
    planted = planted_jaw.write(tmp_path / "planted-v1")
    found = run("panda-pick_place", planted, None, steps=40, rounds=1)["surrogate"]
    rows = {row["what"]: row for row in found["rows"]}
    assert set(rows) == {
        "environment",
        "engine",
        "ensemble behind the whole guard",
        *(f"ensemble, batch {n}" for n in BATCHES),
    }
    assert rows["engine"]["times_environment"] > 1.0, "the engine alone takes less time than the environment around it"
    fast = rows["ensemble, batch 1024"]
    assert fast["times_environment"] > rows["ensemble behind the whole guard"]["times_environment"]
    assert 0.0 < sum(fast["us_of"].values()) < 2.0 * fast["us_per_step"]


def test_a_bar_is_reached_or_not():
    rates = {"environment": 1000.0, "engine": 2000.0, "one member, batch 1024": 199e3, "ensemble, batch 1024": 61e3}
    bars = {bar["what"]: bar["reached"] for bar in report(rates, {})["bars"]}
    assert bars == {"one member, batch 1024": False, "ensemble, batch 1024": True}


def test_nothing_to_measure_is_refused():
    with pytest.raises(ConfigError, match="at least one"):
        run("panda-pick_place", "jaw-part-v1", None, steps=0, rounds=1)
