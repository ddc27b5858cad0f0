"""PegInsert: push a peg into a hole whose place is known to a few millimetres, by feel, without pressing too hard."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.contract import Impedance
from robostral.errors import ConfigError
from robostral.jit import kernel
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.ik import ik
from robostral.kinematics.se3 import matrix_from_rotvec_kernel, quat_from_matrix_kernel
from robostral.requirements import requirements_of
from robostral_sims.randomize import NOMINAL, Plant, ranges
from robostral_sims.scene import Body, Box, Compound, Cylinder, Pose, Scene, Solid, Tool
from robostral_sims.sensor import MEAN, PEAK, figures_of, sensor_of
from robostral_sims.tasks import Start, Truth, Verdict, answer_rows
from robostral_sims.tasks.contracts import contract_of, tcp_action
from robostral_sims.tasks.square_peg import corner_kernel

DEPTH_M = 0.025
"""Depth of the hole."""
SUCCESS_DEPTH = 0.90
"""Share of it that the peg's end must reach."""
FORCE_LIMIT_N = 30.0
"""Of the contact force, its mean over 50 ms (`robostral_sims.sensor.FILTER_S`); more of it at any time is a failure."""

JOINT_FRICTION = (0.0, 0.1)
"""Coulomb friction [N·m], ours: such an arm measures torque behind its gears and makes up for most of theirs."""

_FIELDS = ("goal_error", "goal_error_c", "wrench")
_DT_S, _HORIZON, _LATENCY_S = 0.05, 2, 0.02
_STEP_M, _STEP_RAD = 0.010, 0.04
_STIFFNESS = (3000.0, 3000.0, 800.0, 10.0, 10.0, 5.0)
"""Ours: sideways stiff, so that friction holds the peg back by less than the search is wide; soft along the hole and in
rotation: pressed on a surface that leans by 1 deg the peg lies down on it, and in the hole it turns the hole's way."""
_SIDES, _WALL_M, _COVER_M = 12, 0.04, 0.008
"""Of the hole: boxes around a round one, how thick they are, half of how wide they are."""


class PegInsert:
    """Insert a peg of 20 mm into a hole with a diametral clearance of 1 mm; also 0.5 to 2 mm, and square.

    The policy is told the hole's pose: within +-5 mm on every axis and +-2 deg in yaw; that the hole leans by up to
    2 deg to any side it is not told. It commands the tcp, the middle of the peg's end, under Cartesian impedance.

    A round peg searches on a spiral. A square one (cell `panda-peg_insert_square`), which turned by the yaw's error has
    0.15 mm of play in place of 0.5, goes in a corner first; and its contract has the told rotation as well, for errors
    along the axes of `base` do not say where the sides are. `sims/README.md` has the numbers of both.

    Args:
        arm: The arm with its tool.
        scene: The cell; its tool ends in the peg, a cylinder or a square box, its region `holes` is where holes are.

    Raises:
        ConfigError: The cell has no region `holes`, or its tool no peg.
    """

    time_limit_s = 25.0
    ranges = ranges(
        "mu", "hole_x", "hole_y", "hole_z", "hole_lean", "hole_side", "hole_yaw", "clearance", "contact_stiffness",
        *figures_of(), joint_friction=JOINT_FRICTION, latency_s=(0.0, _LATENCY_S), payload=(0.0, 0.1),
    )  # fmt: skip

    def __init__(self, arm: Arm, scene: Scene) -> None:
        if "holes" not in scene.regions:
            raise ConfigError(f"task 'PegInsert' needs a region 'holes' in its cell; it has {sorted(scene.regions)}")
        self._peg, self._arm, self._scene = peg_of(scene), arm, scene
        self.box = scene.regions["holes"]
        self._T_hole, self._T = np.eye(4), np.empty((4, 4))
        impedance = Impedance(_STIFFNESS, (1.0,) * 6, 10.0)
        action = tcp_action(arm, (_STEP_M, _STEP_RAD), _DT_S, _HORIZON, impedance=impedance)
        square = isinstance(self._peg.shape, Box)
        self._search = corner_kernel if square else search_kernel
        fields = (*_FIELDS, "goal_rot6d") if square else _FIELDS
        self.contract = contract_of("peg_insert", arm, fields, action, _LATENCY_S)
        self.requirements = requirements_of(
            arm, max_latency_s=_LATENCY_S, control_hz=(500.0, 1000.0), command_modes=("joint_torque",)
        )

    def start(self, rng: np.random.Generator, plant: Plant = NOMINAL) -> Start:
        """Draw a hole, what is told of it, and a start some centimetres above what is told."""
        yaw = rng.uniform(-0.3, 0.3)
        lean, side = plant["hole_lean"], plant["hole_side"]
        R_lean = _rotation(lean * math.cos(side), lean * math.sin(side), 0.0)
        self._T_hole[:3, :3] = R_lean @ _rotation(0.0, 0.0, yaw)
        self._T_hole[:3, 3] = rng.uniform(self.box.low, self.box.high)
        told = np.eye(4)
        told[:3, :3] = _rotation(0.0, 0.0, yaw + plant["hole_yaw"]) @ np.diag((1.0, -1.0, -1.0))
        told[:3, 3] = self._T_hole[:3, 3] + [plant[f"hole_{axis}"] for axis in "xyz"]
        external = np.concatenate((told[:3, 3], np.empty(4)))
        quat_from_matrix_kernel(told[:3, :3], external[3:])
        told[:3, 3] += (*rng.uniform(-0.02, 0.02, 2), rng.uniform(0.02, 0.04))
        q = ik(self._arm.chain, self._arm.limits, told, self._arm.home, posture=self._arm.home)
        return Start(q, external, self._build(plant), rng)

    def _build(self, plant: Plant) -> Scene:
        """Return the cell with this episode's hole, surfaces and sensor."""
        scene, quat = plant.apply(self._scene), np.empty(4)
        quat_from_matrix_kernel(self._T_hole[:3, :3], quat)
        shape = hole_around(self._peg, plant["clearance"])
        w, x, y, z = quat.tolist()
        px, py, pz = self._T_hole[:3, 3].tolist()
        hole = Body("hole", shape, Pose((px, py, pz), (w, x, y, z)), material="hole", rgba=(0.55, 0.60, 0.66, 1.0))
        bodies = [body for body in scene.bodies if body.name != "hole"]
        surface = msgspec.structs.replace(scene.materials["hole"], lateral_friction=plant["mu"])
        return msgspec.structs.replace(
            scene,
            arms=(msgspec.structs.replace(scene.arms[0], sensor=sensor_of(plant)),),
            bodies=(*bodies, hole),
            materials={**scene.materials, "hole": surface},
        )

    def outside(self, truth: Truth, external: FloatArray, belts: FloatArray) -> None:
        """Say nothing new: what was told of the hole stays."""

    def judge(self, obs: NDArray[np.float32], chunk: NDArray[np.float32], *, truth: Truth, stopped: bool) -> Verdict:
        """Judge one policy step; success at 90 % of the depth, if the force limit was kept all the way."""
        tcp_kernel(self._arm.chain.model, truth.q, self._T)
        x, y, z = self._T_hole[:3, :3].T @ (self._T[:3, 3] - self._T_hole[:3, 3])
        aside, depth = math.hypot(x, y), -z
        gentle = float(truth.force[PEAK]) <= FORCE_LIMIT_N
        success = not stopped and gentle and depth >= SUCCESS_DEPTH * DEPTH_M and aside < 0.005
        reward = -0.2 * _DT_S  # time costs, so that searching fast pays
        reward -= 10.0 * min(aside, 0.05) * _DT_S  # towards the axis, which only the simulation knows
        reward += 20.0 * min(max(depth, 0.0), DEPTH_M) * _DT_S * (aside < 0.005)  # and then down along it
        reward -= 0.05 * max(float(truth.force[MEAN]) - 20.0, 0.0) * _DT_S  # pressing harder than is needed
        reward += 10.0 * success  # more than an episode can cost
        reward -= 60.0 * stopped  # running into the guard is no way out
        figures = {
            "depth_m": float(depth),
            "aside_m": aside,
            "force_n": float(truth.force[MEAN]),
            "force_peak_n": float(truth.force[PEAK]),
        }
        return Verdict(reward, success, figures)

    def expert(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scripted expert's chunk, a function of the observation alone.

        `search_kernel` has that of round pegs, `square_peg.corner_kernel` that of square ones.

        Args:
            obs: Shape (18,) or (rows, 18); (24,) or (rows, 24) for a square peg.

        Returns:
            Chunks [m, rad], shape (2, 6) or (rows, 2, 6).
        """
        return answer_rows(self._search, obs, self.contract.chunk_shape)


def peg_of(scene: Scene) -> Solid:
    """Return the peg: the last solid of the first arm's tool.

    Raises:
        ConfigError: There is no tool, or it ends in something else.
    """
    tool = scene.arms[0].tool
    if isinstance(tool, Tool) and isinstance(tool.shape, Compound):
        peg = tool.shape.solids[-1]
        if isinstance(peg.shape, Cylinder) or (isinstance(peg.shape, Box) and peg.shape.size[0] == peg.shape.size[1]):
            return peg
    raise ConfigError("task 'PegInsert' needs a tool whose last solid is the peg: a cylinder or a square box")


def hole_around(peg: Solid, clearance: float) -> Compound:
    """Build the hole of a peg from boxes whose upper faces are at z = 0; the hole runs through them.

    Args:
        peg: A cylinder, or a square box.
        clearance: How much wider than the peg the hole is, at its narrowest [m].

    Raises:
        ConfigError: The clearance is not positive.
    """
    if not clearance > 0.0:
        raise ConfigError(f"clearance = {clearance} m: a peg needs a wider hole")
    square, height = isinstance(peg.shape, Box), DEPTH_M + 0.005
    half = (peg.shape.size[0] / 2.0 if isinstance(peg.shape, Box) else _radius(peg)) + clearance / 2.0
    sides, wide = (4, half + _WALL_M) if square else (_SIDES, _COVER_M)
    solids = []
    for k in range(sides):
        angle = 2.0 * math.pi * k / sides
        at = half + _WALL_M / 2.0
        pose = Pose(
            (at * math.cos(angle), at * math.sin(angle), -height / 2.0),
            (math.cos(angle / 2.0), 0.0, 0.0, math.sin(angle / 2.0)),
        )
        solids.append(Solid(Box((_WALL_M, 2.0 * wide, height)), pose))
    return Compound(tuple(solids))


def _radius(peg: Solid) -> float:
    assert isinstance(peg.shape, Cylinder)
    return peg.shape.radius


def _rotation(x: float, y: float, z: float) -> FloatArray:
    R = np.empty((3, 3))
    matrix_from_rotvec_kernel(np.array([x, y, z]), R)
    return R


_HOVER_M, _NEAR_M = 0.009, 0.002
"""Above this the expert aligns, then descends; below it feels its way: the told height is wrong by 5 mm at most."""
_SURE_M, _BLEND_M, _DEEP_M = 0.006, 0.002, DEPTH_M + 0.004
"""From this depth below the told surface on, the peg is in the hole whatever the error of what was told; and from the
last one on it has been inserted."""
_SEARCH_N, _PUSH_N, _TOUCH = 8.0, 16.0, (0.3, 0.7)
"""Force to search with and to push with; from which shares of the first on the sensor says that the peg stands on the
surface: between them the walk takes up speed."""
_SPEED, _PITCH_M, _LEAST, _REACH_M = 0.025, 1.3e-3, 0.35, 8.0e-3
"""Of the spiral: speed of the command [m/s], distance of the turns of the peg's own path, see `search_kernel`, least
share of that path in the command's, greatest radius. A peg that passes by at half of that distance dips into a hole
with a millimetre of clearance."""
_TURN_RAD, _DRAW = 0.35, 0.35
"""How far the command turns on the way out, and share of what is missing to its radius that a step makes up [1]."""
_PACE_RAD = _TURN_RAD * _PITCH_M * _SPEED * _DT_S / (math.pi * _REACH_M**2)
"""By how much the command turns in a step of the walk: turns of the spiral are then a pitch apart."""
_FRICTION, _MOST_N, _BIAS_N, _WALL_N = 0.9, 10.0, 2.0, 3.0
"""Friction and the sensor's bias explain a force sideways of no more than this coefficient times the force along the
peg, of which no more than this is counted, and this much; what exceeds it by the last figure comes from the wall for
sure. The bound on what is counted keeps the harder push at the wall from explaining the wall away, step by step."""


@kernel
def _radius_at(yaw: float) -> float:
    """Return the radius of the walk [m] where the command is turned by `yaw` [rad]: out to the greatest, in again."""
    passed = max(yaw, 0.0) / _TURN_RAD
    share = passed - 2.0 * math.floor(0.5 * passed)
    return _REACH_M * math.sqrt(share if share < 1.0 else 2.0 - share)


@kernel
def search_kernel(obs: FloatArray, chunk: NDArray[np.float32]) -> None:
    """Fill a chunk, shape (2, 6), for an observation, shape (18,).

    Above the surface the command goes to the told axis, then down. In contact it stays as far below the peg as makes
    the law's own spring press with a small force, and as long as the sensor feels the surface it walks an Archimedean
    spiral about the told axis, out and in again. How far it has come is written into the command's own turn about the
    peg, which a round peg does not mind: the radius is held to what the turn says. So nothing has to be remembered,
    and a pupil that is a hundredth off walks a spiral all the same; one that has to grow by a hundredth of a step
    walks in a circle for ever. Over the hole the force is gone, the walk stops and the command sinks. A force sideways
    that friction does not explain comes from the wall: the command goes back along the spiral towards the peg and
    pushes harder; its radius goes on growing, so that no place can hold it for ever. Deep enough to be sure, the
    command yields to the hole, rotation as well.

    Note:
        Force by the spring, not by the sensor: the law feeds the command's speed forward, so that a step of the command
        is felt at once 2.5 times as hard as it will be, and regulating the reading at 20 Hz made the peg bounce.
    """
    x, y, z = -obs[0], -obs[1], -obs[2]
    x_c, y_c, z_c = -obs[6], -obs[7], -obs[8]
    radius, side, force = math.hypot(x_c, y_c), math.hypot(obs[12], obs[13]), obs[14]
    inside = min(max((-z - _SURE_M) / _BLEND_M, 0.0), 1.0)
    for i in range(3):
        chunk[0, 3 + i] = (1.0 - inside) * 0.5 * obs[9 + i] + inside * 0.25 * (obs[9 + i] - obs[3 + i])
    if z > _HOVER_M:
        chunk[0, 0], chunk[0, 1] = -0.4 * x_c, -0.4 * y_c
        sink = max(-0.4 * (z_c - 0.006), -0.006)
        chunk[0, 2] = min(sink, -0.0015) if radius < _NEAR_M else 0.0
        return
    explained = _FRICTION * min(max(force, 0.0), _MOST_N) + _BIAS_N
    wall = min(max((side - explained) / _WALL_N, 0.0), 1.0)
    leaning = max(inside, wall)
    wanted = _SEARCH_N + leaning * (_PUSH_N - _SEARCH_N)
    if -z > _DEEP_M:  # deeper than needed whatever was told: come to rest
        wanted = 0.0
    chunk[0, 2] = min(max(0.5 * (z - wanted / _STIFFNESS[2] - z_c), -0.002), 0.002)
    walk = min(max((force / _SEARCH_N - _TOUCH[0]) / (_TOUCH[1] - _TOUCH[0]), 0.0), 1.0) * (1.0 - leaning)
    turn = min(_SPEED * _DT_S / max(radius, 1e-4), 1.0)
    # The peg follows on a smaller circle, for friction holds it back; that one is to grow by the pitch.
    share = min(max(math.hypot(x, y) / max(radius, 1e-4), _LEAST), 1.0)
    stuck = wall * (1.0 - inside)
    chunk[0, 5] = (walk * share + 2.0 * stuck) * _PACE_RAD + inside * 0.25 * (obs[11] - obs[5])
    grown, at = radius + _DRAW * (_radius_at(-obs[11]) - radius), math.atan2(y_c, x_c)
    ahead = max((y_c - y) * math.cos(at) - (x_c - x) * math.sin(at), 0.0)
    back = 0.5 * stuck * ahead
    out = stuck * (grown - radius)
    chunk[0, 0] = walk * (grown * math.cos(at + turn) - x_c) - 0.5 * inside * (x_c - x)
    chunk[0, 1] = walk * (grown * math.sin(at + turn) - y_c) - 0.5 * inside * (y_c - y)
    chunk[0, 0] += back * math.sin(at) + out * math.cos(at)
    chunk[0, 1] += out * math.sin(at) - back * math.cos(at)
