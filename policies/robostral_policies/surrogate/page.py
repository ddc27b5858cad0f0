"""What a learned simulator is worth, as one HTML page: errors, success, confidence, speed, break-even, failures."""

from collections.abc import Sequence
from html import escape
from typing import Any

from robostral.bundle import Bundle, Success
from robostral.errors import MissingExtra
from robostral.extras import require
from robostral_policies.html_page import document, picture, table
from robostral_policies.surrogate.evaluate import Evaluation, OpenLoop
from robostral_policies.surrogate.improve import Improvement

_WORST = 8
_PARTS = ("tcp", "untouched", "pushed", "grasped")


def page(bundle: Bundle, found: Evaluation, speed: dict[str, Any] | None, trained: Improvement | None = None) -> str:
    """Render the page.

    Args:
        bundle: The learned simulator.
        found: Its evaluation.
        speed: What `robostral bench surrogate --json` wrote; None leaves speed and break-even out, and says so.
        trained: What `robostral surrogate improve` found; None leaves it out, and says so.
    """
    return document(
        f"Learned simulator {found.label}",
        _bars(found, speed),
        _open_loop(found.open_loop),
        _success(found),
        _calibration(found),
        _speed(speed),
        _break_even(bundle, speed),
        _trained(trained),
        _failures(found),
        f"<footer>{escape(found.environment)}, fresh episodes of seed {found.seed}; bundle {found.digest[:16]}; "
        f"{escape(found.revision)}; {escape(found.machine)}; {found.made}.</footer>",
    )


def _bars(found: Evaluation, speed: dict[str, Any] | None) -> str:
    rows = [(bar.what, bar.bar, bar.found, "met" if bar.met else "missed") for bar in found.bars]
    for bar in speed["surrogate"]["bars"] if speed else ():
        asked, got = f">= {bar['asked']:g} x the environment", f"{bar['found']:.1f} x"
        rows.append((bar["what"], asked, got, "met" if bar["reached"] else "missed"))
    return "<h2>What was asked</h2>" + table(("what", "bar", "found", ""), rows)


def _open_loop(rows: Sequence[OpenLoop]) -> str:
    """Show how the errors grow over all arms, and at the end by what flew, and what stands apart."""
    text = (
        "<p>Beginning anywhere in a fresh episode, the learned cell goes on by itself under the same commands. Errors "
        "are those against the engine after so many policy steps. A part is pushed if it moves and is not grasped: it "
        "stays upright, or topples. Windows in which the simulator refused a step, never shown such a thing, are "
        "counted apart.</p>"
    )
    here = [row for row in rows if row.arm == "all"]
    everyone = [row for row in here if row.pilot == "all"]
    order = list(dict.fromkeys(row.what for row in everyone))
    everyone = sorted(everyone, key=lambda row: order.index(row.what))
    longest = max((row.steps for row in rows), default=0)
    parts = [
        f"<h2>Open loop</h2>{text}{_growth(rows)}",
        _errors("all arms and pilots", [(f"{row.what}, {_steps(row.steps)}", row) for row in everyone]),
        _errors(
            f"who flew, {_steps(longest)}",
            [(f"{row.pilot}: {row.what}", row) for row in here if row.pilot != "all" and row.steps == longest],
        ),
    ]
    apart = [row for row in rows if "," in row.arm and row.pilot == "all" and row.steps == longest]
    if apart:
        parts += [
            "<p>Heights are told from the table on, so that a higher one is nothing new. What the engine itself makes"
            " of pushes when the part begins a tenth of a millimetre aside, nobody foretells better:</p>",
            _errors(f"where, {_steps(longest)}", [(f"{row.arm}: {row.what}", row) for row in apart]),
        ]
    return "".join(parts)


def _steps(steps: int) -> str:
    return f"{steps} step" if steps == 1 else f"{steps} steps"


def _errors(title: str, rows: Sequence[tuple[str, OpenLoop]]) -> str:
    head = (title, "windows", "refused", "median [mm]", "p95 [mm]", "median [deg]", "p95 [deg]")
    cells = [
        (name, str(row.n), str(row.refused), *(f"{value:.2f}" for value in (*row.mm, *row.deg))) for name, row in rows
    ]
    return table(head, cells)


def _growth(rows: Sequence[OpenLoop]) -> str:
    """Draw how the errors of all pilots and arms grow with the steps; a word without matplotlib."""
    try:
        figures = require("matplotlib.figure", "view")
    except MissingExtra as missing:
        return f"<p>{escape(str(missing))}</p>"
    figure = figures.Figure(figsize=(8, 3.2), layout="constrained")
    axes, horizons = figure.subplots(1, 2, sharey=True), sorted({row.steps for row in rows})
    for what in _PARTS:
        here = [row for row in rows if (row.arm, row.pilot, row.what) == ("all", "all", what)]
        for column, axis in enumerate(axes):
            axis.plot([row.steps for row in here], [max(row.mm[column], 1e-3) for row in here], "o-", label=what)
    for axis, title in zip(axes, ("median", "95th percentile"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="policy steps", title=title)
        axis.set_xticks(horizons, [str(steps) for steps in horizons])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("position error [mm]")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return picture(figure)


def _rate(share: Success) -> str:
    return f"{share.successes} of {share.n} ({100 * share.low:.1f}\u00a0to\u00a0{100 * share.high:.1f}\u00a0%)"


def _success(found: Evaluation) -> str:
    rows = [
        (f"{row.environment}, {row.arm}: {row.pilot}", _rate(row.surrogate), _rate(row.engine), f"{row.points:+.1f}",
         str(row.refused))
        for row in found.success
    ]  # fmt: skip
    head = ("who", "in the simulator", "in the engine", "points", "refused")
    return (
        "<h2>Success beside the engine</h2><p>The same seeds in both; intervals are Wilson's at 95 %.</p>"
        f"{table(head, rows)}"
    )


def _calibration(found: Evaluation) -> str:
    inside = [(what, _rate(share)) for what, share in found.calibration.inside.items()]
    flagged = [(what, _rate(share)) for what, share in found.calibration.flagged.items()]
    return (
        f"<h2>Confidence</h2><p>The stated interval of a step is made to hold {found.calibration.level:.0%} of the"
        f" part's motions, in distribution.</p>{table(('steps', 'inside the interval'), inside)}"
        f"<p>What lies outside of what was trained on is flagged:</p>{table(('steps', 'flagged'), flagged)}"
    )


def _speed(speed: dict[str, Any] | None) -> str:
    if speed is None:
        return (
            "<h2>Speed</h2><p>Not measured: give --speed the file of <code>robostral bench surrogate --json</code>.</p>"
        )
    found = speed["surrogate"]
    rows = [
        (row["what"], f"{row['steps_per_s']:,.0f}", f"{row['us_per_step']:.2f}", f"{row['times_environment']:.1f}",
         f"{row['times_engine']:.1f}")
        for row in found["rows"]
    ]  # fmt: skip
    head = ("what", "policy steps/s", "µs a step", "x environment", "x bare engine")
    timed = [row for row in found["rows"] if row["us_of"]]
    stages = list(dict.fromkeys(name for row in timed for name in row["us_of"]))
    shares = [(row["what"], *(f"{row['us_of'][name]:.2f}" for name in stages)) for row in timed]
    machine = speed["machine"]
    return (
        f"<h2>Speed on one core</h2><p>Cell {escape(found['cell'])}, random actions, resets counted, medians of"
        f" {found['rounds']} rounds in turn; the bare engine is PyBullet's stepSimulation alone, for the same steps."
        f" {escape(machine['cpu'])}, load {machine['load']:.1f}, {escape(machine['revision'])}.</p>{table(head, rows)}"
        + (f"<p>Of a cell's step [µs]:</p>{table(('what', *stages), shares)}" if timed else "")
    )


def _break_even(bundle: Bundle, speed: dict[str, Any] | None) -> str:
    """Say from how many steps on the time that training took is won back."""
    trained_s = bundle.manifest.cost.training_s
    text = (
        f"<h2>Break-even</h2><p>Watching and fitting took {trained_s:,.0f} s on {escape(bundle.manifest.cost.machine)}"
    )
    if speed is None:
        return text + ".</p>"
    rates = {row["what"]: row["steps_per_s"] for row in speed["surrogate"]["rows"]}
    environment = rates["environment"]
    rows = [
        (what, f"{trained_s / (1.0 / environment - 1.0 / rate):,.0f}" if rate > environment else "never")
        for what, rate in rates.items()
        if what not in ("environment", "engine")
    ]
    return (
        f"{text}; the environment makes {trained_s * environment:,.0f} policy steps in that time on one core. Below so"
        " many steps training is not worth its time, if the simulator serves one purpose only:</p>"
        f"{table(('simulator', 'policy steps'), rows)}"
    )


def _trained(found: Improvement | None) -> str:
    """Show the same recipe in the engine and in the learned cell, and say whether it pays."""
    head = "<h2>Training a policy in it</h2>"
    if found is None:
        return f"{head}<p>Not tried: give --improvement the file of <code>robostral surrogate improve</code>.</p>"
    rows = [
        (str(run.seed), run.trained_in, _rate(run.success), f"{run.engine_steps:,}", f"{run.seconds:,.0f}")
        for run in found.runs
    ]
    names = ("seed", "trained in", "success in the engine", "engine steps to train", "time to train [s]")
    recipe = " ".join([found.preset, *found.settings])
    return (
        f"{head}<p>The same recipe ({escape(recipe)}) in either, judged in the engine: success {found.points:+.1f}"
        f" points where it was trained in the simulator. {escape(found.verdict.capitalize())}.</p>{table(names, rows)}"
    )


def _failures(found: Evaluation) -> str:
    """Name where it is worst: arm, pilot and part, by the 95th percentile after the longest way."""
    longest = max((row.steps for row in found.open_loop), default=0)
    here = [row for row in found.open_loop if "," not in row.arm and row.steps == longest]
    single = [row for row in here if "all" not in (row.arm, row.pilot)]
    worst = sorted(single, key=lambda row: row.mm[1], reverse=True)[:_WORST]
    rows = [
        (f"{row.arm}, {row.pilot}: {row.what}", str(row.n), f"{row.mm[0]:.1f} ({row.mm[1]:.1f})",
         f"{row.deg[0]:.1f} ({row.deg[1]:.1f})", f"{100 * row.refused / (row.n + row.refused):.0f} %")
        for row in worst
    ]  # fmt: skip
    missed = [bar.what for bar in found.bars if not bar.met]
    text = f"Missed: {escape(', '.join(missed))}. " if missed else ""
    return (
        f"<h2>Where it fails</h2><p>{text}The windows of {longest} steps with the greatest errors, by arm, by who flew"
        " and by what happened to the part: most of it is parts that were knocked over in one cell and not in the"
        " other. Forces are not learned.</p>"
        f"{table(('where', 'windows', 'position [mm]', 'rotation [deg]', 'refused'), rows)}"
    )
