"""A campaign: faults of many kinds at random phases of real motion, and one JSON of evidence."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from robostral.chaos import judge
from robostral.chaos.clock import SteppedClock
from robostral.chaos.faults import KINDS, Bench, Shot
from robostral.demo.plant import Plant
from robostral.demo.poses import Goal, rearm, sample_goals
from robostral.errors import ConfigError, RobostralError
from robostral.runtime import report, runlog
from robostral.runtime.ctl import ControlError

MOVE_S = (0.15, 0.6)
"""How long the arm has been on its way when a fault hits, at random between these [s]."""
PATIENCE_S = 30.0
REPLY_MS = 100.0
LOG_LOSS_MS = 100.0
PEERS = ("server-kill", "server-stop", "transport-kill", "transport-stop")


class CampaignStuck(RobostralError):
    """The cell does not move any more, so nothing can be shown; says where it stands."""


def run(
    kinds: Sequence[str], count: int, seed: int, bundle: str, host: str, runs: Path, *, wire: bool, console: Console
) -> dict[str, Any]:
    """Hit a twin cell `count` times with each kind, in random order; return the evidence.

    Raises:
        ConfigError: No such kind, or one that this machine cannot do.
        CampaignStuck: The arm does not move any more.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or count < 1:
        raise ConfigError(f"unknown kind {unknown} or count {count} < 1 (kinds: {', '.join(KINDS)})")
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.repeat(kinds, count)).tolist()
    with TemporaryDirectory(prefix="robostral-chaos-") as name:
        clock = SteppedClock(Path(name))
        if "clock-step" in kinds and not clock.available:
            raise ConfigError("the kind 'clock-step' needs a C compiler (cc) to build its clock; leave it out")
        proxied = seed if any(kind.startswith("link-") for kind in kinds) else None
        with _living_by(clock), Plant(bundle, host, runs, console, wire=wire, seed=proxied) as plant:
            refuse_real(plant)
            goals = sample_goals(plant.bundle.manifest.lineage.environment, 64, seed)
            shots = _shoot(Bench(plant, rng, clock), order, goals, console)
            plant.runtime.control.ask("stop")
            status = plant.runtime.status()
    return evidence(plant, shots, status.guard_rejected)


def refuse_real(plant: Plant) -> None:
    """Refuse a plant that is no twin, before anything is armed.

    Raises:
        ConfigError: It is a real one.
    """
    if not plant.runtime.status().twin:
        raise ConfigError("the fault plane works in front of a twin only; this driver moves a real arm")


@contextmanager
def _living_by(clock: SteppedClock) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(clock.environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _shoot(bench: Bench, order: Sequence[str], goals: Sequence[Goal], console: Console) -> list[Shot]:
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    shots = []
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("faults", total=len(order))
        for number, kind in enumerate(order):
            bar.update(task, description=f"{kind:15}")
            _move(bench, goals[number % len(goals)])
            shots.append(KINDS[kind](bench))
            bar.advance(task)
        _move(bench, goals[len(order) % len(goals)])  # the log has to show what came after the last fault, too
    return shots


def _move(bench: Bench, goal: Goal) -> None:
    """Be on the way to a goal, armed anew where a fault before stopped the arm."""
    plant, until = bench.plant, time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        plant.check()
        try:
            if plant.runtime.status().mode in {"HOLD", "FAULT"}:
                rearm(plant)
            plant.runtime.control.ask("goal", *goal)
        except ControlError:  # it brakes still, or the policy was slow a moment ago
            time.sleep(0.02)
            continue
        time.sleep(float(bench.rng.uniform(*MOVE_S)))
        if plant.runtime.status().mode == "RUN":
            return
    raise CampaignStuck(f"the arm did not move for {PATIENCE_S:g} s: {plant.runtime.status().line()}")


def evidence(plant: Plant, shots: Sequence[Shot], rejected: int) -> dict[str, Any]:
    """Judge the log of a campaign.

    Every claim is a count of failures in n trials; 0 in n bounds the rate by 3 / n at 95 %.
    """
    log = runlog.read(plant.runtime.folder)
    cap_s = plant.runtime.config.max_chunk_age_s
    valid_s = min(plant.bundle.sealed.contract.action.chunk_valid_s, cap_s)
    limits = plant.runtime.arm.limits.array
    kinds = {kind: [shot for shot in shots if shot.kind == kind] for kind in dict.fromkeys(s.kind for s in shots)}
    stops = judge.stops(log, valid_s)
    harmed = {shot: _stops(log, shot) for shot in shots if shot.harmless}
    frozen = sum(judge.froze(log, when, valid_s) for found in harmed.values() for when in found)
    failures = {
        "limit violations": judge.violations(log, plant.period_s, limits),
        "braking too late": sum(not stop.in_time for stop in stops),
        "stale commands executed": judge.stale(log, valid_s, cap_s),
        "resumed without re-arm": judge.resumed(log),
        "stopped without cause": sum(map(len, harmed.values())) - frozen,
        "log gaps above 100 ms": _gaps(log, shots, plant.period_s),
        "kinds with a reply p99 above 100 ms": sum(_slow(log, found) for kind, found in kinds.items() if kind in PEERS),
    }
    return {
        "n": len(shots),
        "failures": failures,
        "bound": None if any(failures.values()) else round(3.0 / len(shots), 6),
        "stops": len(stops),
        "stopped because the machine froze": frozen,
        "brake_after_validity_ms": report.spread(np.array([stop.brake_ms for stop in stops]), 50, 99),
        "standstill_ms": report.spread(np.array([stop.rest_ms for stop in stops]), 50, 99),
        "wakeup_us": report.spread(1e-3 * log.ticks["wakeup_ns"], 50, 99, 99.9),
        "guard_rejected": rejected,
        "kinds": {kind: _of_kind(log, found) for kind, found in kinds.items()},
        "log": str(plant.runtime.folder),
    }


def _slow(log: runlog.RunLog, shots: Sequence[Shot]) -> bool:
    """Tell whether the first reply after the peer was there again came too late, or never, more than once in 100."""
    replies = [judge.first_reply_ms(log, shot.healed_ns) for shot in shots]
    return sum(reply is None or reply > REPLY_MS for reply in replies) > 0.01 * len(replies)


def _of_kind(log: runlog.RunLog, shots: Sequence[Shot]) -> dict[str, Any]:
    replies = [judge.first_reply_ms(log, shot.healed_ns) for shot in shots]
    heard = np.array([reply for reply in replies if reply is not None])
    return {
        "n": len(shots),
        "stopped": sum(bool(_stops(log, shot)) for shot in shots),
        "reply_ms": report.spread(heard, 50, 99),
        "no reply": len(replies) - len(heard),
        "replies above 100 ms": int((heard > REPLY_MS).sum()),
    }


def _stops(log: runlog.RunLog, shot: Shot) -> list[int]:
    """Return when a chunk ran out between a fault and what healed it, or soon after [ns]."""
    t_ns = [event.t_ns for event in log.events if event.text.startswith("BRAKE because CHUNK")]
    return [when for when in t_ns if shot.t_ns < when < shot.healed_ns + 200_000_000]


def _gaps(log: runlog.RunLog, shots: Sequence[Shot], dt: float) -> int:
    """Count the holes in the log that are longer than a killed recorder may leave; a full disk announces its own."""
    full = [(shot.t_ns, shot.healed_ns) for shot in shots if shot.kind == "disk-full"]
    missing = np.diff(log.ticks["tick"]) - 1
    wide = np.flatnonzero(missing * dt * 1e3 > LOG_LOSS_MS)
    at = log.ticks["t_ns"]
    return sum(not any(begin <= at[i + 1] and at[i] <= end for begin, end in full) for i in wide.tolist())
