"""Domain randomisation as data: what is drawn anew for every episode, from the environment's seed, and reported.

A plant is a set of named figures. Those of the table below change the scene, or the time an answer takes; a task may
draw others, which only it reads. What was drawn stands in `info["plant"]`; `reset(options={"plant": ...})` takes it
in place of what the seed draws, the rest of the episode being the seed's.
"""

import math
from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np

from robostral.arm import load_arm
from robostral.errors import ConfigError, UnknownName
from robostral_sims.scene import ArmMount, Body, Box, Compound, Cylinder, Material, Pose, Scene, Shape, Sphere, Vector3

replace = msgspec.structs.replace


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a figure is drawn from, the value of the nominal plant, and where that is known from."""

    low: float
    high: float
    nominal: float
    source: str
    law: Literal["uniform", "log-uniform"] = "uniform"

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        if self.law == "uniform":
            return rng.uniform(self.low, self.high)
        return math.exp(rng.uniform(math.log(self.low), math.log(self.high)))


_ISAAC = "Isaac Lab, gear assembly guide for a UR10e"
_CAMERA = "ours: what a calibrated industrial camera gives at 1 m"

FIGURES: dict[str, Range] = {
    "stiffness": Range(50.0, 200.0, 100.0, "ours: servo's position gain [1/s], lag 0 to 10 ms", "log-uniform"),
    "feed_forward": Range(0.5, 1.0, 0.8, "ours: servo's share of velocity feed-forward [1]"),
    "latency_s": Range(0.0, 0.04, 0.0, "ours: from an observation to the use of its chunk [s]"),
    "lag_s": Range(0.0, 0.01, 0.0, "ours: time constant between a set-point and its servo [s]"),
    "joint_friction": Range(0.3, 0.7, 0.0, f"Coulomb [N·m], every joint; {_ISAAC}"),
    "payload": Range(0.0, 0.2, 0.0, "ours: cables and fingers that no data sheet holds, mass on the tool [kg]"),
    "part_mass": Range(0.7, 1.4, 1.0, "ours: share of the part's mass [1]", "log-uniform"),
    "part_size": Range(0.95, 1.05, 1.0, "ours: share of the part's lengths [1]; castings hold less than +-5 %"),
    "friction": Range(0.7, 1.4, 1.0, "ours: share of every Coulomb coefficient [1]", "log-uniform"),
    "contact_stiffness": Range(2e4, 2e5, 0.0, "ours: rubber pads to steel [N/m]; 0 is the engine's own", "log-uniform"),
    "bias_x": Range(-0.002, 0.002, 0.0, f"constant error of the part's position [m]; {_CAMERA}"),
    "bias_y": Range(-0.002, 0.002, 0.0, f"constant error of the part's position [m]; {_CAMERA}"),
    "bias_z": Range(-0.002, 0.002, 0.0, f"constant error of the part's position [m]; {_CAMERA}"),
    "bias_yaw": Range(-0.02, 0.02, 0.0, f"constant error of the part's yaw [rad]; {_CAMERA}"),
    "noise": Range(0.0, 0.001, 0.0, f"standard deviation of each pose's position, per axis [m]; {_CAMERA}"),
    "noise_yaw": Range(0.0, 0.005, 0.0, f"standard deviation of each pose's yaw [rad]; {_CAMERA}"),
    "mu": Range(0.2, 0.8, 0.4, "ours: oiled to dry steel; Coulomb coefficient of tool and work [1]", "log-uniform"),
    "clearance": Range(0.001, 0.001, 0.001, "ours: how much wider than the peg its hole is [m]"),
    "hole_x": Range(-0.005, 0.005, 0.0, f"error of the told position [m]; {_ISAAC}"),
    "hole_y": Range(-0.005, 0.005, 0.0, f"error of the told position [m]; {_ISAAC}"),
    "hole_z": Range(-0.005, 0.005, 0.0, f"error of the told position [m]; {_ISAAC}"),
    "hole_lean": Range(0.0, 0.035, 0.0, "ours: how far the hole's axis leans, untold [rad]; 2 deg"),
    "hole_side": Range(-3.14159, 3.14159, 0.0, "to which side it leans [rad]"),
    "hole_yaw": Range(-0.035, 0.035, 0.0, "ours: error of the told yaw [rad]; 2 deg"),
    "work_z": Range(-0.003, 0.003, 0.0, "ours: how much higher the drawings have the surface [m]"),
    "work_lean": Range(-0.0175, 0.0175, 0.0, "ours: how much the drawings lean against the surface [rad]; 1 deg"),
    "force_noise": Range(0.0, 0.5, 0.3, "ours: of a wrist sensor, standard deviation per tick [N]"),
    "torque_noise": Range(0.0, 0.02, 0.01, "ours: of a wrist sensor, standard deviation per tick [N·m]"),
    "force_bias_x": Range(-1.0, 1.0, 0.0, "ours: drift since the sensor was zeroed [N]"),
    "force_bias_y": Range(-1.0, 1.0, 0.0, "ours: drift since the sensor was zeroed [N]"),
    "force_bias_z": Range(-1.0, 1.0, 0.0, "ours: drift since the sensor was zeroed [N]"),
    "torque_bias_x": Range(-0.03, 0.03, 0.0, "ours: drift since the sensor was zeroed [N·m]"),
    "torque_bias_y": Range(-0.03, 0.03, 0.0, "ours: drift since the sensor was zeroed [N·m]"),
    "torque_bias_z": Range(-0.03, 0.03, 0.0, "ours: drift since the sensor was zeroed [N·m]"),
    "wrench_delay_s": Range(0.0, 0.010, 0.004, "ours: from the contact to the driver's reading [s]"),
    "wrench_cutoff_hz": Range(50.0, 200.0, 100.0, "ours: low pass of the reading, first order [Hz]", "log-uniform"),
}
"""Every figure that any task may draw, with the range it has where the task names no other."""

_DAMPING_S = 0.003
"""Ours: contact damping over contact stiffness [s]."""

Ranges = Mapping[str, Range]


def ranges(*names: str, **others: tuple[float, float] | Range) -> dict[str, Range]:
    """Pick figures of `FIGURES` in the order they are drawn in; `others` have a range, or all, of their own.

    Raises:
        UnknownName: No figure has this name.
    """
    picked = {}
    for name in (*names, *others):
        own = others.get(name)
        if isinstance(own, Range):
            picked[name] = own
            continue
        if name not in FIGURES:
            raise UnknownName("figure of a plant", name, FIGURES)
        picked[name] = replace(FIGURES[name], low=own[0], high=own[1]) if own else FIGURES[name]
    return picked


class Plant:
    """The figures of one episode's plant; what is not drawn is nominal.

    Args:
        figures: What was drawn, by name.

    Attributes:
        figures: The same.
    """

    def __init__(self, figures: Mapping[str, float] | None = None) -> None:
        self.figures = dict(figures or {})

    def __getitem__(self, name: str) -> float:
        """Return a figure: as drawn, or as the nominal plant has it."""
        return self.figures[name] if name in self.figures else FIGURES[name].nominal

    def apply(self, scene: Scene) -> Scene:
        """Return the scene with this plant's figures in place of its own."""
        drawn = self.figures.keys()
        arms = tuple(self._arm(mount) for mount in scene.arms)
        changes: dict[str, object] = {"arms": arms}
        if drawn & {"part_mass", "part_size"}:
            changes["bodies"] = tuple(self._part(body) if body.mass > 0.0 else body for body in scene.bodies)
        if drawn & {"friction", "contact_stiffness"}:
            names = ("default", *scene.materials)
            changes["materials"] = {name: self._material(scene.materials.get(name, Material())) for name in names}
        return replace(scene, **changes)

    def _arm(self, mount: ArmMount) -> ArmMount:
        gains = {name: self[name] for name in ("stiffness", "feed_forward") if name in self.figures}
        servo, actuator, tool = replace(mount.servo, **gains), mount.actuator, mount.tool
        if "lag_s" in self.figures:
            actuator = replace(actuator, lag_s=self["lag_s"])
        if "joint_friction" in self.figures:
            n = load_arm(mount.model).chain.n
            actuator = replace(actuator, coulomb=(self["joint_friction"],) * n)
        if "payload" in self.figures and tool is not None:
            tool = replace(tool, mass=tool.mass + self["payload"])
        return replace(mount, servo=servo, actuator=actuator, tool=tool)

    def _part(self, body: Body) -> Body:
        return replace(body, mass=body.mass * self["part_mass"], shape=scaled(body.shape, self["part_size"]))

    def _material(self, material: Material) -> Material:
        stiffness = self["contact_stiffness"]
        return replace(
            material,
            lateral_friction=material.lateral_friction * self["friction"],
            contact_stiffness=stiffness or material.contact_stiffness,
            contact_damping=stiffness * _DAMPING_S or material.contact_damping,
        )


NOMINAL = Plant()
"""Nothing drawn: the scene's own figures, and no latency."""


def draw(picked: Ranges, rng: np.random.Generator, fixed: Mapping[str, float] | None = None) -> Plant:
    """Draw the plant of one episode; `fixed` figures take the place of what is drawn, and may be further ones.

    Raises:
        ConfigError: A fixed figure is no number, or neither drawn here nor known.
    """
    figures = {name: one.draw(rng) for name, one in picked.items()}
    for name, value in (fixed or {}).items():
        if name not in picked and name not in FIGURES:
            raise UnknownName("figure of a plant", name, {**FIGURES, **picked})
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"plant: {name} = {value!r} is not a number")
        figures[name] = float(value)
    return Plant(figures)


def placed(scene: Scene, poses: Mapping[str, Pose]) -> Scene:
    """Return the scene with some of its bodies elsewhere, by name."""
    return replace(scene, bodies=tuple(replace(body, pose=poses.get(body.name, body.pose)) for body in scene.bodies))


def scaled(shape: Shape, share: float) -> Shape:
    """Return a shape with all its lengths multiplied by `share`."""
    if isinstance(shape, Box):
        return Box(_times(shape.size, share))
    if isinstance(shape, Sphere):
        return Sphere(shape.radius * share)
    if isinstance(shape, Cylinder):
        return Cylinder(shape.radius * share, shape.length * share)
    solids = []
    for solid in shape.solids:
        pose = replace(solid.pose, p=_times(solid.pose.p, share))
        solids.append(replace(solid, shape=scaled(solid.shape, share), pose=pose))
    return Compound(tuple(solids))


def _times(lengths: Vector3, share: float) -> Vector3:
    x, y, z = lengths
    return x * share, y * share, z * share
