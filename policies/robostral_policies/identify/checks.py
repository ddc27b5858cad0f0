"""Does the log mean what its columns say? Velocity and gravity tell wrong units, wrong signs and swapped joints."""

from itertools import combinations

import numpy as np

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.arm.limits import DQ, Q_MAX, Q_MIN, TAU
from robostral.kinematics.rnea import rnea
from robostral_policies.identify.log import Log, LogRefused
from robostral_policies.identify.prepare import Motion

ROWS = 400
"""Rows that are looked at, evenly spread."""
SWAP_GAIN = 0.5
"""Torques whose unexplained share falls below this times itself when two joints change places: they were swapped."""
STILL_RAD = 0.05
IN_DEGREES = 4.0
"""Times a position limit: no other joint's motion in rad reaches that far, motion in degrees does."""
DEGREE = 180.0 / np.pi


def check_units(log: Log, arm: Arm) -> list[str]:
    """Compare positions with the limits, and velocities with what positions derive to.

    Returns:
        Doubts that do not keep the log from being used.

    Raises:
        LogRefused: Degrees, another unit, or velocities of another joint; names joint and remedy.
    """
    limits, names = arm.limits.array, arm.chain.joint_names
    reach = np.abs(log.q).max(axis=0) / np.abs(limits[[Q_MIN, Q_MAX]]).max(axis=0)
    slope = _slopes(log)
    worst = int(np.argmax(reach))
    if reach[worst] > 1.05:
        if reach[worst] > IN_DEGREES and (reach / DEGREE <= 1.05).all():
            raise LogRefused(f"{log.name}: positions look like degrees (joint '{names[worst]}' reaches"
                             f" {np.abs(log.q[:, worst]).max():.4g}): write rad and rad/s")  # fmt: skip
        raise LogRefused(f"{log.name}: joint '{names[worst]}' leaves its limits [{limits[Q_MIN, worst]:.4g},"
                         f" {limits[Q_MAX, worst]:.4g}] rad: is --arm right, and the order of the joints?")  # fmt: skip
    own = np.abs(np.diag(slope))
    moving = np.ptp(log.q, axis=0) > STILL_RAD
    for i in np.flatnonzero(moving):
        other = int(np.argmax(np.abs(slope[i])))
        if other != i and abs(slope[i, other]) > 0.9 and own[i] < 0.6:
            raise LogRefused(f"{log.name}: velocity column {i + 1} ('{names[i]}') is the derivative of position column"
                             f" {other + 1} ('{names[other]}'): joints are swapped")  # fmt: skip
    return _check_scale(log, arm, moving)


def _check_scale(log: Log, arm: Arm, moving: FloatArray) -> list[str]:
    doubts = []
    rate = np.gradient(log.q, log.t, axis=0)
    for i in np.flatnonzero(moving):
        name = arm.chain.joint_names[i]
        a, b = rate[:, i], log.dq[:, i]
        scale = float(a @ b / (a @ a)) if (a @ a) > 0 else 1.0
        if abs(scale - DEGREE) < 0.2 * DEGREE:
            raise LogRefused(f"{log.name}: velocity of joint '{name}' looks like deg/s: write rad/s")
        if abs(scale * DEGREE - 1.0) < 0.2:
            raise LogRefused(f"{log.name}: position of joint '{name}' looks like degrees, its velocity like rad/s")
        if not 0.5 < scale < 2.0:
            raise LogRefused(f"{log.name}: velocity of joint '{name}' is {scale:.3g} times the rate of its position:"
                             " wrong unit, sign, clock or column")  # fmt: skip
        if abs(scale - 1.0) > 0.1:
            doubts.append(f"velocity of '{name}' is {scale:.3f} times the rate of its position")
        if np.abs(log.dq[:, i]).max() > 1.1 * arm.limits.array[DQ, i]:
            doubts.append(f"'{name}' moves faster than its limit of {arm.limits.array[DQ, i]:.3g} rad/s")
    return doubts


def _slopes(log: Log) -> FloatArray:
    """Correlate each velocity column with the rate of each position column, shape (n, n)."""
    rate = np.gradient(log.q, log.t, axis=0)
    a, b = rate - rate.mean(0), log.dq - log.dq.mean(0)
    scale = np.outer(np.linalg.norm(b, axis=0), np.linalg.norm(a, axis=0))
    found: FloatArray = (b.T @ a) / np.maximum(scale, 1e-12)
    return found


def check_torques(motions: list[Motion], arm: Arm, label: str) -> list[str]:
    """Compare torques with what the published inertias ask for, gravity above all.

    Raises:
        LogRefused: Torques of swapped joints, or of the opposite sign; names them.
    """
    rows = _rows(motions)
    q, dq, ddq, tau = (np.concatenate([getattr(m, name) for m in motions])[rows] for name in ("q", "dq", "ddq", "tau"))
    names = arm.chain.joint_names
    left = _unexplained(rnea(arm.chain, q, dq, ddq), dq, tau)
    as_is = left.copy()
    for i, j in combinations(range(arm.chain.n), 2):
        order = np.arange(arm.chain.n)
        order[[i, j]] = j, i
        for what, model, speed, torque in (
            ("torque columns", rnea(arm.chain, q, dq, ddq), dq, tau[:, order]),
            ("columns", rnea(arm.chain, q[:, order], dq[:, order], ddq[:, order]), dq[:, order], tau[:, order]),
        ):
            other = _unexplained(model, speed, torque)
            if other[[i, j]].sum() < SWAP_GAIN * as_is[[i, j]].sum() and other.sum() < 0.75 * as_is.sum():
                raise LogRefused(
                    f"{label}: the {what} of '{names[i]}' and '{names[j]}' are swapped: gravity fits"
                    f" {as_is[[i, j]].sum() / other[[i, j]].sum():.1f} times better the other way round"
                )
    beyond = (np.abs(tau) > 1.05 * arm.limits.array[TAU]).mean(axis=0)
    if beyond.max() > 0.05:
        joint = int(np.argmax(beyond))
        raise LogRefused(
            f"{label}: torque of joint '{names[joint]}' reaches {np.abs(tau[:, joint]).max():.4g}, its limit is"
            f" {arm.limits.array[TAU, joint]:.4g} N·m: another unit? motor currents belong in columns current1..n"
        )
    return _check_slope(arm, q, dq, ddq, tau, label)


def _check_slope(arm: Arm, q: FloatArray, dq: FloatArray, ddq: FloatArray, tau: FloatArray, label: str) -> list[str]:
    model, doubts = rnea(arm.chain, q, dq, ddq), []
    joint = int(np.argmax(model.std(axis=0)))  # the joint that carries most against gravity
    scale = float(np.polyfit(model[:, joint], tau[:, joint], 1)[0])
    name = arm.chain.joint_names[joint]
    if scale < -0.1:
        raise LogRefused(f"{label}: torque of joint '{name}' has the opposite sign of what gravity asks for")
    if not 0.3 < scale < 3.0:
        doubts.append(
            f"torque of '{name}' is {scale:.3g} times what the published inertias ask for: another unit or payload?"
            " motor currents belong in columns current1..n"
        )
    return doubts


def _unexplained(model: FloatArray, dq: FloatArray, tau: FloatArray) -> FloatArray:
    """Return the share of each joint's torque that its model torque and plain friction leave, shape (n,)."""
    left = []
    for j in range(tau.shape[1]):
        A = np.stack([model[:, j], np.tanh(dq[:, j] / 0.02), dq[:, j], np.ones(len(dq))], axis=1)
        fitted = A @ np.linalg.lstsq(A, tau[:, j], rcond=None)[0]
        left.append(((tau[:, j] - fitted) ** 2).mean() / max(float(tau[:, j].var()), 1e-12))
    return np.array(left)


def _rows(motions: list[Motion]) -> FloatArray:
    total = sum(len(motion.t) for motion in motions)
    return np.unique(np.linspace(0, total - 1, ROWS).astype(np.int64))


def check_motion(motions: list[Motion], arm: Arm, label: str) -> None:
    """Refuse logs in which a joint hardly moves.

    Raises:
        LogRefused: Names the joint and what is missing.
    """
    q, dq = (np.concatenate([getattr(m, name) for m in motions]) for name in ("q", "dq"))
    for i, name in enumerate(arm.chain.joint_names):
        if np.ptp(q[:, i]) < STILL_RAD or np.abs(dq[:, i]).max() < 0.02:
            raise LogRefused(
                f"{label}: joint '{name}' moves by {np.ptp(q[:, i]):.3g} rad only, at most at"
                f" {np.abs(dq[:, i]).max():.3g} rad/s: move it both ways through 0.5 rad or more at several speeds"
                f" (`robostral excite --arm {arm.name}` designs such a motion)"
            )
