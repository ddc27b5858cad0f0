"""The loop: read -> operator -> observe -> chunk -> ladder -> guard -> law -> write -> ring, once per control tick."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm, Chain
from robostral.contract import Sealed
from robostral.control.law import JOINT_TORQUE, command_mode_of, law_of
from robostral.driver import Driver, PlantStatus
from robostral.guard import Reason, cell_guard
from robostral.identified import ContactObserver
from robostral.runtime import realtime, records
from robostral.runtime.external import External
from robostral.runtime.ladder import RUNGS, TABLE, Cause, Event, Ladder, Mode, Rung
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.motion import Motion
from robostral.runtime.options import LoopOptions, check_identified, home_of, pose_matrix
from robostral.runtime.plant import Plant
from robostral.runtime.questions import Questions
from robostral.runtime.records import Answer, Op, Record
from robostral.runtime.reporter import Reporter
from robostral.runtime.selftest import SelfTest
from robostral.runtime.standstill import Standstill
from robostral.signals import Signals

FloatArray = NDArray[np.float64]

_FOLLOWING = frozenset({Mode.RUN, Mode.COAST})
_MOVING = _FOLLOWING | {Mode.MOVING, Mode.JOG}


class Loop:
    """Everything between a driver and a mailbox. The same object runs in a process of its own and in lock-step tests.

    Args:
        driver: Connected.
        arm: What the driver moves.
        sealed: Contract of the armed bundle.
        mailbox: To the policy, the operator and the recorder.
        clock: The only source of time.
        options: What the site sets.

    Attributes:
        ladder, guard, motion, questions, self_test: Its parts.
        left: Whether the arm stands after `leave`.

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
        n, rate = arm.chain.n, driver.info.rate_hz
        self.dt = 1.0 / rate
        self.dt_ns = round(1e9 / rate)
        self.ladder = Ladder(self.dt_ns)
        self.self_test = SelfTest(self.dt_ns, options.strict)
        self._standstill = Standstill(self.dt_ns)
        self.left, self._twin = False, driver.info.is_twin
        mode = command_mode_of(sealed.contract)
        self._plant, self._clock, self._mailbox = Plant(driver, n, self.dt_ns, sealed.contract), clock, mailbox
        self._arm, self._sealed, self._options = arm, sealed, options
        self._torque_mode, self._payload = mode == JOINT_TORQUE, options.payload
        self._home = home_of(options.home, arm)
        self._external = External(sealed.contract)
        self._session, self._tick = options.session, 0
        self._q_d, self._out, self._command = np.zeros(n), np.zeros(n), np.zeros(n)
        self._goal_set = False
        self._leaving, self._changed, self._fed = False, True, False
        self._row = records.empty(mailbox.ticks.dtype)
        self._act = {
            Mode.HOLD: self._hold, Mode.IDLE: self._stay, Mode.MOVING: self._move, Mode.JOG: self._jog,
            Mode.RUN: self._follow, Mode.COAST: self._follow, Mode.BRAKE: self._brake, Mode.FAULT: self._nothing,
        }  # fmt: skip
        check_identified(options, driver.info)
        self._build((options.identified.mounted(arm) if options.identified else arm).chain)

    def _build(self, unloaded: Chain) -> None:
        """Make, or make anew at rest, everything that depends on the chain, its tool and its payload."""
        chain = unloaded.with_payload(self._payload[0], self._payload[1:]) if self._payload else unloaded
        self._chain, options, signals = unloaded, self._options, Signals(self._sealed.contract, chain)
        self.guard = cell_guard(
            replace(self._arm, chain=chain), self._sealed.contract.action.kind, self.dt, options.workspace,
            keep_out=options.keep_out, reduced=options.reduced, energy=options.energy,
        )  # fmt: skip
        self._law = law_of(self._sealed.contract, self.guard, options.identified)
        self._plant.observer = ContactObserver(options.identified, chain, self.dt) if options.identified else None
        self.motion = Motion(self.guard, options.speed)
        self.questions = Questions(self._sealed.contract, signals, self.guard, self._mailbox, self._clock, options)
        self.questions.begin(self._session)
        self._report = Reporter(self._mailbox, chain)
        self._report.status["twin"] = self._twin
        self._posed, self._guard_reason = False, int(Reason.PASSED)

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
        self._fed = False
        row["setpoint_age_ns"], row["write_ns"] = -1, 0
        self._standstill.note(began)
        if not self.self_test.over:
            self.self_test.note(wakeup_ns)
        self._sense()
        row["read_ns"] = clock.now_ns() - began
        self._hear_operator(began)
        self._ask_policy()
        self.questions.hear(self.ladder.mode in _FOLLOWING)
        self.motion.slew()
        self._act[self.ladder.mode](began)
        ready = self._posed and self._obey_law()
        row["compute_ns"] = clock.now_ns() - began
        written = self._write() if ready else 0
        self._record(began, wakeup_ns, overruns, written)
        if self.ladder.mode == Mode.BRAKE != mode_before:
            self._report.status["standstill_ms"] = 1e-6 * self._standstill.worst_ns
        if self.ladder.mode != mode_before or self._changed or self._tick % self.questions.every == 0:
            self._tell(began, overruns)
        self._tick += 1

    # -- senses

    def _sense(self) -> None:
        plant = self._plant.read()
        if plant == PlantStatus.NO_DATA and not self._torque_mode:  # torques are blind without a measurement
            self._on(Event.STOP, Cause.PLANT)
        elif plant != PlantStatus.OK:
            self._lose_plant()
        elif self.ladder.mode in _MOVING:
            self._check(self.guard.measure(self._plant.state.q))
        if self._plant.touched and self._options.stop_on_contact:
            self._on(Event.STOP, Cause.CONTACT)
        if self._leaving:
            self._on(Event.STOP, Cause.LEAVING)
            self.left = self._changed = self.ladder.mode in {Mode.HOLD, Mode.FAULT}

    def _hear_operator(self, now_ns: int) -> None:
        command = self._mailbox.operator.take()
        external = self._mailbox.external.take()
        if external is not None:
            self._external.hear(external)
        row = self._row
        row["op"] = row["answer"] = 0
        if command is None:
            return
        answer = Answer.WRONG_MODE if self._leaving else self._obey(command, now_ns)
        row["op"], row["answer"] = command["op"], answer
        self._report.answer(int(command["serial"]), answer)
        self._changed = True

    # -- what the operator asks

    def _obey(self, command: Record, now_ns: int) -> Answer:
        op, args, motion = int(command["op"]), command["args"], self.motion
        if op == Op.STOP:
            self._on(Event.STOP, Cause.OPERATOR)
        elif op == Op.SPEED and 0.0 < args[0] <= 1.0:
            motion.override = float(args[0])
        elif op == Op.REARM:
            return self._rearm()
        elif op in {Op.GOAL, Op.FOLLOW}:
            return self._begin_run(op == Op.GOAL, now_ns)
        elif op in {Op.HOME, Op.MOVE_TO}:
            return self._begin_move(self._home if op == Op.HOME else args[: len(self._home)])
        elif op in {Op.JOG, Op.JOG_TCP} and np.isfinite(args).all():
            return self._begin_jog(op, args, now_ns)
        elif op in {Op.HOLD, Op.RESUME}:
            if self.ladder.mode not in _MOVING or (op == Op.RESUME and not motion.held):
                return Answer.WRONG_MODE
            motion.held = op == Op.HOLD
        elif op in {Op.TOOL, Op.PAYLOAD}:
            return self._set_up(op, args)
        else:
            return Answer.BAD_VALUE
        return Answer.DONE

    def _begin_move(self, q_goal: FloatArray) -> Answer:
        if (self.ladder.mode, Event.MOVE) not in TABLE:
            return Answer.WRONG_MODE
        answer = self.motion.begin_move(q_goal)
        if answer == Answer.DONE:
            self._on(Event.MOVE, Cause.MOVE)
        return answer

    def _begin_jog(self, op: int, args: FloatArray, now_ns: int) -> Answer:
        if not self._on(Event.JOG, Cause.JOG):
            return Answer.WRONG_MODE
        if op == Op.JOG:
            self.motion.jog.joints(args[: len(self._home)], now_ns)
        else:
            self.motion.jog.tcp(args[:6], now_ns)
        return Answer.DONE

    def _begin_run(self, needs_goal: bool, now_ns: int) -> Answer:
        if self.questions.latency.too_slow:
            return Answer.TOO_SLOW
        if (self.ladder.mode, Event.GOAL) not in TABLE:
            return Answer.WRONG_MODE
        if not self._external.all_known(now_ns) or (needs_goal and not self._external.take_goal()):
            return Answer.NO_SIGNAL
        was_idle = self.ladder.mode == Mode.IDLE
        self._on(Event.GOAL, Cause.GOAL)
        self._goal_set = True
        if was_idle:
            self.questions.restart(self._tick, now_ns)
        return Answer.DONE

    def _set_up(self, op: int, args: FloatArray) -> Answer:
        """Take another tool or payload, while the loop is locked."""
        if self.ladder.mode not in {Mode.HOLD, Mode.FAULT}:
            return Answer.WRONG_MODE
        chain = self._chain
        if op == Op.PAYLOAD:
            answer = self._plant.set_payload(float(args[0]), args[1:4])
            if not self._torque_mode or answer == Answer.PLANT:
                return answer
            mass, *com = args[:4].tolist()  # our law carries it, whether the controller wants to know of it or not
            self._payload = (mass, com[0], com[1], com[2])
        else:
            chain = chain.with_tcp(pose_matrix(args[:7]))
        if not self._options.fits(chain):
            return Answer.TOOL
        self._session += 1
        self._build(chain)
        return Answer.DONE

    def _rearm(self) -> Answer:
        """Read the pose anew, and stand there under a new session."""
        if (self.ladder.mode, Event.REARM) not in TABLE:
            return Answer.WRONG_MODE
        answer = self.self_test.judge()
        if answer == Answer.DONE:
            answer = self._plant.get_ready(self.ladder.mode == Mode.FAULT)
        if answer != Answer.DONE:
            return answer
        self._guard_reason = self.guard.reset(self._plant.state.q)
        if self._guard_reason != Reason.PASSED:
            self._posed = False
            return Answer.START_POSE
        if not self._posed:
            self._law.reset(self._plant.state.q)
        self._posed = True
        self._session += 1
        self.questions.begin(self._session)
        self._q_d[:] = self.guard.q_c
        self._goal_set = False
        self._on(Event.REARM, Cause.REARMED)
        return Answer.DONE

    def _ask_policy(self) -> None:
        due = self.questions.due(self._tick, self.ladder.mode in _FOLLOWING)
        if not due or self._plant.status != PlantStatus.OK:
            return
        state, external = self._plant.state, self._external
        if external.places:
            self._report.pose(state.q, self._report.own_pose)
            external.stand_in(self._report.own_pose, self._goal_set)
        self.questions.ask(state, self.guard.q_c if self._posed else state.q, external.value)

    # -- acts, one per mode; each leaves the command of this tick in `guard.q_c`

    def _follow(self, now_ns: int) -> None:
        late_ns, cause = self.questions.late(now_ns)
        if (external_late_ns := self._external.late_ns(now_ns)) > late_ns and external_late_ns >= 0:
            late_ns, cause = external_late_ns, Cause.EXTERNAL_STALE
        mode = self.ladder.supply(late_ns, cause)
        if mode == Mode.RUN:
            self._fed = self.questions.set_point(self._tick, now_ns, self.motion.speed, self._q_d)
            self._check(self.guard.step(self._q_d))
        elif mode == Mode.COAST:
            self._check(self.guard.coast())
        else:
            self._brake(now_ns)

    def _move(self, now_ns: int) -> None:
        self._check(self.motion.move())
        if self.motion.arrived:
            self._arrive()

    def _jog(self, now_ns: int) -> None:
        reason, goes_on = self.motion.follow_jog(now_ns)
        self._check(reason)
        if not goes_on:
            self._arrive()

    def _arrive(self) -> None:
        if self._on(Event.ARRIVED, Cause.ARRIVED):
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
            self._plant.stop()
        if self.ladder.mode not in _MOVING:
            self.motion.held = False
        return happened

    def _check(self, reason: int) -> None:
        if reason > Reason.LIMITED and (self.ladder.mode in _MOVING or self.ladder.mode == Mode.IDLE):
            self._guard_reason = reason
            self._on(Event.STOP, Cause.GUARD)

    def _lose_plant(self) -> None:
        self._posed = False
        self._on(Event.PLANT_GONE, Cause.PLANT)
        if self._changed:  # what the operator was told a moment ago in this tick is no longer so
            self._report.status["answer"] = Answer.PLANT

    def _obey_law(self) -> bool:
        """Make the command of this tick from what the guard passed; return whether it may be written."""
        state = self._plant.state
        self._out[:] = self.guard.q_c
        code = self._law(state.q, state.dq, self._command)
        self._check(code)
        return code != Reason.COMMAND

    def _write(self) -> int:
        """Write the command; return 1 if it was taken."""
        row, began = self._row, self._clock.now_ns()
        taken = self._plant.write(self._command)
        row["write_ns"] = self._clock.now_ns() - began
        if not taken:
            self._lose_plant()
        elif self._fed:
            row["setpoint_age_ns"] = began - self.questions.path.t_obs_ns
        return int(taken)

    def _record(self, began: int, wakeup_ns: int, overruns: int, written: int) -> None:
        row = self._row
        row["t_ns"], row["tick"], row["session"] = began, self._tick, self._session
        row["mode"], row["cause"] = self.ladder.mode, self.ladder.cause
        row["guard"], row["written"], row["rung"] = self._guard_reason, written, self._rung(began)
        row["wakeup_ns"], row["overrun"], row["speed"] = wakeup_ns, overruns, self.motion.speed
        self.questions.record(row)
        self._plant.record(row)
        row["q_c"], row["goal"] = self._out, self._external.value
        if self._torque_mode:
            row["tau_c"] = self._command
        self._mailbox.ticks.push(row)

    def _rung(self, now_ns: int) -> Rung:
        mode = self.ladder.mode
        if mode == Mode.RUN and self._fed and self.questions.overdue(now_ns):
            return Rung.BUFFERED
        return RUNGS[mode]

    def _tell(self, now_ns: int, overruns: int) -> None:
        status, guard, test = self._report.status, self.guard, self.self_test
        status["t_ns"], status["tick"], status["mode"], status["cause"] = (
            now_ns, self._tick, self.ladder.mode, self.ladder.cause,
        )  # fmt: skip
        status["plant"], status["guard"], status["session"] = self._plant.status, self._guard_reason, self._session
        status["speed"], status["held"], status["goal_set"] = self.motion.override, self.motion.held, self._goal_set
        status["overruns"], status["dropped_rows"] = overruns, self._mailbox.ticks.dropped
        status["guard_passed"] = guard.counts[Reason.PASSED] + guard.counts[Reason.LIMITED]
        status["guard_rejected"] = guard.rejected
        status["wakeups"], status["late_wakeups"] = test.count, test.late
        status["worst_wakeup_us"] = 1e-3 * test.worst_ns
        self.questions.tell(status)
        status["stops"], status["left"] = self.ladder.stops, self.left
        self._report.publish(self._plant.state.q, self._plant.state.dq, self._out, self._external.value)
        if self._changed:
            self._changed = False
            self._mailbox.ring_bell()
