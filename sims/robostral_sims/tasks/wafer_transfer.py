"""WaferTransfer: bring a wafer from a carrier's slot to another slot or to the aligner pad; it rests on the blade."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.arm.limits import Q_MAX, Q_MIN
from robostral.errors import ConfigError
from robostral.kinematics.fk import tcp_kernel
from robostral.requirements import requirements_of
from robostral_sims.randomize import NOMINAL, Plant, Range, placed, ranges
from robostral_sims.scene import Cylinder, Pose, Scene
from robostral_sims.tasks import Start, Truth, Verdict, answer_rows
from robostral_sims.tasks.contracts import contract_of, joint_action

PITCH_M, SLOTS = 0.010, 25
PLACEMENT_M = 0.0002
"""How far from the goal the middle of the placed wafer may be, in the plane."""
SLIP_M = 0.0002
"""How far the wafer may slip on the blade while it is carried."""
SLIP_LIMIT = 2.7
"""Greatest acceleration of the blade with a wafer [m/s²]: mu g at the least friction that is drawn, 0.28."""

_STICKING = 0.003
"""Relative speed [m/s] that is no slip: engines step along the tangent, so under a wafer that sticks a blade that turns
at 1.5 rad/s seems to go inwards by `radius * rate² * dt`, 1.4 mm/s at 250 Hz. A real slip has 10 mm/s after a step."""

_FIELDS = ("q", "part_error", "part_to_goal")
_DT_S, _HORIZON, _LATENCY_S = 0.04, 3, 0.02
_DELTA = (0.010, 0.06, 0.026)
"""Greatest deltas of lift [m], theta [rad] and reach [m] per policy step."""
_SOFT_M = 0.0015
"""The same of the lift under a wafer in its slot: it is lifted and laid down softly."""
_ACCELERATION = (0.8, 2.0, 1.0)
"""That the expert plans with [m/s², rad/s², m/s²]; the reference filter's own peaks come on top."""
_KICK = (0.0, 0.05, 0.03)
"""Speeds with which a wafer is set in motion [m/s, rad/s, m/s], but for the lift; that of the blade alone is left to
the reference filter, as is the lift's."""
_GAIN = 0.35
"""Share of a small error that a step ends: as much as servo, filter and latency together bear without overshoot."""
_UNDER_M, _OVER_M = 0.004, 0.0035
"""How far the blade goes under a resting wafer, and a carried wafer over its place."""
_RETRACTED_M = 0.155
"""Radius of the tcp at which the blade, also with a wafer, turns freely."""
_FREE_M = 0.175
"""Radius of the tcp up to which a wafer on the blade is in no carrier, and not all need be aligned."""
_MOUTH_M = 0.35
"""Radius at which the carriers begin."""
_BARE_M = _MOUTH_M - 0.115
"""As `_FREE_M`, of a blade without a wafer: its corners turn a centimetre before the carriers."""
_BODIES = ("wafer", "carrier_a", "carrier_b", "slot_from", "slot_to", "pad")
_WALL_M = 0.006
"""Half of the room to the side that a wafer has in a carrier, less 1 mm."""


class WaferTransfer:
    """Carry a wafer of 300 mm from a slot of carrier A to a place: another slot, one of carrier B, or the aligner pad.

    Done when the wafer lies within 0.2 mm of its place (in the plane), the blade has left, nothing came nearer than
    1 mm to a wall or to the neighbouring slots, the wafer slipped on the blade by no more than 0.2 mm, and the blade
    never accelerated beyond 2.7 m/s² with it: mean over a policy step, as commanded and as measured. Which slot, and
    where in it the wafer lies (within 1.5 mm), is drawn.

    Part and goal are reported with z down, as the blade's frame is; the part by sensors at the slots and on the way.

    Args:
        arm: The wafer robot with its blade.
        scene: The cell; its bodies `wafer`, `carrier_a`, `carrier_b`, `slot_from`, `slot_to` and `pad`.

    Raises:
        ConfigError: The arm has other joints than lift, theta and reach, or the cell lacks a body.
    """

    time_limit_s = 12.0
    ranges = ranges(
        "stiffness",
        "feed_forward",
        "friction",
        latency_s=(0.0, _LATENCY_S),
        part_mass=(0.9, 1.1),
        bias_x=Range(
            -5e-5, 5e-5, 0.0, "ours: constant error of the wafer's position [m]; centring sensors hold 0.1 mm"
        ),
        bias_y=Range(-5e-5, 5e-5, 0.0, "ours: as bias_x"),
        noise=Range(0.0, 2e-5, 0.0, "ours: standard deviation of each reading, per axis [m]"),
    )

    def __init__(self, arm: Arm, scene: Scene) -> None:
        kinds = [joint.kind for joint in arm.table.joints]
        if kinds != ["prismatic", "revolute", "prismatic"]:
            raise ConfigError(f"task 'WaferTransfer' needs lift, theta and reach; '{arm.name}' has {kinds}")
        found = {body.name: body for body in scene.bodies}
        if missing := set(_BODIES) - set(found):
            raise ConfigError(f"task 'WaferTransfer' needs the bodies {sorted(missing)} in its cell")
        wafer, pad = found["wafer"], found["pad"]
        if not isinstance(wafer.shape, Cylinder) or not isinstance(pad.shape, Cylinder):
            raise ConfigError("task 'WaferTransfer': wafer and pad are cylinders")
        self._arm, self._scene = arm, scene
        self._poses = {name: found[name].pose for name in _BODIES}
        self._half = wafer.shape.length / 2.0
        self._a, self._b = (np.array(found[name].pose.p) for name in ("carrier_a", "carrier_b"))
        self._pad = _above(found["pad"].pose.p, pad.shape.length / 2.0)
        zero = _tcp_of(arm, np.zeros(3))
        self._radius, self._height = float(zero[0]), float(zero[2])
        self._home = _RETRACTED_M - self._radius - 0.005
        self._place = math.hypot(*self._a[:2])
        self._range = arm.limits.array[Q_MIN] + [0.03, 0.0, 0.0], arm.limits.array[Q_MAX] - [0.005, 0.0, 0.02]
        action = joint_action(arm, _DELTA, _DT_S, _HORIZON)
        self.contract = contract_of("wafer_transfer", arm, _FIELDS, action, _LATENCY_S)
        self.requirements = requirements_of(arm, max_latency_s=_LATENCY_S)

    def start(self, rng: np.random.Generator, plant: Plant = NOMINAL) -> Start:
        """Draw a slot, a place and where the wafer lies in its slot; the blade stands retracted, somewhere."""
        source, other = rng.choice(SLOTS, 2, replace=False)
        carrier = ("pad", "carrier_b", "carrier_a")[rng.integers(3)]
        seat = _above(self._poses["carrier_a"].p, PITCH_M * source)
        to = self._poses["carrier_a" if carrier == "carrier_a" else "carrier_b"]
        slot = _above(to.p, PITCH_M * other)
        place = self._pad if carrier == "pad" else slot
        begin = _above(seat, self._half)
        begin[:2] += rng.uniform(-0.0015, 0.0015, 2)
        moved = {
            "wafer": Pose(tuple(begin.tolist())),
            "slot_from": Pose(tuple(seat.tolist()), self._poses["carrier_a"].quat_wxyz),
            "slot_to": Pose(tuple(slot.tolist()), to.quat_wxyz),
        }
        scene = plant.apply(placed(self._scene, moved))
        q = np.array([rng.uniform(0.02, 0.33), rng.uniform(-1.5, 1.5), rng.uniform(0.0, 0.01)])
        self._goal = _above(place, self._half)
        self._rng, self._plant = rng, plant
        self._touched, self._slip, self._acceleration = False, 0.0, 0.0
        self._velocity: FloatArray | None = None
        external = np.array([*self._goal, 0.0, 1.0, 0.0, 0.0, *begin, 0.0, 1.0, 0.0, 0.0])
        return Start(q, external, scene)

    def outside(self, truth: Truth, external: FloatArray, belts: FloatArray) -> None:
        """Tell where the wafer is, as sensors see it."""
        noise = self._plant["noise"]
        bias = (self._plant["bias_x"], self._plant["bias_y"], 0.0)
        external[7:10] = truth.parts[0, :3] + bias + noise * self._rng.normal(size=3)
        w, x, y, z = truth.parts[0, 3:7]
        external[10:14] = (-x, w, z, -y)  # turned by half a turn about its own x axis

    def judge(self, obs: NDArray[np.float32], chunk: NDArray[np.float32], *, truth: Truth, stopped: bool) -> Verdict:
        """Judge one policy step."""
        wafer, tcp = truth.parts[0, :3], _tcp_of(self._arm, truth.q)
        carried = self._carried(wafer, tcp)
        self._watch(truth, chunk, carried)
        self._touched |= not self._clear(wafer, tcp, carried)
        error = float(np.hypot(*(wafer[:2] - self._goal[:2])))
        rests = abs(wafer[2] - self._goal[2]) < 1e-3 and not carried
        away = math.hypot(tcp[0], tcp[1]) <= _RETRACTED_M + 0.01
        clean = not self._touched and self._slip <= SLIP_M and self._acceleration <= SLIP_LIMIT
        placed = rests and error <= PLACEMENT_M
        success = placed and away and clean and not stopped
        left = float(np.linalg.norm(wafer - self._goal))
        reward = -1.0 * min(left, 1.0) * _DT_S  # the wafer nearer to its place is better at every moment
        reward -= 0.5 * (not placed or not away) * _DT_S  # sooner is better
        reward -= 2.0 * (self._slip > SLIP_M) * _DT_S + 2.0 * self._touched * _DT_S  # a spoilt wafer stays spoilt
        reward += 10.0 * success  # more than a whole episode can cost
        reward -= 60.0 * stopped  # running into the guard is no way out
        figures = {
            "placement_error_m": error,
            "slip_m": self._slip,
            "acceleration_m_s2": self._acceleration,
            "touched": float(self._touched),
        }
        return Verdict(reward, success, figures)

    def expert(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scripted expert's chunk, a function of the observation alone: obs (15,) or rows (m, 15)."""
        return answer_rows(self._answer, obs, self.contract.chunk_shape)

    def _answer(self, row: FloatArray, chunk: NDArray[np.float32]) -> None:
        """Fill a chunk from where things are alone: with speeds told, a pupil would learn to go on as it does."""
        error, r = np.array(self._aim(row)) - row[:3], self._radius + row[2]
        soft, way = _DELTA[0] if r < _BARE_M else _SOFT_M, (math.inf,) * 3
        if self._on_blade(row):  # one after the other: brake, turn, lift
            soft = _SOFT_M + _open(r, _RETRACTED_M - 0.003, _RETRACTED_M + 0.005) * (_DELTA[0] - _SOFT_M)
            way = math.inf, abs(row[1]) - 0.003, (r - _RETRACTED_M - 0.01 if error[2] > 0.0 else self._place - r)
        _profile(error, way, soft, chunk)

    def _aim(self, row: FloatArray) -> tuple[float, float, float]:
        """Say where lift [m], theta [rad] and reach [m] should go next: inside the ranges, whatever has happened."""
        fallen = self._height + row[0] + row[5] < self._a[2] - 0.02
        lift, theta, reach = (row[0], row[1], self._home) if fallen else self._go_on(row)
        low, high = self._range
        return min(max(lift, low[0]), high[0]), theta, min(max(reach, low[2]), high[2])

    def _on_blade(self, row: FloatArray) -> bool:
        """Say whether the wafer seems to lie on the blade."""
        return row[5] - self._half < 0.0006 and math.hypot(row[3], row[4]) < 0.02

    def _go_on(self, row: FloatArray) -> tuple[float, float, float]:
        """Say the same while nothing has fallen. Gates open by and by, as wide as walls allow: no pupil is exact."""
        lift, theta, reach = row[:3]
        r, z = self._radius + reach, self._height + lift
        x, y = r * math.cos(theta), r * math.sin(theta)
        wx, wy, wz = row[3] + x, row[4] + y, row[5] + z
        error, centred = math.hypot(row[9], row[10]), math.hypot(row[3], row[4])
        if self._on_blade(row):
            # the blade goes where it brings the wafer, not itself, to its place
            return self._carry(row, self._polar(x + row[9], y + row[10], theta), wz, error)
        to = self._polar(wx, wy, theta)
        under = wz - self._half - _UNDER_M - self._height
        if error < 0.0005 and abs(row[11]) < 0.002:  # leave: down, then back
            low = 1.0 if r < _MOUTH_M - 0.14 else _open(lift - under, 0.0015, 0.003)
            return under, theta, reach + low * (self._home - reach)
        if r < _BARE_M:
            aligned = _open(abs(lift - under), 0.002, 0.005) * _open(abs(theta - to[0]), 0.006, 0.018)
            return under, to[0], self._home + aligned * (to[1] - self._home)
        if abs(lift - under) > 0.006 or abs(theta - to[0]) > 0.03:
            return lift, theta, self._home  # out there in a wrong slot
        up = _open(centred, 0.003, 0.008)
        return under + up * (_UNDER_M + _OVER_M), to[0], to[1]

    def _carry(self, row: FloatArray, to: tuple[float, float], wz: float, error: float) -> tuple[float, float, float]:
        """Do the same with the wafer on the blade: out of its slot, around, into the other one, down."""
        lift, theta, reach = row[:3]
        over = row[11] + wz - self._half + _OVER_M - self._height
        above, extended = -row[11], self._radius + reach > _FREE_M
        if extended and not (abs(theta - to[0]) < 0.02 and abs(above - 0.5 * _OVER_M) < 0.5 * PITCH_M):
            up = self._rest_height(wz) + _OVER_M - self._height
            return up, theta, reach + _open(up - lift, 0.0015, 0.0025) * (self._home - reach)
        if not extended:
            aligned = _open(abs(lift - over), 0.002, 0.004) * _open(abs(theta - to[0]), 0.005, 0.012)
            return over, to[0], self._home + aligned * (to[1] - self._home)
        return over - (_OVER_M + _UNDER_M) * _open(error, 0.00006, 0.0002), to[0], to[1]

    def _rest_height(self, wz: float) -> float:
        """Return the height [m] at which the lower side of a wafer at height `wz` rests: of the slot below it."""
        slot = round((wz - self._half - float(self._a[2]) - 0.3 * PITCH_M) / PITCH_M)
        return float(self._a[2]) + PITCH_M * slot

    def _polar(self, x: float, y: float, theta: float) -> tuple[float, float]:
        """Return theta [rad], nearest to the present one, and reach [m] of a point in the plane."""
        turn = math.atan2(y, x) - theta
        return theta + math.atan2(math.sin(turn), math.cos(turn)), math.hypot(x, y) - self._radius

    def _carried(self, wafer: FloatArray, tcp: FloatArray) -> bool:
        near = float(np.hypot(*(wafer[:2] - tcp[:2]))) < 0.05
        return near and wafer[2] - self._half - tcp[2] < 0.0008

    def _watch(self, truth: Truth, chunk: NDArray[np.float32], carried: bool) -> None:
        """Keep how far the wafer has slipped on the blade, and the greatest acceleration of the blade under it.

        Slip is the way that their relative speed makes, as far as it is beyond `_STICKING`.
        """
        wafer, dq = truth.parts[0], truth.dq
        high = wafer[2] - self._half - self._rest_height(float(wafer[2])) > 0.001
        if not (carried and high):
            self._velocity = None
            return
        r, direction = self._radius + truth.q[2], np.array([math.cos(truth.q[1]), math.sin(truth.q[1])])
        aside, asked = np.array([-direction[1], direction[0]]), chunk[0] / _DT_S
        now = np.stack([rate[2] * direction + rate[1] * r * aside for rate in (dq, asked)])
        if self._velocity is not None:
            peak = float(np.hypot(*(now - self._velocity).T).max()) / _DT_S
            self._acceleration = max(self._acceleration, peak)
        self._velocity = now
        under = dq[2] * direction + dq[1] * np.array([-wafer[1], wafer[0]])
        self._slip += max(0.0, float(np.hypot(*(wafer[7:9] - under))) - _STICKING) * _DT_S

    def _clear(self, wafer: FloatArray, tcp: FloatArray, carried: bool) -> bool:
        """Say whether wafer and blade keep away from the walls and from the neighbouring slots, taken as full."""
        for carrier, axis in ((self._a, 0), (self._b, 1)):
            inside = wafer[axis] + 0.15 > _MOUTH_M and abs(wafer[1 - axis]) < 0.2
            if inside and abs(wafer[1 - axis] - carrier[1 - axis]) > _WALL_M:
                return False
            if inside and carried:
                height = (wafer[2] - self._half - carrier[2] + 0.0005) % PITCH_M - 0.0005
                if height > PITCH_M - 2.0 * self._half - 0.001:
                    return False
            if tcp[axis] + 0.10 > _MOUTH_M and abs(tcp[1 - axis]) < 0.2:
                low = (tcp[2] - 0.003 - carrier[2]) % PITCH_M
                if not carried and not 2.0 * self._half + 0.0005 < low < PITCH_M - 0.003 + 0.0005:
                    return False
        return True


def _open(miss: float, least: float, most: float) -> float:
    """Return how far a gate is open: 1 if it is missed by `least` at most, 0 by `most` or more, between them a ramp."""
    return min(max((most - miss) / (most - least), 0.0), 1.0)


def _above(p: ArrayLike, height: float) -> FloatArray:
    raised: FloatArray = np.array(p, dtype=np.float64)
    raised[2] += height
    return raised


def _tcp_of(arm: Arm, q: FloatArray) -> FloatArray:
    T = np.empty((4, 4))
    tcp_kernel(arm.chain.model, q, T)
    return T[:3, 3]


def _profile(error: FloatArray, way: tuple[float, float, float], soft: float, chunk: NDArray[np.float32]) -> None:
    """Fill the deltas, shape (H, 3), that end `error` joint by joint: faster with the way made, brake, then a gain."""
    for i in range(3):
        a, left, made = _ACCELERATION[i], error[i], max(way[i], 0.0)
        limit = soft if i == 0 else _DELTA[i]
        for step in range(len(chunk)):
            faster = math.sqrt(_KICK[i] ** 2 + 2.0 * a * made)
            delta = min(limit, faster * _DT_S, _braking(abs(left), a) * _DT_S)
            chunk[step, i] = math.copysign(delta, left)
            left, made = left - chunk[step, i], made + delta


def _braking(far: float, deceleration: float) -> float:
    """Return the speed at a distance: constant deceleration, then, once a gain asks for no more of it, that gain."""
    rate = _GAIN / _DT_S
    gained = deceleration / rate**2  # from here on; here both speeds and both slopes are the same
    return rate * far if far <= gained else math.sqrt(2.0 * deceleration * (far - 0.5 * gained))
