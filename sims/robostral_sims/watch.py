"""Watching a cell for a learned simulator: what was seen before each policy step, what happened, a curious pilot."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robostral.contract import Action, Contract, Device, ObsField, Rate
from robostral.errors import ConfigError
from robostral.kinematics.jacobian import fk_jacobian_kernel
from robostral_sims.learned import SEEN, TOLD, free_gap_kernel, see_kernel, tell_kernel
from robostral_sims.scene import Body, Box, Cylinder, Jaw, Scene, load_mounted
from robostral_sims.solids import transform

if TYPE_CHECKING:
    from robostral_sims.env import CellEnv

FloatArray = NDArray[np.float64]

_SEEN = (
    ("part_position", 3, "m", "step"), ("part_axes", 6, "1", "step"), ("part_velocities", 6, "m/s, rad/s", "step"),
    ("carried_motion", 6, "m, rad", "step"), ("carried_velocities", 6, "m/s, rad/s", "step"),
    ("gap", 1, "m", "tool"), ("gap_rate", 1, "m/s", "tool"), ("gap_c", 1, "m", "tool"), ("gap_free", 1, "m", "tool"),
    ("heights", 2, "m", "table"), ("tilt", 2, "1", "step"), ("part_half", 3, "m", "part"),
    ("part_round", 1, "1", "part"), ("friction", 1, "1", "part"), ("friction_jaw", 1, "1", "part"),
    ("part_mass", 1, "kg", "part"), ("clearance0", 4, "m or 1", "step"),
    ("clearance1", 4, "m or 1", "step"), ("clearance_palm", 4, "m or 1", "step"),
)  # fmt: skip
"""Fields of what is seen: name, size, unit, frame; their columns are those of `robostral_sims.learned`."""
MOST = (*[0.08] * 3, *[math.pi] * 3, *[3.0] * 3, *[50.0] * 3, 0.02, 0.5, 1.0, 10.0)
"""What nothing that is said exceeds, in either direction, shape (16,)."""
_FALLEN_M = 0.04
"""Ours: how far below its start a part is gone."""
LEAN = 0.35
"""Ours: how far the tool leans [1, sine] where there is nothing more to be learned."""
_HELD_M = 0.025
"""Ours: how near to the tcp a held part is."""
_THERE_M = 0.006
"""Ours: how near to an aim of a push the next one is taken."""


def contract_of(jaw: Jaw, dt_s: float) -> Contract:
    """Return the contract of a learned simulator of this jaw and a part: what it sees and says of steps of `dt_s` s."""
    palm, finger = (" x ".join(f"{1e3 * x:g}" for x in size) for size in (jaw.palm, jaw.finger))
    name = f"jaw {1e3 * jaw.opening:g} mm, {jaw.force:g} N, {jaw.speed:g} m/s, palm {palm} mm, fingers {finger} mm"
    obs = tuple(ObsField(field, (size,), unit, frame, "derived") for field, size, unit, frame in _SEEN)
    low = tuple(-x for x in MOST)
    action = Action("outcome", low, MOST, "as learned.py says", "step", horizon=1, dt_s=dt_s, chunk_valid_s=dt_s)
    return Contract("jaw-part", (Device(name, ("gap",), (1,)),), obs, action, Rate(1.0 / dt_s, 0.0))


def part_of(scene: Scene) -> FloatArray:
    """Return what is known of a scene's one part, and of the table, shape (8,).

    That is: half lengths along its axes [m], 1 if it is a cylinder, Coulomb coefficients on the table and, as a share
    of that one, between the fingers, mass [kg]; and the height of the table [m].

    Raises:
        ConfigError: There is not exactly one part, a box or a cylinder, or not a level table.
    """
    jaw, table, floor = jaw_of(scene), *table_of(scene)
    shapes = [part.shape for part in scene.parts]
    if len(shapes) == 1 and isinstance(shapes[0], Box):
        size = [*(0.5 * length for length in shapes[0].size), 0.0]
    elif len(shapes) == 1 and isinstance(shapes[0], Cylinder):
        size = [shapes[0].radius, shapes[0].radius, 0.5 * shapes[0].length, 1.0]
    else:
        found = ", ".join(type(shape).__name__ for shape in shapes) or "no part"
        raise ConfigError(f"a learned simulator knows one part, a Box or a Cylinder; the cell has {found}")
    lies, held, own = (scene.material(thing).lateral_friction for thing in (table, jaw, scene.parts[0]))
    return np.array([*size, lies * own, held / lies, scene.parts[0].mass, floor])


def table_of(scene: Scene) -> tuple[Body, float]:
    """Return what a scene's part lies on, and how high its upper side is [m, world].

    Raises:
        ConfigError: A fixture of the scene is no level box; or there is none.
    """
    tops = {}
    for body in scene.bodies:
        if body.mass == 0.0:
            T = transform(body.pose)
            if not isinstance(body.shape, Box) or T[2, 2] < 1.0 - 1e-9:
                raise ConfigError(f"a learned simulator knows fixtures that are level boxes; '{body.name}' is none")
            tops[body.name] = body, float(T[2, 3] + 0.5 * body.shape.size[2])
    if not tops:
        raise ConfigError("a learned simulator knows a part on a table; the cell has no fixture")
    return max(tops.values(), key=lambda one: one[1])


def hand(jaw: Jaw) -> FloatArray:
    """Return the half lengths of a finger, and of the palm [m], each with a 0, shape (2, 4)."""
    return np.array([(*jaw.finger, 0.0), (*jaw.palm, 0.0)]) / 2.0


def jaw_of(scene: Scene) -> Jaw:
    """Return the jaw of a scene's one arm.

    Raises:
        ConfigError: It has several arms, or another tool.
    """
    tools = [arm.tool for arm in scene.arms]
    if len(tools) != 1 or not isinstance(tools[0], Jaw):
        found = ", ".join(type(tool).__name__ for tool in tools)
        raise ConfigError(f"a learned simulator knows one arm, with a Jaw; the cell's arms have {found}")
    return tools[0]


class Watcher:
    """Notes each policy step of an environment as `robostral_sims.learned` tells it; call `before`, step, `after`.

    Args:
        env: A cell with one arm that has a jaw, and one part.

    Attributes:
        contract: What a learned simulator of the cell sees and says.

    Raises:
        ConfigError: The cell holds something else.
    """

    def __init__(self, env: "CellEnv") -> None:
        self._env, self._arm, self._jaw = env, load_mounted(env.scene.arms[0]), jaw_of(env.scene)
        self._dt_s = env.contract.action.dt_s
        self.contract = contract_of(self._jaw, self._dt_s)
        part_of(env.scene)
        self._hand = hand(self._jaw)
        self._T_world_base = transform(env.scene.arms[0].base)
        self._T, self._T_after, self._V = np.eye(4), np.eye(4), np.zeros(6)
        self._J = np.empty((6, self._arm.chain.n))
        self._part, self._tool, self._gap_c = np.zeros(13), np.zeros(2), 0.0
        self._plan: list[tuple[FloatArray, float]] = []
        self._gap = self._jaw.opening

    def before(self) -> None:
        """Look at the cell before a step."""
        truth = self._env.truth
        self._look(self._T)
        self._part[:], self._tool[:] = truth.parts[0], truth.tools[0]
        self._gap_c = float(self._env.tools_c[0])

    def after(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what was seen, shape (54,), and what happened in the step since, shape (14,)."""
        env, truth = self._env, self._env.truth
        seen, told = np.empty(SEEN, np.float32), np.empty(TOLD, np.float32)
        self._look(self._T_after)
        half, gap_c, speed = part_of(env.episode_scene), float(env.tools_c[0]), 2.0 * self._jaw.speed
        free = free_gap_kernel(self._tool[0], self._gap_c, speed * env.late_s)
        free = free_gap_kernel(free, gap_c, speed * (self._dt_s - env.late_s))
        hand = self._T, self._T_after, self._V
        see_kernel(*hand, self._part, half, self._hand, self._tool, gap_c, free, self._dt_s, seen)
        tell_kernel(self._T, self._part, self._tool, truth.parts[0], truth.tools[0], told)
        return seen, told

    @property
    def held(self) -> bool:
        """Whether the jaw has closed on the part, as of the last observation."""
        truth = self._env.truth
        self._look(self._T_after)
        gap, rate = truth.tools[0]
        near = float(np.linalg.norm(truth.parts[0, :3] - self._T_after[:3, 3])) < _HELD_M
        return bool(near and gap > 0.005 and float(self._env.tools_c[0]) < gap - 0.002 and abs(rate) < 0.02)

    @property
    def gone(self) -> bool:
        """Whether the part has fallen off the table, or the tool leans too far: there is nothing more to be learned."""
        start = self._env.episode_scene.parts[0].pose.p[2]
        self._look(self._T_after)
        lean = math.hypot(self._T_after[0, 2], self._T_after[1, 2])
        return bool(self._env.truth.parts[0, 2] < start - _FALLEN_M or lean > LEAN)

    def curious(self, rng: np.random.Generator, *, pushing: bool = False) -> NDArray[np.float32]:
        """Return the next chunk [units of the contract] of a pilot that plays with the part.

        Args:
            rng: Draws where to and how fast, and when to think of something else.
            pushing: Push it along the table, up to 0.12 m/s, again and again; else go beside, over and into it.
        """
        part, action = self._env.truth.parts[0, :3], self._env.contract.action
        if not self._plan or rng.random() < (0.01 if pushing else 0.06):
            self._gap = float(rng.choice([0.0, self._jaw.opening, rng.uniform(0.0, self._jaw.opening)]))
            self._plan = self._draw_push(rng, part) if pushing else [self._draw_aim(rng)]
            self._gap *= not pushing or rng.random() < 0.3
        self._look(self._T)
        aim, speed = self._plan[0]
        left = self._T_world_base[:3, :3].T @ (aim + (0.0 if pushing else part) - self._T[:3, 3])
        if pushing and np.abs(left).max() < _THERE_M:
            self._plan.pop(0)
        chunk = np.zeros((action.horizon, len(action.low)))
        chunk[:, :3] = left * min(1.0, speed * self._dt_s / max(float(np.abs(left).max()), 1e-9))
        chunk[:, 3:6] = rng.normal(size=3) * 0.1 * action.high[3]
        chunk[:, 6] = self._gap
        return np.asarray(np.clip(chunk, action.low, action.high), np.float32)

    def _draw_aim(self, rng: np.random.Generator) -> tuple[FloatArray, float]:
        """Draw where to go, from the part, and how fast [m/s]."""
        return rng.uniform((-0.09, -0.09, -0.02), (0.09, 0.09, 0.10)), rng.uniform(0.04, 0.22)

    def _draw_push(self, rng: np.random.Generator, part: FloatArray) -> list[tuple[FloatArray, float]]:
        """Draw a push: over, down beside the part, through where it is, up; where to [m, world] and how fast [m/s]."""
        turn, aside = rng.uniform(-math.pi, math.pi), rng.uniform(-0.025, 0.025)
        along, across = (
            np.array([math.cos(turn), math.sin(turn), 0.0]),
            np.array([-math.sin(turn), math.cos(turn), 0.0]),
        )
        low = part + aside * across + np.array([0.0, 0.0, rng.uniform(-0.012, 0.015)])
        start, end, up = (
            low - rng.uniform(0.05, 0.08) * along,
            low + rng.uniform(0.0, 0.12) * along,
            np.array([0, 0, 0.09]),
        )
        return [(start + up, 0.3), (start, 0.2), (end, rng.uniform(0.02, 0.12)), (end + up, 0.2)]

    def _look(self, T_world_tcp: FloatArray) -> None:
        """Fill where the tcp is, shape (4, 4), and note its twist in `world`."""
        truth = self._env.truth
        fk_jacobian_kernel(self._arm.chain.model, truth.q, T_world_tcp, self._J)
        T_world_tcp[:] = self._T_world_base @ T_world_tcp
        self._V.reshape(2, 3)[:] = (self._J @ truth.dq).reshape(2, 3) @ self._T_world_base[:3, :3].T
