"""The loop: read -> operator -> observe -> chunk -> ladder -> guard -> write -> ring, once per control tick."""

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.contract import Sealed
from robostral.control.move import MoveRefused, MoveTo
from robostral.driver import Driver, DriverState, PlantStatus
from robostral.errors import DriverError
from robostral.guard import Guard, Reason
from robostral.runtime import realtime, records
from robostral.runtime.inbox import Inbox
from robostral.runtime.ladder import RUNGS, TABLE, Cause, Event, Ladder, Mode, Rung
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.options import LoopOptions, home_of, max_external_age_ns, ticks_per_question
from robostral.runtime.path import ChunkPath
from robostral.runtime.records import Answer, Op
from robostral.runtime.reporter import Reporter
from robostral.signals import GOAL_SIZE, Signals

FloatArray = NDArray[np.float64]

STANDSTILL = 0.05
"""Measured joint speed below which the arm counts as at rest for arming [rad/s]."""
SPEED_SLEW = 2.0
"""How fast the speed override follows its target [1/s]."""
_MOVING = frozenset({Mode.MOVING, Mode.RUN, Mode.COAST})


class Loop:
    """Everything between a driver and a mailbox. The same object runs in a process of its own and in lock-step tests.

    Args:
        driver: Connected.
        arm: What the driver moves.
        sealed: Contract of the armed bundle.
        mailbox: To the policy, the operator and the recorder.
        clock: The only source of time.
        options: What the site sets.

    Raises:
        ConfigError: Rates, home or limits do not fit together.
        ContractMismatch: Contract and arm differ in their joints.

    Note:
        Inside `tick` nothing waits, logs, or keeps what it allocates. What may raise or take its time, planning a move
        and connecting anew, is done at rest, and its errors become answers to the operator.
    """

    def __init__(
        self, driver: Driver, arm: Arm, sealed: Sealed, mailbox: Mailbox, clock: realtime.Clock, options: LoopOptions
    ) -> None:
        contract, n, rate = sealed.contract, arm.chain.n, driver.info.rate_hz
        self.dt = 1.0 / rate
        self.dt_ns = round(1e9 / rate)
        self.signals = Signals(contract, arm.chain)
        self.guard = Guard(arm.chain, arm.limits, self.dt, options.workspace)
        self.ladder = Ladder(self.dt_ns)
        self.left = False
        self._driver, self._clock, self._mailbox = driver, clock, mailbox
        self._fresh, self._state = DriverState(n), DriverState(n)
        self._home = home_of(options.home, arm)
        self._ticks_per_question = ticks_per_question(contract, rate)
        self._valid_ns = round(1e9 * min(contract.action.chunk_valid_s, options.max_chunk_age_s))
        self._max_age_ns = max_external_age_ns(contract)
        self._overdue_ns = round(1e9 * (1.0 / contract.rate.policy_hz + contract.rate.trained_latency_s))
        self._max_latency_ns = 1e9 * options.max_latency_s
        self._inbox = Inbox(self._valid_ns, options.bundle)
        self._path = ChunkPath(self.signals, self.guard, contract.action.horizon, contract.action.dt_s)
        self._move: MoveTo | None = None
        self._session, self._speed_target = options.session, options.speed
        self._speed, self._tick, self._next_question = options.speed, 0, 0
        self._q_d: FloatArray = np.zeros(n)
        self._out: FloatArray = np.zeros(n)
        self._external: FloatArray = np.zeros(max(self.signals.external_size, 1))
        self._external_since_ns, self._external_fresh, self._goal_set, self._posed = 0, False, False, False
        self._plant, self._guard_reason, self._valid_until_ns = int(PlantStatus.OK), int(Reason.PASSED), 0
        self._leaving, self._changed, self._fed = False, True, False
        self._latency_ns, self._verdict, self._smooth_latency_ns = -1, -1, 0.0
        self._obs = records.empty(mailbox.obs.dtype)
        self._row = records.empty(mailbox.ticks.dtype)
        self._report = Reporter(mailbox, arm.chain)
        self._act = {
            Mode.HOLD: self._hold, Mode.IDLE: self._stay, Mode.MOVING: self._go_home, Mode.RUN: self._follow,
            Mode.COAST: self._follow, Mode.BRAKE: self._brake, Mode.FAULT: self._nothing,
        }  # fmt: skip
        self._inbox.begin(self._session)

    def leave(self) -> None:
        """Ask for a jerk-limited stop; `left` is True once the arm stands."""
        self._leaving = True

    def tick(self, wakeup_ns: int = 0, overruns: int = 0) -> None:
        """Live through one control period.

        Args:
            wakeup_ns: How late this tick woke [ns], for the record.
            overruns: Ticks so far that ended after their period, for the record.
        """
        clock, row = self._clock, self._row
        began = clock.now_ns()
        mode_before = self.ladder.mode
        self._latency_ns = self._verdict = -1
        self._fed = False
        self._sense()
        row["read_ns"] = clock.now_ns() - began
        self._hear_operator(began)
        self._ask_policy()
        self._hear_policy()
        self._speed += min(max(self._speed_target - self._speed, -SPEED_SLEW * self.dt), SPEED_SLEW * self.dt)
        self._act[self.ladder.mode](began)
        row["compute_ns"] = clock.now_ns() - began
        written = self._write()
        self._record(began, wakeup_ns, overruns, written)
        if self.ladder.mode != mode_before or self._changed or self._tick % self._ticks_per_question == 0:
            self._tell(began, overruns)
        self._tick += 1

    # -- senses

    def _sense(self) -> None:
        plant = self._plant = self._read()
        if plant == PlantStatus.NO_DATA:
            self._on(Event.STOP, Cause.PLANT)
        elif plant != PlantStatus.OK:
            self._lose_plant()
        elif self.ladder.mode in _MOVING:
            reason = self.guard.measure(self._state.q)
            if reason > Reason.LIMITED:
                self._reject(reason)
        if self._leaving:
            self._on(Event.STOP, Cause.LEAVING)
            self.left = self._changed = self.ladder.mode in {Mode.HOLD, Mode.FAULT}

    def _read(self) -> int:
        """Measure; what is not a number is no measurement, and the last one stays."""
        fresh, state = self._fresh, self._state
        plant = self._driver.read(fresh)
        if plant != PlantStatus.OK:
            return plant
        if not (np.isfinite(fresh.q).all() and np.isfinite(fresh.dq).all()):
            return PlantStatus.NO_DATA
        state.q[:], state.dq[:] = fresh.q, fresh.dq
        return plant

    def _hear_operator(self, now_ns: int) -> None:
        command = self._mailbox.operator.take()
        external = self._mailbox.external.take()
        if external is not None and self.signals.external_size:
            self._external[:] = external["value"]
            self._external_fresh = True
            self._external_since_ns = int(external["t_receipt_ns"]) - int(external["age_ns"])
        if command is None:
            return
        answer = self._obey(int(command["op"]), float(command["value"]), now_ns)
        self._report.answer(int(command["serial"]), answer)
        self._changed = True

    def _obey(self, op: int, value: float, now_ns: int) -> Answer:
        if self._leaving:
            return Answer.WRONG_MODE
        if op == Op.STOP:
            self._on(Event.STOP, Cause.OPERATOR)
        elif op == Op.SPEED and 0.0 < value <= 1.0:
            self._speed_target = value
        elif op == Op.REARM:
            return self._rearm()
        elif op == Op.GOAL and self._external_fresh:
            return self._take_goal(now_ns)
        elif op == Op.HOME:
            return self._begin_home()
        else:
            return Answer.BAD_VALUE
        return Answer.DONE

    def _begin_home(self) -> Answer:
        if (self.ladder.mode, Event.HOME) not in TABLE:
            return Answer.WRONG_MODE
        try:
            self._move = MoveTo(self.guard, self._home, self._speed)
        except MoveRefused:
            return Answer.NOT_AT_REST
        self._on(Event.HOME, Cause.HOME)
        return Answer.DONE

    def _rearm(self) -> Answer:
        """Read the pose anew, and stand there under a new session."""
        if (self.ladder.mode, Event.REARM) not in TABLE:
            return Answer.WRONG_MODE
        if self.ladder.mode == Mode.FAULT:
            try:
                with realtime.aside():
                    self._driver.connect()
            except DriverError:
                return Answer.PLANT
            self._plant = self._read()
        if self._plant != PlantStatus.OK:
            return Answer.PLANT
        if not np.abs(self._state.dq).max() < STANDSTILL:
            return Answer.NOT_AT_REST
        with realtime.aside(realtime.PRIORITY // 4):
            self._plant = self._driver.arm()
        if self._plant != PlantStatus.OK:
            return Answer.PLANT
        self._guard_reason = self.guard.reset(self._state.q)
        self._posed = self._guard_reason == Reason.PASSED
        if not self._posed:
            return Answer.START_POSE
        self._session += 1
        self._inbox.begin(self._session)
        self._path.clear()
        self._q_d[:] = self.guard.q_c
        self._goal_set = False
        self._on(Event.REARM, Cause.REARMED)
        return Answer.DONE

    def _take_goal(self, now_ns: int) -> Answer:
        if self._smooth_latency_ns > self._max_latency_ns:
            return Answer.TOO_SLOW
        was_idle = self.ladder.mode == Mode.IDLE
        if not self._on(Event.GOAL, Cause.GOAL):
            return Answer.WRONG_MODE
        self._goal_set, self._external_fresh = True, False
        if was_idle:
            # What was asked while idle was not about this goal: wait for an answer to a question put from now on.
            self._path.clear()
            self._inbox.taken = self._inbox.seq
            self._valid_until_ns = now_ns + self._valid_ns
            self._next_question = self._tick
        return Answer.DONE

    def _ask_policy(self) -> None:
        if self._tick == self._next_question - 1:
            self._mailbox.ring_bell()  # so that the transport is awake when the observation comes
        if self._tick < self._next_question or self._plant != PlantStatus.OK:
            return
        self._next_question = self._tick + self._ticks_per_question
        state, obs = self._state, self._obs
        if not self._goal_set and self.signals.external_size == GOAL_SIZE:
            self._report.pose(state.q, self._external)
        q_c = self.guard.q_c if self._posed else state.q
        if self.signals.observe(state.q, state.dq, q_c, self._external, obs["obs"]) != 0:
            return
        now_ns = self._clock.now_ns()
        obs["session"], obs["t_obs_ns"] = self._inbox.session, now_ns
        obs["seq"] = self._inbox.ask(now_ns, self._path.consumed)
        obs["consumed"], obs["budget_us"] = self._path.index, self._valid_ns // 1000
        self._mailbox.obs.publish(obs)
        self._mailbox.ring_bell()

    def _hear_policy(self) -> None:
        chunk = self._mailbox.chunk.take()
        if chunk is None:
            return
        now_ns = self._clock.now_ns()
        self._verdict = self._inbox.judge(chunk, now_ns)
        if self._verdict != Reason.PASSED:
            return
        t_obs_ns = int(chunk["t_obs_ns"])
        self._latency_ns = int(chunk["t_arrival_ns"]) - t_obs_ns
        self._row["server_us"] = chunk["stages_us"]
        self._smooth_latency_ns += 0.125 * (self._latency_ns - self._smooth_latency_ns)
        if self.ladder.mode in {Mode.RUN, Mode.COAST}:
            # Alignment by what was really consumed since the question, never by a guess of the latency.
            skip = int(self._path.consumed - self._inbox.consumed_at(self._inbox.taken) + 1e-9)
            if self._path.adopt(chunk["chunk"], skip, t_obs_ns, self._inbox.taken):
                self._valid_until_ns = t_obs_ns + self._valid_ns

    # -- acts, one per mode; each leaves the command of this tick in `guard.q_c`

    def _follow(self, now_ns: int) -> None:
        late_ns, cause = now_ns - self._valid_until_ns, Cause.CHUNK_STALE
        if self._path.used_up and late_ns < 0:
            late_ns, cause = 0, Cause.CHUNK_USED_UP
        if self._max_age_ns and now_ns - self._external_since_ns - self._max_age_ns > late_ns:
            late_ns, cause = now_ns - self._external_since_ns - self._max_age_ns, Cause.EXTERNAL_STALE
        mode = self.ladder.supply(late_ns, cause)
        if mode == Mode.RUN:
            self._fed = self._path.set_point(self._speed, self._q_d)
            self._check(self.guard.step(self._q_d))
        elif mode == Mode.COAST:
            self._check(self.guard.coast())
        else:
            self._brake(now_ns)

    def _go_home(self, now_ns: int) -> None:
        move = self._move
        assert move is not None
        move.speed = self._speed
        self._check(move.step())
        if move.done and self._on(Event.ARRIVED, Cause.ARRIVED):
            self._q_d[:] = self.guard.q_c

    def _stay(self, now_ns: int) -> None:
        self._check(self.guard.step(self._q_d))

    def _brake(self, now_ns: int) -> None:
        if self.guard.brake():
            self._on(Event.AT_REST, self.ladder.cause)

    def _hold(self, now_ns: int) -> None:
        if self._posed:
            self.guard.brake()

    def _nothing(self, now_ns: int) -> None:
        pass

    # -- consequences

    def _on(self, event: Event, cause: Cause) -> bool:
        before = self.ladder.mode
        happened = self.ladder.on(event, cause)
        if self.ladder.mode == Mode.FAULT != before:
            self._driver.stop()
        return happened

    def _check(self, reason: int) -> None:
        if reason > Reason.LIMITED:
            self._reject(reason)

    def _reject(self, reason: int) -> None:
        if self.ladder.mode in _MOVING or self.ladder.mode == Mode.IDLE:
            self._guard_reason = reason
            self._on(Event.STOP, Cause.GUARD)

    def _lose_plant(self) -> None:
        self._posed = False
        self._on(Event.PLANT_GONE, Cause.PLANT)
        if self._changed:  # what the operator was told a moment ago in this tick is no longer so
            self._report.status["answer"] = Answer.PLANT

    def _write(self) -> int:
        """Write what the guard passed; return 1 if something was written."""
        row, began = self._row, self._clock.now_ns()
        row["setpoint_age_ns"], row["write_ns"] = -1, 0
        if not self._posed:
            return 0
        self._out[:] = self.guard.q_c
        if self.guard.command(self._out) != Reason.PASSED:
            self._reject(Reason.COMMAND)
            return 0
        plant = self._driver.write(self._out)
        row["write_ns"] = self._clock.now_ns() - began
        if plant != PlantStatus.OK:
            self._plant = plant
            self._lose_plant()
            return 0
        if self._fed:
            row["setpoint_age_ns"] = began - self._path.t_obs_ns
        return 1

    def _record(self, began: int, wakeup_ns: int, overruns: int, written: int) -> None:
        row = self._row
        row["t_ns"], row["tick"], row["session"] = began, self._tick, self._session
        row["mode"], row["cause"], row["plant"] = self.ladder.mode, self.ladder.cause, self._plant
        row["guard"], row["chunk_verdict"], row["latency_ns"] = self._guard_reason, self._verdict, self._latency_ns
        row["wakeup_ns"], row["overrun"], row["speed"] = wakeup_ns, overruns, self._speed
        row["seq"], row["written"] = self._path.seq, written
        row["rung"] = self._rung(began)
        row["q"], row["dq"], row["q_c"] = self._state.q, self._state.dq, self._out
        row["goal"] = self._external
        self._mailbox.ticks.push(row)

    def _rung(self, now_ns: int) -> Rung:
        mode = self.ladder.mode
        if mode == Mode.RUN and self._fed and now_ns - self._path.t_obs_ns > self._overdue_ns:
            return Rung.BUFFERED
        return RUNGS[mode]

    def _tell(self, now_ns: int, overruns: int) -> None:
        status, guard, verdicts = self._report.status, self.guard, self._inbox.verdicts
        status["t_ns"], status["tick"], status["mode"], status["cause"] = (
            now_ns, self._tick, self.ladder.mode, self.ladder.cause,
        )  # fmt: skip
        status["plant"], status["guard"], status["session"] = self._plant, self._guard_reason, self._session
        status["seq"], status["speed"], status["goal_set"] = self._inbox.seq, self._speed_target, self._goal_set
        status["overruns"], status["dropped_rows"] = overruns, self._mailbox.ticks.dropped
        status["guard_passed"] = guard.counts[Reason.PASSED] + guard.counts[Reason.LIMITED]
        status["guard_rejected"] = guard.counts[Reason.LIMITED + 1 : Reason.STOPPED].sum()
        status["chunks"] = verdicts[Reason.PASSED]
        status["chunks_refused"] = verdicts.sum() - verdicts[Reason.PASSED]
        status["latency_us"], status["max_latency_us"] = 1e-3 * self._smooth_latency_ns, 1e-3 * self._max_latency_ns
        status["stops"], status["left"] = self.ladder.stops, self.left
        self._report.publish(self._state.q, self._state.dq, self._out, self._external)
        if self._changed:
            self._changed = False
            self._mailbox.ring_bell()
