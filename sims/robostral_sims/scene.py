"""A cell as data: arms with their bases, bodies made of primitives, materials, named regions; any engine builds it."""

import dataclasses

import msgspec
import numpy as np

from robostral import config
from robostral.arm import Arm, load_arm
from robostral.keep_out import KeepOut

Vector3 = tuple[float, float, float]
GRAVITY: Vector3 = (0.0, 0.0, -9.81)
Quaternion = tuple[float, float, float, float]


def _positive(**figures: float) -> None:
    for name, value in figures.items():
        if not value > 0.0:
            raise ValueError(f"{name} = {value} must be positive")


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every part of a scene shares: immutable, and no key that nobody reads."""


class Pose(_Data, frozen=True):
    """Pose in `world`: position [m] and unit quaternion, scalar first."""

    p: Vector3 = (0.0, 0.0, 0.0)
    quat_wxyz: Quaternion = (1.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if abs(sum(x * x for x in self.quat_wxyz) - 1.0) > 1e-6:
            raise ValueError(f"quat_wxyz {self.quat_wxyz} is not a unit quaternion")


class Box(_Data, frozen=True, tag="box"):
    """Box with its full edge lengths [m], centred in its frame."""

    size: Vector3

    def __post_init__(self) -> None:
        _positive(size=min(self.size))


class Sphere(_Data, frozen=True, tag="sphere"):
    """Ball with its radius [m]."""

    radius: float

    def __post_init__(self) -> None:
        _positive(radius=self.radius)


class Cylinder(_Data, frozen=True, tag="cylinder"):
    """Cylinder along z with its radius and full length [m], centred in its frame."""

    radius: float
    length: float

    def __post_init__(self) -> None:
        _positive(radius=self.radius, length=self.length)


Primitive = Box | Sphere | Cylinder


class Solid(_Data, frozen=True):
    """A primitive at a pose in the frame of what it belongs to."""

    shape: Primitive
    pose: Pose = Pose()
    rgba: tuple[float, float, float, float] | None = None
    """Colour; None takes over that of what it belongs to."""


class Compound(_Data, frozen=True, tag="compound"):
    """Several primitives that are one rigid shape: a hole of boxes, a tray, a rack."""

    solids: tuple[Solid, ...]

    def __post_init__(self) -> None:
        if not self.solids:
            raise ValueError("a compound needs at least one solid")


Shape = Box | Sphere | Cylinder | Compound


class Material(_Data, frozen=True):
    """Contact figures: Coulomb coefficients [1], restitution [1], stiffness [N/m] and damping [N·s/m] of the surface.

    A stiffness of 0 is the engine's own rigid contact.
    """

    lateral_friction: float = 0.5
    spinning_friction: float = 0.0
    rolling_friction: float = 0.0
    restitution: float = 0.0
    contact_stiffness: float = 0.0
    contact_damping: float = 0.0


class Body(_Data, frozen=True):
    """A primitive of the cell; mass 0 [kg] makes it a fixture, any other mass a part that moves."""

    name: str
    shape: Shape
    pose: Pose = Pose()
    mass: float = 0.0
    material: str = "default"
    rgba: tuple[float, float, float, float] = (0.6, 0.6, 0.6, 1.0)


class Servo(_Data, frozen=True):
    """How an arm's own joint servo follows a moving set-point: `dq = stiffness (q_c - q) + feed_forward dq_c`.

    In steady motion it lags by `(1 - feed_forward) / stiffness` seconds.
    """

    stiffness: float = 100.0
    """Position gain [1/s]; ours: vendors do not publish it, a settled UR5e follows `servoj` within milliseconds."""
    feed_forward: float = 0.8
    """Share of the set-point's velocity that is fed forward [1]."""

    def __post_init__(self) -> None:
        _positive(stiffness=self.stiffness)


class Actuator(_Data, frozen=True):
    """What is between a command and a joint: dead time, first-order lag, and friction of the gear.

    Position servos see delay and lag on `q_c`; torque commands see them on `tau_c`, less the friction.
    """

    delay_s: float = 0.0
    """Dead time [s], in whole ticks."""
    lag_s: float = 0.0
    """Time constant of a first-order lag [s]."""
    coulomb: tuple[float, ...] = ()
    """Coulomb friction per joint [N·m]; empty for none."""
    viscous: tuple[float, ...] = ()
    """Viscous friction per joint [N·m·s/rad]; empty for none."""
    stiction: tuple[float, ...] = ()
    """Break-away torque per joint beyond Coulomb's [N·m]; empty for none."""


class Jaw(_Data, frozen=True, tag="jaw"):
    """Parallel gripper on the flange: a palm, and two box fingers that close along the flange's y.

    Its one number is the gap between the fingers [m]. The tcp is between the finger tips, axes as the flange's.
    """

    opening: float = 0.08
    """Widest gap [m]."""
    force: float = 60.0
    """Grip force [N]."""
    speed: float = 0.1
    """How fast a finger moves [m/s]."""
    palm: Vector3 = (0.06, 0.12, 0.06)
    """Edge lengths of the palm [m], from the flange along z."""
    finger: Vector3 = (0.02, 0.012, 0.05)
    """Edge lengths of a finger [m]."""
    mass: float = 0.73
    """Of the whole gripper [kg]."""
    material: str = "default"
    """Of the fingers."""

    @property
    def tcp(self) -> Pose:
        """Pose of the tcp in the flange: 10 mm before the finger tips' end."""
        return Pose(p=(0.0, 0.0, self.palm[2] + self.finger[2] - 0.010))


class Vacuum(_Data, frozen=True, tag="vacuum"):
    """Suction cup at the end of a tube along the flange's z. Its one number is 1 while it is on, else 0.

    On, it seals on the part whose surface is within `reach` of the cup, and holds it up to `force`.
    """

    radius: float = 0.02
    length: float = 0.10
    reach: float = 0.004
    force: float = 60.0
    mass: float = 0.3

    @property
    def tcp(self) -> Pose:
        """Pose of the tcp in the flange: the middle of the cup's rim."""
        return Pose(p=(0.0, 0.0, self.length))


class Tool(_Data, frozen=True, tag="tool"):
    """A rigid tool on the flange: a peg, a pad, a blade. It has no number to command."""

    shape: Shape
    """In the flange's frame."""
    tcp: Pose
    """Pose of the tcp in the flange."""
    mass: float = 0.2
    material: str = "default"
    rgba: tuple[float, float, float, float] = (0.35, 0.40, 0.45, 1.0)


class ForceTorque(_Data, frozen=True):
    """Force/torque sensor between flange and tool: what of its reading is not the truth."""

    force_noise: float = 0.0
    """Standard deviation per control tick [N]."""
    torque_noise: float = 0.0
    """Standard deviation per control tick [N·m]."""
    force_bias: Vector3 = (0.0, 0.0, 0.0)
    torque_bias: Vector3 = (0.0, 0.0, 0.0)
    delay_s: float = 0.0
    cutoff_hz: float = 0.0
    """First-order low pass of the reading [Hz]; 0 for none."""


class ArmMount(_Data, frozen=True):
    """An arm of the cell: its device name, its model, the pose of its `base` in `world`, and what is on its flange."""

    model: str
    device: str = "arm"
    base: Pose = Pose()
    servo: Servo = Servo()
    actuator: Actuator = Actuator()
    tool: Jaw | Vacuum | Tool | None = None
    sensor: ForceTorque | None = None


class Conveyor(_Data, frozen=True):
    """A flat belt: a box whose upper surface runs along its own x; its speed is commanded while the cell runs."""

    name: str
    size: Vector3
    pose: Pose = Pose()
    material: str = "default"
    rgba: tuple[float, float, float, float] = (0.20, 0.22, 0.24, 1.0)


class Region(_Data, frozen=True):
    """A named axis-aligned box [m] in the `base` of the first arm."""

    low: Vector3
    high: Vector3

    def __post_init__(self) -> None:
        if any(low >= high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"low {self.low} must be below high {self.high} on every axis")


class Camera(_Data, frozen=True):
    """A camera that looks from `eye` to `target` [m, world] with a vertical field of view [deg]."""

    eye: Vector3 = (1.2, 1.2, 1.0)
    target: Vector3 = (0.0, 0.0, 0.3)
    fov_deg: float = 50.0


class Scene(_Data, frozen=True):
    """A whole cell. Preset files under `configs/cells/` decode into this."""

    arms: tuple[ArmMount, ...]
    bodies: tuple[Body, ...] = ()
    conveyors: tuple[Conveyor, ...] = ()
    materials: dict[str, Material] = {}
    regions: dict[str, Region] = {}
    keep_out: tuple[KeepOut, ...] = ()
    """What the guard keeps the first arm out of, in its `base`."""
    camera: Camera = Camera()
    gravity: Vector3 = GRAVITY
    solver_iterations: int = 20
    """Of an engine that solves contacts iteratively; more where parts are wedged, fewer for speed."""

    def __post_init__(self) -> None:
        if not self.arms:
            raise ValueError("a cell needs at least one arm")
        named: list[Body | Conveyor] = [*self.bodies, *self.conveyors]
        names = [arm.device for arm in self.arms] + [thing.name for thing in named]
        for name in sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two things of the cell are called '{name}'")
        uses = [(thing.name, thing.material) for thing in named]
        uses += [(arm.device, arm.tool.material) for arm in self.arms if isinstance(arm.tool, Jaw | Tool)]
        for name, material in uses:
            if material != "default" and material not in self.materials:
                raise ValueError(f"'{name}': no material '{material}' in {sorted(self.materials)}")

    def material(self, thing: Body | Conveyor | Jaw | Tool) -> Material:
        """Return the material of a thing; `default` may be left unsaid."""
        return self.materials.get(thing.material, Material())

    @property
    def parts(self) -> tuple[Body, ...]:
        """The bodies that move, in order."""
        return tuple(body for body in self.bodies if body.mass > 0.0)


def load_mounted(mount: ArmMount) -> Arm:
    """Return the arm of a mount with its tool: what law, guard and inverse kinematics know of the cell.

    Its chain has the tcp of the tool, gravity as the mount turns it, and, of a rigid tool, mass and inertia.

    Raises:
        UnknownName: No arm has this name.
    """
    from robostral_sims.solids import compute_inertia, rotation, transform  # it knows the shapes of this module

    arm, tool = load_arm(mount.model), mount.tool
    gravity = rotation(mount.base).T @ GRAVITY
    chain = arm.chain.with_gravity(gravity.tolist())
    if tool is not None:
        chain = chain.with_tcp(transform(tool.tcp))
    if isinstance(tool, Tool):
        com, tensor = compute_inertia(tool.shape, tool.mass)
        chain = chain.with_payload(tool.mass, com.tolist(), tensor[np.triu_indices(3)].tolist())
    return dataclasses.replace(arm, chain=chain)


def load_scene(name: str) -> Scene:
    """Read a cell preset by its name, or any YAML file by its path.

    Raises:
        UnknownName: No preset has this name; the nearest one is suggested.
        ConfigError: The file is not there, or a key or a value is wrong.
    """
    return config.load("cells", name, Scene)
