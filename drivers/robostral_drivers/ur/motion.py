"""The controller's set-point generator: servoj, speedj, movej, movel and stops, one period at a time.

Note:
    UR publishes the commands (URScript manual) but not the law behind them. Ours, as simple as it can be said:
    servoj accelerates by `gain * (q_d - q - lookahead * dq)`, so it trails a steady motion by exactly `lookahead`;
    moves run a trapezoid of speed along the path, all joints together, from rest to rest, without blends; a movel
    counts 1 rad of turn like 1 m of way. What the joints then really do is the business of the World behind the twin.
"""

import math
from collections.abc import Callable, Generator, Sequence

import numpy as np

from robostral.arm.limits import DQ, Q_MAX, Q_MIN
from robostral_drivers.ur.geometry import FloatArray, Geometry, matrix, pose_of

Moves = Generator[None, None, None]
"""A motion on its way: each step is one period."""
DT = 0.002
"""Period of an e-Series controller [s]."""
SAFETY_STOP = 10.0
"""Deceleration of protective and emergency stops and of a program that ends [rad/s²]; ours, UR gives stopping times."""
JUMP = 5.0
"""A servoj set-point that implies more than this many times a joint's greatest speed stops the arm; ours."""
_TOLERANCE = 1.0 + 1e-3


class Motion:
    """Where the controller wants the joints, and how fast they get there.

    Attributes:
        q, dq: Set-point [rad] and its velocity [rad/s], shape (n,).
        driven: Whether a command moved or held the set-point in this period.
    """

    def __init__(self, geometry: Geometry) -> None:
        limits = geometry.arm.limits.array
        self._low, self._high, self._speed = limits[Q_MIN], limits[Q_MAX], limits[DQ]
        self._names = geometry.chain.joint_names
        self.geometry = geometry
        self.q: FloatArray = np.array(geometry.arm.home)
        self.dq: FloatArray = np.zeros_like(self.q)
        self.driven = False

    @property
    def at_rest(self) -> bool:
        """Whether the set-point stands still."""
        return not self.dq.any()

    def place(self, q: FloatArray) -> None:
        """Put the set-point at rest at q [rad], shape (n,)."""
        self.q[:], self.dq[:], self.driven = q, 0.0, True

    def lead(self, q: FloatArray) -> None:
        """Move the set-point to q [rad], shape (n,), within this period."""
        self.dq[:] = (q - self.q) / DT
        self.q[:], self.driven = q, True

    def servo(self, q_d: FloatArray, lookahead_s: float, gain: float) -> None:
        """Follow q_d [rad], shape (n,), for one period."""
        self.dq += gain * (q_d - self.q - lookahead_s * self.dq) * DT
        self.q += self.dq * DT
        self.driven = True

    def speed(self, dq_d: FloatArray, ddq: float) -> None:
        """Approach the velocity dq_d [rad/s], shape (n,), at no more than ddq [rad/s²] on the fastest joint."""
        change = dq_d - self.dq
        greatest = np.abs(change).max()
        self.dq += change * min(1.0, ddq * DT / greatest) if greatest > 0.0 else 0.0
        if greatest <= ddq * DT:
            self.dq[:] = dq_d  # exactly, so that a stop ends
        self.q += self.dq * DT
        self.driven = True

    def brake(self, ddq: float) -> None:
        """Slow all joints together along the present direction for one period."""
        if not self.at_rest:
            self.speed(np.zeros_like(self.dq), ddq)
        self.driven = True

    def jump(self, q_d: FloatArray, previous: FloatArray, elapsed_s: float) -> str | None:
        """Say why a controller would refuse to follow a step of the set-point, or None."""
        over = np.abs(q_d - previous) / max(elapsed_s, DT) > JUMP * self._speed
        if not over.any():
            return None
        i = int(over.argmax())
        return f"sudden change of target position: {self._names[i]} by {q_d[i] - previous[i]:+.3f} rad in one step"

    def violation(self) -> str | None:
        """Say which joint's set-point is outside its range or too fast, or None."""
        over = np.abs(self.dq) > self._speed * _TOLERANCE
        if over.any():
            i = int(over.argmax())
            return f"{self._names[i]} at {self.dq[i]:+.2f} rad/s exceeds {self._speed[i]:.2f} rad/s"
        # On the way out only: a joint that a stop has carried outside must be able to come back.
        outside = ((self.q < self._low) & (self.dq < 0.0)) | ((self.q > self._high) & (self.dq > 0.0))
        if outside.any():
            i = int(outside.argmax())
            return f"{self._names[i]} at {self.q[i]:+.3f} rad leaves [{self._low[i]:.3f}, {self._high[i]:.3f}]"
        return None

    def reachable(self, q: FloatArray) -> bool:
        """Whether q [rad], shape (n,), lies inside the joints' ranges."""
        return bool(((q >= self._low) & (q <= self._high)).all())


def trapezoid(length: float, speed: float, acceleration: float) -> tuple[float, Callable[[float], float]]:
    """Return the duration [s] and the share of the way done after t [s], from rest to rest."""
    speed = min(speed, math.sqrt(length * acceleration))
    ramp = speed / acceleration
    duration = length / speed + ramp

    def done(t: float) -> float:
        if t >= duration:
            return 1.0
        if t < ramp:
            return 0.5 * acceleration * t * t / length
        if t > duration - ramp:
            return 1.0 - 0.5 * acceleration * (duration - t) ** 2 / length
        return speed * (t - 0.5 * ramp) / length

    return duration, done


def movej(motion: Motion, q_goal: FloatArray, v: float, a: float, scale: Callable[[], float]) -> Moves:
    """Move all joints to q_goal [rad], shape (n,); v [rad/s] and a [rad/s²] of the one that goes furthest."""
    yield from stop(motion, a)
    start = motion.q.copy()
    way = q_goal - start
    yield from _travel(motion, float(np.abs(way).max()), v, a, scale, lambda s: start + s * way)


def movel(motion: Motion, goal: Sequence[float], v: float, a: float, scale: Callable[[], float]) -> Moves:
    """Move the tcp on a line to a UR pose at v [m/s] and a [m/s²].

    Raises:
        Unreachable: A pose on the way cannot be reached.
    """
    geometry = motion.geometry
    yield from stop(motion, SAFETY_STOP)
    start, end = matrix(geometry.tcp(motion.q)), matrix(goal)
    way = end[:3, 3] - start[:3, 3]
    turn = np.array(pose_of(np.linalg.inv(start) @ end)[3:])

    def at(s: float) -> FloatArray:
        T = matrix([0.0, 0.0, 0.0, *(s * turn)])
        T[:3, :3] = start[:3, :3] @ T[:3, :3]
        T[:3, 3] = start[:3, 3] + s * way
        return geometry.inverse(pose_of(T), motion.q)

    yield from _travel(motion, max(float(np.linalg.norm(way)), float(np.linalg.norm(turn))), v, a, scale, at)


def stop(motion: Motion, ddq: float) -> Moves:
    """Bring the set-point to rest at ddq [rad/s²]."""
    while not motion.at_rest:
        motion.brake(ddq)
        yield


def stopl(motion: Motion, a: float) -> Moves:
    """Bring the tcp to rest at a [m/s²], and no joint harder than a safety stop would."""
    geometry = motion.geometry
    tcp_speed = float(np.linalg.norm(geometry.twist(motion.q, motion.dq)[:3]))
    fastest = float(np.abs(motion.dq).max())
    share = a / tcp_speed if tcp_speed > 1e-6 else math.inf
    yield from stop(motion, min(SAFETY_STOP, max(fastest * share, DT)))


def _travel(
    motion: Motion,
    length: float,
    v: float,
    a: float,
    scale: Callable[[], float],
    at: Callable[[float], FloatArray],
) -> Moves:
    if length < 1e-9 or v <= 0.0 or a <= 0.0:
        return
    duration, done = trapezoid(length, v, a)
    t = 0.0
    while t < duration:
        t += DT * scale()
        motion.lead(at(done(t)))
        yield
    motion.place(motion.q)
