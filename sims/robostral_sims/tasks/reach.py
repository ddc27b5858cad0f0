"""Reach: bring the tcp to a pose anywhere in a box, from wherever it stands, and settle there."""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.arm.limits import DDQ, DQ, Q_MAX, Q_MIN
from robostral.errors import ConfigError
from robostral.jit import allocating
from robostral.kinematics import NoSolution, condition
from robostral.kinematics.branch import Branch
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.se3 import (
    matrix_from_quat_kernel,
    matrix_from_rot6d_kernel,
    matrix_from_rotvec_kernel,
    quat_from_matrix_kernel,
)
from robostral.requirements import requirements_of
from robostral_sims.randomize import NOMINAL, Plant, ranges
from robostral_sims.scene import Scene
from robostral_sims.tasks import Start, Truth, Verdict, answer_rows
from robostral_sims.tasks.contracts import contract_of, joint_action

POSITION_TOLERANCE_M = 0.005
ROTATION_TOLERANCE_RAD = math.radians(3.0)
SETTLED_S = 0.2
MAX_TILT_RAD = math.radians(45.0)
MAX_YAW_RAD = math.radians(90.0)

_FIELDS = ("q", "dq", "goal_position", "goal_rot6d", "goal_error")
_DT_S, _HORIZON, _DELTA_RAD, _LATENCY_S = 0.04, 3, 0.06, 0.02
_GAIN, _BRAKING, _LEAD_S = 0.6, 8.0, 0.03
"""Of the expert: share of what is left per step [1], deceleration [rad/s²], lead of the set-point over the arm [s]."""
_SPEED_SHARE, _BRAKING_SHARE = 0.9, 0.8
"""Of the slowest joint's limits: what an action and the expert's deceleration may be at most."""
_MAX_CONDITION, _MARGIN_RAD, _DRAWS = 16.5, 0.1, 1000
"""Of a goal: condition number, just below the guard's; distance to every joint limit; and how often one is drawn."""
_HOME_SHARE = 0.2
"""Share of episodes that begin at home; the others begin at a pose drawn like a goal."""


class Reach:
    """Reach a 6-DoF pose: within 5 mm and 3 deg, measured, for 0.2 s without a break.

    Goals are uniform in the cell's region `goals`; the tool points down as at home, tilted by up to 45 deg to any side
    (uniform on the cap of the sphere) and turned by a yaw within +-90 deg of home's. Poses that the arm reaches badly,
    by a condition number above 16.5 or within 0.1 rad of a joint's limit, are drawn anew.

    Args:
        arm: The arm; at its home the tool must point down.
        scene: The cell; its region `goals` is the box.

    Raises:
        ConfigError: The cell has no region `goals`, or the arm reaches hardly anything there.
        InvalidArray: The arm has neither six nor seven joints.
    """

    time_limit_s = 6.0
    ranges = ranges("stiffness", "feed_forward", latency_s=(0.0, _LATENCY_S))

    def __init__(self, arm: Arm, scene: Scene) -> None:
        if "goals" not in scene.regions:
            raise ConfigError(f"task 'Reach' needs a region 'goals' in its cell; it has {sorted(scene.regions)}")
        self.box = scene.regions["goals"]
        self._arm, self._held_s = arm, 0.0
        self._T_home = np.empty((4, 4))
        tcp_kernel(arm.chain.model, arm.home, self._T_home)
        self.branch = Branch(arm.chain, arm.limits, arm.home)
        self._braking = min(_BRAKING, _BRAKING_SHARE * float(arm.limits.array[DDQ].min()))
        self._delta = min(_DELTA_RAD, round(_SPEED_SHARE * float(arm.limits.array[DQ].min()) * _DT_S, 3))
        action = joint_action(arm, (self._delta,) * arm.chain.n, _DT_S, _HORIZON)
        self.contract = contract_of("reach", arm, _FIELDS, action, _LATENCY_S)
        self.requirements = requirements_of(arm, max_latency_s=_LATENCY_S)

    def sample_goal(self, rng: np.random.Generator) -> FloatArray:
        """Draw a goal as the contract's external vector: p [m] and quat_wxyz in `base`, shape (7,).

        Raises:
            ConfigError: The arm reaches hardly any pose of the box.
        """
        for _ in range(_DRAWS):
            goal = self._draw(rng)
            if self._is_reached_well(goal):
                return goal
        raise ConfigError(f"arm '{self._arm.name}' reaches none of {_DRAWS} poses of {self.box}: move the box")

    def _draw(self, rng: np.random.Generator) -> FloatArray:
        tilt = math.acos(rng.uniform(math.cos(MAX_TILT_RAD), 1.0))
        side, yaw = rng.uniform(-math.pi, math.pi), rng.uniform(-MAX_YAW_RAD, MAX_YAW_RAD)
        R = _rotation(tilt * math.cos(side), tilt * math.sin(side), 0.0) @ _rotation(0.0, 0.0, yaw)
        goal = np.empty(7)
        goal[:3] = rng.uniform(self.box.low, self.box.high)
        quat_from_matrix_kernel(R @ self._T_home[:3, :3], goal[3:])
        return goal

    def outside(self, truth: Truth, external: FloatArray, belts: FloatArray) -> None:
        """Tell nothing new: the goal stands."""

    def start(self, rng: np.random.Generator, plant: Plant = NOMINAL) -> Start:
        """Draw a goal, and a start at rest: home, or any pose that could be a goal, so that goal to goal is trained."""
        self._held_s = 0.0
        external = self.sample_goal(rng)
        from_home, other = rng.random() < _HOME_SHARE, self.sample_goal(rng)
        return Start(self._arm.home.copy() if from_home else self.branch.solve(_pose(other)), external)

    def judge(
        self, obs: NDArray[np.float32], chunk: NDArray[np.float32], *, stopped: bool, truth: Truth | None = None
    ) -> Verdict:
        """Judge one policy step; success once the pose has held for 0.2 s."""
        error = obs[-6:].tolist()
        position, rotation = math.hypot(*error[:3]), math.hypot(*error[3:])
        inside = position <= POSITION_TOLERANCE_M and rotation <= ROTATION_TOLERANCE_RAD
        held_s, self._held_s = self._held_s, self._held_s + _DT_S if inside else 0.0
        success = not stopped and inside and held_s >= SETTLED_S - 1e-9
        reward = -10.0 * position * _DT_S  # nearer is better at every moment, so sooner is better as well
        reward -= 1.0 * rotation * _DT_S  # a rad weighs as much as 0.1 m: both errors then end together
        reward -= 0.25 * float(np.mean(np.square(chunk[0] / self._delta))) * _DT_S  # no more motion than is needed
        reward += 10.0 * success  # more than a moment can cost: settling always pays
        reward -= 60.0 * stopped  # more than the worst episode costs: running into the guard is no way out
        figures = {"position_error_m": position, "rotation_error_rad": rotation}
        return Verdict(reward, success, figures)

    def expert(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scripted expert's chunk, a function of the observation alone.

        Args:
            obs: Shape (2 n + 15,) or (rows, 2 n + 15).

        Returns:
            Chunks [rad], shape (3, n) or (rows, 3, n): straight in joint space, in home's branch.
        """
        return answer_rows(self._answer, obs, self.contract.chunk_shape)

    def _answer(self, row: FloatArray, chunk: NDArray[np.float32]) -> None:
        n, T = self._arm.chain.n, np.eye(4)
        matrix_from_rot6d_kernel(row[2 * n + 3 : 2 * n + 9], T[:3, :3])
        T[:3, 3] = row[2 * n : 2 * n + 3]
        _straight(self.branch.solve(T) - row[:n], row[n : 2 * n], self._delta, self._braking, chunk)

    def _is_reached_well(self, goal: FloatArray) -> bool:
        try:
            q = self.branch.solve(_pose(goal))
        except NoSolution:
            return False
        limits = self._arm.limits.array
        room = float(np.minimum(q - limits[Q_MIN], limits[Q_MAX] - q).min())
        return room >= _MARGIN_RAD and float(condition.condition(self._arm.chain, q)) <= _MAX_CONDITION


def _rotation(x: float, y: float, z: float) -> FloatArray:
    R = np.empty((3, 3))
    matrix_from_rotvec_kernel(np.array([x, y, z]), R)
    return R


def _pose(external: FloatArray) -> FloatArray:
    T = np.eye(4)
    matrix_from_quat_kernel(external[3:], T[:3, :3])
    T[:3, 3] = external[:3]
    return T


@allocating
def _straight(error: FloatArray, dq: FloatArray, delta: float, deceleration: float, chunk: NDArray[np.float32]) -> None:
    """Fill the deltas [rad], shape (H, n), that end `error` [rad] on a straight line, fast and without overshoot."""
    left = error - _LEAD_S * dq
    for step in range(chunk.shape[0]):
        far = np.max(np.abs(left))
        braking = math.sqrt(2.0 * deceleration * far) * _DT_S
        share = min(_GAIN, min(delta, braking) / max(far, 1e-12))
        for i in range(left.shape[0]):
            chunk[step, i] = share * left[i]
            left[i] -= share * left[i]
