"""Laws of the inbox: only the answer to a question of this session is taken, once, and while it is young."""

from typing import Any

import numpy as np
import pytest
from servo_cell import HORIZON, N

from robostral.guard import Reason
from robostral.runtime import records
from robostral.runtime.inbox import Inbox
from robostral.runtime.records import Sizes

VALID_NS = 120_000_000
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
