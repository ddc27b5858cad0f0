"""When to wait for another robot's request, so that one batch answers both."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robostral.serving.hosted import Hosted
    from robostral.serving.sessions import Session

GRACE_NS = 1_000_000
"""How much later than expected a request may come and still be waited for; also what waiting may overrun, because the
poller counts in milliseconds [ns]."""


def wait_ns(hosted: "Hosted", sessions: "Iterable[Session]", now_ns: int) -> int:
    """Return how long a policy's waiting requests should wait for another one [ns]; 0 runs them now.

    A robot's next request is expected one interval after its last. It is waited for when it should come before the
    earliest of three moments: the oldest request has waited `max_delay_ns`; or as long as one inference takes, for a
    robot that comes too late for a batch waits no longer than that for the next; or the most urgent request would miss
    its budget.

    Args:
        hosted: The policy.
        sessions: Sessions of this policy.
        now_ns: Our clock.
    """
    pending = hosted.pending
    rows = sum(request.rows for request in pending.values())
    if rows >= hosted.max_batch:
        return 0
    limit_ns = min(hosted.max_delay_ns, hosted.cost_ns(1)) + min(session.received_ns for session in pending)
    for session, request in pending.items():
        slack_ns = 1000 * request.budget_us - hosted.cost_ns(rows + 1) - GRACE_NS
        limit_ns = min(limit_ns, session.received_ns + slack_ns)
    expected = (session.expected_ns for session in sessions if session not in pending)
    soon = [at_ns for at_ns in expected if now_ns - GRACE_NS < at_ns <= limit_ns]
    return max(0, min(limit_ns, max(soon) + GRACE_NS) - now_ns) if soon else 0
