"""`robostral guard campaign`: hostile steps against the guard of each arm, judged by an oracle that knows no kernel."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm, load_arm
from robostral.arm.chain import POS, FloatArray
from robostral.guard import SINGULAR, Guard, Reason, Workspace
from robostral.guard import table as at
from robostral.guard.checks import KEEP_OUT_DISTANCE, SELF_DISTANCE
from robostral.guard.hostile import SWAP_TICKS, attack, attack_torque, poison
from robostral.keep_out import KeepOutSphere
from robostral.oracle import (
    count_taper_violations,
    count_torque_violations,
    count_violations,
    self_distances,
    sphere_distances,
)

CHUNK = 50_000
"""Steps that are logged before they are judged."""
JUDGED = 2_500
"""Commands of a chunk, evenly spread, whose distances the oracle computes; all are judged for the limits."""
SPECIALS = (math.nan, -math.nan, math.inf, -math.inf, 1e308, -1e308, -1e6, 1e154, -1e30, 1e6, 90.0, -180.0)
"""What poisons a field: no numbers, far too great ones, degrees; all too far away to be meant."""


def zone(arm: Arm, seed: int) -> KeepOutSphere:
    """Find a ball within the arm's reach that its home pose is clear of."""
    rng, home = np.random.default_rng(seed), arm.home[None]
    reach = float(np.linalg.norm(arm.chain.model[: arm.chain.n, POS : POS + 3], axis=1).sum())
    radius = 0.1 * reach
    while True:
        center = rng.uniform(-0.7, 0.7, 3) * reach
        if sphere_distances(arm, home, center.tolist(), radius)[0] > 4.0 * KEEP_OUT_DISTANCE:
            return KeepOutSphere((float(center[0]), float(center[1]), float(center[2])), radius)


def guards_of(arm: Arm, seed: int) -> list[tuple[Guard, KeepOutSphere | None]]:
    """Make the guards that take turns: rates, tcp speeds, with and without walls, shapes and singular poses."""
    chain, limits, shape = arm.chain, arm.limits, arm.capsules
    box = Workspace((-3.0, -3.0, -3.0), (3.0, 3.0, 3.0))
    ball = zone(arm, seed)
    return [
        (Guard(chain, limits, 0.002, capsules=shape), None),
        (Guard(chain, limits, 0.001), None),
        (Guard(chain, limits.reduced(), 0.001, box, capsules=shape, keep_out=(ball,)), ball),
        (Guard(chain, limits, 0.004, capsules=shape, keep_out=(ball,), conditioning=SINGULAR), ball),
    ]


def judge(
    arm: Arm, guard: Guard, ball: KeepOutSphere | None, log: FloatArray, starts: NDArray[np.int64]
) -> dict[str, tuple[int, float]]:
    """Let the oracle judge a chunk: count of violations and worst ratio of each quantity."""
    edges = [*starts.tolist(), len(log)]
    found = count_violations(log, guard.dt, arm.limits.array, edges[:-1])
    if arm.limits.taper is not None:
        for a, b in pairwise(edges):
            part = count_taper_violations(log[a:b], guard.dt, arm.limits.array, arm.limits.taper)
            found["dq"]["violations"] += part["violations"]
    result = {name: (finding["violations"], finding["max_ratio"]) for name, finding in found.items()}
    checked = log[:: max(len(log) // JUDGED, 1)]
    return result | judge_distances(arm, guard, ball, checked)


def judge_distances(arm: Arm, guard: Guard, ball: KeepOutSphere | None, q: FloatArray) -> dict[str, tuple[int, float]]:
    """Judge what the guard's checks keep, where it has any; the ratio is what is kept over what there is."""
    result = {}
    if len(guard.table) > at.CHECKS and len(arm.capsules.pairs):
        apart = self_distances(arm, q)
        result["self_collision"] = (int((apart < SELF_DISTANCE - 1e-9).sum()), SELF_DISTANCE / float(apart.min()))
    if ball is not None:
        apart = sphere_distances(arm, q, ball.center, ball.radius)
        result["keep_out"] = (int((apart < KEEP_OUT_DISTANCE - 1e-9).sum()), KEEP_OUT_DISTANCE / float(apart.min()))
    return result


def attack_arm(name: str, steps: int, seed: int, advance: Callable[[int], object]) -> dict[str, Any]:
    """Run one arm's campaign and sum up what was found.

    Args:
        name: The arm.
        steps: Hostile set-points in all.
        seed: Of everything that is drawn.
        advance: Told how many steps are done, chunk by chunk.
    """
    arm, rng = load_arm(name), np.random.default_rng(seed)
    turns, totals = guards_of(arm, seed), dict[str, tuple[int, float]]()
    impossible, codes_seen = 0, np.zeros(len(Reason), np.int64)
    for number, size in enumerate(_chunks(steps, len(turns))):
        guard, ball = turns[number % len(turns)]
        log, (codes, starts) = np.zeros((size, arm.chain.n)), np.zeros((2, size), np.int64)
        assert guard.reset(arm.home) == Reason.PASSED
        segments, failed, room, fastest = attack(*guard.tables, rng, log, codes, starts)
        found = judge(arm, guard, ball, log, starts[:segments])
        found["workspace"] = (int(room < 0.0), 0.0)
        found["tcp_speed"] = (int(fastest > 1.0 + 1e-9), fastest)
        impossible += failed
        codes_seen += np.bincount(codes, minlength=len(Reason))
        _add(totals, found)
        advance(size)
    tau = np.zeros((steps // 10 + 2, arm.chain.n))
    attack_torque(turns[0][0].table, turns[0][0].state, rng, tau)
    torque = count_torque_violations(tau, turns[0][0].dt, arm.limits.array)
    _add(totals, {key: (finding["violations"], finding["max_ratio"]) for key, finding in torque.items()})
    taken, broken = poison_arm(arm, steps)
    failures = sum(count for count, _ in totals.values()) + impossible + taken + broken
    return {
        "steps": steps,
        "swaps_in_motion": steps // SWAP_TICKS,
        "poisoned": steps,
        "torque_steps": len(tau),
        "violations": {key: count for key, (count, _) in totals.items()},
        "worst_ratio": {key: ratio for key, (_, ratio) in totals.items() if ratio > 0.0},
        "infeasible_stops": impossible,
        "poisoned_taken": taken,
        "poisoned_broken": broken,
        "answers": {Reason(code).name: int(count) for code, count in enumerate(codes_seen) if count},
        "failures": failures,
        "bound_95": 3.0 / steps,
    }


def poison_arm(arm: Arm, rounds: int) -> tuple[int, int]:
    """Poison one field of `rounds` set-points in mid-motion, and some in their length and type.

    Returns:
        How many were taken for good, how many commands that came out broke a limit.
    """
    guard = Guard(arm.chain, arm.limits, 0.002, capsules=arm.capsules)
    taken = 0
    for q_d in (np.zeros(arm.chain.n - 1), np.zeros(arm.chain.n + 1), np.zeros((arm.chain.n, 1)), np.zeros(0), None):
        guard.reset(arm.home)
        taken += guard.step(q_d) != Reason.SIZE  # type: ignore[arg-type]
    guard.reset(arm.home)
    fields, broken = poison(*guard.tables, np.array(SPECIALS), rounds, arm.chain.n)
    return taken + fields, broken


def _chunks(steps: int, turns: int) -> Iterator[int]:
    """Cut the steps into chunks, one for each turn at least."""
    size = min(CHUNK, -(-steps // turns))
    for begin in range(0, steps, size):
        yield min(size, steps - begin)


def _add(totals: dict[str, tuple[int, float]], found: dict[str, tuple[int, float]]) -> None:
    for key, (count, ratio) in found.items():
        before, worst = totals.get(key, (0, 0.0))
        totals[key] = (before + count, max(worst, ratio))
