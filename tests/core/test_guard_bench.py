"""A control tick keeps no memory, collects no garbage, and is never stopped by a policy that means no harm."""

import pytest

from robostral.arm import load_arm
from robostral.guard.bench import Cell, measure, run


@pytest.mark.parametrize(("name", "ticks"), [("panda", 10_000), ("ur5e", 2_000)])
def test_ticks_keep_no_memory_and_collect_no_garbage(name: str, ticks: int) -> None:
    figures = run(name, ticks)
    for stage in ("compute_us", "guard_us"):
        assert figures[stage]["kept_blocks"] == 0
        assert figures[stage]["collections"] == 0
        assert 0.0 < figures[stage]["p50"] <= figures[stage]["p99"] <= figures[stage]["p999"] <= figures[stage]["max"]
        assert figures[stage]["p50"] <= figures[stage]["machine"]["p50"] + 0.001


def test_what_is_kept_is_counted() -> None:
    cell, kept = Cell(load_arm("ur5e")), []

    def leaky() -> int:
        kept.append(object())
        return cell.tick()

    _, blocks, _ = measure(cell, leaky, 1000)
    assert blocks > 900
