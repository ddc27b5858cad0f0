"""Laws of the ladder: the rule of time for every phase and rate, and no way back that nobody asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robostral.runtime.ladder import BRAKE_NS, COAST_NS, COAST_TICKS, TABLE, Cause, Event, Ladder, Mode

MOVES = {Mode.MOVING, Mode.JOG, Mode.RUN, Mode.COAST, Mode.BRAKE}


def running(dt_ns: int) -> Ladder:
    ladder = Ladder(dt_ns)
    assert ladder.on(Event.REARM, Cause.REARMED)
    assert ladder.on(Event.GOAL, Cause.GOAL)
    return ladder


@given(rate=st.sampled_from([125, 250, 500, 1000]), phase=st.floats(0, 1, exclude_max=True))
def test_coast_and_brake_begin_when_the_rule_says(rate: int, phase: float) -> None:
    dt_ns = 1_000_000_000 // rate
    ladder = running(dt_ns)
    assert ladder.supply(-1, Cause.CHUNK_STALE) == Mode.RUN
    late = [int(phase * dt_ns) + k * dt_ns for k in range(40)]
    modes = [ladder.supply(t, Cause.CHUNK_STALE) for t in late]
    coasted = modes.count(Mode.COAST)
    assert coasted <= COAST_TICKS
    assert coasted * dt_ns <= COAST_NS
    assert modes == [Mode.COAST] * coasted + [Mode.BRAKE] * (40 - coasted)
    first_late_enough = next(k for k, t in enumerate(late) if t >= BRAKE_NS)
    assert modes.index(Mode.BRAKE) <= first_late_enough
    assert ladder.stops == 1
    assert ladder.cause == Cause.CHUNK_STALE


def test_an_overrun_while_coasting_does_not_delay_the_brake() -> None:
    ladder = running(2_000_000)
    assert ladder.supply(0, Cause.CHUNK_STALE) == Mode.COAST
    assert ladder.supply(BRAKE_NS, Cause.CHUNK_STALE) == Mode.BRAKE


def test_a_newer_chunk_ends_the_coast_but_not_the_brake() -> None:
    ladder = running(2_000_000)
    ladder.supply(0, Cause.CHUNK_STALE)
    assert ladder.supply(-1, Cause.CHUNK_STALE) == Mode.RUN
    for _ in range(COAST_TICKS + 1):
        ladder.supply(0, Cause.CHUNK_STALE)
    assert ladder.mode == Mode.BRAKE
    assert ladder.supply(-1, Cause.CHUNK_STALE) == Mode.BRAKE


def test_nothing_resumes_by_itself() -> None:
    operator = {Event.REARM, Event.GOAL, Event.MOVE, Event.JOG}
    for mode in (Mode.HOLD, Mode.FAULT):
        for event in set(Event) - {Event.REARM}:
            assert TABLE.get((mode, event), mode) in {Mode.HOLD, Mode.FAULT}
    for (mode, event), target in TABLE.items():
        if mode not in MOVES and target in MOVES:
            assert event in operator
    assert TABLE[(Mode.BRAKE, Event.AT_REST)] == Mode.HOLD


def test_every_moving_mode_can_be_stopped_and_ends_at_rest() -> None:
    for mode in MOVES:
        assert TABLE[(mode, Event.STOP)] == Mode.BRAKE
    for mode in Mode:
        assert TABLE[(mode, Event.PLANT_GONE)] == Mode.FAULT


@pytest.mark.parametrize("seed", range(3))
def test_a_random_walk_never_leaves_the_table(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ladder = Ladder(2_000_000)
    for event in rng.choice(list(Event), 5000):
        before = ladder.mode
        moved = ladder.on(Event(event), Cause.OPERATOR)
        assert ladder.mode == (TABLE[(before, Event(event))] if moved else before)
