"""An exciting motion for identification: inside every limit, clear of itself and the floor, well conditioned.

A random search, seeded: many starts, then small steps from the best; the cost is cheap and has many valleys.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.arm.limits import DDDQ, DDQ, DQ, Q_MAX, Q_MIN
from robostral.errors import RobostralError
from robostral.guard import Guard, Reason
from robostral.kinematics.distance import Distances, plane
from robostral.kinematics.fk import tcp
from robostral.oracle import count_violations
from robostral_policies.identify.base import base_regressor, condition
from robostral_policies.identify.fourier import HARMONICS, Fourier, at_rest

SHARE = 0.8
"""Share of the velocity, acceleration and jerk limits that the motion uses."""
REACH = 2.0
"""Greatest way from the middle [rad], where the limits allow more."""
MARGIN_RAD = 0.1
CLEAR_M = 0.02
"""Distance to keep from itself and from the floor."""
POINTS = 120
STARTS = 40


class NoMotion(RobostralError):
    """No motion was found inside the limits."""


@dataclass(frozen=True)
class Excitation:
    """A motion and how good it is.

    Attributes:
        motion: The series.
        condition: Condition number of the base regressor along it, columns scaled.
        first: That of the first motion that was feasible.
    """

    motion: Fourier
    condition: float
    first: float


def design(
    arm: Arm,
    *,
    seconds: float = 20.0,
    floor: float | None = None,
    steps: int = 300,
    seed: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> Excitation:
    """Design a motion around the arm's home.

    Args:
        arm: The arm.
        seconds: Its length.
        floor: Height in `base` that no part of the arm goes below [m]; None for no floor.
        steps: Steps of the search after the random starts.
        seed: Everything random follows from it.
        tick: Called after each step.

    Raises:
        NoMotion: No motion keeps clear of the arm itself and of the floor.
    """
    rng = np.random.default_rng(seed)
    space = _Space(arm, seconds, floor)
    tried = [space.make(rng.normal(size=(2, arm.chain.n, HARMONICS)) * _slope()) for _ in range(STARTS)]
    scored = [(space.cost(motion), motion) for motion in tried if motion is not None]
    if not scored:
        raise NoMotion(f"no motion of '{arm.name}' around its home is clear of itself and a floor at {floor} m")
    first = scored[0][0]
    best, motion = min(scored, key=lambda pair: pair[0])
    for k in range(steps):
        size = 0.3 * 0.1 ** (k / steps)
        weights = np.stack([motion.a, motion.b])
        step = size * np.abs(weights).max() * rng.normal(size=weights.shape) * _slope()
        other = space.make(weights + step * (rng.random((1, arm.chain.n, 1)) < 0.4))
        if other is not None and (cost := space.cost(other)) < best:
            best, motion = cost, other
        tick()
    return Excitation(motion, best, first)


def _slope() -> FloatArray:
    return 1.0 / np.arange(1, HARMONICS + 1)


class _Space:
    """The motions of one arm that keep its limits."""

    def __init__(self, arm: Arm, seconds: float, floor: float | None) -> None:
        self.arm, self.seconds = arm, seconds
        self.t = np.linspace(0.0, seconds, POINTS, endpoint=False)
        self.fine = np.linspace(0.0, seconds, 10 * POINTS)
        self.distances = Distances(arm, [] if floor is None else [plane((0.0, 0.0, 1.0), floor)])
        # What the floor or its own capsules touch at home (a shoulder on its base) is not the motion's doing.
        self.watched = self.distances.compute(arm.home).copy() > CLEAR_M

    def make(self, weights: FloatArray) -> Fourier | None:
        """Scale weights (2, n, harmonics) into the limits; None if the arm would touch itself or the floor."""
        motion = at_rest(self.seconds, self.arm.home, weights[0], weights[1])
        motion = self._scale(motion, np.ones(self.arm.chain.n))
        for _ in range(4):
            if self.clear(motion):
                return motion
            motion = self._scale(motion, np.full(self.arm.chain.n, 0.7))
        return None

    def _scale(self, motion: Fourier, most: FloatArray) -> Fourier:
        limits, home = self.arm.limits.array, self.arm.home
        q, dq, ddq, dddq = motion.at(self.fine)
        up = np.minimum(limits[Q_MAX] - home - MARGIN_RAD, REACH)
        down = np.minimum(home - limits[Q_MIN] - MARGIN_RAD, REACH)
        shares = [(q - home).max(0) / up, (home - q).max(0) / down]
        shares += [np.abs(x).max(0) / (SHARE * limits[row]) for x, row in ((dq, DQ), (ddq, DDQ), (dddq, DDDQ))]
        scale = np.minimum(most, 1.0 / np.maximum(np.max(shares, axis=0), 1e-9))
        found = Fourier(motion.period, motion.middle, motion.a * scale[:, None], motion.b * scale[:, None])
        p = tcp(self.arm.chain, found.at(self.fine)[0])[:, :3, 3]
        speed = np.linalg.norm(np.diff(p, axis=0), axis=1).max() / (self.fine[1] - self.fine[0])
        slow = min(1.0, SHARE * self.arm.limits.tcp_speed / speed)
        return Fourier(found.period, found.middle, found.a * slow, found.b * slow)

    def clear(self, motion: Fourier) -> bool:
        """Tell whether the arm keeps clear of itself and of the floor."""
        q = motion.at(self.t)[0]
        return all((self.distances.compute(row)[self.watched] > CLEAR_M).all() for row in q)

    def cost(self, motion: Fourier) -> float:
        """Return the condition number of the base regressor."""
        q, dq, ddq, _ = motion.at(self.t)
        return condition(base_regressor(self.arm.chain, q, dq, ddq))


def judge(arm: Arm, motion: Fourier, rate_hz: float) -> tuple[int, int]:
    """Run a motion through the guard, and its commands past the oracle.

    Returns:
        Ticks that the guard changed or refused, and values beyond a limit.
    """
    t = np.arange(0.0, motion.period, 1.0 / rate_hz)
    q = motion.at(t)[0]
    guard = Guard(arm.chain, arm.limits, 1.0 / rate_hz)
    guard.reset(q[0])
    changed = sum(guard.step(row) != Reason.PASSED for row in np.ascontiguousarray(q[1:]))
    found = count_violations(q, 1.0 / rate_hz, arm.limits.array)
    return changed, sum(finding["violations"] for finding in found.values())
