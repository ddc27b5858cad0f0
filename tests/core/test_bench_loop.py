"""Laws of the loop's bench: it measures both sides in turn, keeps nothing, and says what it did not find."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robostral.runtime import bench
from robostral.runtime.beat import Beat
from robostral.runtime.ladder import Mode
from robostral.runtime.realtime import FakeClock


@pytest.mark.parametrize("rate", bench.RATES_HZ)
def test_ten_thousand_ticks_keep_nothing_and_collect_nothing(rate: float) -> None:
    assert Beat(rate, FakeClock()).allocations() == {"blocks": 0, "collections": 0}


def test_a_slice_counts_every_tick_of_a_moving_arm() -> None:
    clock = FakeClock()
    beat = Beat(500.0, clock)
    found = beat.slice(1.0)
    assert len(found["wakeup_ns"]) == len(found["compute_ns"]) == pytest.approx(500, abs=2)
    assert beat.loop.ladder.mode == Mode.MOVING


def test_what_misses_its_bar_is_named() -> None:
    def beside(late: float) -> dict[str, float]:
        return {"p50": late, "p999": late, "max": late}

    def figures(p999: float, theirs: float, blocks: int = 0) -> dict[str, object]:
        return {
            "1000 Hz": bench._figures([np.full(2000, p999)], [10.0] * 2000, [beside(theirs)], [0, 0])
            | {"allocations": {"blocks": blocks, "collections": 0}}
        }

    def kernels(guard: float) -> dict[str, object]:
        rest = {"p50": 4.0, "machine": {"p999": 18.0}}
        return {"compute_us": {"p999": 50.0} | rest, "guard_us": {"p999": guard} | rest}

    fine = kernels(19.0)
    assert bench._short(figures(20.0, 15.0), figures(30.0, 30.0), fine) == []
    assert "cyclictest 10.0" in bench._short(figures(20.0, 10.0), figures(30.0, 30.0), fine)[0]
    assert "10% of the period" in bench._short(figures(120.0, 110.0), figures(120.0, 110.0), fine)[0]
    assert "disturbed" in bench._short(figures(20.0, 15.0), figures(50.0, 50.0), fine)[0]
    line = bench._short(figures(20.0, 15.0), figures(30.0, 30.0), kernels(21.0))[0]
    assert "guard_us p99.9 21.0" in line
    assert "p99.9 18.0 µs where as long nothing is computed" in line
    assert "allocations" in bench._short(figures(20.0, 15.0, blocks=3), figures(30.0, 30.0), fine)[0]


def test_the_command_measures_and_names_an_absent_peer(tmp_path: Path) -> None:
    path = tmp_path / "loop.json"
    code = (
        "import shutil, sys; shutil.which = lambda name: None;"
        "from pathlib import Path; from robostral.runtime import bench; bench.RATES_HZ = (500.0,);"
        "from robostral.runtime.commands import bench_loop;"
        "bench_loop(seconds=0.4, slice_s=0.4, json=Path(sys.argv[1]))"
    )  # fmt: skip
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, timeout=200)
    found = json.loads(path.read_text())
    for part in ("alone", "disturbed"):
        row = found[part]["500 Hz"]
        assert row["loop.wakeup_us"]["n"] > 100
        assert row["loop.compute_us"]["n"] == row["loop.wakeup_us"]["n"]
        assert row["machine_us"]["p50"] == pytest.approx(row["loop.compute_us"]["p50"], rel=0.1)
        assert "not installed" in row["cyclictest"]
        assert row["allocations"]["collections"] == 0
    assert found["machine"]["cores"] >= 1
