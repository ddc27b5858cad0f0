"""A soak: a twin cell that reaches goal after goal for hours, and must neither stop nor grow."""

import os
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from robostral.chaos.campaign import refuse_real
from robostral.demo.plant import Plant
from robostral.demo.poses import Goal, go_home, rearm, sample_goals
from robostral.runtime import report
from robostral.runtime.ctl import ControlError
from robostral.runtime.status import Status

GOAL_S = 2.0
"""A goal is given this often [s]."""
SETTLE_S = 10.0
"""What a process has taken after this long [s], or after a tenth of the soak if that is less, is what it needs."""
GROWTH_MIB = 1.0
STALE = ("CHUNK_STALE", "CHUNK_USED_UP")
"""Causes of a stop that can come from a loop that stood still."""


def run(
    seconds: float, seed: int, bundle: str, host: str, runs: Path, console: Console, *, wire: bool, every_s: float
) -> dict[str, Any]:
    """Soak a cell; say how it does every `every_s` [s]; return the evidence."""
    with Plant(bundle, host, runs, console, wire=wire) as plant:
        refuse_real(plant)
        goals = sample_goals(plant.bundle.manifest.lineage.environment, 512, seed)
        go_home(plant)
        watch = _Watch(plant)
        began, said, number = time.monotonic(), time.monotonic(), 0
        settled = False
        while (now := time.monotonic()) - began < seconds:
            _give(plant, goals[number % len(goals)], watch)
            number += 1
            _live(plant, min(GOAL_S, max(began + seconds - time.monotonic(), 0.0)))
            if not settled and now - began > min(SETTLE_S, 0.1 * seconds):
                settled, watch.first = True, watch.sizes()
            if now - said >= every_s:
                said = now
                console.print(f"{(now - began) / 3600:7.3f} h  {number} goals  {watch.line()}", soft_wrap=True)
        return watch.evidence(plant.runtime.status(), time.monotonic() - began, number)


def explain(status: Status, outlives_ms: float) -> dict[str, Any]:
    """Say of a stop that nobody asked for whether it was a false trip.

    It was none where the loop itself stood still for longer than `outlives_ms` [ms], which is how long a chunk is valid
    beyond the next question: after that no policy can be in time, and the stop is right.
    """
    stood_still_ms = round(status.standstill_ms, 3)
    true = status.cause in STALE and stood_still_ms > outlives_ms
    found = {"cause": status.cause, "guard": status.guard, "seen_at_tick": status.tick}
    return found | {"loop_stood_still_ms": stood_still_ms, "false": not true}


class _Watch:
    """Sizes of every process of a cell, and the stops that nobody asked for."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self.stops: list[dict[str, Any]] = []
        action, rate = plant.bundle.sealed.contract.action, plant.bundle.sealed.contract.rate
        valid_s = min(action.chunk_valid_s, plant.runtime.config.max_chunk_age_s)
        self._outlives_ms = round(1e3 * (valid_s - 1.0 / rate.policy_hz), 3)
        self.first = self.sizes()

    def sizes(self) -> dict[str, dict[str, float]]:
        """Measure memory [MiB], threads and descriptors of each process; nothing where the system does not tell."""
        pids = {str(role): pid for role, pid in self._plant.runtime.pids.items()} | {"server": self._plant.server_pid}
        return {name: _sizes(pid) for name, pid in pids.items() if Path(f"/proc/{pid}/status").exists()}

    def line(self) -> str:
        """Say in one line how it goes."""
        status, sizes = self._plant.runtime.status(), self.sizes()
        memory = ", ".join(f"{name} {size['memory_mib']:.1f}" for name, size in sizes.items())
        return f"tick {status.tick}, {len(self.stops)} stops, {status.overruns} overruns, MiB: {memory}"

    def stopped(self, status: Status) -> None:
        """Note a stop."""
        self.stops.append(explain(status, self._outlives_ms))

    def evidence(self, status: Status, seconds: float, goals: int) -> dict[str, Any]:
        """Compare with what it was after settling."""
        last = self.sizes()
        growth = {name: round(last[name]["memory_mib"] - size["memory_mib"], 3) for name, size in self.first.items()}
        changed = {
            f"{name} {what}": [size[what], last[name][what]]
            for name, size in self.first.items()
            for what in ("threads", "descriptors")
            if size[what] != last[name][what]
        }
        failures = {
            "false trips": sum(stop["false"] for stop in self.stops),
            "memory grew by more than 1 MiB": sum(grown > GROWTH_MIB for grown in growth.values()),
            "threads or descriptors changed": len(changed),
            "guard rejected": status.guard_rejected,
            "ticks not logged": status.dropped_rows + status.lost_rows,
        }
        return {
            "hours": round(seconds / 3600, 4), "n": status.tick, "goals": goals, "failures": failures,
            "bound": None if any(failures.values()) else 3.0 / max(status.tick, 1),
            "true_trips": sum(not stop["false"] for stop in self.stops),
            "loop_may_stand_still_ms": self._outlives_ms, "stops": self.stops[:50],
            "growth_mib": growth, "changed": changed, "overruns": status.overruns, "sizes": last,
            "versions": report.versions(),
        }  # fmt: skip


def _give(plant: Plant, goal: Goal, watch: _Watch) -> None:
    """Give a goal; a stop that nobody asked for is counted, and armed away."""
    status = plant.runtime.status()
    if status.mode in {"HOLD", "FAULT"}:
        watch.stopped(status)
        rearm(plant)
    try:
        plant.runtime.control.ask("goal", *goal)
    except ControlError:  # it brakes; the next round sees why
        time.sleep(0.02)


def _live(plant: Plant, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        plant.check()
        time.sleep(0.05)


def _sizes(pid: int) -> dict[str, float]:
    lines: dict[str, str] = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    private = sum(int(lines[name].split()[0]) for name in ("RssAnon", "RssShmem") if name in lines)
    return {
        "memory_mib": round(private / 1024, 3),
        "threads": int(lines["Threads"]),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
    }
