"""What a run leaves behind for people: `summary.json`, and a self-contained `report.html` with its plots inside."""

import html
import io
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from robostral.extras import require
from robostral.runtime.runlog import RunLog

VERSIONED = ("robostral", "numpy", "numba", "pyzmq", "onnxruntime", "pybullet", "ur-rtde", "torch")
POINTS = 1500
"""Plots are thinned to about this many points a line; percentiles always use every tick."""


@dataclass(frozen=True)
class Event:
    """Something worth a mark on the time line: `t_s` since the start of the log, its kind and one line of text."""

    t_s: float
    kind: str
    text: str


@dataclass(frozen=True)
class Series:
    """What the plots and percentiles need of a run, one row a control tick.

    Attributes:
        t_s: Time since the start of the log [s], shape (T,).
        q, q_c: Measured and commanded joint positions [rad], shape (T, n).
        wakeup_us: Wake-up error of each tick [µs], shape (T,).
        setpoint_age_ms: Age of the set-point at each write that a policy's chunk fed [ms], shape (S,).
        latency_us: Observation packed in the loop -> its chunk usable in the mailbox [µs], one row a chunk, shape (C,).
        tau_c: Commanded torques [N·m], shape (T, n); None in position mode.
        force_n: Size of the force that the wrist felt [N], shape (T,); likewise.
    """

    joint_names: tuple[str, ...]
    t_s: NDArray[np.float64]
    q: NDArray[np.float64]
    q_c: NDArray[np.float64]
    wakeup_us: NDArray[np.float64]
    setpoint_age_ms: NDArray[np.float64]
    latency_us: NDArray[np.float64]
    events: Sequence[Event] = field(default_factory=tuple)
    tau_c: NDArray[np.float64] | None = None
    force_n: NDArray[np.float64] | None = None


def series_of(log: RunLog, joint_names: tuple[str, ...], events: Sequence[Event] = ()) -> Series:
    """Take from a log what the plots need, and add events of one's own."""
    ticks, commanded = log.ticks, log.ticks["written"] == 1
    start_ns = int(ticks["t_ns"][0])
    noted = [Event(1e-9 * (event.t_ns - start_ns), event.kind, event.text) for event in log.events]
    return Series(
        joint_names=joint_names,
        t_s=1e-9 * (ticks["t_ns"] - start_ns),
        q=ticks["q"],
        q_c=np.where(commanded[:, None], ticks["q_c"], np.nan),
        wakeup_us=1e-3 * ticks["wakeup_ns"],
        setpoint_age_ms=_measured(ticks["setpoint_age_ns"], 1e-6),
        latency_us=_measured(ticks["latency_ns"], 1e-3),
        events=[*noted, *events],
        tau_c=np.where(commanded[:, None], ticks["tau_c"], np.nan) if "tau_c" in ticks else None,
        force_n=np.linalg.norm(ticks["wrench"][:, :3], axis=1) if "wrench" in ticks else None,
    )


def _measured(values: NDArray[np.int64], scale: float) -> NDArray[np.float64]:
    """Keep the rows that hold a measurement: -1 says that there is none."""
    return scale * values[values >= 0].astype(np.float64)


def percentile(values: NDArray[np.float64], p: float) -> float | None:
    """Return the p-th percentile, or None where fewer than 1 / (1 - p/100) values cannot hold it."""
    if values.size == 0 or values.size < 1.0 / (1.0 - p / 100.0) - 1e-9:
        return None
    return round(float(np.percentile(values, p)), 3)


def spread(values: NDArray[np.float64], *percents: float) -> dict[str, float | int | None]:
    """Return percentiles by name (`p50`, `p999` for 99.9), the maximum and the number of values."""
    named: dict[str, float | int | None] = {
        f"p{percent:g}".replace(".", ""): percentile(values, percent) for percent in percents
    }
    return named | {"max": round(float(values.max()), 3) if values.size else None, "n": int(values.size)}


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of what it runs on; what is absent is not listed."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str | int]:
    """Name the machine that the numbers were measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if sys.platform == "linux" and info.is_file():
        models = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = f"{len(models)} x {models[0]}" if models else cpu
    return {"cpu": cpu, "kernel": platform.release(), "system": platform.system()}


def write_summary(folder: Path, summary: Mapping[str, Any]) -> Path:
    """Write `summary.json` into the run folder."""
    path = folder / "summary.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    return path


def write_report(
    folder: Path, title: str, summary: Mapping[str, Any], series: Series, name: str = "report.html"
) -> Path:
    """Write a page: the summary as a table and four plots, five in torque mode; one file without links to anywhere.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figures = [
        ("Joint positions: measured (line) and commanded (dashed)", _plot_joints(series)),
        ("Tracking error |q - q_c|", _plot_tracking(series)),
        ("Policy latency: observation packed to chunk usable", _plot_latency(series)),
        ("Events on the time line", _plot_events(series)),
    ]
    if series.tau_c is not None:
        figures.insert(2, ("Commanded torques, and the force that the wrist felt", _plot_torques(series)))
    body = "".join(f"<figure><figcaption>{html.escape(name)}</figcaption>{svg}</figure>" for name, svg in figures)
    path = folder / name
    path.write_text(_PAGE.format(title=html.escape(title), table=_table(summary), body=body), encoding="utf-8")
    return path


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
 body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; color: #1b1f24 }}
 table {{ border-collapse: collapse; width: 100% }} td, th {{ padding: .3em .8em; border-bottom: 1px solid #d9dee3;
 text-align: left; vertical-align: top }} th {{ width: 16em; font-weight: 600 }}
 figure {{ margin: 2em 0 }} figcaption {{ font-weight: 600; margin-bottom: .4em }} svg {{ width: 100%; height: auto }}
 code {{ font-size: 13px; overflow-wrap: anywhere }}
</style>
<h1>{title}</h1><table>{table}</table>{body}
</html>
"""


def _table(summary: Mapping[str, Any]) -> str:
    return "".join(
        f"<tr><th>{html.escape(str(key))}</th><td><code>{html.escape(text(value))}</code></td></tr>"
        for key, value in summary.items()
    )


def text(value: Any) -> str:
    """Write a value of a summary for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(text(inner) for inner in value)
    return "not enough values" if value is None else str(value)


def _figure(rows: int = 1, height: float = 3.2) -> tuple[Any, Any]:
    require("matplotlib", "view")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, height), layout="constrained")
    return figure, figure.subplots(rows, 1, sharex=True)


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def _thin(series: Series) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, max(len(series.t_s) - 1, 0), POINTS).astype(np.intp))[: len(series.t_s)]


def _plot_joints(series: Series) -> str:
    figure, axis = _figure(height=4.2)
    keep = _thin(series)
    for joint, name in enumerate(series.joint_names):
        (line,) = axis.plot(series.t_s[keep], series.q[keep, joint], linewidth=1.1, label=name)
        axis.plot(series.t_s[keep], series.q_c[keep, joint], "--", linewidth=0.8, color=line.get_color(), alpha=0.7)
    axis.set(xlabel="time [s]", ylabel="q [rad]")
    axis.legend(ncols=3, fontsize=8, loc="upper right")
    return _svg(figure)


def _plot_tracking(series: Series) -> str:
    figure, axis = _figure()
    keep = _thin(series)
    error = 1e3 * np.abs(series.q - series.q_c)
    for joint, name in enumerate(series.joint_names):
        axis.plot(series.t_s[keep], error[keep, joint], linewidth=0.9, label=name)
    axis.set(xlabel="time [s]", ylabel="|q - q_c| [mrad]")
    axis.legend(ncols=3, fontsize=8, loc="upper right")
    return _svg(figure)


def _plot_torques(series: Series) -> str:
    figure, (torques, force) = _figure(rows=2, height=5.4)
    keep = _thin(series)
    assert series.tau_c is not None
    assert series.force_n is not None
    for joint, name in enumerate(series.joint_names):
        torques.plot(series.t_s[keep], series.tau_c[keep, joint], linewidth=0.9, label=name)
    torques.set(ylabel="tau_c [N·m]")
    torques.legend(ncols=3, fontsize=8, loc="upper right")
    force.plot(series.t_s[keep], series.force_n[keep], linewidth=0.9, color="#2f6f9f")
    force.set(xlabel="time [s]", ylabel="force [N]")
    return _svg(figure)


def _plot_latency(series: Series) -> str:
    figure, axis = _figure()
    if series.latency_us.size:
        top = float(np.percentile(series.latency_us, 99.5)) * 1.2
        axis.hist(np.clip(series.latency_us, 0.0, top), bins=80, color="#2f6f9f")
        for percent in (50.0, 99.0):
            value = percentile(series.latency_us, percent)
            if value is not None:
                axis.axvline(value, color="#b03a2e", linewidth=1)
                axis.annotate(
                    f"p{percent:g} {value:.0f} µs", (value, 0.92), xycoords=("data", "axes fraction"), fontsize=8
                )
    axis.set(xlabel="latency [µs]; the last bin holds everything above", ylabel="chunks")
    return _svg(figure)


def _plot_events(series: Series) -> str:
    kinds = list(dict.fromkeys(event.kind for event in series.events))
    figure, axis = _figure(height=1.2 + 0.45 * max(len(kinds), 1))
    for row, kind in enumerate(kinds):
        times = [event.t_s for event in series.events if event.kind == kind]
        axis.plot(times, [row] * len(times), "o", markersize=5)
    axis.set_yticks(range(len(kinds)), kinds)
    axis.set(xlabel="time [s]", ylim=(-0.7, max(len(kinds), 1) - 0.3))
    if series.t_s.size:
        axis.set_xlim(float(series.t_s[0]), float(series.t_s[-1]))
    axis.grid(visible=True, axis="x", alpha=0.3)
    return _svg(figure)
