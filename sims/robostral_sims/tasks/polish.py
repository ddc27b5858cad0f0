"""Polish: go along a path on a curved surface with a constant normal force; where the surface is, only touch tells."""

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
from robostral.kinematics.se3 import quat_from_matrix_kernel
from robostral.requirements import requirements_of
from robostral_sims.randomize import NOMINAL, Plant, ranges
from robostral_sims.scene import Cylinder, Scene
from robostral_sims.sensor import MEAN_VECTOR, PEAK, figures_of, sensor_of
from robostral_sims.tasks import Start, Truth, Verdict, answer_rows
from robostral_sims.tasks.contracts import contract_of, tcp_action

FORCE_N = 20.0
"""Normal force that the path wants."""
RMS_SHARE = 0.10
"""Greatest root mean square of the normal force's error over the path, as a share of `FORCE_N`."""
ASIDE_M = 0.010
"""How far from the path's point of the moment the tcp may be, along the surface."""
PRESS_S, PATH_S = 2.4, 5.0
"""Time to come down and press before the path begins, and the time that the path takes."""

_FIELDS = ("goal_rot6d", "goal_error", "goal_error_c", "wrench")
_DT_S, _HORIZON, _LATENCY_S = 0.04, 2, 0.02
_STEP_M, _STEP_RAD = 0.006, 0.04
_STIFFNESS = (3000.0, 3000.0, 1500.0, 30.0, 30.0, 5.0)
"""Ours: stiff sideways, for friction of up to 16 N holds the tool back; softer along the normal, which turns by 16 deg
to either side."""
_ARC_RAD = 0.28
"""Half of the path, as an angle of the cylinder."""


class Polish:
    """Press a ball-nosed tool on a cylinder with 20 N and go along an arc, within 10 % RMS of the force.

    A system outside tells where on the surface the tool should be now, and its normal; the surface really is up to
    3 mm higher or lower and leans by up to 1 deg. The policy commands the tcp, the tool's nose, under impedance.

    Args:
        arm: The arm with its tool.
        scene: The cell; its body `work` is a cylinder that lies along the base's y.

    Raises:
        ConfigError: The cell has no such body.
    """

    time_limit_s = PRESS_S + PATH_S + 0.2
    ranges = ranges(
        "mu", "work_z", "work_lean", "contact_stiffness", *figures_of(),
        joint_friction=(0.0, 0.1), latency_s=(0.0, _LATENCY_S), payload=(0.0, 0.1),
    )  # fmt: skip

    def __init__(self, arm: Arm, scene: Scene) -> None:
        self._work = next((body for body in scene.bodies if body.name == "work"), None)
        if self._work is None or not isinstance(self._work.shape, Cylinder):
            raise ConfigError("task 'Polish' needs a body 'work' in its cell: a cylinder along the base's y")
        self._arm, self._scene, self._radius = arm, scene, self._work.shape.radius
        self._axis, self._T = np.array(self._work.pose.p), np.empty((4, 4))
        self._squares, self._told = np.zeros(2), np.zeros(7)
        impedance = Impedance(_STIFFNESS, (1.0,) * 6, 10.0)
        action = tcp_action(arm, (_STEP_M, _STEP_RAD), _DT_S, _HORIZON, impedance=impedance)
        self.contract = contract_of("polish", arm, _FIELDS, action, _LATENCY_S)
        self.requirements = requirements_of(
            arm, max_latency_s=_LATENCY_S, control_hz=(500.0, 1000.0), command_modes=("joint_torque",)
        )

    def start(self, rng: np.random.Generator, plant: Plant = NOMINAL) -> Start:
        """Draw a path and its direction, what is told of the surface, and a start above the path's begin."""
        self._y, self._way = rng.uniform(-0.06, 0.06), 1.0 if rng.random() < 0.5 else -1.0
        self._high, self._lean = plant["work_z"], plant["work_lean"]
        self._squares[:], self._far, self._aside = 0.0, 0.0, 0.0
        self.tell(0.0, self._told)
        T = self._frame(self._told[:3], self._angle(0.0))
        T[:3, 3] -= rng.uniform(0.015, 0.035) * T[:3, 2]
        q = ik(self._arm.chain, self._arm.limits, T, self._arm.home, posture=self._arm.home)
        scene = plant.apply(self._scene)
        surface = msgspec.structs.replace(scene.materials["work"], lateral_friction=plant["mu"])
        scene = msgspec.structs.replace(
            scene,
            arms=(msgspec.structs.replace(scene.arms[0], sensor=sensor_of(plant)),),
            materials={**scene.materials, "work": surface},
        )
        return Start(q, self._told.copy(), scene, rng)

    def _angle(self, time_s: float) -> float:
        share = min(max((time_s - PRESS_S) / PATH_S, 0.0), 1.0)
        return self._way * _ARC_RAD * (2.0 * share - 1.0)

    def _point(self, angle: float) -> FloatArray:
        """Return the surface's point at an angle of the cylinder, as it really is [m]."""
        normal = np.array([math.sin(angle), 0.0, math.cos(angle)])
        return self._axis + (0.0, self._y, 0.0) + self._radius * normal

    def _frame(self, p: FloatArray, angle: float) -> FloatArray:
        """Return the pose of a tool whose z axis goes into a surface with this angle's normal, shape (4, 4)."""
        T = np.eye(4)
        s, c = math.sin(angle), math.cos(angle)
        T[:3, :3] = np.array([[c, 0.0, -s], [0.0, -1.0, 0.0], [-s, 0.0, -c]])
        T[:3, 3] = p
        return T

    def tell(self, time_s: float, external: FloatArray) -> None:
        """Fill what is told at this time, shape (7,): the path's point and the tool's pose there, as drawings have it.

        The drawings are higher than the surface by `work_z` and lean about the path's middle by `work_lean`.
        """
        angle, top = self._angle(time_s), self._point(0.0)
        s, c = math.sin(self._lean), math.cos(self._lean)
        x, y, z = self._point(angle) - top
        external[:3] = top
        external[:3] += c * x + s * z, y, c * z - s * x + self._high
        quat_from_matrix_kernel(self._frame(external[:3], angle + self._lean)[:3, :3].copy(), external[3:])

    def outside(self, truth: Truth, external: FloatArray, belts: FloatArray) -> None:
        """Tell where on the path the tool should be."""
        self.tell(float(truth.time_s[0]), external)

    def judge(self, obs: NDArray[np.float32], chunk: NDArray[np.float32], *, truth: Truth, stopped: bool) -> Verdict:
        """Judge one policy step; success at the path's end, if force and place were kept along all of it."""
        time_s = float(truth.time_s[0])
        angle = self._angle(time_s)
        tcp_kernel(self._arm.chain.model, truth.q, self._T)
        normal = np.array([math.sin(angle), 0.0, math.cos(angle)])
        error = float(normal @ truth.force[MEAN_VECTOR]) - FORCE_N
        apart = self._T[:3, 3] - self._point(angle)
        aside = float(np.linalg.norm(apart - (normal @ apart) * normal))
        on_path = PRESS_S < time_s <= PRESS_S + PATH_S + 1e-9
        if on_path:
            self._squares += (error * error, 1.0)
            self._aside = max(self._aside, aside)
        rms = math.sqrt(self._squares[0] / max(self._squares[1], 1.0))
        ended = time_s >= PRESS_S + PATH_S - 1e-9
        success = not stopped and ended and rms <= RMS_SHARE * FORCE_N and self._aside <= ASIDE_M
        reward = -0.1 * min(abs(error), 2.0 * FORCE_N) / FORCE_N * _DT_S * (10.0 if on_path else 1.0)  # the right force
        reward -= 10.0 * min(aside, 0.05) * _DT_S  # at the right place
        reward += 10.0 * success  # more than an episode can cost
        reward -= 60.0 * stopped  # running into the guard is no way out
        figures = {
            "force_error_n": error,
            "force_rms_share": rms / FORCE_N,
            "aside_m": self._aside,
            "force_peak_n": float(truth.force[PEAK]),
        }
        return Verdict(reward, success, figures)

    def expert(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scripted expert's chunk, a function of the observation alone; see `press_kernel`.

        Args:
            obs: Shape (24,) or (rows, 24).

        Returns:
            Chunks [m, rad], shape (2, 6) or (rows, 2, 6).
        """
        return answer_rows(press_kernel, obs, self.contract.chunk_shape)


_YIELD, _DOWN_M, _UP_M = 0.6e-4, 1.2e-3, 2.0e-3
"""Of the expert: what the command moves for each newton that is missing [m/N], at most down and up per step."""
_FOLLOW = 0.35
"""Share of the error along the surface that a step takes off."""
_LEAN_RAD = 0.3
"""How far the tool's top leans away from the arm's base, about the base's y. A tool that is pushed outwards upright
digs in and chatters from a friction of 0.5 on; leaning, it trails like a castor's wheel. Pulled inwards, it does not
matter."""


@kernel
def press_kernel(obs: FloatArray, chunk: NDArray[np.float32]) -> None:
    """Fill a chunk, shape (2, 6), for an observation, shape (24,): admittance along the normal, position across it.

    Along the normal the command sinks while force is missing and rises while there is too much: an integral controller
    whose stiffness is that of the impedance below it. Across it the command takes off a share of the tcp's error, so
    that friction, which holds the tool back, is made up for. The tool's axis follows the told normal, leaning.
    """
    x0, x1, x2, y0, y1, y2 = obs[0], obs[1], obs[2], obs[3], obs[4], obs[5]
    n0, n1, n2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0  # the tool's z axis, into the surface
    pressed = -(n0 * obs[18] + n1 * obs[19] + n2 * obs[20])
    sink = min(max(_YIELD * (FORCE_N - pressed), -_UP_M), _DOWN_M)
    along = n0 * obs[6] + n1 * obs[7] + n2 * obs[8]
    chunk[0, 0] = _FOLLOW * (obs[6] - along * n0) + sink * n0
    chunk[0, 1] = _FOLLOW * (obs[7] - along * n1) + sink * n1
    chunk[0, 2] = _FOLLOW * (obs[8] - along * n2) + sink * n2
    for i in range(3):
        chunk[0, 3 + i] = 0.5 * obs[15 + i]
    chunk[0, 4] += 0.5 * _LEAN_RAD
