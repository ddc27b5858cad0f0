"""Laws of slow policies: beyond the trained latency the arm waits at rest for each chunk, and still gets there."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servo_cell import BOUND, Servo, armed, delayed, far_goal, make_contract, mute, near_goal, violations

from robostral.runtime import runlog
from robostral.runtime.ladder import Cause, Mode
from robostral.runtime.latency import PATIENCE, Latency
from robostral.runtime.lockstep import LockStep
from robostral.runtime.options import LoopOptions
from robostral.runtime.recorder import LogWriter
from robostral.runtime.records import Answer

TRAINED = LoopOptions(max_latency_s=0.02)
DT_NS, VALID_NS, CAP_NS = 2_000_000, 120_000_000, 1_000_000_000


def slow_cell(ticks: int, options: LoopOptions = TRAINED) -> LockStep:
    """Build an armed cell whose policy has been measured: its answers come `ticks - 1` periods after the question."""
    cell, _ = armed(options=options)
    delayed(cell, lambda: ticks)
    cell.tick(1000)
    assert cell.status.latency_us == pytest.approx(2000 * (ticks - 1), rel=0.05)
    return cell


@pytest.mark.parametrize("ticks", [21, 51, 101])
def test_two_five_and_ten_times_the_trained_latency_reach_the_goal_at_rest_between_chunks(ticks: int) -> None:
    cell = slow_cell(ticks)
    assert cell.status.synchronous
    assert "SYNCHRONOUS" in cell.status.line()
    began = len(cell.rows)
    assert cell.ask("goal", *near_goal(3)) == Answer.DONE
    cell.run_until(lambda s: s.goal_error_m < 1e-3 and s.goal_error_rad < 1e-2, 20.0)
    rows = cell.rows[began:]
    assert cell.status.goal_error_m < 1e-3
    assert violations(cell.rows) == cell.status.stops == cell.status.guard_rejected == 0
    assert (rows["mode"] == Mode.RUN).all()
    assert rows["setpoint_age_ns"].max() <= CAP_NS
    firsts = np.flatnonzero(np.diff(rows["seq"].astype(np.int64)) > 0) + 1
    firsts = firsts[rows["seq"][firsts] > 0]
    assert len(firsts) > 3
    for first in firsts[1:]:  # it stood, bit for bit, from the question to its answer
        assert (rows["q_c"][first - ticks : first] == rows["q_c"][first - 1]).all()
        assert rows["latency_ns"][first] == (ticks - 1) * DT_NS


def test_a_synchronous_chunk_is_followed_to_its_end_and_not_beyond() -> None:
    cell = slow_cell(51)
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    path = cell.loop.questions.path
    while path.seq == 0:
        cell.tick()
    end, knot = path._before + 3, path._knots[2].copy()
    way = np.abs(knot - path._q_seam).max()
    while path.seq:
        cell.tick()
    assert path.consumed == pytest.approx(end, abs=0.05)
    assert np.abs(cell.loop.guard.q_c - knot).max() < 0.05 * way
    assert not cell.loop.guard.dq_c.any()


@pytest.mark.parametrize("wait", range(0, 200, 7))
def test_a_server_that_dies_stops_the_loop_until_somebody_re_arms(wait: int) -> None:
    cell = slow_cell(51)
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(150 + wait)
    answer = cell._advance
    cell._advance = lambda: None
    mute(cell)
    rows = cell.tick(600)
    assert (cell.mode, cell.loop.ladder.cause, cell.status.stops) == (Mode.HOLD, Cause.CHUNK_STALE, 1)
    assert violations(cell.rows) == 0
    fed = np.flatnonzero(rows["setpoint_age_ns"] >= 0)
    last = fed[-1] if len(fed) else 0
    stopped = np.flatnonzero(rows["mode"] != Mode.RUN)[0]
    assert (stopped - last) * DT_NS < PATIENCE * 100_000_000 + 150_000_000  # to rest, and its patience
    cell._advance = answer
    assert cell.ask("goal", *near_goal(0)) == Answer.WRONG_MODE
    assert cell.ask("rearm") == Answer.DONE


def test_a_policy_that_keeps_its_latency_is_streamed_as_if_there_were_no_other_way() -> None:
    runs = []
    for options in (TRAINED, LoopOptions()):
        cell, _ = armed(options=options)
        delayed(cell, lambda: 9)
        assert cell.ask("goal", *near_goal(2)) == Answer.DONE
        rows = cell.tick(1000)
        assert not rows["synchronous"].any()
        runs.append([rows[name].tobytes() for name in ("q_c", "seq", "mode", "setpoint_age_ns", "latency_ns")])
    assert runs[0] == runs[1]


def test_chunks_are_streamed_again_once_answers_are_quick() -> None:
    cell, _ = armed(options=TRAINED)
    ticks = [3]
    delayed(cell, lambda: ticks[0])
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    seen = []
    for ticks[0] in (3, 40, 3):
        rows = cell.tick(2500)
        seen.append(int(rows["synchronous"][-1]))
        cell.ask("goal", *far_goal() if ticks[0] == 40 else near_goal(1))
    assert seen == [0, 1, 0]
    switches = np.flatnonzero(np.diff(cell.rows["synchronous"]))
    assert len(switches) == 2
    smooth = cell.rows["smooth_latency_ns"][switches + 1] / cell.rows["max_latency_ns"][switches + 1]
    assert smooth[0] > 1.0
    assert smooth[1] < 0.8
    assert (violations(cell.rows), cell.status.stops, cell.mode) == (0, 0, Mode.RUN)


def test_the_sites_cap_bounds_the_age_of_synchronous_chunks_and_a_policy_beyond_it_gets_no_goal() -> None:
    cell = slow_cell(21, LoopOptions(max_latency_s=0.02, max_chunk_age_s=0.12))
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    rows = cell.tick(1000)
    assert (cell.mode, violations(cell.rows)) == (Mode.RUN, 0)
    assert 80_000_000 < rows["setpoint_age_ns"].max() <= 120_000_000
    cell = slow_cell(81, LoopOptions(max_latency_s=0.02, max_chunk_age_s=0.12))
    assert cell.ask("goal", *far_goal()) == Answer.TOO_SLOW


def test_held_and_slowed_arms_go_on_synchronously() -> None:
    cell = slow_cell(51)
    cell.ask("speed", 0.3)
    assert cell.ask("goal", *near_goal(3)) == Answer.DONE
    cell.tick(200)
    assert cell.ask("hold") == Answer.DONE
    held = cell.tick(1500)[300:]
    assert (np.abs(np.diff(held["q_c"], axis=0)) < 1e-6).all()
    assert cell.ask("resume") == Answer.DONE
    cell.run_until(lambda s: s.goal_error_m < 1e-3, 40.0)
    assert cell.status.goal_error_m < 1e-3
    assert (violations(cell.rows), cell.status.stops) == (0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_wild_chunks_and_latencies_to_and_fro_stay_inside_every_limit(seed: int) -> None:
    rng = np.random.default_rng(seed)

    class Wild(Servo):
        def infer(self, obs: np.ndarray) -> np.ndarray:
            chunk = super().infer(obs)
            return rng.choice([-BOUND, BOUND], chunk.shape).astype(np.float32) if rng.random() < 0.4 else chunk

    cell, _ = armed(policy=Wild(), options=TRAINED)
    base = [10]
    delayed(cell, lambda: int(base[0] * rng.uniform(0.3, 2.0)))
    for _ in range(2):
        for base[0] in (80, 3, 40, 10, 20):
            cell.ask("goal", *near_goal(int(rng.integers(9))))
            cell.tick(2500 if base[0] == 3 else 300)
            if cell.mode == Mode.HOLD:
                cell.ask("rearm")
    assert np.count_nonzero(np.diff(cell.rows["synchronous"])) >= 2
    assert violations(cell.rows) == 0
    assert cell.rows["setpoint_age_ns"].max() <= CAP_NS


def test_the_log_tells_the_switch_and_the_way_back_with_their_figures(tmp_path: Path) -> None:
    cell, _ = armed(options=TRAINED)
    ticks = [3]
    delayed(cell, lambda: ticks[0])
    for ticks[0] in (3, 21, 3):
        cell.tick(1000)
    log = LogWriter(tmp_path / "log.mcap", cell.rows.dtype, {})
    log.ticks(cell.rows)
    log.close()
    told = [event.text for event in runlog.read(tmp_path / "log.mcap").events if event.kind == "latency"]
    assert [text.split(":")[0] for text in told] == ["synchronous chunks", "streamed chunks again"]
    assert all(text.endswith("ms (smoothed), trained for 20.0 ms") for text in told)


@given(st.lists(st.integers(0, 2_000_000_000), max_size=60))
def test_the_bounds_hold_for_any_latencies(latencies: list[int]) -> None:
    latency = Latency(20e6, VALID_NS, CAP_NS)
    for value in latencies:
        before = latency.synchronous
        latency.note(value)
        assert VALID_NS <= latency.patience_ns <= latency.usable_ns <= CAP_NS or not latency.synchronous
        assert latency.synchronous or latency.patience_ns == latency.usable_ns == VALID_NS
        if latency.synchronous != before:
            assert (latency.smooth_ns > 20e6) == latency.synchronous
    assert make_contract().action.chunk_valid_s * 1e9 == VALID_NS
