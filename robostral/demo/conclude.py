"""From a finished demo to its table, `summary.json` and `report.html`, and to the exit code."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from robostral.chaos.judge import Stop, stops
from robostral.demo.chaos import CHAOS_KILLS, Kill
from robostral.demo.plant import WIRE_RECORD, Plant
from robostral.demo.poses import Reach
from robostral.oracle import count_violations
from robostral.runtime import report, runlog
from robostral.runtime.ladder import Cause, Mode, Rung
from robostral.runtime.runlog import RunLog

SERVO_J = 11.0
"""Number of servoJ among the commands that the twin heard."""
ASKED = (Cause.START, Cause.OPERATOR, Cause.LEAVING)
"""Causes of standing still that are no fault."""
ENOUGH = 0.95
"""Share of the poses that must be reached: 19 of 20."""


def conclude(plant: Plant, reaches: Sequence[Reach], kills: Sequence[Kill] | None, console: Console) -> int:
    """Write summary and report, print the table, and say in one line what fell short; return the exit code.

    `kills` is None for a run that was to have none.
    """
    folder = plant.runtime.folder
    log = runlog.read(folder)
    braked = stops(log, plant.bundle.sealed.contract.action.chunk_valid_s)
    after = [next(stop for stop in braked if stop.t_ns > kill.t_ns) for kill in kills or ()]
    series = _series(plant, log, reaches, kills or ())
    summary = _summary(plant, log, series, reaches, kills or (), after)
    report.write_summary(folder, summary)
    report.write_report(folder, "Robostral demo: chaos" if kills is not None else "Robostral demo", summary, series)
    console.print(_table(summary))
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)
    short = _short(summary, after, len(reaches), 0 if kills is None else CHAOS_KILLS)
    for line in short:
        console.print(f"fell short: {line}", soft_wrap=True)
    return 1 if short else 0


def _short(summary: dict[str, Any], stops: Sequence[Stop], poses: int, wanted: int) -> list[str]:
    """Say what is not as promised, one line each."""
    lines = []
    if summary["successes"] < ENOUGH * poses:
        lines.append(f"{summary['successes']} of {poses} poses reached, {ENOUGH:.0%} are asked for")
    violations = {name: found["violations"] for name, found in summary["oracle"]["limits"].items()}
    if any(violations.values()):
        lines.append(f"limit violations in the commands as written: {violations}")
    if summary["oracle"]["wire_differences"]:
        lines.append(f"{summary['oracle']['wire_differences']} commands on the wire differ from the log")
    if len(stops) < wanted:
        lines.append(
            f"{len(stops)} of {wanted} kills met the ladder; at the others the plant stopped first, see twin.log"
        )
    missed = [number for number, kill in enumerate(summary.get("kills", []), 1) if not kill["reached_after_all"]]
    if missed:
        lines.append(f"goal not reached after kill {missed}")
    late = [index + 1 for index, stop in enumerate(stops) if not stop.in_time]
    if late:
        lines.append(f"braking began too late after kill {late}")
    return lines


def _summary(
    plant: Plant,
    log: RunLog,
    series: report.Series,
    reaches: Sequence[Reach],
    kills: Sequence[Kill],
    stops: Sequence[Stop],
) -> dict[str, Any]:
    ticks, bundle = log.ticks, plant.bundle
    tracking = 1e3 * np.abs(series.q - series.q_c).max(axis=1)[ticks["written"] == 1]
    final = plant.runtime.status()
    summary: dict[str, Any] = {
        "poses": len(reaches),
        "successes": sum(reach.success for reach in reaches),
        "cycle_s": report.spread(np.array([reach.cycle_s for reach in reaches if reach.success]), 50, 95),
        "final_error_mm": report.spread(np.array([1e3 * reach.error_m for reach in reaches if reach.success]), 50, 95),
        "tracking_error_mrad": report.spread(tracking, 50, 99),
        "latency_us": report.spread(series.latency_us, 50, 99),
        "setpoint_age_ms": report.spread(series.setpoint_age_ms, 50, 99),
        "wakeup_us": report.spread(series.wakeup_us, 50, 99, 99.9),
        "compute_us": report.spread(1e-3 * ticks["compute_ns"], 50, 99, 99.9),
        "ticks": len(series.t_s),
        "overruns": int(ticks["overrun"][-1]),
        "guard": {"passed": final.guard_passed, "rejected": final.guard_rejected},
        "ladder": _ladder(log),
        "oracle": _oracle(plant, log),
        "bundle": {"name": bundle.manifest.label, "sha256": bundle.digest.hex(), "signer": str(bundle.signer)},
        "contract": bundle.sealed.identity,
        "rate_hz": round(1.0 / plant.period_s, 3),
        "system_did_not_give": plant.notes or "nothing",
        "machine": report.machine(),
        "versions": report.versions(),
    }
    if kills:
        summary["kills"] = [
            {
                "brake_after_validity_ms": round(stop.brake_ms, 3),
                "in_time": stop.in_time,
                "standstill_ms": round(stop.rest_ms, 1),
                "reconnect_ms": round(1e3 * kill.reconnect_s, 1),
                "reached_after_all": kill.reached.success,
            }
            for kill, stop in zip(kills, stops, strict=True)
        ]
    return summary


def _series(plant: Plant, log: RunLog, reaches: Sequence[Reach], kills: Sequence[Kill]) -> report.Series:
    start_ns = int(log.ticks["t_ns"][0])
    events = [report.Event(1e-9 * (reach.t_ns - start_ns), "goal", reach.reason) for reach in reaches]
    events += [report.Event(1e-9 * (kill.t_ns - start_ns), "kill", "policy server, SIGKILL") for kill in kills]
    return report.series_of(log, plant.runtime.arm.chain.joint_names, events)


def _ladder(log: RunLog) -> dict[str, int]:
    """Count how often each rung was stepped on because something was missing, not because the operator asked."""
    rung = np.where(np.isin(log.ticks["cause"], ASKED), Rung.NONE, log.ticks["rung"])
    entered = rung[np.flatnonzero(np.diff(rung, prepend=0))]
    return {name.name.lower(): int((entered == name).sum()) for name in Rung if name is not Rung.NONE}


def _held(session: NDArray[np.float64], log: RunLog) -> NDArray[np.float64]:
    """Add that the last command of a session counts as held; unless the plant stopped first, and heard no more."""
    last = np.flatnonzero((log.ticks["q_c"] == session[-1]).all(axis=1) & (log.ticks["written"] == 1))[-1]
    stopped_first = (log.ticks["mode"][last + 1 : last + 3] == Mode.FAULT).any()
    return session if stopped_first else np.concatenate([session, np.repeat(session[-1:], 3, axis=0)])


def _oracle(plant: Plant, log: RunLog) -> dict[str, Any]:
    """Judge the commands as written, in order, and compare them with what the twin heard on the wire."""
    sessions, limits = log.written(), plant.runtime.arm.limits.array
    written = np.concatenate(sessions)
    judged = [count_violations(_held(session, log), plant.period_s, limits) for session in sessions]
    found = {
        name: {
            "max_ratio": max(finding[name]["max_ratio"] for finding in judged),
            "violations": sum(finding[name]["violations"] for finding in judged),
        }
        for name in judged[0]
    }
    heard = np.fromfile(plant.runtime.folder / WIRE_RECORD, dtype="<f8").reshape(-1, 8)
    heard = heard[heard[:, 1] == SERVO_J][:, 2:]
    common = min(len(heard), len(written))
    differences = int((heard[:common] != written[:common]).any(axis=1).sum()) + abs(len(heard) - len(written))
    return {
        "commands": len(written),
        "segments": len(sessions),
        "limits": found,
        # Nothing seen in N trials bounds the rate by 3/N at 95 %.
        "rate_bound": 3.0 / max(len(written), 1),
        "wire_commands": len(heard),
        "wire_differences": differences,
    }


def _table(summary: dict[str, Any]) -> Table:
    rows = {
        "poses reached": f"{summary['successes']} of {summary['poses']}",
        "cycle time [s]": _line(summary["cycle_s"]),
        "position error when settled [mm]": _line(summary["final_error_mm"]),
        "tracking error |q - q_c| [mrad]": _line(summary["tracking_error_mrad"]),
        "policy latency, CURVE on [µs]": _line(summary["latency_us"]),
        "age of the set-point at write [ms]": _line(summary["setpoint_age_ms"]),
        f"wake-up error at {summary['rate_hz']:g} Hz [µs]": _line(summary["wakeup_us"]),
        "overruns": f"{summary['overruns']} of {summary['ticks']} ticks",
        "guard": _line(summary["guard"]),
        "ladder": _line(summary["ladder"]),
        "limit violations (oracle)": _violations(summary["oracle"]),
        "bundle": f"{summary['bundle']['name']} {summary['bundle']['sha256'][:16]}",
    }
    table = Table("what", "measured", title="Robostral demo")
    for name, value in rows.items():
        table.add_row(escape(name), value)
    for number, kill in enumerate(summary.get("kills", []), 1):
        table.add_row(
            f"kill {number}",
            f"braking {kill['brake_after_validity_ms']:+.1f} ms after validity "
            f"({'in time' if kill['in_time'] else 'TOO LATE'}), at rest {kill['standstill_ms']:.0f} ms later, "
            f"reconnected and re-armed in {kill['reconnect_ms']:.0f} ms, "
            f"goal {'reached' if kill['reached_after_all'] else 'MISSED'}",
        )
    return table


def _line(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {'-' if value is None else f'{value:g}'}" for name, value in values.items())


def _violations(oracle: dict[str, Any]) -> str:
    counts = ", ".join(f"{name} {found['violations']}" for name, found in oracle["limits"].items())
    return f"{counts} in {oracle['commands']} commands (rate < {oracle['rate_bound']:.1g} at 95 %)"
