"""Laws of the standstill: the longest of late is remembered for a window at least, two at most, and explains a stop."""

from servo_cell import armed, far_goal, mute

from robostral.chaos.soak import explain
from robostral.runtime.ladder import Cause, Mode
from robostral.runtime.standstill import WINDOW_S, Standstill

DT_NS = 2_000_000
WINDOW = round(1e9 * WINDOW_S / DT_NS)


def test_the_longest_is_remembered_for_one_window_and_forgotten_after_two() -> None:
    for phase in range(0, 2 * WINDOW, 7):
        standstill, now_ns = Standstill(DT_NS), 1_000_000_000
        for _ in range(phase):
            standstill.note(now_ns)
            now_ns += DT_NS
        assert standstill.worst_ns == 0
        standstill.note(now_ns)
        now_ns += 40_000_000 + DT_NS
        seen = []
        for _ in range(2 * WINDOW + 1):
            standstill.note(now_ns)
            seen.append(standstill.worst_ns)
            now_ns += DT_NS
        assert set(seen[:WINDOW]) == {40_000_000}
        assert seen[-1] == 0


def test_a_stop_after_the_loop_froze_is_told_from_one_for_want_of_an_answer() -> None:
    found = []
    for frozen_s in (0.227, 0.0):
        cell, _ = armed()
        cell.ask("goal", *far_goal())
        cell.tick(150)
        cell.clock.advance(frozen_s)
        if not frozen_s:
            mute(cell)
        cell.tick(400)
        assert (cell.mode, cell.loop.ladder.cause) == (Mode.HOLD, Cause.CHUNK_STALE)
        found.append(explain(cell.status, outlives_ms=80.0))
    froze, unanswered = found
    assert 226.0 < froze["loop_stood_still_ms"] <= 227.0
    assert not froze["false"]
    assert unanswered["loop_stood_still_ms"] == 0.0
    assert unanswered["false"]


def test_an_operators_or_a_guards_stop_is_not_explained_by_a_standstill() -> None:
    cell, _ = armed()
    cell.ask("goal", *far_goal())
    cell.tick(100)
    cell.clock.advance(0.09)
    cell.ask("stop")
    cell.tick(400)
    found = explain(cell.status, outlives_ms=80.0)
    assert (found["cause"], found["false"]) == ("OPERATOR", True)
    assert found["loop_stood_still_ms"] > 80.0
