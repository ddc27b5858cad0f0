"""Laws of the loop, in lock-step: nothing wrong is executed, every stop is clean, nothing resumes by itself."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servo_cell import ARM, BOUND, HORIZON, ExactPlant, N, Servo, armed, delayed, far_goal, mute, near_goal, violations

from robostral.errors import ConfigError
from robostral.guard import Workspace
from robostral.runtime.ladder import BRAKE_NS, Cause, Mode, Rung
from robostral.runtime.lockstep import LockStep
from robostral.runtime.options import LoopOptions
from robostral.runtime.records import Answer

NEAR = 1e-3
VALID_NS = 120_000_000


def reach(cell: LockStep, goal: np.ndarray, limit_s: float = 4.0) -> np.ndarray:
    began = len(cell.rows)
    assert cell.ask("goal", *goal) == Answer.DONE
    cell.run_until(lambda s: s.goal_error_m < NEAR and s.goal_error_rad < 10 * NEAR, limit_s)
    assert cell.status.goal_error_m < NEAR
    return cell.rows[began:]


def test_it_reaches_goals_one_after_the_other_inside_every_limit() -> None:
    cell, plant = armed()
    for seed in range(4):
        reach(cell, near_goal(seed))
    assert violations(cell.rows) == 0
    assert cell.status.guard_rejected == cell.status.stops == 0
    np.testing.assert_array_equal(np.array(plant.written), cell.rows["q_c"][cell.rows["written"] == 1])


def test_two_runs_are_bit_identical() -> None:
    def run() -> bytes:
        cell, _ = armed()
        return reach(cell, near_goal(1)).tobytes()

    assert run() == run()


def test_it_starts_locked_and_writes_nothing() -> None:
    plant = ExactPlant()
    cell = LockStep(plant, ARM, Servo())
    cell.tick(30)
    assert cell.mode == Mode.HOLD
    for op, args in (("goal", tuple(near_goal(0))), ("home", ())):
        assert cell.ask(op, *args) == Answer.WRONG_MODE
    cell.tick(30)
    assert not plant.written


@pytest.mark.parametrize("phase", range(0, 40, 3))
def test_without_chunks_it_brakes_in_time_inside_every_limit_and_stays_locked(phase: int) -> None:
    cell, _ = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    before = cell.tick(150 + phase)
    mute(cell)
    rows = cell.tick(400)
    valid_until = cell.loop.questions.path.t_obs_ns + VALID_NS
    braking = rows[rows["mode"] == Mode.BRAKE]
    assert braking[0]["t_ns"] <= rows["t_ns"][rows["t_ns"] >= valid_until + BRAKE_NS][0]
    assert braking[0]["t_ns"] >= valid_until
    assert 1 <= (rows["mode"] == Mode.COAST).sum() <= 3
    assert (rows["rung"] == Rung.BUFFERED).any()
    assert violations(cell.rows) == 0
    assert np.abs(np.diff(before["q_c"][-2:], axis=0)).max() > 0.5 * 0.002  # it was in motion, 0.5 rad/s at least
    assert (cell.mode, cell.loop.ladder.cause) == (Mode.HOLD, Cause.CHUNK_STALE)
    cell.mailbox.ring_bell = cell.source
    held = cell.tick(200)
    assert (held["q_c"] == held["q_c"][0]).all()
    assert cell.ask("goal", *near_goal(0)) == Answer.WRONG_MODE
    session = cell.status.session
    assert cell.ask("rearm") == Answer.DONE
    assert cell.status.session == session + 1
    reach(cell, near_goal(0))
    assert violations(cell.rows) == 0


def test_a_coast_ends_when_a_newer_chunk_comes() -> None:
    cell, _ = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(100)
    mute(cell)
    while cell.mode == Mode.RUN:
        cell.tick()
    assert cell.mode == Mode.COAST
    cell.mailbox.ring_bell = cell.source
    cell.loop.questions.next_tick = 0
    assert cell.tick()["mode"][0] == Mode.RUN
    assert cell.status.stops == 0


@pytest.mark.parametrize("latency", [0, 1, 10, 19, 20, 25, 35])
def test_late_chunks_join_without_a_jump(latency: int) -> None:
    cell, _ = armed()
    delayed(cell, lambda: latency)
    reach(cell, near_goal(3), limit_s=8.0)
    assert violations(cell.rows) == 0
    assert cell.status.stops == 0


def test_a_latency_beyond_the_chunks_validity_ends_in_a_clean_stop() -> None:
    cell, _ = armed()
    delayed(cell, lambda: 45)
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(400)
    assert (cell.mode, cell.loop.ladder.cause) == (Mode.HOLD, Cause.CHUNK_STALE)
    assert violations(cell.rows) == 0


def test_from_standstill_nothing_is_skipped_whatever_the_latency() -> None:
    cell, _ = armed()
    delayed(cell, lambda: 45)
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    while cell.loop.questions.path.seq == 0:
        cell.tick()
    assert cell.loop.questions.path._steps == HORIZON


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_chunks_at_any_time_stay_inside_every_limit(seed: int) -> None:
    rng = np.random.default_rng(seed)

    class Hostile(Servo):
        def infer(self, obs: np.ndarray) -> np.ndarray:
            kind = rng.integers(5)
            shape = (1, HORIZON, N)
            if kind == 0:
                return rng.choice([-1e30, 1e30, -BOUND, BOUND], shape).astype(np.float32)
            if kind == 1:
                return np.full(shape, rng.choice([np.nan, np.inf, -np.inf, 1e-40]), np.float32)
            if kind == 2:
                return rng.normal(scale=0.05, size=shape).astype(np.float32)
            return np.full(shape, rng.choice([-BOUND, BOUND]), np.float32)

    cell, _ = armed(policy=Hostile())
    delayed(cell, lambda: int(rng.integers(0, 70)))
    for _ in range(6):
        cell.ask("goal", *near_goal(0))
        cell.tick(120)
        if cell.mode == Mode.HOLD:
            cell.ask("rearm")
    assert violations(cell.rows) == 0
    assert np.isfinite(cell.rows["q_c"]).all()


def test_an_operator_stop_a_leave_and_a_guard_reject_all_brake_on_the_path() -> None:
    ways: list[Callable[[LockStep], object]] = [
        lambda cell: cell.ask("stop"),
        lambda cell: cell.loop.leave(),
        lambda cell: cell.loop.guard.measure(cell.loop.guard.q_c + 1.0),
    ]
    for begin, cause in zip(ways, (Cause.OPERATOR, Cause.LEAVING, Cause.GUARD), strict=True):
        cell, _ = armed()
        assert cell.ask("goal", *far_goal()) == Answer.DONE
        cell.tick(150)
        begin(cell)
        cell.tick(300)
        assert (cell.mode, cell.loop.ladder.cause) == (Mode.HOLD, cause)
        assert violations(cell.rows) == 0
        assert cell.loop.left == (cause == Cause.LEAVING)


def test_a_pose_outside_the_workspace_is_no_place_to_start_from() -> None:
    box = Workspace((0.2, -0.1, 0.1), (0.4, 0.1, 0.3))
    cell = LockStep(ExactPlant(), ARM, Servo(), options=LoopOptions(workspace=box))
    cell.tick()
    assert cell.ask("rearm") == Answer.START_POSE
    assert (cell.mode, cell.status.guard) == (Mode.HOLD, "WORKSPACE")


@pytest.mark.parametrize(
    ("rate", "home", "what"),
    [(512.0, None, "20.48 ticks"), (500.0, np.zeros(5), "home"), (500.0, np.full(N, 9.0), "joint")],
)
def test_what_does_not_fit_is_refused_before_anything_moves(rate: float, home: Any, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        LockStep(ExactPlant(rate), ARM, Servo(), options=LoopOptions(home=home))


@pytest.mark.parametrize("rate", [125.0, 250.0, 1000.0])
def test_every_control_rate_keeps_the_same_laws(rate: float) -> None:
    cell, _ = armed(ExactPlant(rate))
    reach(cell, near_goal(2))
    mute(cell)
    cell.tick(round(rate))
    assert violations(cell.rows, 1.0 / rate) == 0
    assert cell.mode == Mode.HOLD


def test_a_tick_keeps_nothing_that_it_allocates() -> None:
    cell, plant = armed()
    assert cell.ask("goal", *near_goal(0)) == Answer.DONE

    def run() -> None:
        for _ in range(3000):
            cell.clock.t_ns += cell.loop.dt_ns
            cell.loop.tick()
            plant.written.clear()
            cell.mailbox.ticks.drain()

    run()
    before = sys.getallocatedblocks()
    run()
    assert sys.getallocatedblocks() - before < 10


def test_a_tool_is_taken_while_locked_only_and_only_if_the_policy_knows_it() -> None:
    known: list[float] = []
    options = LoopOptions(fits=lambda chain: known.append(float(chain.T_flange_tcp[2, 3])) or len(known) < 2)  # type: ignore[func-returns-value]
    cell, _ = armed(options=options)
    assert cell.ask("tool", 0, 0, 0.1, 1, 0, 0, 0) == Answer.WRONG_MODE
    cell.ask("stop")
    cell.tick(2)
    before = cell.status.p_tcp
    assert cell.ask("tool", 0, 0, 0.1, 1, 0, 0, 0) == Answer.DONE
    assert np.linalg.norm(np.subtract(cell.status.p_tcp, before)) == pytest.approx(0.1)
    assert cell.ask("tool", 0, 0, 0.2, 1, 0, 0, 0) == Answer.TOOL
    assert known == pytest.approx([0.1, 0.2])
    assert cell.ask("rearm") == Answer.DONE
    reach(cell, near_goal(0) - np.array([0, 0, 0.05, 0, 0, 0, 0]))
    assert violations(cell.rows) == 0


def test_a_real_plant_is_armed_after_a_good_self_test_only() -> None:
    for late_ns, answer in ((0, Answer.DONE), (1_100_000, Answer.LATE_WAKEUPS)):
        plant = ExactPlant()
        cell = LockStep(plant, ARM, Servo(), options=LoopOptions(strict=True))
        cell.tick(100)
        assert cell.ask("rearm") == Answer.SELF_TEST
        for _ in range(1500):
            cell.loop.tick(wakeup_ns=late_ns)
        cell.mailbox.ticks.drain()
        assert cell.ask("rearm") == answer
        assert cell.status.late_wakeups == (late_ns > 0)
    cell = LockStep(ExactPlant(), ARM, Servo())
    cell.loop.tick(wakeup_ns=1_100_000)
    cell.mailbox.ticks.drain()
    assert cell.ask("rearm") == Answer.DONE
    assert cell.status.late_wakeups


def test_ten_thousand_swaps_of_the_policy_in_motion_violate_nothing() -> None:
    rng = np.random.default_rng(0)
    signs = [np.full((1, HORIZON, N), sign, np.float32) for sign in (-BOUND, 0.0, BOUND)]

    class Swapped(Servo):
        """Another policy at every question: one that reaches, ones that push, one that shakes."""

        def infer(self, obs: np.ndarray) -> np.ndarray:
            kind = int(rng.integers(5))
            if kind < 3:
                return signs[kind]
            if kind == 3:
                return rng.uniform(-BOUND, BOUND, (1, HORIZON, N)).astype(np.float32)
            return super().infer(obs)

    cell, _ = armed(ExactPlant(125.0), Swapped())
    swaps = 0
    while swaps < 10_000:
        if cell.mode == Mode.HOLD:
            cell.ask("rearm")
        cell.ask("goal", *far_goal())
        rows = cell.tick(1000)
        swaps += int((np.diff(rows["seq"][rows["mode"] == Mode.RUN].astype(np.int64)) != 0).sum())
    rows = cell.rows
    assert violations(rows, 1.0 / 125.0) == 0
    step = np.abs(np.diff(rows["q_c"][rows["written"] == 1], axis=0))
    assert (step <= ARM.limits.array[2] / 125.0 * (1.0 + 1e-9)).all()
