"""Laws of the beat: no tick is skipped, none is doubled, whatever time the ticks take."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robostral.runtime import pace
from robostral.runtime.realtime import FakeClock, RealClock

DT = 2_000_000


class Beats:
    """Takes as long as the script says for each tick; leaves after the last one."""

    def __init__(self, clock: FakeClock, costs: list[int]) -> None:
        self.dt_ns, self.left = DT, False
        self.clock, self.costs = clock, costs
        self.began: list[int] = []
        self.ended: list[int] = []
        self.late: list[int] = []
        self.overruns = 0
        self.asked_to_leave_at = -1

    def tick(self, wakeup_ns: int, overruns: int) -> None:
        self.began.append(self.clock.t_ns)
        self.late.append(wakeup_ns)
        self.overruns = overruns
        self.clock.t_ns += self.costs[len(self.began) - 1]
        self.ended.append(self.clock.t_ns)
        self.left = len(self.began) == len(self.costs)

    def leave(self) -> None:
        if self.asked_to_leave_at < 0:
            self.asked_to_leave_at = len(self.began)


class Oversleeping(FakeClock):
    """Wakes too late by what the script says."""

    def __init__(self, late: list[int]) -> None:
        super().__init__()
        self._late = iter(late)

    def wait_until(self, deadline_ns: int) -> int:
        return super().wait_until(deadline_ns + next(self._late))


@given(
    st.lists(
        st.tuples(st.one_of(st.just(100_000), st.integers(0, 9_000_000)), st.one_of(st.just(0), st.integers(0, DT))),
        min_size=1,
        max_size=60,
    )
)
def test_no_tick_is_skipped_or_doubled(script: list[tuple[int, int]]) -> None:
    clock = Oversleeping([late for _, late in script])
    beats = Beats(clock, [cost for cost, _ in script])
    pace.run(beats, clock, lambda: False)
    assert len(beats.began) == len(script)
    closest = DT - pace.LATE_NS
    assert all(b - a >= closest for a, b in zip(beats.began, beats.began[1:], strict=False))
    after_overrun = [b - e for e, b, cost in zip(beats.ended, beats.began[1:], script, strict=False) if cost[0] > DT]
    assert all(gap >= closest for gap in after_overrun)


def test_on_time_the_grid_stays_and_a_little_lateness_does_not_add_up() -> None:
    clock = Oversleeping([0, 150_000, 0, 0, 150_000, 0])
    beats = Beats(clock, [100_000] * 6)
    start = clock.t_ns
    pace.run(beats, clock, lambda: False)
    assert [began - start for began in beats.began] == [DT, 2 * DT + 150_000, 3 * DT, 4 * DT, 5 * DT + 150_000, 6 * DT]
    assert beats.late == [0, 150_000, 0, 0, 150_000, 0]


def test_an_overrun_is_counted_once_and_stretches_time() -> None:
    clock = FakeClock()
    beats = Beats(clock, [100_000, 5_000_000, 100_000, 100_000])
    pace.run(beats, clock, lambda: False)
    assert beats.overruns == 1
    assert beats.late == [0, 0, 0, 0]


def test_leaving_is_passed_on_before_the_tick() -> None:
    clock = FakeClock()
    beats = Beats(clock, [0] * 5)
    pace.run(beats, clock, lambda: len(beats.began) >= 2)
    assert beats.asked_to_leave_at == 2


@pytest.mark.parametrize("ahead_ns", [-1_000_000, 100_000, 1_500_000])
def test_the_real_clock_never_wakes_too_early(ahead_ns: int) -> None:
    clock = RealClock()
    deadline = clock.now_ns() + ahead_ns
    woke = clock.wait_until(deadline)
    assert deadline <= woke <= time.monotonic_ns()
