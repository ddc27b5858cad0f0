"""When waiting pays: for a robot that is due soon, never beyond a budget, never for a policy that is quick."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from serving_rig import SEALED, Arithmetic, ask, dialled, host, observe, served

from robostral.serving.batching import GRACE_NS, wait_ns
from robostral.serving.handshake import Hello
from robostral.serving.hosted import Hosted
from robostral.serving.sessions import Session
from robostral.serving.wire import Request, Status

MS = 1_000_000


class Fixed(NamedTuple):
    """The figures of a policy that the rule reads."""

    pending: dict[Session, Request]
    max_batch: int = 8
    max_delay_ns: int = 4 * MS
    cost: int = 6 * MS

    def cost_ns(self, rows: int) -> int:
        return self.cost


def session(received_ms: float, expected_ms: float) -> Session:
    made = Session(b"", "key", Hello("robot", "act", ""), host())
    made.received_ns, made.expected_ns = round(received_ms * MS), round(expected_ms * MS)
    return made


def request(budget_ms: float = 100.0, rows: int = 1) -> Request:
    return Request(1, 1, 0, round(1000 * budget_ms), 0, rows, b"")


@pytest.mark.parametrize(
    ("due_ms", "now_ms", "wait_ms"),
    [
        (102, 100, 3),  # due in 2 ms, waited for 1 ms longer
        (104, 100, 4),  # due at the limit: no longer than max_delay
        (105, 100, 0),  # due too late
        (99.5, 100, 0.5),  # a little overdue
        (98, 100, 0),  # long overdue: it may have gone
        (102, 104, 0),  # waited for as long as allowed
    ],
)
def test_a_robot_that_is_due_is_waited_for(due_ms: float, now_ms: float, wait_ms: float) -> None:
    here = session(100, 140)
    policy = Fixed({here: request()})
    assert wait_ns(policy, [here, session(60, due_ms)], round(now_ms * MS)) == wait_ms * MS  # type: ignore[arg-type]


def test_nobody_else_is_nobody_to_wait_for() -> None:
    here = session(100, 140)
    assert wait_ns(Fixed({here: request()}), [here], 100 * MS) == 0  # type: ignore[arg-type]


def test_full_batch_does_not_wait() -> None:
    here = session(100, 140)
    assert wait_ns(Fixed({here: request(rows=8)}), [here, session(60, 102)], 100 * MS) == 0  # type: ignore[arg-type]


def test_no_longer_than_one_inference_takes() -> None:
    here = session(100, 140)
    policy = Fixed({here: request()}, cost=2 * MS)
    assert wait_ns(policy, [here, session(60, 101.5)], 100 * MS) == 2 * MS  # type: ignore[arg-type]


@pytest.mark.parametrize("budget_ms", [0.0, 6.0, 7.0, 8.0, 9.5, 30.0])
def test_never_beyond_the_most_urgent_budget(budget_ms: float) -> None:
    patient, urgent = session(100, 140), session(100.5, 140)
    policy = Fixed({patient: request(), urgent: request(budget_ms)})
    now = 101 * MS
    wait = wait_ns(policy, [patient, urgent, session(60, 102)], now)  # type: ignore[arg-type]
    assert wait == 0 or now + wait + policy.cost + GRACE_NS <= urgent.received_ns + budget_ms * MS
    assert (wait > 0) == (budget_ms >= 9.5)


class Slow(Arithmetic):
    """Takes 4 ms for any batch."""

    def infer(self, obs):
        import time

        end = time.perf_counter() + 0.004
        while time.perf_counter() < end:
            pass
        return super().infer(obs)


def test_slow_policy_answers_two_robots_at_once_and_in_time(tmp_path: Path) -> None:
    policy = Slow()
    hosted = Hosted(policy, "slow-v1", bytes(32), 2, max_delay_ns=4 * MS)
    with served(tmp_path, hosted) as (server, keys), dialled(server, keys, "a") as a, dialled(server, keys, "b") as b:
        assert hosted.patient
        policy.calls.clear()
        for seq in range(1, 41):
            assert a.send(observe(1, seq), 1, seq, 0)
            reply = ask(b, observe(1, -seq % 1000), 1, seq)
            assert reply.status == Status.OK
            while (other := a.receive()) is None:
                assert a.socket.poll(5000)
            assert np.array_equal(other.chunk, Arithmetic(SEALED).infer(observe(1, seq)))
        assert sum(policy.calls) == 80
        assert policy.calls.count(2) > 20
        assert server.counts["late"] == 0


def test_quick_policy_never_waits(tmp_path: Path) -> None:
    hosted = Hosted(Arithmetic(), "quick-v1", bytes(32), max_delay_ns=50 * MS)
    with served(tmp_path, hosted):
        assert not hosted.patient
