"""An examination as one self-contained HTML page: the table, and a plot for each figure that was varied."""

import html
from collections.abc import Sequence

from robostral.errors import MissingExtra
from robostral.extras import require
from robostral_policies.evaluate import Row
from robostral_policies.examine import Examination, swept
from robostral_policies.html_page import picture

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{label}</title>
<style>
body {{ font: 14px/1.45 system-ui, sans-serif; max-width: 90rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ padding: .3rem .6rem; border-bottom: 1px solid #d8dee4; text-align: left; vertical-align: top }}
th {{ font-weight: 600 }} td.n {{ font-variant-numeric: tabular-nums; white-space: nowrap }}
footer {{ color: #59636e; margin-top: 2rem }}
</style></head><body>
<h1>{label}</h1>
<p>Closed loop in <code>{environment}</code>, fresh episodes, every row the same ones; the interval is Wilson's at 95 %.
One action takes {us:.0f} µs on one thread.</p>
<table>
<tr><th>pilot</th><th>engine</th><th>condition</th><th>success</th><th>95 % interval</th><th>cycle, mean (p95)</th>
<th>other figures: mean (p95, max)</th><th>why the others ended</th></tr>
{rows}
</table>
{plots}
<footer>Seed {seed}; bundle {digest}; {revision}; {machine}; {made}.</footer>
</body></html>
"""


def page(found: Examination) -> str:
    """Render an examination."""
    return _PAGE.format(
        label=html.escape(found.label),
        environment=html.escape(found.environment),
        us=found.us_per_action,
        rows="\n".join(_row(row) for row in found.rows),
        plots="\n".join(_plot(name, rows) for name, rows in swept(found.rows).items()),
        seed=found.seed,
        digest=found.digest[:16],
        revision=html.escape(found.revision),
        machine=html.escape(found.machine),
        made=found.made,
    )


def _row(row: Row) -> str:
    s = row.success
    cycle = "{:.2f} s ({:.2f} s)".format(*row.cycle_s) if row.cycle_s else "-"
    condition = ", ".join(f"{name} = {value:g}" for name, value in row.condition.items()) or "as trained"
    figures = "<br>".join(
        f"{html.escape(n)} {m:.3g} ({p:.3g}, {x:.3g})" for n, (m, p, x) in row.figures.items() if n != "time_s"
    )
    reasons = "<br>".join(f"{html.escape(reason)}: {count}" for reason, count in row.reasons.items())
    cells = (row.pilot, row.engine, condition, f"{s.successes} of {s.n}", f"{100 * s.low:.2f} to {100 * s.high:.2f} %")
    return "<tr>" + "".join(f'<td class="n">{cell}</td>' for cell in (*cells, cycle, figures, reasons)) + "</tr>"


def _plot(name: str, rows: Sequence[Row]) -> str:
    """Draw success over one figure of the plant as inline SVG, a line for each engine; a word without matplotlib."""
    try:
        figures = require("matplotlib.figure", "view")
    except MissingExtra as missing:
        return f"<p>{html.escape(str(missing))}</p>"
    figure = figures.Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for engine in dict.fromkeys(row.engine for row in rows):
        points = sorted((row.condition[name], row.success) for row in rows if row.engine == engine)
        x, s = [value for value, _ in points], [success for _, success in points]
        error = [[100 * (v.rate - v.low) for v in s], [100 * (v.high - v.rate) for v in s]]
        axes.errorbar(x, [100 * v.rate for v in s], error, fmt="o-", capsize=3, label=engine)
    axes.set(xlabel=name, ylabel="success [%]", ylim=(-3, 103), title=f"success over {name}")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    return picture(figure)
