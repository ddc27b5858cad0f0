"""Kill the policy server in mid-motion, and reach the goal after all; `robostral.chaos.judge` judges the stops."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robostral.demo.plant import Plant
from robostral.demo.poses import Goal, Reach, brief, go_home, insist, park, progress, reach, rearm, wait_for
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
