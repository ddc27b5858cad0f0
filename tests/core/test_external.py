"""Laws of external signals, in lock-step: none is followed before it came, or when it is too old."""

from servo_cell import ARM, OBS, Servo, armed, far_goal, make_contract, near_goal, violations

from robostral.runtime.ladder import Cause, Mode
from robostral.runtime.records import Answer, Op
from robostral.signals import obs_field


def test_an_external_signal_that_grows_old_counts_as_lost() -> None:
    cell, _ = armed(policy=Servo(make_contract(max_age_s=0.3)))
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(140)
    assert cell.mode == Mode.RUN
    cell.tick(200)
    assert (cell.mode, cell.loop.ladder.cause) == (Mode.HOLD, Cause.EXTERNAL_STALE)


def test_a_goal_may_arrive_a_tick_before_its_command() -> None:
    cell, _ = armed()
    cell.signal("goal", *near_goal(0))
    cell.tick(2)
    cell._serial += 1
    cell._operator["serial"], cell._operator["op"] = cell._serial, Op.GOAL
    cell.mailbox.operator.publish(cell._operator)
    cell.tick()
    assert cell.mode == Mode.RUN


def test_signals_of_a_part_and_a_belt_grow_old_each_at_its_own_age() -> None:
    fields = [obs_field(name, ARM.chain) for name in OBS]
    fields.insert(0, obs_field("part_position", ARM.chain, 0.5))
    fields.insert(0, obs_field("belt", ARM.chain, 0.2))
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
    cell.run_until(lambda s: s.goal_error_m < 1e-3, 4.0)
    cell.signal("goal", *near_goal(1))
    cell.tick(200)
    assert cell.status.goal_error_m < 0.05
    assert (cell.mode, violations(cell.rows)) == (Mode.RUN, 0)
