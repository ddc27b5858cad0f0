"""The report of an identification as one HTML file without links to anywhere, and the card of its bundle."""

from collections.abc import Sequence
from html import escape
from typing import Any

from robostral_policies.html_page import document, table

_HEAD = ("joint", "friction", "nMSE", "least squares", "published", "residual %", "noise floor", "in 90 % interval")


def page(report: dict[str, Any], pictures: Sequence[tuple[str, str]]) -> str:
    """Write the page.

    Args:
        report: As `robostral_policies.identify.pipeline` made it.
        pictures: Titles and SVG texts.
    """
    parts = [_logs(report), _held_out(report), _families(report)]
    parts += [f"<h2>{escape(title)}</h2>{svg}" for title, svg in pictures]
    parts.append(_parameters(report))
    return document(f"Identified: {report['arm']}", *parts)


def card(report: dict[str, Any], command: str) -> str:
    """Write the bundle's card."""
    lines = [
        f"# {report['arm']}, identified",
        "",
        "Inertias and friction of one arm, found in its logs. Use it for simulation, feed-forward and contact",
        "detection of that very arm; of another of the same kind it says little. Torques are promised inside the",
        "recorded range only.",
        "",
        f"Made with: `{command}`",
        "",
    ]
    if "held_out" in report:
        found = report["held_out"]
        lines += ["| " + " | ".join(_HEAD) + " |", "|---" * len(_HEAD) + "|"]
        lines += ["| " + " | ".join(_cells(joint)) + " |" for joint in found["joints"]]
        lines += ["", f"Mean nMSE {found['mean_nmse']:.4f}, least squares {found['mean_nmse_least_squares']:.4f}."]
    lines += ["", *(f"- Doubt: {text}" for text in report["doubts"])]
    return "\n".join(lines).rstrip() + "\n"


def _cells(joint: dict[str, Any]) -> list[str]:
    return [
        joint["joint"],
        joint["family"],
        f"{joint['nmse']:.4f}",
        f"{joint['nmse_least_squares']:.4f}",
        f"{joint['nmse_published']:.4f}",
        f"{joint['residual_percent']:.1f}",
        f"{joint['noise_floor']:.4f}",
        f"{joint['coverage']:.2f}",
    ]


def _logs(report: dict[str, Any]) -> str:
    rows = [
        (log["name"], f"{log['rate_hz']:.4g}", f"{log['seconds']:.1f}", str(log["gaps"]), f"{log['lost_s']:.2f}",
         f"{1e3 * max(log['lag_s'], key=abs):.0f}", f"{100 * log['saturated']:.1f}")
        for log in report["logs"]
    ]  # fmt: skip
    head = ("log", "rate [Hz]", "length [s]", "gaps", "lost [s]", "velocity lag [ms]", "saturated [%]")
    doubts = "".join(f"<li>{escape(text)}</li>" for text in report["doubts"])
    text = (
        f"<p>Torques are {1e3 * report['torque_lag_s']:.0f} ms late against the motion; that is taken out before the"
        f" fit. Condition number of the base regressor, columns scaled: {report['condition']:.1f}.</p>"
    )
    return f"<h2>Logs</h2>{table(head, rows)}{text}" + (f"<ul>{doubts}</ul>" if doubts else "")


def _held_out(report: dict[str, Any]) -> str:
    if "held_out" not in report:
        return "<h2>Held out</h2><p>Nothing was held out: give --test LOG or --test-from SECONDS.</p>"
    found = report["held_out"]
    text = (
        f"<p>nMSE is the mean squared error over the variance of the torque. Mean {found['mean_nmse']:.4f}, least"
        f" squares {found['mean_nmse_least_squares']:.4f}, published inertias with friction fitted beside them"
        f" {found['mean_nmse_published']:.4f}. {100 * found['coverage']:.1f} % of the rows lie inside the 90 %"
        f" interval, which is promised in distribution only; {100 * found['outside_range']:.1f} % of the rows have a"
        " joint outside the range that was fitted.</p>"
    )
    return f"<h2>Held out</h2>{table(_HEAD, [_cells(joint) for joint in found['joints']])}{text}"


def _families(report: dict[str, Any]) -> str:
    joints = report["friction"]
    names = list(next(iter(joints.values()))["cross_validated_mse"])
    rows = [
        (
            joint,
            *(
                f"{found['cross_validated_mse'][name]:.4g}" + (" ←" if name == found["family"] else "")
                for name in names
            ),
        )
        for joint, found in joints.items()
    ]
    kept = ", ".join(report["residual"]["kept"]) or "no joint: none gained more than 5 % on folds that it did not see"
    return (
        f"<h2>Friction families, cross-validated squared error [N²·m²]</h2>{table(('joint', *names), rows)}"
        "<p>The simplest family that is as good as the best one is taken.</p>"
        f"<p>Learned residual kept for: {escape(kept)}.</p>"
    )


def _parameters(report: dict[str, Any]) -> str:
    rows = [
        (
            row["name"],
            f"{row['value']:.4g}",
            f"{100 * row['relative_standard_error']:.2g} %",
            f"{row['consistent']:.4g}",
        )
        for row in report["base_parameters"]
    ]
    head = ("base parameter, named after what leads it", "fitted", "standard error", "of consistent inertias")
    return f"<h2>Base parameters</h2>{table(head, rows)}"
