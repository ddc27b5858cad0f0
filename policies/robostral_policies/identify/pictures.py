"""Pictures of an identification, as SVG text that a page can hold."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from robostral.arm.chain import FloatArray
from robostral.extras import require
from robostral.identified.friction import FEATURES, feature_kernel, new_state, stop_kernel
from robostral_policies.identify.fit import Model
from robostral_policies.identify.fourier import Fourier
from robostral_policies.identify.pipeline import Trace

_MOST = 1500


def torques(trace: Trace, names: Sequence[str], interval: Sequence[float]) -> str:
    """Draw measured and predicted torques of held-out motion, one panel a joint."""
    figure, axes = _panels(len(names))
    rows = slice(None, None, max(1, len(trace.t) // _MOST))
    t = trace.t[rows]
    for j, (axis, name) in enumerate(zip(axes, names, strict=True)):
        axis.plot(t, trace.tau[rows, j], color="black", linewidth=0.7, label="measured")
        axis.plot(t, trace.least_squares[rows, j], color="tab:orange", linewidth=0.7, label="least squares")
        axis.plot(t, trace.predicted[rows, j], color="tab:blue", linewidth=0.9, label="identified")
        low, high = trace.predicted[rows, j] - interval[j], trace.predicted[rows, j] + interval[j]
        axis.fill_between(t, low, high, color="tab:blue", alpha=0.2, linewidth=0, label="90 % interval")
        axis.set_title(f"{name} [N·m]", fontsize=9)
    axes[0].legend(fontsize=7)
    axes[len(names) - 1].set_xlabel("time [s]")
    return _svg(figure)


def friction(model: Model, names: Sequence[str], speed: FloatArray, load: FloatArray) -> str:
    """Draw friction over velocity, at steady motion both ways, for no load and for the load that was seen.

    Args:
        model: The fit.
        names: Joints.
        speed: Greatest velocity of each joint [rad/s], shape (n,).
        load: Typical rigid-body torque of each joint [N·m], shape (n,).
    """
    figure, axes = _panels(len(names))
    for j, (axis, name) in enumerate(zip(axes, names, strict=True)):
        dq = np.concatenate([-np.geomspace(speed[j], 1e-3, 100), np.geomspace(1e-3, speed[j], 100)])
        for value, style in ((0.0, "--"), (float(load[j]), "-")):
            axis.plot(dq, [_steady(model.weights[j], v, value) for v in dq], style, color="tab:blue", linewidth=1)
        axis.axhline(0.0, color="grey", linewidth=0.5)
        axis.set_title(f"{name}: {model.families[j]} [N·m]", fontsize=9)
    axes[len(names) - 1].set_xlabel("velocity [rad/s]; dashed: no load")
    return _svg(figure)


def motion(found: Fourier, names: Sequence[str]) -> str:
    """Draw the positions and velocities of an exciting motion."""
    figure, axes = _panels(2)
    t = np.linspace(0.0, found.period, 600)
    q, dq, _, _ = found.at(t)
    for axis, values, title in ((axes[0], q, "position [rad]"), (axes[1], dq, "velocity [rad/s]")):
        for j, name in enumerate(names):
            axis.plot(t, values[:, j], linewidth=1, label=name)
        axis.set_title(title, fontsize=9)
    axes[0].legend(fontsize=7)
    axes[1].set_xlabel("time [s]")
    return _svg(figure)


def _steady(weights: FloatArray, dq: float, load: float) -> float:
    state, row = new_state(1), np.empty(FEATURES)
    for q in (0.0, float(np.sign(dq))):  # one radian on the way: every stop operator slips
        stop_kernel(state[0], q)
    feature_kernel(state[0], float(dq), load, row)
    return float(weights @ row)


def _panels(count: int) -> tuple[Any, list[Any]]:
    backend = require("matplotlib.backends.backend_agg", "view")
    figure = require("matplotlib.figure", "view").Figure(figsize=(9.0, 1.6 * count + 0.5), layout="constrained")
    backend.FigureCanvasAgg(figure)
    return figure, list(np.atleast_1d(figure.subplots(count, 1)))


def _svg(figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
