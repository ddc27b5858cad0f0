"""Which chunks the loop takes: of this session, of its own questions, newer than the last one, young, finite, ours."""

import numpy as np
from numpy.typing import NDArray

from robostral.guard import Reason
from robostral.runtime.records import Record

_REMEMBERED = 64
"""Questions that an answer may still be matched with; at 25 Hz they cover 2.5 s, far beyond any chunk's validity."""


class Inbox:
    """The loop's own memory of what it asked; nothing that a peer echoes is believed without it.

    Args:
        valid_ns: The attribute's first value.
        bundle: First 8 bytes of the armed bundle's digest, as a number.

    Attributes:
        valid_ns: How long after its observation an answer may be taken [ns].
        session: Chunks of another one are refused.
        seq: Number of the last question.
        taken: Number of the last question whose answer was taken.
        verdicts: Count of answers per `robostral.guard.Reason`.
    """

    def __init__(self, valid_ns: int, bundle: int) -> None:
        self.session = self.seq = self.taken = 0
        self.verdicts: NDArray[np.int64] = np.zeros(len(Reason), np.int64)
        self.valid_ns, self._bundle = valid_ns, bundle
        self._t_obs_ns = [0] * _REMEMBERED
        self._consumed = [0.0] * _REMEMBERED

    def begin(self, session: int) -> None:
        """Begin a session; every answer to an earlier question is refused from now on."""
        self.session, self.taken = session, self.seq

    def ask(self, t_obs_ns: int, consumed: float) -> int:
        """Remember a question, and how many chunk steps had been consumed when it was asked; return its number."""
        self.seq += 1
        self._t_obs_ns[self.seq % _REMEMBERED] = t_obs_ns
        self._consumed[self.seq % _REMEMBERED] = consumed
        return self.seq

    def judge(self, chunk: Record, now_ns: int) -> Reason:
        """Decide whether an answer may be used; PASSED, or why not."""
        reason = self._judge(chunk, now_ns)
        self.verdicts[reason] += 1
        if reason == Reason.PASSED:
            self.taken = int(chunk["seq"])
        return reason

    def consumed_at(self, seq: int) -> float:
        """Return how many chunk steps had been consumed when question `seq` was asked."""
        return self._consumed[seq % _REMEMBERED]

    def _judge(self, chunk: Record, now_ns: int) -> Reason:
        seq, t_obs_ns = int(chunk["seq"]), int(chunk["t_obs_ns"])
        if int(chunk["session"]) != self.session:
            return Reason.SESSION
        oldest = max(self.taken, self.seq - _REMEMBERED)
        if not oldest < seq <= self.seq or t_obs_ns != self._t_obs_ns[seq % _REMEMBERED]:
            return Reason.ORDER
        if not 0 <= now_ns - t_obs_ns < self.valid_ns:
            return Reason.AGE
        if int(chunk["bundle"]) != self._bundle:
            return Reason.CONTRACT
        if not np.isfinite(chunk["chunk"]).all():
            return Reason.NOT_FINITE
        return Reason.PASSED
