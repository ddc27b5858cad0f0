"""Identification judged on planted arms, where the truth is known: parameters, friction, families, contacts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.arm.limits import TAU
from robostral.kinematics.regressor import parameters
from robostral_policies.identify.align import align
from robostral_policies.identify.base import find_base
from robostral_policies.identify.fit import make_blocks
from robostral_policies.identify.log import Log
from robostral_policies.identify.pipeline import Identification, identify
from robostral_policies.identify.planted import (
    RECORDERS,
    Recorder,
    Truth,
    exciting_motion,
    plant,
    point_to_point,
    record,
)
from robostral_policies.identify.prepare import prepare

CERTAIN = 0.01
"""Parameters whose relative standard error is below this are judged."""
BIG_NM, WRIST_NM = 20.0, 5.0
"""Torque steps on joints whose limit is above `BIG_LIMIT`, and on the others [N·m]."""
BIG_LIMIT = 60.0
WITHIN_S = 0.1
APART_S = 1.0
"""Alarms closer to each other than this count once."""

Note = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Planted:
    """A planted arm, how it is recorded, and what was identified of it."""

    truth: Truth
    recorder: Recorder
    found: Identification
    test: Log


def recorder_of(arm: Arm) -> Recorder:
    """Return how logs of such an arm are taken: seven joints as Franka's, else as UR's."""
    return RECORDERS["franka" if arm.chain.n == 7 else "ur"]


def planted_logs(
    arm: Arm, seed: int, runs: int, seconds: float, steps: int
) -> tuple[Truth, Recorder, list[Log], Log, tuple[FloatArray, ...]]:
    """Plant an arm, and record exciting runs of it and point-to-point motion to test on.

    Returns:
        Truth, recorder, exciting logs, the point-to-point log and its true motion.
    """
    truth, recorder = plant(arm, seed), recorder_of(arm)
    motions = [exciting_motion(arm, seconds, 10 * seed + k, steps) for k in range(runs)]
    logs = [record(truth, recorder, m, 10 * seed + k, f"planted-{k}")[0] for k, m in enumerate(motions)]
    other = point_to_point(arm, 1.5 * seconds, seed)
    return truth, recorder, logs, record(truth, recorder, other, 10 * seed + 9, "point-to-point")[0], other


def judge(
    arm: Arm, seed: int, *, runs: int = 3, seconds: float = 20.0, steps: int = 30, note: Note = lambda text: None
) -> tuple[dict[str, Any], Planted]:
    """Plant an arm, identify it from exciting runs, and compare with the truth.

    Args:
        arm: The arm to start from.
        seed: Of the planted figures, motions and noise.
        runs: Exciting runs.
        seconds: Length of each [s].
        steps: Steps of the search for each exciting motion.
        note: Told what is going on.
    """
    truth, recorder, logs, test, motion = planted_logs(arm, seed, runs, seconds, steps)
    found = identify(arm, logs, [test], seed=seed, note=note)
    held_out = found.report["held_out"]
    base = find_base(arm.chain)
    true = base.combine @ np.concatenate([parameters(truth.arm.chain), truth.rotor])
    certain = found.model.errors / np.maximum(np.abs(found.model.fit.beta), 1e-12) < CERTAIN
    off = np.abs(found.model.beta / true - 1.0)
    errors = friction_errors(arm, truth, found, motion)
    joints = [
        {
            "joint": score.joint,
            "planted": kind,
            "found": score.family,
            "nmse": score.nmse,
            "nmse_least_squares": score.nmse_least_squares,
            "noise_floor": score.noise_floor,
            "coverage": score.coverage,
            "friction_error": float(error),
        }
        for score, kind, error in zip(found.scores, truth.kinds, errors, strict=True)
    ]
    alike = record(truth, recorder, exciting_motion(arm, seconds, 10 * seed + 8, steps), 10 * seed + 8, "alike")[0]
    figures = {
        "arm": arm.name,
        "seed": seed,
        "joints": joints,
        "ratio_to_least_squares": held_out["mean_nmse"] / held_out["mean_nmse_least_squares"],
        "worst_nmse": max(score.nmse for score in found.scores),
        "coverage_in_distribution": coverage(arm, found, alike),
        "coverage_point_to_point": held_out["coverage"],
        "outside_range": held_out["outside_range"],
        "families_right": float(np.mean([joint["planted"] == joint["found"] for joint in joints])),
        "friction_error": float(errors.max()),
        "certain_parameters": int(certain.sum()),
        "worst_certain_parameter": float(off[certain].max(initial=0.0)),
        "torque_lag_s": found.report["torque_lag_s"],
        "residual_kept": found.report["residual"]["kept"],
    }
    return figures, Planted(truth, recorder, found, test)


def friction_errors(arm: Arm, truth: Truth, found: Identification, motion: tuple[FloatArray, ...]) -> FloatArray:
    """Compare friction along a true motion, noise left out: rms error over rms, shape (n,)."""
    quiet, friction = record(truth, Recorder(250.0, 0.0, 0.0, 0.0), motion, 0, "quiet")
    (even, *_), _ = prepare(quiet, arm)
    (block,), _ = make_blocks(arm, [even], 1)
    true = np.stack([np.interp(even.t, quiet.t, column) for column in friction.T], axis=1)
    error = found.model.friction(block) - true
    result: FloatArray = np.sqrt((error**2).mean(axis=0) / (true**2).mean(axis=0))
    return result


def coverage(arm: Arm, found: Identification, log: Log) -> float:
    """Return the share of a log's torques inside the 90 % interval."""
    lag, share = found.report["torque_lag_s"], []
    for motion in prepare(log, arm)[0]:
        (block,), _ = make_blocks(arm, [align(motion, lag)], 1)
        error = (block.motion.tau - found.model.predict(block))[block.keep]
        share.append(float((np.abs(error) <= np.array(found.found.parameters.interval)).mean()))
    return float(np.mean(share))


def judge_contact(planted: Planted, arm: Arm, *, minutes: float, steps: int, seed: int) -> dict[str, Any]:
    """Count false alarms in free motion, and torque steps that are seen in time, moving and at rest.

    The planted arm holds its motion whatever is pushed, so that a push is seen in the motors' torques only.

    Args:
        planted: The planted arm and what was identified of it.
        arm: The arm as published: which motions are free.
        minutes: Free motion, half of it exciting and half from point to point.
        steps: Torque steps of each kind.
        seed: Of motion, noise and pushes.
    """
    rng = np.random.default_rng([seed, 17])
    alarms, seconds = 0, 0.0
    pieces: list[Log] = []
    while seconds < 60.0 * minutes:
        k = len(pieces)
        move = point_to_point(arm, 120.0, 1000 + seed + k) if k % 2 else _many(arm, 1000 + seed + k)
        log = record(planted.truth, planted.recorder, move, 2000 + seed + k, "free")[0]
        touched = planted.found.found.external(_dt(log), log.q, log.dq, log.tau)[1]
        alarms += _count(np.flatnonzero(touched >= 0.0) * _dt(log))
        seconds += float(log.t[-1])
        pieces.append(log)
    still = record(planted.truth, planted.recorder, _still(arm, 20.0), 3000 + seed, "still")[0]
    seen = {}
    for what, logs in (("moving", pieces), ("at_rest", [still])):
        delays = [_push(planted, logs[int(rng.integers(len(logs)))], rng, joint) for joint in _joints(arm, steps)]
        found = np.array(delays)
        inside = found[np.isfinite(found)]
        seen[what] = {
            "n": len(found),
            "seen": float((found <= WITHIN_S).mean()),
            "median_ms": float(1e3 * np.median(inside)) if len(inside) else None,
        }
    return {
        "free_minutes": seconds / 60.0,
        "false_alarms": alarms,
        "false_alarms_per_10_min": alarms / seconds * 600.0,
        "threshold": list(planted.found.found.parameters.contact),
        "steps": seen,
    }


def _many(arm: Arm, seed: int) -> tuple[FloatArray, ...]:
    """Repeat one exciting motion three times, each followed by itself: it ends where and as it begins."""
    t, q, dq, ddq = exciting_motion(arm, 20.0, seed, steps=0)
    return np.arange(3 * len(t)) / 1000.0, *(np.tile(x, (3, 1)) for x in (q, dq, ddq))


def _still(arm: Arm, seconds: float) -> tuple[FloatArray, ...]:
    t = np.arange(0.0, seconds, 1e-3)
    zero = np.zeros((len(t), arm.chain.n))
    return t, zero + arm.home, zero, zero


def _joints(arm: Arm, steps: int) -> Sequence[int]:
    return [k % arm.chain.n for k in range(steps)]


def _push(planted: Planted, log: Log, rng: np.random.Generator, joint: int) -> float:
    """Push one joint with a step of torque at a random moment; return the delay until it is seen [s], or infinity."""
    dt = _dt(log)
    size = BIG_NM if planted.truth.arm.limits.array[TAU, joint] > BIG_LIMIT else WRIST_NM
    before, after = round(2.0 / dt), round(0.5 / dt)
    at = int(rng.integers(before, len(log.t) - after))
    rows = slice(at - before, at + after)
    tau = log.tau[rows].copy()
    tau[before:, joint] -= size * rng.choice([-1.0, 1.0])
    touched = planted.found.found.external(dt, log.q[rows], log.dq[rows], tau)[1]
    seen = np.flatnonzero(touched[before:] >= 0.0)
    return float(seen[0] * dt) if len(seen) else np.inf


def _count(times: NDArray[np.floating[Any]]) -> int:
    return int((np.diff(times, prepend=-np.inf) > APART_S).sum())


def _dt(log: Log) -> float:
    return float(np.median(np.diff(log.t)))
