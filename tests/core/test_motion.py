"""Laws of motion that an operator asks for, in lock-step: guarded, stretched, held, and let go of."""

from typing import Any

import numpy as np
import pytest
from servo_cell import ARM, ExactPlant, armed, far_goal, violations

from robostral.runtime.ladder import Cause, Mode
from robostral.runtime.options import LoopOptions
from robostral.runtime.records import Answer


def test_home_is_guarded_can_be_slowed_and_can_be_stopped() -> None:
    plant = ExactPlant(q=ARM.home + 0.4)
    cell, _ = armed(plant)
    assert cell.ask("home") == Answer.DONE
    full = cell.run_until(lambda s: s.mode == "IDLE", 5.0)
    np.testing.assert_array_equal(plant.q, ARM.home)
    plant.q += 0.4
    assert cell.ask("rearm") == Answer.DONE
    assert cell.ask("speed", 0.25) == Answer.DONE
    cell.tick(400)
    assert cell.ask("home") == Answer.DONE
    slow = cell.run_until(lambda s: s.mode == "IDLE", 10.0)
    assert 2.5 < len(slow) / len(full) < 4.5
    plant.q += 0.4
    assert cell.ask("rearm") == Answer.DONE
    assert cell.ask("home") == Answer.DONE
    cell.tick(100)
    assert cell.ask("stop") == Answer.DONE
    cell.tick(300)
    assert violations(cell.rows) == 0
    assert cell.mode == Mode.HOLD


def test_the_speed_override_stretches_the_path() -> None:
    way = []
    for speed in (1.0, 0.5):
        cell, _ = armed(options=LoopOptions(speed=speed))
        assert cell.ask("goal", *far_goal()) == Answer.DONE
        cell.tick(200)
        rows = cell.tick(200)
        assert violations(cell.rows) == 0
        way.append(np.abs(rows["q_c"][-1] - rows["q_c"][0]).max())
    assert way[1] / way[0] == pytest.approx(0.5, abs=0.05)
    assert cell.status.stops == 0


@pytest.mark.parametrize("value", [0.0, -1.0, 1.01, np.nan])
def test_a_senseless_speed_is_refused(value: float) -> None:
    assert armed()[0].ask("speed", value) == Answer.BAD_VALUE


def test_hold_stands_still_on_the_path_and_resume_goes_on() -> None:
    for begin in (("goal", *far_goal()), ("move_to", *(ARM.home + 0.5)), ("jog", 0.3, 0, 0, 0, 0, 0)):
        cell, _ = armed()
        assert cell.ask("hold") == cell.ask("resume") == Answer.WRONG_MODE
        assert cell.ask(*begin) == Answer.DONE  # type: ignore[arg-type]
        cell.tick(100)
        mode = cell.mode
        assert cell.ask("resume") == Answer.WRONG_MODE
        assert cell.ask("hold") == Answer.DONE
        for _ in range(20):
            cell.tick(20)
            if begin[0] == "jog":
                cell.ask(*begin)  # type: ignore[arg-type]
        rows = cell.tick(20)
        assert (rows["q_c"] == rows["q_c"][0]).all(axis=1).all() or np.abs(np.diff(rows["q_c"], axis=0)).max() < 1e-7
        assert (cell.mode, cell.status.held, cell.status.stops) == (mode, True, 0)
        assert cell.ask("resume") == Answer.DONE
        rows = cell.tick(100)
        assert np.abs(np.diff(rows["q_c"], axis=0)).max() > 1e-4
        assert violations(cell.rows) == 0
        cell.ask("stop")
        cell.tick(300)
        assert not cell.status.held


def test_a_move_to_joint_positions_arrives_bit_for_bit_and_one_out_of_range_never_begins() -> None:
    cell, plant = armed()
    goal = ARM.home + np.array([0.3, -0.2, 0.1, 0.4, -0.3, 0.2])
    assert cell.ask("move_to", *goal) == Answer.DONE
    cell.run_until(lambda s: s.mode == "IDLE", 5.0)
    np.testing.assert_array_equal(plant.q, goal)
    assert cell.ask("move_to", *(goal + 99.0)) == Answer.BAD_VALUE
    assert cell.mode == Mode.IDLE
    assert violations(cell.rows) == 0


@pytest.mark.parametrize("ask", [("jog", 0.2, -0.2, 0.1, 0, 0, 0), ("jog_tcp", 0.05, 0, 0.05, 0, 0, 0.1)])
def test_a_jog_lasts_as_long_as_it_is_asked_for(ask: tuple[Any, ...]) -> None:
    cell, _ = armed()
    for _ in range(20):
        assert cell.ask(*ask) == Answer.DONE
        cell.tick(30)
    assert cell.mode == Mode.JOG
    silent = cell.tick(400)
    assert (cell.mode, cell.loop.ladder.cause) == (Mode.IDLE, Cause.ARRIVED)
    moving = np.flatnonzero(np.abs(np.diff(silent["q_c"], axis=0)).max(axis=1) > 0)
    assert moving[-1] * 0.002 < 0.25 + 0.3
    assert violations(cell.rows) == 0
    assert cell.ask(*ask) == Answer.DONE
    cell.tick(50)
    assert cell.ask("stop") == Answer.DONE
    cell.tick(300)
    assert cell.mode == Mode.HOLD
    assert cell.ask(*ask) == Answer.WRONG_MODE
    assert violations(cell.rows) == 0
