"""Kill the policy server in mid-motion, and judge each stop by the log."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robostral.demo.plant import Plant
from robostral.demo.poses import Goal, Reach, brief, go_home, insist, park, progress, reach, rearm, wait_for
from robostral.runtime.ladder import BRAKE_NS, Mode
from robostral.runtime.runlog import RunLog
from robostral.runtime.status import Status

CHAOS_KILLS = 5
SPARE = 5
FAR_M = 0.12
"""A kill needs a motion: goals nearer than this are passed over."""


@dataclass(frozen=True)
class Kill:
    """One SIGKILL: when, and whether the goal was reached after all."""

    t_ns: int
    reached: Reach
    reconnect_s: float


@dataclass(frozen=True)
class Stop:
    """What the log says of the stop after a kill.

    Attributes:
        valid_ms: From the kill until the last chunk ceased to be valid [ms].
        brake_ms: From then until the first tick of braking [ms].
        in_time: Whether that was the first tick at or after validity + 10 ms, or an earlier one.
        rest_ms: From the first tick of braking to standstill [ms].
    """

    valid_ms: float
    brake_ms: float
    in_time: bool
    rest_ms: float


def unleash(plant: Plant, goals: Sequence[Goal], seed: int) -> tuple[list[Reach], list[Kill]]:
    """Reach the goals; on the first ones that are far away, kill the server at a random moment of the motion.

    Goals come again, `SPARE` of them at most, until the server was killed `CHAOS_KILLS` times.
    """
    rng = np.random.default_rng(seed)
    go_home(plant)
    reaches: list[Reach] = []
    kills: list[Kill] = []
    with progress(plant) as bar:
        task = bar.add_task("killing the server", total=len(goals), state="")
        for number, goal in enumerate([*goals, *goals[:SPARE]]):
            if number >= len(goals) and len(kills) >= CHAOS_KILLS:
                break
            away = float(np.linalg.norm(np.subtract(goal[:3], plant.runtime.status().p_tcp)))
            far = away >= FAR_M or len(goals) - number <= CHAOS_KILLS - len(kills)
            kill = _kill_on_the_way(plant, goal, rng) if far and len(kills) < CHAOS_KILLS else None
            kills += [kill] if kill else []
            reaches.append(kill.reached if kill else reach(plant, goal))
            bar.update(task, advance=1, state=f"{len(kills)} kills, {brief(plant.runtime.status())}")
    park(plant)
    return reaches, kills


def _kill_on_the_way(plant: Plant, goal: Goal, rng: np.random.Generator) -> Kill | None:
    """Kill the server in mid-motion, and go on to the goal; None if the plant itself stopped, which shows no ladder."""
    start = insist(plant, "goal", *goal)
    share = rng.uniform(0.35, 0.9)
    on_the_way = wait_for(plant, lambda now: now.mode != "RUN" or _left(now) < share * _left(start), "the arm to move")
    if on_the_way.mode != "RUN":
        rearm(plant)
        return None
    t_ns = time.monotonic_ns()
    plant.kill_server()
    stopped = wait_for(plant, lambda now: now.mode in {"HOLD", "FAULT"}, "the stop")
    plant.restart_server()
    began = time.monotonic()
    rearm(plant)
    reconnect_s = time.monotonic() - began
    return None if stopped.mode == "FAULT" else Kill(t_ns, reach(plant, goal), reconnect_s)


def _left(status: Status) -> float:
    """Weigh what is left of the way, position and rotation as the task weighs them (1 rad as 0.1 m)."""
    return status.goal_error_m + 0.1 * status.goal_error_rad


def judge(log: RunLog, kill: Kill, valid_s: float) -> Stop:
    """Find the stop that followed a kill.

    Args:
        log: The run's log; its clock is the monotonic clock that the kill was stamped with.
        kill: When.
        valid_s: How long a chunk is valid from t_obs on [s].
    """
    ticks = log.ticks
    t_ns: NDArray[np.int64] = ticks["t_ns"]
    mode = ticks["mode"]
    after = t_ns >= kill.t_ns
    brake = int(np.flatnonzero(after & (mode == Mode.BRAKE))[0])
    rest = int(np.flatnonzero((np.arange(len(mode)) > brake) & (mode == Mode.HOLD))[0])
    fed = np.flatnonzero((np.arange(len(mode)) < brake) & (ticks["setpoint_age_ns"] >= 0))[-1]
    valid_until = int(t_ns[fed] - ticks["setpoint_age_ns"][fed] + round(1e9 * valid_s))
    return Stop(
        valid_ms=1e-6 * (valid_until - kill.t_ns),
        brake_ms=1e-6 * (int(t_ns[brake]) - valid_until),
        in_time=bool(t_ns[brake - 1] < valid_until + BRAKE_NS),
        rest_ms=1e-6 * (int(t_ns[rest]) - int(t_ns[brake])),
    )
