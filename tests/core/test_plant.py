"""Laws of the plant as the loop sees it: what cannot be commanded, or measures nothing, ends in a stop."""

from typing import Any

import numpy as np
import pytest
from servo_cell import ARM, ExactPlant, Servo, armed, far_goal, violations

from robostral.driver import DriverState, PlantStatus
from robostral.runtime.ladder import Cause, Mode
from robostral.runtime.lockstep import LockStep
from robostral.runtime.records import Answer


@pytest.mark.parametrize("status", [s for s in PlantStatus if s not in {PlantStatus.OK, PlantStatus.NO_DATA}])
def test_a_plant_that_cannot_be_commanded_is_stopped_and_never_written(status: PlantStatus) -> None:
    cell, plant = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(100)
    plant.status, written = status, len(plant.written)
    cell.tick(100)
    assert (cell.mode, cell.loop.ladder.cause, plant.stops) == (Mode.FAULT, Cause.PLANT, 1)
    assert len(plant.written) == written
    assert (cell.rows["setpoint_age_ns"][cell.rows["written"] == 0] == -1).all()
    assert cell.status.plant == status.name
    plant.can_connect = False
    assert cell.ask("rearm") == Answer.PLANT
    plant.can_connect = True
    assert cell.ask("rearm") == Answer.DONE
    assert cell.mode == Mode.IDLE
    assert plant.connects == 1


def test_a_plant_that_refuses_the_first_command_is_not_armed() -> None:
    plant = ExactPlant()
    plant.write_status = PlantStatus.REFUSED
    cell = LockStep(plant, ARM, Servo())
    cell.tick(3)
    assert cell.ask("rearm") == Answer.PLANT
    assert (cell.mode, cell.status.plant) == (Mode.FAULT, "REFUSED")


def test_a_refused_write_and_a_silent_plant_end_in_a_stop() -> None:
    cell, plant = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(100)
    plant.write_status = PlantStatus.REFUSED
    cell.tick(2)
    assert (cell.mode, plant.stops) == (Mode.FAULT, 1)
    cell, plant = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(100)
    plant.status = PlantStatus.NO_DATA
    cell.tick(300)
    assert cell.mode == Mode.HOLD
    assert violations(cell.rows) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_measurement_that_is_no_number_is_none(bad: float) -> None:
    cell, plant = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(100)
    plant.q[1] = bad
    plant.write_status = PlantStatus.OK
    cell.loop._plant._send = lambda q_c: PlantStatus.OK
    cell.tick(300)
    assert cell.mode == Mode.HOLD
    assert np.isfinite(cell.rows["q"]).all()
    assert violations(cell.rows) == 0
    assert cell.ask("rearm") == Answer.PLANT


def test_measured_torques_are_logged_and_unknown_ones_are_not() -> None:
    cell, plant = armed()
    read, torque = plant.read, [3.0]

    def feel(state: DriverState) -> int:
        state.tau[:] = torque[0]
        return read(state)

    plant.read = feel  # type: ignore[method-assign]
    assert (cell.tick(2)["tau"] == 3.0).all()
    torque[0] = np.nan
    assert (cell.tick(2)["tau"] == 3.0).all()
    assert cell.mode == Mode.IDLE


def test_a_moving_arm_is_not_armed() -> None:
    plant = ExactPlant()
    plant.dq[2] = 0.3
    cell = LockStep(plant, ARM, Servo())
    cell.tick()
    assert cell.ask("rearm") == Answer.NOT_AT_REST


def test_a_payload_goes_to_the_driver_that_takes_one() -> None:
    cell, _ = armed()
    cell.ask("stop")
    cell.tick(2)
    assert cell.ask("payload", 1.5, 0, 0, 0.1) == Answer.NOT_TAKEN
    heard: list[Any] = []

    class Carrier(ExactPlant):
        def set_payload(self, mass: float, com: np.ndarray) -> int:
            heard.append((mass, *com))
            return PlantStatus.OK

    cell = LockStep(Carrier(), ARM, Servo())
    cell.tick()
    assert cell.ask("payload", 1.5, 0, 0, 0.1) == Answer.DONE
    assert heard == [(1.5, 0.0, 0.0, 0.1)]


def test_a_plant_whose_time_stands_still_reports_nothing() -> None:
    cell, plant = armed()
    assert cell.ask("goal", *far_goal()) == Answer.DONE
    cell.tick(100)

    def frozen(state: Any) -> int:
        state.q[:], state.dq[:] = plant.q, plant.dq
        return PlantStatus.OK

    plant.read = frozen  # type: ignore[method-assign]
    cell.tick(400)
    assert (cell.mode, cell.loop.ladder.cause) == (Mode.HOLD, Cause.PLANT)
    assert cell.ask("rearm") == Answer.PLANT
    assert violations(cell.rows) == 0
