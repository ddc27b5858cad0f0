from dataclasses import replace

import numpy as np
import pytest

from robostral.runtime import report


@pytest.mark.parametrize(
    ("n", "p", "held"), [(100, 99.0, True), (99, 99.0, False), (999, 99.9, False), (1000, 99.9, True)]
)
def test_a_percentile_without_enough_values_is_none(n: int, p: float, held: bool) -> None:
    assert (report.percentile(np.arange(n, dtype=float), p) is not None) is held


def test_spread_names_its_percentiles() -> None:
    found = report.spread(np.arange(2000, dtype=float), 50, 99, 99.9)
    assert list(found) == ["p50", "p99", "p999", "max", "n"]
    assert found["max"] == 1999.0


def test_the_report_is_one_file_that_asks_nobody_for_anything(tmp_path) -> None:
    ticks = 5000
    wave = np.sin(np.linspace(0, 9, ticks))[:, None] * np.ones(6)
    series = report.Series(
        joint_names=tuple("abcdef"),
        t_s=np.arange(ticks) * 0.002,
        q=wave,
        q_c=wave + 1e-3,
        wakeup_us=np.abs(wave[:, 0]),
        setpoint_age_ms=np.abs(wave[:, 0]),
        latency_us=np.full(300, 400.0),
        events=[report.Event(1.0, "kill", "server killed"), report.Event(2.0, "re-arm", "<script>")],
    )
    path = report.write_report(tmp_path, "A run", {"poses": 20, "latency_us": {"p50": None}}, series)
    page = path.read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    assert "not enough values" in page
    for loads in ("<script", "src=", "@import", "<link"):
        assert loads not in page
    assert path.stat().st_size < 2_000_000
    torques = replace(series, tau_c=wave, force_n=wave[:, 0])
    page = report.write_report(tmp_path, "A run", {}, torques).read_text(encoding="utf-8")
    assert page.count("<svg") == 5


def test_a_run_without_ticks_still_gets_its_report(tmp_path) -> None:
    none = np.zeros(0)
    series = report.Series(("a",), none, np.zeros((0, 1)), np.zeros((0, 1)), none, none, none)
    assert report.write_report(tmp_path, "Nothing", {}, series).is_file()
