"""The whole of `robostral identify`: logs in, an arm bundle and a report out."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.identified import IdentifiedArm
from robostral_policies.identify.align import align, find_lag
from robostral_policies.identify.base import find_base
from robostral_policies.identify.checks import check_motion, check_torques, check_units
from robostral_policies.identify.currents import motor_constants
from robostral_policies.identify.expect import (
    FALSE_ALARMS_PER_HOUR,
    contact_thresholds,
    cross_fit,
    interval,
    standard_errors,
)
from robostral_policies.identify.fit import (
    Block,
    Model,
    check_excitation,
    fit_families,
    fit_model,
    fit_published,
    least_squares,
    make_blocks,
)
from robostral_policies.identify.log import Log, LogRefused, read_log
from robostral_policies.identify.prepare import Motion, Recording, prepare
from robostral_policies.identify.residual import Residual, keep_residual
from robostral_policies.identify.result import make_parameters
from robostral_policies.identify.score import Score, nmse, noise_floor

TEST_GAP_S = 0.5
"""Left out between what is fitted and what is held out of the same log."""

_ROWS = ("t", "tau", "raw", "ours", "plain", "known", "q", "dq", "ddq", "friction")

Note = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Trace:
    """Held-out motion with what was predicted for it, for pictures.

    Attributes:
        t: Time [s], shape (m,).
        tau: Measured torques [N·m], shape (m, n).
        predicted: Predicted ones, shape (m, n).
        least_squares: Those of least squares, shape (m, n).
        inside: Rows in the range of what was fitted, shape (m,).
        q, dq, ddq: The motion [rad, rad/s, rad/s²], shape (m, n).
        friction: The part of the prediction that is friction [N·m], shape (m, n).
    """

    t: FloatArray
    tau: FloatArray
    predicted: FloatArray
    least_squares: FloatArray
    inside: NDArray[np.bool_]
    q: FloatArray
    dq: FloatArray
    ddq: FloatArray
    friction: FloatArray


@dataclass(frozen=True, eq=False)
class Identification:
    """Everything that was found.

    Attributes:
        found: The identified arm.
        model: The fit behind it.
        scores: Held-out figures by joint; empty where nothing was held out.
        trace: Held-out motion; None where nothing was.
        report: Plain data for the report.
    """

    found: IdentifiedArm
    model: Model
    scores: list[Score]
    trace: Trace | None
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Data:
    fitted: list[Motion]
    held_out: list[Motion]
    recordings: list[Recording]
    doubts: list[str]
    motor: FloatArray | None


def identify(
    arm: Arm,
    logs: Sequence[Log],
    tests: Sequence[Log] = (),
    *,
    test_from: float | None = None,
    seed: int = 0,
    note: Note = lambda text: None,
) -> Identification:
    """Identify an arm from logs.

    Args:
        arm: The arm as published.
        logs: What to fit.
        tests: What to hold out.
        test_from: Hold out what each log holds from this time on [s].
        seed: Of the residual's weights.
        note: Told what is going on.

    Raises:
        LogRefused: A log that nothing can be identified from; says why, and what to record instead.
    """
    data = _gather(arm, logs, tests, test_from)
    note(f"{sum(len(m.t) * m.dt for m in data.fitted):.1f} s of motion to fit")
    lag = find_lag(arm, data.fitted)
    blocks, folds = make_blocks(arm, [align(motion, lag) for motion in data.fitted])
    if len(folds) < 2:
        raise LogRefused("cross-validation needs two blocks at least: record 10 s of motion or more")
    condition = check_excitation(arm, blocks)
    families, table = fit_families(blocks, folds, note)
    model = fit_model(arm, blocks, families)
    cross = cross_fit(arm, blocks, folds, families)
    model = replace(model, errors=standard_errors(model, cross))
    residual = keep_residual(arm, blocks, cross, model, seed, note)
    errors = residual.errors
    thresholds = contact_thresholds(arm, blocks, cross, lag)
    parameters = make_parameters(
        arm,
        model,
        blocks,
        rms=np.sqrt((errors**2).mean(axis=0)),
        interval=interval(errors),
        contact=thresholds,
        false_alarms_per_hour=FALSE_ALARMS_PER_HOUR,
        lag=lag,
        motor=data.motor,
    )
    found = IdentifiedArm(parameters, residual.onnx)
    scores, trace = _judge(arm, data, lag, blocks, model, found, residual)
    report = _report(arm, data, lag, condition, blocks, table, model, scores, trace, residual)
    return Identification(found, model, scores, trace, report)


def read_logs(arm: Arm, paths: Sequence[Path]) -> list[Log]:
    """Read logs of an arm; see `read_log`."""
    return [read_log(path, arm.chain.joint_names) for path in paths]


def _gather(arm: Arm, logs: Sequence[Log], tests: Sequence[Log], test_from: float | None) -> _Data:
    fitted: list[Motion] = []
    held_out: list[Motion] = []
    recordings, doubts = [], []
    if len({log.currents for log in [*logs, *tests]}) > 1:
        raise LogRefused("some logs hold torques, others currents: identify from one kind")
    for run, log in enumerate([*logs, *tests]):
        doubts += [f"{log.name}: {text}" for text in check_units(log, arm)]
        motions, recording = prepare(log, arm, run)
        recordings.append(recording)
        if run >= len(logs):
            held_out += motions
        elif test_from is None:
            fitted += motions
        else:
            fitted += [m.between(-np.inf, test_from) for m in motions if m.t[0] < test_from]
            held_out += [m.between(test_from + TEST_GAP_S, np.inf) for m in motions if m.t[-1] > test_from + 1.0]
    if test_from is not None and not (fitted and held_out):
        raise LogRefused(f"nothing lies on both sides of --test-from {test_from:.6g}: the logs end sooner")
    label = ", ".join(recording.name for recording in recordings)
    motor = None
    if logs and logs[0].currents:
        check_motion(fitted, arm, label)
        motor, told = motor_constants(arm, fitted)
        doubts += told
        fitted, held_out = ([_in_torque(m, motor) for m in part] for part in (fitted, held_out))
    doubts += check_torques(fitted, arm, label)
    check_motion(fitted, arm, label)
    return _Data(fitted, held_out, recordings, doubts, motor)


def _in_torque(motion: Motion, motor: FloatArray) -> Motion:
    raw = motion.raw.copy()
    raw[2] *= motor
    return replace(motion, tau=motion.tau * motor, raw=raw)


def _judge(
    arm: Arm, data: _Data, lag: float, blocks: list[Block], model: Model, found: IdentifiedArm, residual: Residual
) -> tuple[list[Score], Trace | None]:
    if not data.held_out:
        return [], None
    plain = least_squares(make_blocks(arm, data.fitted)[0])
    published = fit_published(arm, blocks, model.families)
    rows: dict[str, list[FloatArray]] = {key: [] for key in _ROWS}
    inside: list[NDArray[np.bool_]] = []
    start = 0.0
    for motion in data.held_out:
        (block,), _ = make_blocks(arm, [align(motion, lag)], 1)
        (as_is,), _ = make_blocks(arm, [motion], 1)
        keep = block.keep
        rows["t"].append((motion.t - motion.t[0] + start)[keep])
        start += float(motion.t[-1] - motion.t[0]) + motion.dt
        rows["tau"].append(block.motion.tau[keep])
        rows["raw"].append(motion.tau[keep])
        rows["ours"].append((model.predict(block) + residual.predict(model, block))[keep])
        rows["plain"].append(plain(as_is)[keep])
        rows["known"].append(published(block)[keep])
        for key in ("q", "dq", "ddq"):
            rows[key].append(getattr(motion, key)[keep])
        rows["friction"].append(model.friction(block)[keep])
        inside.append(found.inside(motion.q, motion.dq, motion.ddq)[keep])
    t, tau, raw, ours, least, known, q, dq, ddq, friction = (np.concatenate(rows[key]) for key in _ROWS)
    floor = np.mean([noise_floor(motion) for motion in data.held_out], axis=0)
    error = tau - ours
    within = np.abs(error) <= np.array(found.parameters.interval)
    figures = {
        "nmse": nmse(error, tau),
        "nmse_least_squares": nmse(raw - least, raw),
        "nmse_published": nmse(tau - known, tau),
        "residual_percent": 100.0 * np.sqrt((error**2).mean(axis=0) / (tau**2).mean(axis=0)),
        "noise_floor": floor,
        "coverage": within.mean(axis=0),
    }
    scores = [
        Score(name, model.families[j], **{key: float(row[j]) for key, row in figures.items()})
        for j, name in enumerate(arm.chain.joint_names)
    ]
    return scores, Trace(t, tau, ours, least, np.concatenate(inside), q, dq, ddq, friction)


def _report(
    arm: Arm,
    data: _Data,
    lag: float,
    condition: float,
    blocks: Sequence[Block],
    table: dict[str, list[float]],
    model: Model,
    scores: list[Score],
    trace: Trace | None,
    residual: Residual,
) -> dict[str, Any]:
    base = find_base(arm.chain)
    size = np.maximum(np.abs(model.fit.beta), 1e-12)
    load = np.mean([np.abs(block.Y @ model.beta).mean(axis=0) for block in blocks], axis=0)
    report: dict[str, Any] = {
        "arm": arm.name,
        "logs": [asdict(recording) for recording in data.recordings],
        "doubts": data.doubts,
        "torque_lag_s": lag,
        "condition": condition,
        "friction": {
            name: {"family": model.families[j], "cross_validated_mse": {key: row[j] for key, row in table.items()}}
            for j, name in enumerate(arm.chain.joint_names)
        },
        "base_parameters": [
            {"name": name, "value": float(b), "consistent": float(c), "relative_standard_error": float(e)}
            for name, b, c, e in zip(
                base.names(arm.chain), model.fit.beta, model.beta, model.errors / size, strict=True
            )
        ],
        "residual": {"kept": residual.kept, "gain": residual.gain},
        "typical_load": load.tolist(),
        "motor_constants": None if data.motor is None else data.motor.tolist(),
        "false_alarms_per_hour": FALSE_ALARMS_PER_HOUR,
    }
    if trace is not None:
        report["held_out"] = {
            "joints": [asdict(score) for score in scores],
            "mean_nmse": float(np.mean([score.nmse for score in scores])),
            "mean_nmse_least_squares": float(np.mean([score.nmse_least_squares for score in scores])),
            "mean_nmse_published": float(np.mean([score.nmse_published for score in scores])),
            "coverage": float(np.mean([score.coverage for score in scores])),
            "outside_range": float(1.0 - trace.inside.mean()),
        }
    return report
