"""What the loop asks its policy, which answers it takes, and when the last one ceases to be valid."""

import numpy as np
from numpy.typing import NDArray

from robostral.contract import Contract
from robostral.control.jog import jog_kernel
from robostral.driver import DriverState
from robostral.guard import Guard, Reason
from robostral.runtime import records
from robostral.runtime.inbox import Inbox
from robostral.runtime.ladder import Cause
from robostral.runtime.latency import Latency
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.options import LoopOptions, ticks_per_question
from robostral.runtime.path import ChunkPath
from robostral.runtime.realtime import Clock
from robostral.runtime.records import Record
from robostral.signals import Signals

FloatArray = NDArray[np.float64]

_MEASURED = frozenset({Reason.PASSED, Reason.AGE})
"""An answer that is too old to be used says as much about the latency."""


class Questions:
    """The loop's conversation with its policy.

    Args:
        contract: Of the armed bundle.
        signals: Makes observations, and set-points from chunks.
        guard: Whose last command a chunk goes on from.
        mailbox: Where questions go out and answers come in.
        clock: The only source of time.
        options: What the site sets.

    Attributes:
        inbox, path: Which answers are taken, and the chunk that is followed.
        latency: Measured; decides whether chunks are streamed or synchronous.
        every: Control ticks from one question to the next.
        latency_ns, verdict: Of the answer that came in this tick; -1 for none.
        server_us: The server's own stage times of the last answer, shape (3,).

    Raises:
        ConfigError: A policy step is no whole number of ticks.
    """

    def __init__(
        self,
        contract: Contract,
        signals: Signals,
        guard: Guard,
        mailbox: Mailbox,
        clock: Clock,
        options: LoopOptions,
    ) -> None:
        self.every = ticks_per_question(contract, 1.0 / guard.dt)
        self._signals, self._guard, self._mailbox, self._clock = signals, guard, mailbox, clock
        action, cap_s = contract.action, options.max_chunk_age_s
        valid_ns = round(1e9 * min(action.chunk_valid_s, cap_s))
        self._overdue_ns = round(1e9 * (1.0 / contract.rate.policy_hz + contract.rate.trained_latency_s))
        self.latency = Latency(1e9 * options.max_latency_s, valid_ns, round(1e9 * cap_s))
        self.inbox = Inbox(valid_ns, options.bundle)
        self.path = ChunkPath(signals, guard, action.horizon, action.dt_s)
        self._steps = max(1, int(action.chunk_valid_s / action.dt_s + 1e-9))
        self._still: FloatArray = np.zeros(len(guard.q_c))
        self.latency_ns = self.verdict = -1
        self.server_us: NDArray[np.int64] = np.zeros(3, np.int64)
        self.next_tick, self._valid_until_ns = 0, 0
        self._obs = records.empty(mailbox.obs.dtype)

    def begin(self, session: int) -> None:
        """Begin a session: no answer to an earlier question is taken any more."""
        self.inbox.begin(session)
        self.path.clear()

    def restart(self, tick: int, now_ns: int) -> None:
        """Wait for the answer to a question put from now on: what was asked before was not about this goal or pose."""
        self.path.clear()
        self.inbox.taken = self.inbox.seq
        self._valid_until_ns = now_ns + self.inbox.valid_ns
        self.next_tick = tick

    def due(self, tick: int, following: bool) -> bool:
        """Tell whether a question is due; a tick ahead of it the transport is woken.

        While synchronous chunks are followed there is one question for each, put at rest.
        """
        if following and self.latency.synchronous and (self.path.seq or self.inbox.seq != self.inbox.taken):
            return False
        if tick == self.next_tick - 1:
            self._mailbox.ring_bell()  # so that the transport is awake when the observation comes
        if tick < self.next_tick:
            return False
        self.next_tick = tick + self.every
        return True

    def ask(self, state: DriverState, q_c: FloatArray, external: FloatArray) -> None:
        """Send the observation of this tick; none if it holds what is no number."""
        obs = self._obs
        sensors = state.wrench[: self._signals.sensor_size]
        if self._signals.observe(state.q, state.dq, q_c, external, obs["obs"], sensors) != 0:
            return
        now_ns = self._clock.now_ns()
        obs["session"], obs["t_obs_ns"] = self.inbox.session, now_ns
        obs["seq"] = self.inbox.ask(now_ns, self.path.consumed)
        obs["consumed"], obs["budget_us"] = self.path.index, self.inbox.valid_ns // 1000
        self._mailbox.obs.publish(obs)
        self._mailbox.ring_bell()

    def hear(self, following: bool) -> None:
        """Take the newest answer, if it may be used; its chunk joins the path only while one is followed."""
        self.latency_ns = self.verdict = -1
        chunk = self._mailbox.chunk.take()
        if chunk is None:
            return
        self.verdict = self.inbox.judge(chunk, self._clock.now_ns())
        if self.verdict not in _MEASURED:
            return
        t_obs_ns = int(chunk["t_obs_ns"])
        latency_ns, latency = int(chunk["t_arrival_ns"]) - t_obs_ns, self.latency
        latency.note(latency_ns)
        self.inbox.valid_ns = latency.patience_ns
        if self.verdict != Reason.PASSED:
            return
        self.latency_ns = latency_ns
        self.server_us[:] = chunk["stages_us"]
        if following and not (latency.synchronous and self.path.seq):
            # Alignment by what was really consumed since the question, never by a guess of the latency.
            skip = int(self.path.consumed - self.inbox.consumed_at(self.inbox.taken) + 1e-9)
            steps = chunk["chunk"][: self._steps] if latency.synchronous else chunk["chunk"]
            if self.path.adopt(steps, skip, t_obs_ns, self.inbox.taken):
                self._valid_until_ns = t_obs_ns + latency.usable_ns

    def set_point(self, tick: int, now_ns: int, speed: float, q_d: FloatArray) -> bool:
        """Fill `q_d` [rad], shape (n,), with the next set-point; return whether a chunk fed it.

        Synchronous chunks end at rest on the path, and only there the next question is put.
        """
        if not self._over(now_ns):
            return self.path.set_point(self.path.slowed(speed) if self.latency.synchronous else speed, q_d)
        guard = self._guard
        jog_kernel(guard.table, guard.state, self._still, q_d)
        if not (guard.dq_c.any() or guard.ddq_c.any()):
            self.restart(tick, now_ns)
        return False

    def late(self, now_ns: int) -> tuple[int, Cause]:
        """Return since when there is no set-point any more [ns], negative while there is one, and why."""
        late_ns = now_ns - self._valid_until_ns
        if self._over(now_ns):
            return -1, Cause.CHUNK_USED_UP
        if self.path.used_up and late_ns < 0:
            return 0, Cause.CHUNK_USED_UP
        return late_ns, Cause.CHUNK_STALE

    def overdue(self, now_ns: int) -> bool:
        """Tell whether the next answer should have come: what is followed is the rest of the buffered chunk."""
        return not self.latency.synchronous and now_ns - self.path.t_obs_ns > self._overdue_ns

    def record(self, row: Record) -> None:
        """Fill this side of a tick's record."""
        latency = self.latency
        row["seq"], row["chunk_verdict"], row["latency_ns"] = self.path.seq, self.verdict, self.latency_ns
        row["server_us"], row["synchronous"] = self.server_us, latency.synchronous
        row["smooth_latency_ns"], row["max_latency_ns"] = latency.smooth_ns, latency.trained_ns

    def tell(self, status: Record) -> None:
        """Fill this side of the status."""
        verdicts, latency = self.inbox.verdicts, self.latency
        status["seq"], status["chunks"] = self.inbox.seq, verdicts[Reason.PASSED]
        status["chunks_refused"] = verdicts.sum() - verdicts[Reason.PASSED]
        status["latency_us"], status["max_latency_us"] = 1e-3 * latency.smooth_ns, 1e-3 * latency.trained_ns
        status["synchronous"] = latency.synchronous

    def _over(self, now_ns: int) -> bool:
        """Tell whether a synchronous chunk has come to its end, or to the end of its time."""
        ended = self.path.used_up or now_ns >= self._valid_until_ns
        return self.latency.synchronous and self.path.seq != 0 and ended
