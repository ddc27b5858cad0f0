"""ConveyorPick: take a part from a moving belt before its end line, and hold it at a pose."""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.contract import Device
from robostral.errors import ConfigError
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.ik import ik
from robostral.kinematics.se3 import quat_from_matrix_kernel
from robostral.requirements import requirements_of
from robostral_sims.randomize import NOMINAL, Plant, Range, placed, ranges
from robostral_sims.scene import Box, Pose, Scene, Vacuum
from robostral_sims.tasks import Start, Truth, Verdict, answer_rows
from robostral_sims.tasks.contracts import contract_of, tcp_action

HELD_M, HELD_RAD, HELD_S = 0.010, math.radians(3.0), 0.2

_DT_S, _HORIZON, _LATENCY_S = 0.04, 3, 0.02
_STEP_M, _STEP_RAD = 0.02, 0.06
"""Greatest translation [m] and rotation [rad] of the tcp per policy step."""
_RAMP_S = 0.5
"""The belt starts when the camera has seen the part, and is at speed after this time [s]."""
_DELAY_S = 0.04
"""How old the encoder's reading is on the nominal plant [s]; the expert leads by as much."""
_HOVER_M, _TOUCH_M = 0.04, 0.0015
"""Height of the cup over the part while it waits, and where it seals [m]."""
_NEAR_M = 0.02
"""Distance in the plane at which the cup goes down [m]."""
_GAIN, _BRAKING, _LIFT_M = 0.35, 3.0, 0.03

_FIELDS = ("tcp_position", "tcp_twist", "goal_error", "part_error", "belt", "tool", "tool_c")


class ConveyorPick:
    """Pick a part of 60 x 60 x 40 mm from a belt before the end line; hold it at a pose within 10 mm and 3 deg, 0.2 s.

    A camera sees the part once, upstream, while the belt stands. From then on its pose is what the encoder adds up: as
    old as the encoder's reading, 20 to 60 ms, and as wrong as the camera was. The belt runs at 60 to 180 mm/s and
    swings about that by up to a quarter. Once the seal holds, the part is told to be at the cup.

    The end line is the low end of the region `window` along the belt. Part and goal are told with the orientation that
    the tool has at home.

    Args:
        arm: The arm with its vacuum cup; at home the tool points down.
        scene: The cell: a body `part`, one conveyor, and the regions `seen`, `window` and `goals`.

    Raises:
        ConfigError: The cell lacks one of these, or its belt does not run along -y of `base`.
    """

    time_limit_s = 8.0
    ranges = ranges(
        "stiffness",
        "feed_forward",
        "payload",
        "part_mass",
        "friction",
        latency_s=(0.0, _LATENCY_S),
        part_size=(0.98, 1.02),
        bias_x=(-0.002, 0.002),
        bias_y=(-0.002, 0.002),
        bias_z=(-0.0005, 0.0005),
        belt_speed=Range(0.06, 0.18, 0.12, "ours: mean speed of the belt [m/s]"),
        belt_swing=Range(0.0, 0.25, 0.0, "ours: how far the speed swings about its mean [1]"),
        belt_period_s=Range(2.0, 6.0, 4.0, "ours: period of the swing [s]"),
        encoder_delay_s=Range(0.02, 0.06, _DELAY_S, "ours: age of the encoder's reading [s], a PLC's cycle or two"),
        encoder_noise=Range(0.0, 0.003, 0.0, "ours: standard deviation of the belt's speed as told [m/s]"),
    )

    def __init__(self, arm: Arm, scene: Scene) -> None:
        parts, mount = scene.parts, scene.arms[0]
        fits = [p.name for p in parts] == ["part"] and len(scene.conveyors) == 1 and isinstance(mount.tool, Vacuum)
        if not fits or not isinstance(parts[0].shape, Box):
            raise ConfigError("task 'ConveyorPick' needs a vacuum cup, one box 'part' and one conveyor in its cell")
        if missing := {"seen", "window", "goals"} - set(scene.regions):
            raise ConfigError(f"task 'ConveyorPick' needs the regions {sorted(missing)} in its cell")
        turn = scene.conveyors[0].pose.quat_wxyz
        if abs(turn[0] + turn[3]) > 1e-6 or abs(turn[1]) + abs(turn[2]) > 1e-6 or mount.base != Pose():
            raise ConfigError("task 'ConveyorPick' needs a belt that runs along -y of `base`")
        self._arm, self._scene = arm, scene
        self._seen, self._window, self._box = (scene.regions[name] for name in ("seen", "window", "goals"))
        self._half = parts[0].shape.size[2] / 2.0
        self._z = float(parts[0].pose.p[2])
        self._T: FloatArray = np.empty((4, 4))
        tcp_kernel(arm.chain.model, arm.home, self._T)
        self._quat = np.empty(4)
        quat_from_matrix_kernel(self._T[:3, :3].copy(), self._quat)
        action = tcp_action(arm, (_STEP_M, _STEP_RAD), _DT_S, _HORIZON, tool_most=1.0, unit="m, rad, 1")
        self.contract = contract_of(
            "conveyor_pick", arm, _FIELDS, action, _LATENCY_S, Device("cup", ("suction",), (1,))
        )
        self.requirements = requirements_of(arm, max_latency_s=_LATENCY_S)

    def start(self, rng: np.random.Generator, plant: Plant = NOMINAL) -> Start:
        """Draw where the part lies, its goal, the belt's motion and where the arm waits."""
        self._rng, self._plant, self._phase = rng, plant, rng.uniform(0.0, 2.0 * math.pi)
        self._figures = {name: plant.figures.get(name, self.ranges[name].nominal) for name in self.ranges}
        part = rng.uniform(self._seen.low, self._seen.high)
        part[2] = self._z + self._half * (self._figures["part_size"] - 1.0)
        yaw = rng.uniform(-math.pi / 4.0, math.pi / 4.0)
        goal, wait = rng.uniform(self._box.low, self._box.high, (2, 3))
        T = self._T.copy()
        T[:3, 3] = wait
        q = ik(self._arm.chain, self._arm.limits, T, self._arm.home, restarts=0)
        bias = [self._figures[f"bias_{axis}"] for axis in "xyz"]
        self._camera, self._way, self._told_s = part + bias, 0.0, 0.0
        self._picked, self._picked_y, self._held_s = False, 0.0, 0.0
        external = np.array([*goal, *self._quat, *self._camera, *self._quat, 0.0])
        pose = Pose(tuple(part.tolist()), (math.cos(yaw / 2.0), 0.0, 0.0, math.sin(yaw / 2.0)))
        return Start(q, external, placed(plant.apply(self._scene), {"part": pose}))

    def outside(self, truth: Truth, external: FloatArray, belts: FloatArray) -> None:
        """Run the belt; tell its speed and where the part should be by now, both as old as the encoder's reading."""
        t = float(truth.time_s[0])
        belts[0] = self._speed(t + 0.5 * _DT_S)  # one speed for the whole step
        heard = t - self._figures["encoder_delay_s"]
        while self._told_s < heard:  # the encoder counts; here in steps of 1 ms
            dt = min(0.001, heard - self._told_s)
            self._way += self._speed(self._told_s) * dt
            self._told_s += dt
        external[7:10] = self._camera - [0.0, self._way, 0.0]
        if truth.tools[0, 0] > 0.5:
            external[7:10] = self._tcp(truth.q) - _up(self._half)
        external[14] = self._speed(heard) + self._figures["encoder_noise"] * self._rng.normal()

    def judge(self, obs: NDArray[np.float32], chunk: NDArray[np.float32], *, truth: Truth, stopped: bool) -> Verdict:
        """Judge one policy step; success once the part has been held at the goal for 0.2 s."""
        sealed, y = truth.tools[0, 0] > 0.5, float(truth.parts[0, 1])
        if sealed and not self._picked:
            self._picked, self._picked_y = y > self._window.low[1], y
        goal, part = obs[9:15].astype(np.float64), obs[15:18].astype(np.float64)
        position, rotation = (float(np.linalg.norm(e)) for e in (goal[:3], goal[3:]))
        there = bool(sealed) and self._picked and position <= HELD_M and rotation <= HELD_RAD
        held_s, self._held_s = self._held_s, self._held_s + _DT_S if there else 0.0
        success = not stopped and there and held_s >= HELD_S - 1e-9
        lost = not sealed and y < self._window.low[1]
        far = float(np.linalg.norm(part + _up(self._half)))
        reward = -1.0 * min(far, 0.5) * (not sealed) * _DT_S  # the cup nearer to the part is better at every moment
        reward -= (1.0 * min(position, 0.5) if sealed else 0.6) * _DT_S  # the seal pays, then the way to the goal
        reward -= 0.5 * rotation * _DT_S  # the tool stays upright
        reward -= 1.0 * lost * _DT_S  # beyond the end line the part is lost
        reward += 10.0 * success  # more than a whole episode can cost
        reward -= 60.0 * stopped  # running into the guard is no way out
        figures = {"picked": float(self._picked), "picked_y_m": self._picked_y, "position_error_m": position}
        return Verdict(reward, success, figures)

    def expert(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scripted expert's chunk, a function of the observation alone: obs (24,) or rows (m, 24)."""
        return answer_rows(self._answer, obs, self.contract.chunk_shape)

    def _answer(self, row: FloatArray, chunk: NDArray[np.float32]) -> None:
        error, drift, suction = self._aim(row)
        left, turn = error - 0.02 * (row[3:6] - drift), row[12:15].copy()
        for step in chunk:
            move = _towards(left)
            angle = _bounded(_GAIN * turn, _STEP_RAD)
            step[:3], step[3:6], step[6] = _bounded(move + drift * _DT_S, _STEP_M), angle, suction
            left, turn = left - move, turn - angle

    def _aim(self, row: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Return the way that is left [m], the speed that the target has [m/s], and the suction."""
        tcp, goal, part = row[:3], row[9:12], row[15:18]
        belt = np.array([0.0, -row[21], 0.0])
        if row[22] > 0.5:
            aside = goal.copy()
            if tcp[2] < self._z + self._half + _LIFT_M:
                aside[:2] = 0.0  # straight up first, with the belt
                return aside, 0.5 * belt, 1.0
            return goal, np.zeros(3), 1.0
        ahead = part + belt * _DELAY_S
        over = ahead + _up(self._half + _HOVER_M)
        if tcp[1] + ahead[1] > self._window.high[1]:  # not yet there: wait where it will come in
            over[1] = self._window.high[1] - tcp[1]
            return over, np.zeros(3), 0.0
        if math.hypot(over[0], over[1]) > _NEAR_M:
            return over, belt, 0.0
        return ahead + _up(self._half + _TOUCH_M), belt, 1.0

    def _speed(self, t: float) -> float:
        """Return the belt's true speed [m/s] at a time [s]."""
        f = self._figures
        swing = 1.0 + f["belt_swing"] * math.sin(2.0 * math.pi * t / f["belt_period_s"] + self._phase)
        return f["belt_speed"] * swing * min(max(t / _RAMP_S, 0.0), 1.0)

    def _tcp(self, q: FloatArray) -> FloatArray:
        T = np.empty((4, 4))
        tcp_kernel(self._arm.chain.model, q, T)
        return T[:3, 3]


def _up(height: float) -> FloatArray:
    return np.array([0.0, 0.0, height])


def _towards(left: FloatArray) -> FloatArray:
    """Return the next step [m] of a straight way that is `left`: a gain nearby, constant braking beyond."""
    far = float(np.linalg.norm(left))
    step = min(_GAIN * far, math.sqrt(2.0 * _BRAKING * far) * _DT_S, _STEP_M)
    return left * (step / max(far, 1e-9))


def _bounded(vector: FloatArray, most: float) -> FloatArray:
    return vector * min(1.0, most / max(float(np.linalg.norm(vector)), 1e-12))
