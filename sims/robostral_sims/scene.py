"""A cell as data: arms with their bases, bodies made of primitives, materials, named regions; any engine builds it."""

import msgspec

from robostral import config

Vector3 = tuple[float, float, float]
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


Shape = Box | Sphere | Cylinder


class Material(_Data, frozen=True):
    """Contact figures: Coulomb coefficients [1] and restitution [1]."""

    lateral_friction: float = 0.5
    spinning_friction: float = 0.0
    rolling_friction: float = 0.0
    restitution: float = 0.0


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


class ArmMount(_Data, frozen=True):
    """An arm of the cell: its device name, its model, and the pose of its `base` in `world`."""

    model: str
    device: str = "arm"
    base: Pose = Pose()
    servo: Servo = Servo()


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
    materials: dict[str, Material] = {}
    regions: dict[str, Region] = {}
    camera: Camera = Camera()
    gravity: Vector3 = (0.0, 0.0, -9.81)

    def __post_init__(self) -> None:
        if not self.arms:
            raise ValueError("a cell needs at least one arm")
        names = [arm.device for arm in self.arms] + [body.name for body in self.bodies]
        for name in sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two things of the cell are called '{name}'")
        for body in self.bodies:
            if body.material != "default" and body.material not in self.materials:
                raise ValueError(f"body '{body.name}': no material '{body.material}' in {sorted(self.materials)}")

    def material(self, body: Body) -> Material:
        """Return the material of a body; `default` may be left unsaid."""
        return self.materials.get(body.material, Material())

    @property
    def parts(self) -> tuple[Body, ...]:
        """The bodies that move, in order."""
        return tuple(body for body in self.bodies if body.mass > 0.0)


def load_scene(name: str) -> Scene:
    """Read a cell preset by its name, or any YAML file by its path.

    Raises:
        UnknownName: No preset has this name; the nearest one is suggested.
        ConfigError: The file is not there, or a key or a value is wrong.
    """
    return config.load("cells", name, Scene)
