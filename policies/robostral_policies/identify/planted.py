"""Planted logs: arms whose inertias and friction are known, recorded as real ones are; the truth to find again.

Nothing here uses the features that identification fits: signs are sharper, speeds and radii lie between the fixed ones,
and the noise, the rates and the torque filter are those of the logs that were seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from scipy.signal import butter, sosfilt

from robostral.arm import Arm
from robostral.arm.arm import build_arm
from robostral.arm.chain import FloatArray
from robostral.arm.limits import DDQ, DQ, Q_MAX, Q_MIN, TAU
from robostral.arm.table import Table
from robostral.jit import allocating
from robostral.kinematics.distance import Distances
from robostral.kinematics.rnea import rnea
from robostral_policies.identify.excite import CLEAR_M, design
from robostral_policies.identify.log import Log

FINE_HZ = 1000.0
_RADII = (0.0006, 0.002, 0.006, 0.018, 0.05)
_SHARES = (0.3, 0.25, 0.2, 0.15, 0.1)
KINDS = ("stribeck", "load", "maxwell")
"""Friction of the planted joints, in turn; every one has viscous and Coulomb friction too."""


@dataclass(frozen=True)
class Recorder:
    """How a log is taken: rate, noise of position, velocity [rad, rad/s] and of torque as a share of its limit."""

    rate_hz: float
    q: float
    dq: float
    tau: float
    torque_filter_hz: float | None = None


RECORDERS = {
    "ur": Recorder(125.0, 2e-5, 1e-3, 1e-3, 40.0),
    "franka": Recorder(100.0, 1e-5, 1e-3, 2e-3),
}
"""As the logs of the two vendors' arms: a filtered current at 125 Hz, a raw link-side torque at the rate of a bag."""


@dataclass(frozen=True, eq=False)
class Truth:
    """A planted arm.

    Attributes:
        arm: With the planted inertias.
        rotor: Planted rotor inertias [kg·m²], shape (n,).
        kinds: Friction of each joint.
        size: Coulomb torque of each joint [N·m], shape (n,).
    """

    arm: Arm
    rotor: FloatArray
    kinds: tuple[str, ...]
    size: FloatArray

    def torque(self, t: FloatArray, q: FloatArray, dq: FloatArray, ddq: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compute motor torques and the friction in them [N·m], shape (m, n), along finely sampled motion."""
        rigid = rnea(self.arm.chain, q, dq, ddq) + self.rotor * ddq
        friction = np.stack(
            [_friction(kind, size, q[:, j], dq[:, j], np.abs(rigid[:, j]))
             for j, (kind, size) in enumerate(zip(self.kinds, self.size, strict=True))],
            axis=1,
        )  # fmt: skip
        return rigid + friction, friction


def _friction(kind: str, size: float, q: FloatArray, dq: FloatArray, load: FloatArray) -> FloatArray:
    sign = np.tanh(dq / 0.005)
    viscous = 0.6 * size * dq
    if kind == "stribeck":
        return size * sign * (1.0 + 0.8 * np.exp(-((np.abs(dq) / 0.17) ** 2))) + viscous
    if kind == "load":
        return sign * (size + 0.12 * load) + viscous
    if kind == "maxwell":
        return 1.3 * size * _stops(q) + viscous
    return size * sign + viscous


def _stops(q: FloatArray) -> FloatArray:
    out = np.empty(len(q))
    _stop_kernel(np.ascontiguousarray(q), np.array(_RADII), np.array(_SHARES), out)
    return out


@allocating
def _stop_kernel(q: FloatArray, radii: FloatArray, shares: FloatArray, out: FloatArray) -> None:
    z = np.zeros(radii.shape[0])
    for k in range(q.shape[0]):
        step = q[k] - q[k - 1] if k > 0 else 0.0
        out[k] = 0.0
        for i in range(radii.shape[0]):
            z[i] = min(max(z[i] + step, -radii[i]), radii[i])
            out[k] += shares[i] * z[i] / radii[i]


def plant(published: Arm, seed: int, kinds: Sequence[str] = KINDS) -> Truth:
    """Make an arm that differs from the published one as arms do: each link by some 15 %, friction and rotors ours.

    Args:
        published: The arm to start from.
        seed: Everything random follows from it.
        kinds: Friction kinds, given to the joints in turn from joint `seed` on.
    """
    rng = np.random.default_rng([seed, 7])
    n = published.chain.n
    joints = []
    for joint in published.table.joints:
        link, grow = joint.link, float(rng.uniform(0.85, 1.2))
        com = tuple(float(c + rng.normal(0.0, 0.006)) for c in link.com)
        inertia = tuple(float(value * grow) for value in link.inertia)
        link = msgspec.structs.replace(link, mass=link.mass * grow, com=com, inertia=inertia)
        joints.append(msgspec.structs.replace(joint, link=link))
    table: Table = msgspec.structs.replace(published.table, joints=tuple(joints), name=f"{published.name}-planted")
    size = 0.04 * published.limits.array[TAU] * rng.uniform(0.8, 1.2, n)
    rotor = 0.004 * published.limits.array[TAU] * rng.uniform(0.5, 1.0, n)
    return Truth(build_arm(table), rotor, tuple(kinds[(j + seed) % len(kinds)] for j in range(n)), size)


def record(
    truth: Truth, recorder: Recorder, motion: tuple[FloatArray, ...], seed: int, name: str
) -> tuple[Log, FloatArray]:
    """Record a motion of a planted arm.

    Args:
        truth: The arm.
        recorder: How its log is taken.
        motion: Time, position, velocity and acceleration at `FINE_HZ`.
        seed: Of the noise.
        name: Name of the log.

    Returns:
        The log, and the true friction at its samples [N·m], shape (m, n).
    """
    t, q, dq, ddq = motion
    rng = np.random.default_rng([seed, 11])
    tau, friction = truth.torque(t, q, dq, ddq)
    if recorder.torque_filter_hz is not None:
        sos = butter(1, recorder.torque_filter_hz, fs=FINE_HZ, output="sos")
        tau = sosfilt(sos, tau - tau[0], axis=0) + tau[0]
    at = np.unique(np.round(np.arange(0.0, t[-1], 1.0 / recorder.rate_hz) * FINE_HZ).astype(np.int64))
    limit = truth.arm.limits.array[TAU]
    log = Log(
        name,
        t[at],
        q[at] + recorder.q * rng.normal(size=(len(at), q.shape[1])),
        dq[at] + recorder.dq * rng.normal(size=(len(at), q.shape[1])),
        tau[at] + recorder.tau * limit * rng.normal(size=(len(at), q.shape[1])),
    )
    return log, friction[at]


def exciting_motion(arm: Arm, seconds: float, seed: int, steps: int = 40) -> tuple[FloatArray, ...]:
    """Return an exciting motion at `FINE_HZ`: time, position, velocity, acceleration."""
    motion = design(arm, seconds=seconds, steps=steps, seed=seed).motion
    t = np.arange(0.0, seconds, 1.0 / FINE_HZ)
    q, dq, ddq, _ = motion.at(t)
    return t, q, dq, ddq


def point_to_point(arm: Arm, seconds: float, seed: int, rest_s: float = 0.5) -> tuple[FloatArray, ...]:
    """Return quintic moves between random poses with rests, at `FINE_HZ`: time, position, velocity, acceleration."""
    rng = np.random.default_rng([seed, 13])
    limits, distances = arm.limits.array, Distances(arm)
    watched = distances.compute(arm.home).copy() > CLEAR_M
    parts: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    here, total = arm.home, 0.0
    rest = np.zeros((round(rest_s * FINE_HZ), arm.chain.n))
    while total < seconds:
        goal = np.clip(arm.home + rng.uniform(-1.2, 1.2, arm.chain.n), limits[Q_MIN] + 0.1, limits[Q_MAX] - 0.1)
        ways = here + np.linspace(0.0, 1.0, 12)[:, None] * (goal - here)
        if not all((distances.compute(row)[watched] > CLEAR_M).all() for row in ways):
            continue
        way, speed = np.abs(goal - here), rng.uniform(0.15, 0.7)
        duration = max((1.875 * way / limits[DQ]).max() / speed, np.sqrt(5.78 * way / limits[DDQ]).max() / speed)
        s = np.arange(0.0, duration, 1.0 / FINE_HZ)[:, None] / duration
        step = goal - here
        parts.append((here + step * s**3 * (10 - 15 * s + 6 * s**2),
                      step * 30 * s**2 * (1 - s) ** 2 / duration,
                      step * 60 * s * (1 - s) * (1 - 2 * s) / duration**2))  # fmt: skip
        parts.append((rest + goal, rest, rest))
        here, total = goal, total + duration + rest_s
    q, dq, ddq = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return np.arange(len(q)) / FINE_HZ, q, dq, ddq
