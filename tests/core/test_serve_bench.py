"""The benchmark of the server, small: every figure of its keys is there, nobody is late, nobody is over budget."""

from pathlib import Path

import pytest
import tiny_bundle

from robostral.serving.benchmark import run


def test_every_key_is_there(tmp_path: Path) -> None:
    found = run(str(tiny_bundle.write(tmp_path / "tiny-v1")), 50, None)
    rtt, load, batch = found["rtt"], found["throughput"], found["batch"]
    assert rtt["p50_ratio_vs_floor"] == pytest.approx(rtt["ours_us"]["p50"] / rtt["floor_us"]["p50"])
    assert "--peer-python" in rtt["websocket"]
    assert load["requests"] == 64 * 25
    assert load["answered_over_budget"] == 0
    assert load["cpu_us_per_request"] > 0
    assert {"1_robot", "8_robots", "8_robots_at_once"} == set(batch)
    assert batch["8_robots"]["p95_ratio_vs_1"] > 0
