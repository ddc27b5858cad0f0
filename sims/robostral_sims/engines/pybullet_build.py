"""What Bullet builds a scene from: URDF text of an arm with its tool, collision shapes, masses and their inertia."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral_sims.engines import EngineError
from robostral_sims.scene import (
    Body,
    Box,
    Jaw,
    Material,
    Pose,
    Primitive,
    Shape,
    Solid,
    Sphere,
    Tool,
    Vacuum,
)
from robostral_sims.solids import compute_inertia, parts_of, rotation, solids_of

FloatArray = NDArray[np.float64]
_DOT = '<visual><geometry><box size="0.001 0.001 0.001"/></geometry></visual>'
_MOST_SOLIDS = 16
"""PyBullet's MAX_COMPOUND_COLLISION_SHAPES."""
_GREY = (0.30, 0.33, 0.36, 1.0)


def to_bullet(pose: Pose) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return position and quaternion in Bullet's own order, scalar last."""
    w, x, y, z = pose.quat_wxyz
    return pose.p, (x, y, z, w)


def add_body(p: Any, client: int, body: Body, material: Material, *, drawn: bool) -> int:
    """Create a body from primitives; return its id.

    Raises:
        EngineError: More primitives than Bullet takes, or a compound that moves has its centre of mass elsewhere than
            in its origin.
    """
    solids = solids_of(body.shape)
    if len(solids) > _MOST_SOLIDS:  # it drops the others without a word
        raise EngineError(
            f"body '{body.name}' has {len(solids)} solids; Bullet takes {_MOST_SOLIDS} a body: make it two bodies"
        )
    collision = p.createCollisionShapeArray(**_shapes(p, solids), physicsClientId=client)
    if not drawn:  # see `write_urdf`
        visual = p.createVisualShape(p.GEOM_BOX, halfExtents=[0.0005] * 3, physicsClientId=client)
    else:
        colours = [solid.rgba or body.rgba for solid in solids]
        shapes = {key.replace("collision", "visual"): value for key, value in _shapes(p, solids).items()}
        visual = p.createVisualShapeArray(**shapes, rgbaColors=colours, physicsClientId=client)
    uid = int(p.createMultiBody(body.mass, collision, visual, *to_bullet(body.pose), physicsClientId=client))
    if body.mass > 0.0:
        com, tensor = compute_inertia(body.shape, body.mass)
        if np.abs(com).max() > 1e-6:
            raise EngineError(f"body '{body.name}' has its centre of mass at {com}; put its frame's origin there")
        p.changeDynamics(uid, -1, localInertiaDiagonal=np.diag(tensor).tolist(), physicsClientId=client)
    apply_material(p, client, uid, -1, material)
    p.changeDynamics(
        uid,
        -1,
        linearDamping=0.0,
        angularDamping=0.0,
        activationState=p.ACTIVATION_STATE_DISABLE_SLEEPING,
        physicsClientId=client,
    )
    return uid


def apply_material(p: Any, client: int, uid: int, link: int, material: Material) -> None:
    """Give a body, or a link of it, the figures of a surface."""
    soft: dict[str, float] = {}
    if material.contact_stiffness > 0.0:
        soft = {"contactStiffness": material.contact_stiffness, "contactDamping": material.contact_damping}
    p.changeDynamics(
        uid,
        link,
        lateralFriction=material.lateral_friction,
        spinningFriction=material.spinning_friction,
        rollingFriction=material.rolling_friction,
        restitution=material.restitution,
        **soft,
        physicsClientId=client,
    )


def _shapes(p: Any, solids: tuple[Solid, ...]) -> dict[str, Any]:
    """Return the arguments that describe primitives to Bullet, one entry each."""
    kinds, edges, radii, lengths = [], [], [], []
    for shape in (solid.shape for solid in solids):
        box, ball = isinstance(shape, Box), isinstance(shape, Sphere)
        kinds.append(p.GEOM_BOX if box else p.GEOM_SPHERE if ball else p.GEOM_CYLINDER)
        edges.append([edge / 2.0 for edge in shape.size] if isinstance(shape, Box) else [0.0] * 3)
        radii.append(0.0 if isinstance(shape, Box) else shape.radius)
        lengths.append(0.0 if isinstance(shape, Box | Sphere) else shape.length)
    poses = [to_bullet(solid.pose) for solid in solids]
    return {
        "shapeTypes": kinds,
        "halfExtents": edges,
        "radii": radii,
        "lengths": lengths,
        "collisionFramePositions": [at for at, _ in poses],
        "collisionFrameOrientations": [turn for _, turn in poses],
    }


def write_urdf(path: Path, arm: Arm, tool: Jaw | Vacuum | Tool | None, *, drawn: bool) -> str:
    """Write the URDF of an arm with its tool; link `tool` follows `flange`, `finger0` and `finger1` slide on a jaw.

    Bullet tessellates every visual shape on every rebuild, and collision shapes where there are no visual ones: more
    than half of the time that a reset takes. A World that nobody looks at shows a dot instead.
    """
    robot = ElementTree.fromstring(arm.urdf())  # noqa: S314 - text of our own making
    if tool is not None:
        for text in _tool_links(tool):
            robot.append(ElementTree.fromstring(text))  # noqa: S314
    for link in robot.iter("link"):
        if not drawn:
            for visual in link.findall("visual"):
                link.remove(visual)
            link.append(ElementTree.fromstring(_DOT))  # noqa: S314
    ElementTree.ElementTree(robot).write(path, encoding="utf-8")
    return str(path)


def _tool_links(tool: Jaw | Vacuum | Tool) -> Iterable[str]:
    colour = tool.rgba if isinstance(tool, Tool) else _GREY
    for name, shape, mass in parts_of(tool):
        yield _link(name, shape, mass, colour)
    yield '<joint name="tool" type="fixed"><parent link="flange"/><child link="tool"/></joint>'
    if isinstance(tool, Jaw):
        for k, side in enumerate((1.0, -1.0)):
            at = _numbers(0.0, side * tool.finger[1] / 2.0, tool.palm[2] + tool.finger[2] / 2.0)
            yield (
                f'<joint name="finger{k}" type="prismatic"><parent link="tool"/><child link="finger{k}"/>'
                f'<origin xyz="{at}"/><axis xyz="0 {side} 0"/>'
                f'<limit lower="0" upper="{tool.opening / 2.0!r}" effort="{tool.force!r}" velocity="{tool.speed!r}"/>'
                "</joint>"
            )


def _link(name: str, shape: Shape, mass: float, rgba: tuple[float, ...]) -> str:
    com, I = compute_inertia(shape, mass)  # noqa: E741
    keys = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
    tensor = " ".join(f'{key}="{float(x)!r}"' for key, x in zip(keys, I[np.triu_indices(3)], strict=True))
    text = f'<inertial><origin xyz="{_numbers(*com)}"/><mass value="{mass!r}"/><inertia {tensor}/></inertial>'
    for i, solid in enumerate(solids_of(shape)):
        origin = f'<origin xyz="{_numbers(*solid.pose.p)}" rpy="{_numbers(*_rpy(rotation(solid.pose)))}"/>'
        colour = f'<material name="{name}.{i}"><color rgba="{_numbers(*(solid.rgba or rgba))}"/></material>'
        text += f"<collision>{origin}{_geometry(solid.shape)}</collision>"
        text += f"<visual>{origin}{_geometry(solid.shape)}{colour}</visual>"
    return f'<link name="{name}">{text}</link>'


def _geometry(shape: Primitive) -> str:
    if isinstance(shape, Box):
        return f'<geometry><box size="{_numbers(*shape.size)}"/></geometry>'
    if isinstance(shape, Sphere):
        return f'<geometry><sphere radius="{shape.radius!r}"/></geometry>'
    return f'<geometry><cylinder radius="{shape.radius!r}" length="{shape.length!r}"/></geometry>'


def _rpy(R: FloatArray) -> tuple[float, float, float]:
    """Return roll, pitch and yaw about fixed axes [rad] of a rotation, shape (3, 3)."""
    pitch = math.asin(min(1.0, max(-1.0, -float(R[2, 0]))))
    if abs(R[2, 0]) > 1.0 - 1e-12:
        return math.atan2(-R[1, 2], R[1, 1]), pitch, 0.0
    return math.atan2(R[2, 1], R[2, 2]), pitch, math.atan2(R[1, 0], R[0, 0])


def _numbers(*values: float) -> str:
    return " ".join(repr(float(value)) for value in values)


def built_tool(tool: Jaw | Vacuum | Tool | None) -> Jaw | Vacuum | Tool | None:
    """Return a tool without the figures that Bullet can change after it is built."""
    return None if tool is None else msgspec.structs.replace(tool, mass=1.0)
