"""Goals of the bundle's own task, and reaching them one after the other as an operator would."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from robostral.demo.plant import Plant
from robostral.errors import RobostralError
from robostral.extras import require
from robostral.runtime.ctl import ControlError
from robostral.runtime.status import Status

POSITION_TOLERANCE_M = 0.005
ROTATION_TOLERANCE_RAD = float(np.deg2rad(3.0))
SETTLED_S = 0.2
"""Success as in Robostral/Reach-v0: 5 mm and 3 deg, settled for 0.2 s."""
REACH_TIMEOUT_S = 8.0
MODE_TIMEOUT_S = 20.0
PATIENCE_S = 5.0
POLL_S = 0.02

Goal = Sequence[float]


class DemoFailed(RobostralError):
    """The run did not do what every run does; says what it did instead."""


@dataclass(frozen=True)
class Reach:
    """One goal: whether it was reached, how long it took from the asking until settled, and where the tcp stood."""

    goal: tuple[float, ...]
    t_ns: int
    success: bool
    cycle_s: float
    error_m: float
    error_rad: float
    reason: str


def sample_goals(environment: str, count: int, seed: int) -> list[tuple[float, ...]]:
    """Draw goals as the policy's own environment does: p [m] and quat_wxyz in `base`.

    Raises:
        MissingExtra: The simulator is not installed.
    """
    gymnasium = require("gymnasium", "sim")
    env = gymnasium.make(environment)
    rng = np.random.default_rng(seed)
    try:
        return [tuple(env.unwrapped.task.sample_goal(rng).tolist()) for _ in range(count)]
    finally:
        env.close()


def reach_all(plant: Plant, goals: Iterable[Goal]) -> list[Reach]:
    """Arm, move home, and reach the goals, with live progress."""
    go_home(plant)
    goals = list(goals)
    reaches = []
    with progress(plant) as bar:
        task = bar.add_task("reaching poses", total=len(goals), state="")
        for goal in goals:
            reaches.append(reach(plant, goal, lambda status: bar.update(task, state=brief(status))))
            bar.advance(task)
    park(plant)
    return reaches


def park(plant: Plant) -> None:
    """End as a shift ends: stop, arm again, and move home under the guard."""
    plant.runtime.control.ask("stop")
    wait_for(plant, lambda status: status.mode == "HOLD", "the arm to stand")
    go_home(plant)


def progress(plant: Plant) -> Progress:
    """Return a progress bar with the state of the loop beside it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
    )
    return Progress(*columns, console=plant.console)


def brief(status: Status) -> str:
    """Say in a few words where the loop stands."""
    return f"{status.mode} {1e3 * status.goal_error_m:5.1f} mm, {status.stops} stops, {status.overruns} overruns"


def go_home(plant: Plant) -> None:
    """Arm the loop and let it move home under the guard.

    Raises:
        DemoFailed: It did not get there.
    """
    with plant.console.status("waiting for the policy server, then moving home ..."):
        rearm(plant)
        plant.runtime.control.ask("home")
        wait_for(plant, lambda status: status.mode != "MOVING", "the arm to be home")
    status = plant.runtime.status()
    if status.mode != "IDLE":
        raise DemoFailed(f"the move home ended in {status.line()}")


def reach(plant: Plant, goal: Goal, show: Callable[[Status], None] = lambda _: None) -> Reach:
    """Ask for a goal and wait until the arm has settled there, or time is up; a stop on the way is re-armed."""
    rate_hz = 1.0 / plant.period_s
    before = insist(plant, "goal", *goal)
    began, inside_since, status, reason = before.tick, None, before, "time limit"
    t_ns = time.monotonic_ns()
    while status.tick - began < REACH_TIMEOUT_S * rate_hz:
        time.sleep(POLL_S)
        plant.check()
        status = plant.runtime.status()
        show(status)
        if status.mode in {"HOLD", "FAULT"}:
            reason = f"{status.cause} on the way"
            rearm(plant)
            insist(plant, "goal", *goal)
        inside = status.goal_error_m <= POSITION_TOLERANCE_M and status.goal_error_rad <= ROTATION_TOLERANCE_RAD
        inside_since = (inside_since or status.tick) if inside and status.mode == "RUN" else None
        if inside_since is not None and status.tick - inside_since >= SETTLED_S * rate_hz:
            reason = "reached"
            break
    cycle_s = (status.tick - began) / rate_hz
    return Reach(tuple(goal), t_ns, reason == "reached", cycle_s, status.goal_error_m, status.goal_error_rad, reason)


def rearm(plant: Plant) -> None:
    """Arm again after a stop, once the arm rests and the policy server answers."""
    wait_for(plant, lambda status: status.connected, "a policy server that answers")
    insist(plant, "rearm")


def insist(plant: Plant, op: str, *args: float) -> Status:
    """Ask the loop, and ask again for a while if it refuses: an arm may still move, a policy may just have been slow.

    Raises:
        ControlError: It still refuses after `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return plant.runtime.control.ask(op, *args)
        except ControlError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def wait_for(plant: Plant, condition: Callable[[Status], bool], what: str, timeout_s: float = MODE_TIMEOUT_S) -> Status:
    """Poll the status until `condition` holds.

    Raises:
        DemoFailed: It did not within `timeout_s` [s].
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        plant.check()
        status = plant.runtime.status()
        if condition(status):
            return status
        time.sleep(POLL_S)
    raise DemoFailed(f"waited {timeout_s:g} s for {what}; the loop stands at: {plant.runtime.status().line()}")
