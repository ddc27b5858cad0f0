"""PickPlace: grasp a part on the table with a parallel jaw, set it down at a pose elsewhere, let go."""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.contract import Device
from robostral.errors import ConfigError
from robostral.jit import allocating, kernel
from robostral.kinematics.fk import tcp_kernel, tcp_pose_kernel
from robostral.kinematics.ik import NoSolution, ik
from robostral.kinematics.se3 import matrix_from_quat_kernel, quat_from_matrix_kernel
from robostral.requirements import requirements_of
from robostral_sims.camera import Mounting, PartCamera, apart_kernel, chain_kernel
from robostral_sims.randomize import NOMINAL, Plant, Range, replace
from robostral_sims.randomize import ranges as pick
from robostral_sims.scene import Box, Cylinder, Jaw, Scene
from robostral_sims.tasks import Start, Truth, Verdict
from robostral_sims.tasks.contracts import contract_of, tcp_action

POSITION_TOLERANCE_M = 0.005
ROTATION_TOLERANCE_RAD = math.radians(3.0)
RELEASED_M = 0.004
"""How much wider than the part the jaw has to be."""
SETTLED_S = 0.2
MAX_YAW_RAD = math.radians(60.0)
MIN_DISTANCE_M = 0.12
"""Between start and goal."""

_DT_S, _HORIZON, _LATENCY_S = 0.04, 3, 0.04
_STEP_M, _STEP_RAD = 0.015, 0.10
_OBS = ("tcp_twist", "tool", "tool_c", "part_error", "part_to_goal")
_AGES = dict.fromkeys(("part_error", "part_to_goal"), 0.2)
"""How old what a camera tells may be [s]."""
_START_M = (0.10, 0.22)
"""Height of the tcp above the table at the start."""

Figures = NDArray[np.float64]


class PickPlace:
    """Pick a box or a cylinder, place it within 5 mm and 3 deg, let go, and see it lie still for 0.2 s.

    The part's frame has its z axis down, so that it is the tcp's own when grasped; a cylinder's turn about it is free.
    Start and goal are uniform in the cell's region `parts`, at least 0.12 m apart, each turned by up to 60 deg from
    home's yaw. What is seen of the part comes from a camera: late, with noise and a constant error.

    Args:
        arm: The arm, with the jaw's tcp; at its home the tool must point down.
        scene: The cell: a jaw, one part that is a box, and a region `parts` whose floor is the table top.

    Raises:
        ConfigError: The cell has no jaw, no part or no region, or the arm does not reach a corner of it.
    """

    time_limit_s = 8.0
    ranges = pick(
        "stiffness",
        "feed_forward",
        "latency_s",
        "lag_s",
        "payload",
        "part_mass",
        "part_size",
        "friction",
        "bias_x",
        "bias_y",
        "bias_z",
        "bias_yaw",
        "noise",
        "noise_yaw",
        contact_stiffness=(2e5, 1e6),
        round=Range(0.0, 1.0, 0.0, "ours: above 0.5 the part is a cylinder [1]"),
    )

    def __init__(self, arm: Arm, scene: Scene) -> None:
        mount = scene.arms[0]
        if not isinstance(mount.tool, Jaw):
            raise ConfigError("task 'PickPlace' needs a jaw on the first arm of its cell")
        if len(scene.parts) != 1 or not isinstance(scene.parts[0].shape, Box):
            raise ConfigError(f"task 'PickPlace' needs one part, a box; the cell has {[b.name for b in scene.parts]}")
        if "parts" not in scene.regions:
            raise ConfigError(f"task 'PickPlace' needs a region 'parts' in its cell; it has {sorted(scene.regions)}")
        self._arm, self._scene, self.box = arm, scene, scene.regions["parts"]
        self._mounting, T = Mounting(mount.base), np.empty((4, 4))
        tcp_kernel(arm.chain.model, arm.home, T)
        self._R_home = T[:3, :3].copy()
        low = np.array(self.box.low)
        self.frame = low, np.array(self.box.high) - low, self._R_home
        """Begin and lengths of the region `parts` [m], shape (3,) each, and the rotation of the tcp at home."""
        self._part = scene.parts[0].shape
        self._check_reach()
        self._held_s, self._camera = 0.0, PartCamera(NOMINAL, np.random.default_rng(0))
        action = tcp_action(arm, (_STEP_M, _STEP_RAD), _DT_S, _HORIZON, tool_most=mount.tool.opening)
        self.contract = contract_of(
            "pick_place", arm, _OBS, action, _LATENCY_S, Device("gripper", ("gap",), (1,)), _AGES
        )
        self.requirements = requirements_of(arm, max_latency_s=_LATENCY_S)

    def start(self, rng: np.random.Generator, plant: Plant = NOMINAL) -> Start:
        """Draw where the part lies, where it is to go, and where the arm stands, above the table."""
        size = self.part_size(plant)
        shares, noise = self.draw_shares(rng)
        lies, self._goal, stands = poses = np.empty((3, 7))
        lay_out_kernel(*self.frame, size[2], shares, poses)
        self._held_s, self._camera = 0.0, PartCamera(plant, rng)
        external = np.concatenate([self._goal, self._camera.tell(lies, noise)])
        scene, self._width = plant.apply(self._scene), size[1]
        body, self._round = scene.parts[0], plant.figures.get("round", 0.0) > 0.5
        body = replace(
            body,
            shape=Cylinder(self._width / 2.0, size[2]) if self._round else body.shape,
            pose=self._mounting.in_world(lies),
        )
        bodies = tuple(body if other.mass > 0.0 else other for other in scene.bodies)
        return Start(self._solve(stands), external, replace(scene, bodies=bodies))

    def part_size(self, plant: Plant = NOMINAL) -> tuple[float, float, float]:
        """Return the lengths of this plant's part along its axes [m]; a cylinder is as thick as it is wide."""
        x, y, z = self._part.size
        return x * plant["part_size"], y * plant["part_size"], z * plant["part_size"]

    def draw_shares(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw an episode: shares of `lay_out_kernel`, shape (13,), and noise of the first picture, shape (4,)."""
        shares, (x, y, _) = np.empty(13), self.frame[1].tolist()
        shares[:8] = rng.random(8)
        while math.hypot(x * (shares[0] - shares[4]), y * (shares[1] - shares[5])) < MIN_DISTANCE_M:
            shares[4:8] = rng.random(4)
        noise = rng.standard_normal(4)
        shares[8:] = rng.random(5)
        return shares, noise

    def outside(self, truth: Truth, external: FloatArray, belts: FloatArray) -> None:
        """Tell what the camera sees of the part now."""
        external[7:14] = self._camera.look(self._mounting.in_base(truth.parts[0]))

    def judge(self, obs: NDArray[np.float32], chunk: NDArray[np.float32], *, truth: Truth, stopped: bool) -> Verdict:
        """Judge one policy step; success once the part has lain at its goal, let go, for 0.2 s."""
        x, y, z = tcp_pose_kernel(self._arm.chain.model, truth.q)[9:]
        places = self._mounting.back, truth.parts[0], self._goal, self._round, x, y, z
        reward, success, self._held_s, position, rotation, released = judge_kernel(
            *places, float(truth.tools[0, 0]), self._width, chunk[0], stopped, self._held_s
        )
        figures = {"position_error_m": position, "rotation_error_rad": rotation, "released": float(released)}
        return Verdict(reward, success, figures)

    def goals(self, truth: Truth) -> tuple[FloatArray, FloatArray]:
        """Return where the part is and where it should be, in `base`: p [m] and quat_wxyz, shape (7,) each."""
        return self._mounting.in_base(truth.parts[0]), self._goal.copy()

    def compute_reward(self, achieved: FloatArray, desired: FloatArray, info: object = None) -> FloatArray:
        """Return the sparse reward of parts at `achieved` that should be at `desired`: 0 where they are, else -1.

        Args:
            achieved: Poses of parts, p [m] and quat_wxyz, shape (..., 7).
            desired: Poses of goals, shape (..., 7).
            info: Not looked at.

        Returns:
            Shape (...); the jaw's state is no part of it.
        """
        position = np.linalg.norm(achieved[..., :3] - desired[..., :3], axis=-1)
        cosine = np.minimum(1.0, np.abs(np.sum(achieved[..., 3:] * desired[..., 3:], axis=-1)))
        there = (position <= POSITION_TOLERANCE_M) & (2.0 * np.arccos(cosine) <= ROTATION_TOLERANCE_RAD)
        return np.where(there, 0.0, -1.0)

    def expert(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scripted expert's chunk, a function of the observation alone.

        Args:
            obs: Shape (20,) or (rows, 20).

        Returns:
            Chunks, shape (3, 7) or (rows, 3, 7): over the part, down, close, over the goal, down, open, up.
        """
        rows = obs.reshape(-1, obs.shape[-1]).astype(np.float64)
        chunks = np.empty((len(rows), _HORIZON, 7), dtype=np.float32)
        expert_kernel(rows, chunks)
        return chunks.reshape(*obs.shape[:-1], _HORIZON, 7)

    def stand(self, shares: FloatArray) -> FloatArray:
        """Return where the arm stands at the start that these shares of `lay_out_kernel` say [rad], shape (n,).

        Raises:
            NoSolution: It cannot.
        """
        poses = np.empty((3, 7))
        lay_out_kernel(*self.frame, self._part.size[2], shares, poses)
        return self._solve(poses[2])

    def _solve(self, pose: FloatArray) -> FloatArray:
        T = np.eye(4)
        matrix_from_quat_kernel(pose[3:], T[:3, :3])
        T[:3, 3] = pose[:3]
        arm = self._arm
        return ik(arm.chain, arm.limits, T, arm.home, posture=arm.home, restarts=0)

    def _check_reach(self) -> None:
        (x, y, z), (far_x, far_y, _) = self.box.low, self.box.high
        for corner in ((x, y), (x, far_y), (far_x, y), (far_x, far_y)):
            for height in (0.02, _START_M[1]):
                for yaw in (-MAX_YAW_RAD, MAX_YAW_RAD):
                    try:
                        pose = np.array([*corner, z + height, *[0.0] * 4])
                        upright_kernel(self._R_home, yaw, pose)
                        self._solve(pose)
                    except NoSolution as error:
                        at = f"corner {corner} of region 'parts', {height} m above it"
                        raise ConfigError(f"arm '{self._arm.name}' does not reach {at}: {error}") from error


_GAIN, _LEAD_S, _BRAKING, _TURN_SHARE = 0.35, 0.04, 1.5, 0.7
"""Of the expert: share of what is left per step [1], lead of the set-point over the arm [s], deceleration [m/s²], share
of the greatest turn [1]."""
_LIFT_M, _LIFT_SHARE = 0.004, 0.35
"""First step of a lift and what the height adds to it [1]: so slow that every joint follows, straight up."""
_CARRY_M, _SLOPE, _NEAR_M = 0.08, 2.5, 0.003
"""Height over part and goal on the way; how fast it falls with the distance, from how near on it may be zero."""
_OPEN_M, _CLOSED_M = 0.08, 0.0
_WIDEST_M, _NARROWEST_M = 0.0435, 0.03
"""Gaps between which the jaw holds a part."""
_TILT_RAD = 0.06
"""Tilt at which the jaw lets go all the same: it ends on the table."""
_PLACED_M, _LOW_M = 0.002, 0.003
"""Distance from the goal aside and above it, as seen, at which the jaw lets go: the camera's error of up to 2.8 mm to
the side comes on top, and a part must lie within 5 mm."""


@allocating
def upright_kernel(R_home: Figures, yaw: float, pose: Figures) -> None:
    """Fill the quat_wxyz of a pose, shape (7,), that is home's turned by `yaw` [rad] about z."""
    c, s, R = math.cos(yaw), math.sin(yaw), np.empty((3, 3))
    for j in range(3):
        R[0, j] = c * R_home[0, j] - s * R_home[1, j]
        R[1, j] = s * R_home[0, j] + c * R_home[1, j]
        R[2, j] = R_home[2, j]
    quat_from_matrix_kernel(R, pose[3:])


@kernel
def lay_out_kernel(
    low: Figures, span: Figures, R_home: Figures, height: float, shares: Figures, poses: Figures
) -> None:
    """Fill where the part lies, where it is to go, and where the tcp begins, over the table.

    Args:
        low: Where the region `parts` begins [m], shape (3,).
        span: How long it is [m], shape (3,).
        R_home: Rotation of the tcp at home, shape (3, 3).
        height: Of the part [m].
        shares: Of the ranges of all that is drawn [1], shape (13,): x, y, z (not used) and yaw of the part, the same of
            the goal, x, y, z (not used), height and yaw of the tcp.
        poses: Filled with poses in `base`, p [m] and quat_wxyz, shape (3, 7).
    """
    for k in range(3):
        pose, share = poses[k], shares[4 * k :]
        pose[0], pose[1] = low[0] + span[0] * share[0], low[1] + span[1] * share[1]
        pose[2] = low[2] + (height / 2.0 if k < 2 else _START_M[0] + (_START_M[1] - _START_M[0]) * share[3])
        yaw = share[3] if k < 2 else 0.5 * share[4] + 0.25  # the tcp is turned half as far
        upright_kernel(R_home, (2.0 * yaw - 1.0) * MAX_YAW_RAD, pose)


@allocating
def judge_kernel(
    back: Figures,
    part: Figures,
    goal: Figures,
    free_turn: bool,
    x: float,
    y: float,
    z: float,
    gap: float,
    width: float,
    row: NDArray[np.float32],
    stopped: bool,
    held_s: float,
) -> tuple[float, bool, float, float, float, bool]:
    """Judge a policy step of one cell.

    Args:
        back: Pose of `world` in `base`, p [m] and quat_wxyz, shape (7,).
        part: Pose of the part in `world`; its first 7 numbers.
        goal: Where it should be, in `base`, shape (7,).
        free_turn: Whether its turn about z is free.
        x: The tcp in `base` [m].
        y: The tcp in `base` [m].
        z: The tcp in `base` [m].
        gap: Of the jaw [m].
        width: Of the part [m].
        row: First row of the chunk that was commanded, shape (7,).
        stopped: Whether the guard stopped the arm.
        held_s: How long the part has lain at its goal, let go, before this step [s].

    Returns:
        Reward, success, `held_s` from now on, distance [m] and angle [rad] from the goal, whether the part is let go.
    """
    here = np.empty(7)
    chain_kernel(back, part, here)
    position, rotation = apart_kernel(here, goal, free_turn)
    x, y, z = here[0] - x, here[1] - y, here[2] - z
    away, lift = math.sqrt(x * x + y * y + z * z), max(0.0, here[2] - goal[2])
    there = position <= POSITION_TOLERANCE_M and rotation <= ROTATION_TOLERANCE_RAD
    released = gap >= width + RELEASED_M
    success = not stopped and there and released and held_s >= SETTLED_S - 1e-9
    held_s = held_s + _DT_S if there and released else 0.0
    reward = -5.0 * position * _DT_S  # the part nearer to its goal is better at every moment
    reward -= 2.0 * rotation * _DT_S * (position < 0.05)  # its turn matters where it is set down
    reward -= 2.0 * min(away, 0.3) * (not there) * _DT_S  # the hand belongs at the part until that is in place
    reward += 2.0 * min(lift, 0.05) * (position > 0.02) * _DT_S  # a part that is moved is lifted, not pushed
    effort = 0.0
    for i in range(3):
        share = float(row[i]) / _STEP_M
        effort += share * share
    reward -= 0.05 * effort / 3.0 * _DT_S  # no more motion than is needed
    reward += 10.0 * success  # more than a moment can cost: placing always pays
    reward -= 40.0 * stopped  # more than the worst episode costs: running into the guard is no way out
    return reward, success, held_s, position, rotation, released


@kernel
def expert_kernel(rows: Figures, chunks: NDArray[np.float32]) -> None:
    """Fill a chunk for each row, shape (rows, H, 7), from observations, shape (rows, 20)."""
    for k in range(rows.shape[0]):
        _chunk(rows[k], chunks[k])


@allocating
def _chunk(obs: Figures, chunk: NDArray[np.float32]) -> None:
    """Fill a chunk, shape (H, 7), from an observation, shape (20,): each row from what the rows before lead to."""
    gap, gap_c, carried = obs[6], obs[7], obs[7] < 0.5 * _OPEN_M and obs[6] < _WIDEST_M
    e, g = obs[8:14].copy(), obs[14:20].copy()
    for i in range(6):  # where the arm will be once it has caught up with its set-point
        e[i] -= 0.0 if carried else _LEAD_S * obs[i]
        g[i] -= _LEAD_S * obs[i] if carried else 0.0
    for step in range(chunk.shape[0]):
        row = chunk[step]
        aside, turned, off, skew = math.hypot(e[0], e[1]), _norm(e, 3), math.hypot(g[0], g[1]), abs(g[5])
        closing = gap_c < 0.5 * _OPEN_M
        holding = closing and _NARROWEST_M < gap < _WIDEST_M and aside < 0.02 and abs(e[2]) < 0.02
        loose = 1.0 if closing else 2.0
        row[6] = _OPEN_M
        flat = math.hypot(g[3], g[4]) < _TILT_RAD
        if off < loose * _PLACED_M and skew < loose * 0.02 and flat and -g[2] < loose * _LOW_M:
            risen = min(max((gap - 0.048) / 0.012, 0.0), 1.0)  # up, once the fingers are off the part
            _move(0.0, 0.0, risen * (_CARRY_M + e[2]), -e[2], row)
            _turn(0.0, 0.0, 0.0, row)
        elif holding:
            row[6] = _CLOSED_M
            cone = min(max(_SLOPE * (off - _NEAR_M + 0.2 * max(skew - 0.02, 0.0)), 0.0), _CARRY_M)
            free = min(max((0.002 - g[2]) / (cone + 0.002), 0.0), 1.0)
            _move(free * free * g[0], free * free * g[1], cone + g[2], -g[2], row)
            _turn(free * g[3], free * g[4], free * g[5], row)
        else:
            grasps = 3.0 if closing else 1.0
            if aside < grasps * 0.004 and turned < grasps * 0.03 and abs(e[2]) < grasps * 0.005:
                row[6] = _CLOSED_M
            cone = min(max(_SLOPE * (aside - _NEAR_M + 0.1 * max(turned - 0.02, 0.0)), 0.0), _CARRY_M)
            _move(e[0], e[1], e[2] + cone, _CARRY_M, row)
            _turn(e[3], e[4], e[5], row)
        for i in range(6):
            e[i] -= 0.0 if holding else row[i]
            g[i] -= row[i] if holding else 0.0
        gap_c = row[6]
        gap = max(gap - 0.008, 0.04) if gap_c < 0.5 * _OPEN_M else min(gap + 0.008, _OPEN_M)


@kernel
def _norm(v: Figures, first: int) -> float:
    return math.sqrt(v[first] * v[first] + v[first + 1] * v[first + 1] + v[first + 2] * v[first + 2])


@kernel
def _move(x: float, y: float, z: float, height: float, row: NDArray[np.float32]) -> None:
    """Write a translation along (x, y, z) [m]: a share of it that ends without overshoot, slowly up from the table."""
    far = math.sqrt(x * x + y * y + z * z)
    share = min(_GAIN, min(_STEP_M, math.sqrt(2.0 * _BRAKING * far) * _DT_S) / max(far, 1e-9))
    row[0], row[1], row[2] = share * x, share * y, min(share * z, _LIFT_M + _LIFT_SHARE * max(height, 0.0))


@kernel
def _turn(x: float, y: float, z: float, row: NDArray[np.float32]) -> None:
    """Write a turn along a rotation vector [rad]."""
    far = math.sqrt(x * x + y * y + z * z)
    share = min(_GAIN, _TURN_SHARE * _STEP_RAD / max(far, 1e-9))
    row[3], row[4], row[5] = share * x, share * y, share * z
