"""A scene as a MuJoCo model: arms from their tables, primitives, and a contact pair for whatever can touch."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robostral.arm import Arm
from robostral.arm.chain import rotation_rpy
from robostral.arm.inertia import inertia_matrix
from robostral.arm.limits import Q_MAX, Q_MIN, TAU
from robostral.arm.table import Capsule, Link
from robostral.extras import require
from robostral.kinematics.se3 import quat_from_matrix_kernel
from robostral_sims.engines import EngineError
from robostral_sims.scene import (
    ArmMount,
    Body,
    Box,
    Conveyor,
    Cylinder,
    Jaw,
    Material,
    Primitive,
    Scene,
    Shape,
    Sphere,
    Tool,
    Vacuum,
)
from robostral_sims.solids import compute_inertia, parts_of, solids_of

mj: Any = require("mujoco", "sim")

FloatArray = NDArray[np.float64]

CUP_M = 1e-4
"""Radius of the ball in the middle of a vacuum cup's rim that finds what is before it."""
_STIFFEST = 0.9999
"""MuJoCo's own bound of an impedance."""
_HARD = 0.999
"""Impedance of a contact without a stiffness of its own."""
_RUBBER = Material(contact_stiffness=1e4, contact_damping=100.0)
"""Ours: a cup's bellows, that give way 1 mm under 10 N; a rigid seal would press with all that the arm has."""
_RIM_M = 1e-3
"""Radius of a cylinder's rim [m]: Bullet's cylinders have it, and every turned part; a sharp rim finds no hole."""
_RECOVERY = 0.2
"""Share of a violation that is taken back in a tick; Bullet's own figure."""


@dataclass(frozen=True)
class Mount:
    """Where an arm is in a model.

    Attributes:
        dofs: Its joints among the degrees of freedom, shape (n,).
        base: Its base body.
        fingers: Degrees of freedom of its two fingers; empty without a jaw.
        tool: The body on its flange, -1 without a tool; its frame is the flange.
        cup: The geom that finds what its vacuum can hold, -1 without one.
        welds: Per part, the equality that its vacuum holds it with; empty without one.
        wrench: Where its wrench begins in the sensor data.
    """

    dofs: NDArray[np.int64]
    base: int
    fingers: NDArray[np.int64]
    tool: int
    cup: int
    welds: tuple[int, ...]
    wrench: int


@dataclass(frozen=True)
class Built:
    """A compiled model, and where the things of the scene are in it.

    Attributes:
        model: The `MjModel`.
        mounts: One per arm of the scene.
        parts: Body of each part.
        belts: Geom of each conveyor.
    """

    model: Any
    mounts: tuple[Mount, ...]
    parts: tuple[int, ...]
    belts: tuple[int, ...]


def build(scene: Scene, models: list[Arm], dt_s: float) -> Built:
    """Compile a scene.

    Raises:
        EngineError: MuJoCo refuses a figure, such as an inertia that no body can have.
    """
    draft = _Draft(scene, dt_s)
    for i, (mount, arm) in enumerate(zip(scene.arms, models, strict=True)):
        draft.add_arm(i, mount, arm)
    for i, body in enumerate(scene.bodies):
        draft.add_body(i, body)
    for i, belt in enumerate(scene.conveyors):
        draft.add_belt(i, belt)
    moving = [i for i, body in enumerate(scene.bodies) if body.mass > 0.0]
    draft.add_welds([i for i, mount in enumerate(scene.arms) if isinstance(mount.tool, Vacuum)], moving)
    model = draft.compile()
    return Built(
        model,
        tuple(_find_mount(model, i, arm, moving) for i, arm in enumerate(models)),
        tuple(model.body(f"body{i}").id for i in moving),
        tuple(model.geom(f"belt{i}.0").id for i in range(len(scene.conveyors))),
    )


class _Draft:
    """A model on the way: every name holds an index of the scene, so that the compiler's ids can be found again."""

    def __init__(self, scene: Scene, dt_s: float) -> None:
        self._scene, self._dt_s = scene, dt_s
        self._spec = mj.MjSpec()
        self._spec.compiler.degree = False
        option = self._spec.option
        option.timestep, option.gravity = dt_s, scene.gravity
        option.cone, option.impratio = mj.mjtCone.mjCONE_ELLIPTIC, 10.0  # what is gripped does not creep
        # the motors' rows stay in one order, and a world that blows up says so in place of beginning anew
        option.disableflags = int(mj.mjtDisableBit.mjDSBL_ISLAND | mj.mjtDisableBit.mjDSBL_AUTORESET)
        self._surfaces: list[tuple[str, str, Material]] = []
        """Name of each geom, of what it moves with ("/" and its arm for what stands still), and its material."""

    def add_arm(self, i: int, mount: ArmMount, arm: Arm) -> None:
        table, limits = arm.table, arm.limits.array
        body = self._spec.worldbody.add_body(name=f"arm{i}", pos=mount.base.p, quat=mount.base.quat_wxyz)
        self._capsules(body, f"arm{i}", f"/arm{i}", table.base, table.capsules)
        for k, joint in enumerate(table.joints):
            origin = joint.origin
            body = body.add_body(name=f"arm{i}.{k}", pos=origin.xyz, quat=_quat(rotation_rpy(origin.rpy)))
            R = rotation_rpy(joint.link.rpy)
            _set_inertia(body, joint.link.mass, joint.link.com, R @ inertia_matrix(joint.link.inertia) @ R.T)
            slides = joint.kind == "prismatic"
            body.add_joint(
                name=f"arm{i}.{k}",
                type=mj.mjtJoint.mjJNT_SLIDE if slides else mj.mjtJoint.mjJNT_HINGE,
                axis=(0.0, 0.0, 1.0),
                limited=1,
                range=(limits[Q_MIN, k], limits[Q_MAX, k]),
                **_motor(limits[TAU, k]),
            )
            self._capsules(body, f"arm{i}.{k}", f"arm{i}", joint.link, table.capsules)
        if mount.tool is not None:
            flange = table.flange
            hand = body.add_body(name=f"tool{i}", pos=flange.xyz, quat=_quat(rotation_rpy(flange.rpy)))
            self._add_tool(i, hand, mount.tool)

    def _add_tool(self, i: int, body: Any, tool: Jaw | Vacuum | Tool) -> None:
        body.add_site(name=f"tool{i}")
        for name, kind in (("force", mj.mjtSensor.mjSENS_FORCE), ("torque", mj.mjtSensor.mjSENS_TORQUE)):
            self._spec.add_sensor(name=f"tool{i}.{name}", type=kind, objtype=mj.mjtObj.mjOBJ_SITE, objname=f"tool{i}")
        material = Material() if isinstance(tool, Vacuum) else self._scene.material(tool)
        (_, shape, mass), *fingers = parts_of(tool)
        self._add_shape(body, f"tool{i}", f"arm{i}", shape, mass, material)
        if isinstance(tool, Vacuum):
            body.add_geom(name=f"cup{i}", pos=(0.0, 0.0, tool.length - CUP_M), mass=0.0, **_geometry(Sphere(CUP_M)))
        if isinstance(tool, Jaw):
            for k, (_, shape, mass) in enumerate(fingers):
                slider = self._add_slide(f"tool{i}.{k}", body, tool, side=1.0 - 2.0 * k)
                self._add_shape(slider, f"tool{i}.{k}", f"arm{i}", shape, mass, material)
            self._add_gear(i)

    def _add_slide(self, name: str, body: Any, jaw: Jaw, side: float) -> Any:
        """Add the body of a finger, on a slide whose coordinate is half the gap."""
        at = (0.0, side * jaw.finger[1] / 2.0, jaw.palm[2] + jaw.finger[2] / 2.0)
        slider = body.add_body(name=name, pos=at)
        slider.add_joint(
            name=name,
            type=mj.mjtJoint.mjJNT_SLIDE,
            axis=(0.0, side, 0.0),
            limited=1,
            range=(0.0, jaw.opening / 2.0),
            **_motor(jaw.force),
        )
        return slider

    def _add_gear(self, i: int) -> None:
        """Make the fingers of a jaw move as one."""
        self._spec.add_equality(
            type=mj.mjtEq.mjEQ_JOINT,
            objtype=mj.mjtObj.mjOBJ_JOINT,
            name1=f"tool{i}.0",
            name2=f"tool{i}.1",
            data=[0.0, 1.0] + [0.0] * 10,
            **_stiff(self._dt_s),
        )

    def add_body(self, i: int, body: Body) -> None:
        owner = self._spec.worldbody.add_body(name=f"body{i}", pos=body.pose.p, quat=body.pose.quat_wxyz)
        moves = body.mass > 0.0
        if moves:
            owner.add_freejoint()
        self._add_shape(
            owner, f"body{i}", f"body{i}" if moves else "/", body.shape, body.mass, self._scene.material(body)
        )

    def add_belt(self, i: int, belt: Conveyor) -> None:
        owner = self._spec.worldbody.add_body(name=f"belt{i}", pos=belt.pose.p, quat=belt.pose.quat_wxyz)
        self._add_shape(owner, f"belt{i}", "/", Box(belt.size), 0.0, self._scene.material(belt))
        owner.geoms[0].surfacevel = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # the compiler looks for one that is not zero

    def add_welds(self, vacuums: list[int], moving: list[int]) -> None:
        for i in vacuums:
            for k in moving:
                self._spec.add_equality(
                    name=f"weld{i}.{k}",
                    type=mj.mjtEq.mjEQ_WELD,
                    objtype=mj.mjtObj.mjOBJ_BODY,
                    name1=f"tool{i}",
                    name2=f"body{k}",
                    active=False,
                    data=[0.0] * 10 + [1.0, 1.0],
                )

    def compile(self) -> Any:
        materials = {name: material for name, _, material in self._surfaces}
        for (geom, mover, _), (other_geom, other_mover, _) in combinations(self._surfaces, 2):
            same = mover.strip("/") == other_mover.strip("/")
            if not same and not mover[0] == other_mover[0] == "/":
                self._spec.add_pair(geomname1=geom, geomname2=other_geom)
        try:
            model = self._spec.compile()
        except ValueError as error:
            raise EngineError(f"MuJoCo refuses the cell: {error}") from error
        for k in range(model.npair):
            geoms = model.pair_geom1[k], model.pair_geom2[k]
            one, other = (materials[model.geom(geom).name] for geom in geoms)
            spring = self._spring(model, one, other, [int(model.geom_bodyid[geom]) for geom in geoms])
            model.pair_solref[k], model.pair_solimp[k] = spring
            model.pair_margin[k] = model.geom_margin[list(geoms)].sum()
            model.pair_friction[k], model.pair_dim[k] = compute_friction(one, other)
        for k in np.flatnonzero(model.eq_type == mj.mjtEq.mjEQ_WELD).tolist():
            bodies = [int(model.eq_obj1id[k]), int(model.eq_obj2id[k])]
            model.eq_solref[k], model.eq_solimp[k] = self._spring(model, _RUBBER, Material(), bodies)
        return model

    def _spring(
        self, model: Any, one: Material, other: Material, bodies: list[int]
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the figures `solref` and `solimp` of a constraint between two bodies."""
        weight = float(model.body_invweight0[bodies, 0].sum())
        impedance, stiffness, damping = compute_contact(one, other, weight, self._dt_s)
        # MuJoCo divides the figures by the impedance again
        return (-stiffness * impedance, -damping * impedance), (impedance, impedance, 1.0, 0.5, 1.0)

    def _capsules(self, body: Any, name: str, owner: str, link: Link, capsules: tuple[Capsule, ...]) -> None:
        for k, capsule in enumerate(c for c in capsules if c.link == link.name):
            kind = mj.mjtGeom.mjGEOM_SPHERE if capsule.p == capsule.q else mj.mjtGeom.mjGEOM_CAPSULE
            at = {"pos": capsule.p} if capsule.p == capsule.q else {"fromto": (*capsule.p, *capsule.q)}
            size = (capsule.radius, 0.0, 0.0)
            body.add_geom(name=f"{name}.{k}", type=kind, size=size, mass=0.0, contype=0, conaffinity=0, **at)
            self._surfaces.append((f"{name}.{k}", owner, Material()))

    def _add_shape(self, body: Any, name: str, owner: str, shape: Shape, mass: float, material: Material) -> None:
        """Add the primitives of a shape; its mass is spread evenly over them."""
        for k, solid in enumerate(solids_of(shape)):
            at = {"pos": solid.pose.p, "quat": solid.pose.quat_wxyz}
            body.add_geom(name=f"{name}.{k}", mass=0.0, **at, **_geometry(solid.shape))
            self._surfaces.append((f"{name}.{k}", owner, material))
        if mass > 0.0:
            _set_inertia(body, mass, *compute_inertia(shape, mass))


def compute_contact(one: Material, other: Material, weight: float, dt_s: float) -> tuple[float, float, float]:
    """Return impedance [1], stiffness [1/s²] and damping [1/s] of MuJoCo's constraint between two materials.

    Args:
        one: Material of the first surface.
        other: Material of the second one.
        weight: MuJoCo's estimate of the inverse mass that the contact sees [1/kg].
        dt_s: Length of a tick [s].

    Note:
        A spring K and a damper C that push with `f = -K (r + h v') - C v'` at the end of a step, where
        `v' = v + h (a + A f)`, are MuJoCo's constraint `(A + R) f = -b v - k r - a` with `R = 1 / (h (h K + C))`,
        `b = 1 / h`, `k = K R`; Bullet has the same step by ERP and CFM. As there, stiffnesses act in series and
        dampings add. Without a stiffness a contact is hard: in a tick it takes back the share of the penetration that
        Bullet takes back, or bounces with the product of the restitutions.
    """
    springs = [m.contact_stiffness for m in (one, other) if m.contact_stiffness > 0.0]
    if not springs:
        bounce = one.restitution * other.restitution
        recovery = _RECOVERY if bounce == 0.0 else 0.0  # it would add to the speed that the bounce gives back
        return _HARD, recovery / dt_s**2, (1.0 + bounce) / dt_s
    K, C = 1.0 / sum(1.0 / spring for spring in springs), one.contact_damping + other.contact_damping
    R = 1.0 / (dt_s * (dt_s * K + C))
    return min(_STIFFEST, max(1.0 - _STIFFEST, weight / (weight + R))), K * R, 1.0 / dt_s


def compute_friction(one: Material, other: Material) -> tuple[tuple[float, ...], int]:
    """Return MuJoCo's five coefficients and the dimension of a contact; they combine as in Bullet, by products."""
    lateral = one.lateral_friction * other.lateral_friction
    spin = one.spinning_friction * other.lateral_friction + other.spinning_friction * one.lateral_friction
    roll = one.rolling_friction * other.lateral_friction + other.rolling_friction * one.lateral_friction
    return (lateral, lateral, spin, roll, roll), 6 if roll > 0.0 else 4 if spin > 0.0 else 3 if lateral > 0.0 else 1


def _find_mount(model: Any, i: int, arm: Arm, moving: list[int]) -> Mount:
    def has(kind: Any, name: str) -> bool:
        return int(mj.mj_name2id(model, kind, name)) >= 0

    def dof(name: str) -> int:
        return int(model.joint(name).dofadr[0])

    jaw = has(mj.mjtObj.mjOBJ_JOINT, f"tool{i}.0")
    cup, tool = has(mj.mjtObj.mjOBJ_GEOM, f"cup{i}"), has(mj.mjtObj.mjOBJ_BODY, f"tool{i}")
    return Mount(
        dofs=np.array([dof(f"arm{i}.{k}") for k in range(arm.chain.n)]),
        base=model.body(f"arm{i}").id,
        fingers=np.array([dof(f"tool{i}.{k}") for k in range(2)] if jaw else [], dtype=np.int64),
        tool=model.body(f"tool{i}").id if tool else -1,
        cup=model.geom(f"cup{i}").id if cup else -1,
        welds=tuple(model.equality(f"weld{i}.{k}").id for k in moving) if cup else (),
        wrench=int(model.sensor(f"tool{i}.force").adr[0]) if tool else -1,
    )


def _motor(limit: float) -> dict[str, Any]:
    """Return what makes a joint a motor: dry friction up to `limit` against a velocity that the World sets."""
    return {"frictionloss": limit, "solimp_friction": (_STIFFEST, _STIFFEST, 1.0, 0.5, 1.0)}


def _stiff(dt_s: float) -> dict[str, Any]:
    """Return the figures of an equality as rigid as the step lets it be."""
    return {"solref": (-_RECOVERY / dt_s**2, -1.0 / dt_s), "solimp": (_STIFFEST, _STIFFEST, 1.0, 0.5, 1.0)}


def _set_inertia(body: Any, mass: float, com: ArrayLike, tensor: FloatArray) -> None:
    """Set mass [kg], centre of mass [m] and inertia about it [kg·m²], shape (3, 3)."""
    body.mass, body.ipos, body.explicitinertial = mass, com, True
    body.fullinertia = tensor[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


def _geometry(shape: Primitive) -> dict[str, Any]:
    """Return what describes a primitive; a cylinder is a smaller one within a margin, so that its rim is round."""
    rim = min(_RIM_M, 0.1 * min(shape.radius, shape.length / 2.0)) if isinstance(shape, Cylinder) else 0.0
    if isinstance(shape, Box):
        kind, size = mj.mjtGeom.mjGEOM_BOX, tuple(edge / 2.0 for edge in shape.size)
    elif isinstance(shape, Sphere):
        kind, size = mj.mjtGeom.mjGEOM_SPHERE, (shape.radius, 0.0, 0.0)
    else:
        kind, size = mj.mjtGeom.mjGEOM_CYLINDER, (shape.radius - rim, shape.length / 2.0 - rim, 0.0)
    return {"type": kind, "size": size, "margin": rim, "contype": 0, "conaffinity": 0}


def _quat(R: FloatArray) -> FloatArray:
    quat = np.empty(4)
    quat_from_matrix_kernel(R, quat)
    return quat
