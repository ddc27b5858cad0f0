"""Laws of the loop, in lock-step: nothing wrong is executed, every stop is clean, nothing resumes by itself."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servo_cell import (
    ARM,
    BOUND,
    HORIZON,
    OBS,
    ExactPlant,
    N,
    Servo,
    armed,
    delayed,
    far_goal,
    make_contract,
    mute,
    near_goal,
    violations,
)

from robostral.driver import PlantStatus
from robostral.errors import ConfigError
from robostral.guard import Reason, Workspace
from robostral.runtime import records
from robostral.runtime.inbox import Inbox
from robostral.runtime.ladder import BRAKE_NS, Cause, Mode, Rung
from robostral.runtime.lockstep import LockStep
from robostral.runtime.options import LoopOptions
from robostral.runtime.records import Answer, Op, Sizes
from robostral.signals import obs_field

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


SIZES = Sizes(N, 27, HORIZON, 7)


def answer_to(inbox: Inbox, number: int, **changes: Any) -> records.Record:
    chunk = records.empty(records.chunk_dtype(SIZES))
    chunk["session"], chunk["seq"], chunk["bundle"] = inbox.session, number, 77
    chunk["t_obs_ns"] = inbox._t_obs_ns[number % 64]
    for name, value in changes.items():
        chunk[name] = value
    return chunk


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, Reason.PASSED),
        ({"session": 6}, Reason.SESSION),
        ({"seq": 3}, Reason.ORDER),
        ({"seq": 6}, Reason.ORDER),
        ({"t_obs_ns": 4}, Reason.ORDER),
        ({"bundle": 78}, Reason.CONTRACT),
        ({"chunk": np.nan}, Reason.NOT_FINITE),
        ({"chunk": np.inf}, Reason.NOT_FINITE),
    ],
)
def test_only_the_answer_to_a_question_of_this_session_is_taken(changes: dict[str, Any], reason: Reason) -> None:
    inbox = Inbox(VALID_NS, 77)
    inbox.begin(5)
    for i in range(5):
        inbox.ask(1000 + i, 0.0)
    assert inbox.judge(answer_to(inbox, 3), 2000) == Reason.PASSED
    assert inbox.judge(answer_to(inbox, 5, **changes), 2000) == reason
    assert inbox.verdicts[reason] >= 1
    assert inbox.judge(answer_to(inbox, 4), 2000) == (Reason.ORDER if reason == Reason.PASSED else Reason.PASSED)


def test_what_is_old_or_of_an_earlier_session_is_never_taken() -> None:
    inbox = Inbox(VALID_NS, 77)
    inbox.begin(5)
    seq = inbox.ask(1000, 0.0)
    chunk = answer_to(inbox, seq)
    assert inbox.judge(chunk, 1000 + VALID_NS) == Reason.AGE
    assert inbox.judge(chunk, 999) == Reason.AGE
    inbox.begin(6)
    assert inbox.judge(chunk, 2000) == Reason.SESSION
    assert inbox.judge(answer_to(inbox, seq), 2000) == Reason.ORDER


def test_recorded_answers_replayed_in_any_order_are_refused() -> None:
    inbox, rng = Inbox(VALID_NS, 77), np.random.default_rng(0)
    inbox.begin(5)
    recorded = []
    for i in range(300):
        seq = inbox.ask(1_000_000 * i, 0.0)
        recorded.append(answer_to(inbox, seq))
        assert inbox.judge(recorded[-1], 1_000_000 * i + 10) == Reason.PASSED
    for at in rng.integers(0, 300, 100_000):
        assert inbox.judge(recorded[at], 300_000_000) != Reason.PASSED


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


def test_home_is_guarded_can_be_slowed_and_can_be_stopped() -> None:
    plant = ExactPlant(q=ARM.home + 0.4)
    cell, _ = armed(plant)
    assert cell.ask("home") == Answer.DONE
    full = cell.run_until(lambda s: s.mode == "IDLE", 5.0)
    np.testing.assert_array_equal(plant.q, ARM.home)
    plant.q += 0.4
    assert cell.ask("rearm") == Answer.DONE
    assert cell.ask("speed", 0.25) == Answer.DONE
    cell.tick(400)
    assert cell.ask("home") == Answer.DONE
    slow = cell.run_until(lambda s: s.mode == "IDLE", 10.0)
    assert 2.5 < len(slow) / len(full) < 4.5
    plant.q += 0.4
    assert cell.ask("rearm") == Answer.DONE
    assert cell.ask("home") == Answer.DONE
    cell.tick(100)
    assert cell.ask("stop") == Answer.DONE
    cell.tick(300)
    assert violations(cell.rows) == 0
    assert cell.mode == Mode.HOLD


def test_the_speed_override_stretches_the_path() -> None:
    way = []
    for speed in (1.0, 0.5):
        cell, _ = armed(options=LoopOptions(speed=speed))
        assert cell.ask("goal", *far_goal()) == Answer.DONE
        cell.tick(200)
        rows = cell.tick(200)
        assert violations(cell.rows) == 0
        way.append(np.abs(rows["q_c"][-1] - rows["q_c"][0]).max())
    assert way[1] / way[0] == pytest.approx(0.5, abs=0.05)
    assert cell.status.stops == 0


@pytest.mark.parametrize("value", [0.0, -1.0, 1.01, np.nan])
def test_a_senseless_speed_is_refused(value: float) -> None:
    assert armed()[0].ask("speed", value) == Answer.BAD_VALUE


@pytest.mark.parametrize("status", [s for s in PlantStatus if s not in {PlantStatus.OK, PlantStatus.NO_DATA}])
def test_a_plant_that_cannot_be_commanded_is_stopped_and_never_written(status: PlantStatus) -> None:
    cell, plant = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(100)
    plant.status, written = status, len(plant.written)
    cell.tick(100)
    assert (cell.mode, cell.loop.ladder.cause, plant.stops) == (Mode.FAULT, Cause.PLANT, 1)
    assert len(plant.written) == written
    assert (cell.rows["setpoint_age_ns"][cell.rows["written"] == 0] == -1).all()
    assert cell.status.plant == status.name
    plant.can_connect = False
    assert cell.ask("rearm") == Answer.PLANT
    plant.can_connect = True
    assert cell.ask("rearm") == Answer.DONE
    assert cell.mode == Mode.IDLE
    assert plant.connects == 1


def test_a_plant_that_refuses_the_first_command_is_not_armed() -> None:
    plant = ExactPlant()
    plant.write_status = PlantStatus.REFUSED
    cell = LockStep(plant, ARM, Servo())
    cell.tick(3)
    assert cell.ask("rearm") == Answer.PLANT
    assert (cell.mode, cell.status.plant) == (Mode.FAULT, "REFUSED")


def test_a_refused_write_and_a_silent_plant_end_in_a_stop() -> None:
    cell, plant = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(100)
    plant.write_status = PlantStatus.REFUSED
    cell.tick(2)
    assert (cell.mode, plant.stops) == (Mode.FAULT, 1)
    cell, plant = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(100)
    plant.status = PlantStatus.NO_DATA
    cell.tick(300)
    assert cell.mode == Mode.HOLD
    assert violations(cell.rows) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_measurement_that_is_no_number_is_none(bad: float) -> None:
    cell, plant = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(100)
    plant.q[1] = bad
    plant.write_status = PlantStatus.OK
    cell.loop._plant._driver.write = lambda q_c: PlantStatus.OK  # type: ignore[method-assign]
    cell.tick(300)
    assert cell.mode == Mode.HOLD
    assert np.isfinite(cell.rows["q"]).all()
    assert violations(cell.rows) == 0
    assert cell.ask("rearm") == Answer.PLANT


def test_an_external_signal_that_grows_old_counts_as_lost() -> None:
    cell, _ = armed(policy=Servo(make_contract(max_age_s=0.3)))
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(140)
    assert cell.mode == Mode.RUN
    cell.tick(200)
    assert (cell.mode, cell.loop.ladder.cause) == (Mode.HOLD, Cause.EXTERNAL_STALE)


def test_a_pose_outside_the_workspace_is_no_place_to_start_from() -> None:
    box = Workspace((0.2, -0.1, 0.1), (0.4, 0.1, 0.3))
    cell = LockStep(ExactPlant(), ARM, Servo(), options=LoopOptions(workspace=box))
    cell.tick()
    assert cell.ask("rearm") == Answer.START_POSE
    assert (cell.mode, cell.status.guard) == (Mode.HOLD, "WORKSPACE")


def test_a_goal_may_arrive_a_tick_before_its_command() -> None:
    cell, _ = armed()
    cell.signal("goal", *near_goal(0))
    cell.tick(2)
    cell._serial += 1
    cell._operator["serial"], cell._operator["op"] = cell._serial, Op.GOAL
    cell.mailbox.operator.publish(cell._operator)
    cell.tick()
    assert cell.mode == Mode.RUN


def test_a_moving_arm_is_not_armed() -> None:
    plant = ExactPlant()
    plant.dq[2] = 0.3
    cell = LockStep(plant, ARM, Servo())
    cell.tick()
    assert cell.ask("rearm") == Answer.NOT_AT_REST


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


def test_hold_stands_still_on_the_path_and_resume_goes_on() -> None:
    for begin in (("goal", *far_goal()), ("move_to", *(ARM.home + 0.5)), ("jog", 0.3, 0, 0, 0, 0, 0)):
        cell, _ = armed()
        assert cell.ask("hold") == cell.ask("resume") == Answer.WRONG_MODE
        assert cell.ask(*begin) == Answer.DONE  # type: ignore[arg-type]
        cell.tick(100)
        mode = cell.mode
        assert cell.ask("resume") == Answer.WRONG_MODE
        assert cell.ask("hold") == Answer.DONE
        for _ in range(20):
            cell.tick(20)
            if begin[0] == "jog":
                cell.ask(*begin)  # type: ignore[arg-type]
        rows = cell.tick(20)
        assert (rows["q_c"] == rows["q_c"][0]).all(axis=1).all() or np.abs(np.diff(rows["q_c"], axis=0)).max() < 1e-7
        assert (cell.mode, cell.status.held, cell.status.stops) == (mode, True, 0)
        assert cell.ask("resume") == Answer.DONE
        rows = cell.tick(100)
        assert np.abs(np.diff(rows["q_c"], axis=0)).max() > 1e-4
        assert violations(cell.rows) == 0
        cell.ask("stop")
        cell.tick(300)
        assert not cell.status.held


def test_a_move_to_joint_positions_arrives_bit_for_bit_and_one_out_of_range_never_begins() -> None:
    cell, plant = armed()
    goal = ARM.home + np.array([0.3, -0.2, 0.1, 0.4, -0.3, 0.2])
    assert cell.ask("move_to", *goal) == Answer.DONE
    cell.run_until(lambda s: s.mode == "IDLE", 5.0)
    np.testing.assert_array_equal(plant.q, goal)
    assert cell.ask("move_to", *(goal + 99.0)) == Answer.BAD_VALUE
    assert cell.mode == Mode.IDLE
    assert violations(cell.rows) == 0


@pytest.mark.parametrize("ask", [("jog", 0.2, -0.2, 0.1, 0, 0, 0), ("jog_tcp", 0.05, 0, 0.05, 0, 0, 0.1)])
def test_a_jog_lasts_as_long_as_it_is_asked_for(ask: tuple[Any, ...]) -> None:
    cell, _ = armed()
    for _ in range(20):
        assert cell.ask(*ask) == Answer.DONE
        cell.tick(30)
    assert cell.mode == Mode.JOG
    silent = cell.tick(400)
    assert (cell.mode, cell.loop.ladder.cause) == (Mode.IDLE, Cause.ARRIVED)
    moving = np.flatnonzero(np.abs(np.diff(silent["q_c"], axis=0)).max(axis=1) > 0)
    assert moving[-1] * 0.002 < 0.25 + 0.3
    assert violations(cell.rows) == 0
    assert cell.ask(*ask) == Answer.DONE
    cell.tick(50)
    assert cell.ask("stop") == Answer.DONE
    cell.tick(300)
    assert cell.mode == Mode.HOLD
    assert cell.ask(*ask) == Answer.WRONG_MODE
    assert violations(cell.rows) == 0


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


def test_a_payload_goes_to_the_driver_that_takes_one() -> None:
    cell, _ = armed()
    cell.ask("stop")
    cell.tick(2)
    assert cell.ask("payload", 1.5, 0, 0, 0.1) == Answer.NOT_TAKEN
    heard: list[Any] = []

    class Carrier(ExactPlant):
        def set_payload(self, mass: float, com: np.ndarray) -> int:
            heard.append((mass, *com))
            return PlantStatus.OK

    cell = LockStep(Carrier(), ARM, Servo())
    cell.tick()
    assert cell.ask("payload", 1.5, 0, 0, 0.1) == Answer.DONE
    assert heard == [(1.5, 0.0, 0.0, 0.1)]


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


def test_a_plant_whose_time_stands_still_reports_nothing() -> None:
    cell, plant = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(100)

    def frozen(state: Any) -> int:
        state.q[:], state.dq[:] = plant.q, plant.dq
        return PlantStatus.OK

    plant.read = frozen  # type: ignore[method-assign]
    cell.tick(400)
    assert (cell.mode, cell.loop.ladder.cause) == (Mode.HOLD, Cause.PLANT)
    assert cell.ask("rearm") == Answer.PLANT
    assert violations(cell.rows) == 0


def test_signals_of_a_part_and_a_belt_grow_old_each_at_its_own_age() -> None:
    fields = [obs_field(name, N) for name in OBS]
    fields.insert(0, obs_field("part_position", N, 0.5))
    fields.insert(0, obs_field("belt", N, 0.2))
    cell, _ = armed(policy=Servo(make_contract(obs=tuple(fields))))
    assert cell.ask("goal", *near_goal(0)) == Answer.NO_SIGNAL
    cell.signal("part", *near_goal(1), age_s=0.6)
    cell.signal("belt", 0.1)
    assert cell.ask("goal", *near_goal(0)) == Answer.NO_SIGNAL
    cell.signal("part", *near_goal(1), age_s=0.1)
    assert cell.ask("goal", *near_goal(0)) == Answer.DONE
    for _ in range(10):
        cell.signal("belt", 0.1)
        cell.tick(15)
    assert cell.mode == Mode.RUN
    cell.tick(120)
    assert (cell.mode, cell.loop.ladder.cause) == (Mode.HOLD, Cause.EXTERNAL_STALE)
    assert violations(cell.rows) == 0


def test_the_policy_follows_signals_as_they_come() -> None:
    cell, _ = armed()
    assert cell.ask("follow") == Answer.NO_SIGNAL
    cell.signal("goal", *near_goal(0))
    cell.tick()
    assert cell.ask("follow") == Answer.DONE
    cell.run_until(lambda s: s.goal_error_m < NEAR, 4.0)
    cell.signal("goal", *near_goal(1))
    cell.tick(200)
    assert cell.status.goal_error_m < 0.05
    assert (cell.mode, violations(cell.rows)) == (Mode.RUN, 0)


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
