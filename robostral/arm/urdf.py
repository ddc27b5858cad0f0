"""URDF in: any serial arm becomes the same table that the shipped arms are written in.

Fixed joints are merged into the link before them. Moving joints beside the chain (gripper fingers, mimic joints) are
held at zero. Link frames are turned so that each joint's axis is z; flange and base stay as the file has them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np

from robostral.arm.chain import FloatArray, invert, transform
from robostral.arm.inertia import inertia_matrix
from robostral.arm.table import Capsule, Joint, LimitRows, Link, Origin, Row, Table, Vector
from robostral.arm.urdf_shapes import capsule_of
from robostral.errors import ConfigError

MOVING = ("revolute", "continuous", "prismatic")
_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, eq=False)
class UrdfJoint:
    """One `<joint>`; limits that the file does not give are None."""

    name: str
    kind: str
    parent: str
    child: str
    T_parent_joint: FloatArray
    axis: FloatArray
    lower: float | None
    upper: float | None
    velocity: float | None
    effort: float | None
    mimics: str | None


@dataclass(frozen=True, eq=False)
class UrdfLink:
    """One `<link>`: mass [kg], pose of the centre of mass, tensor about it [kg·m²], shapes (T_link_shape, element)."""

    name: str
    mass: float
    T_link_com: FloatArray
    tensor: FloatArray
    shapes: tuple[tuple[FloatArray, ElementTree.Element], ...]


@dataclass(frozen=True, eq=False)
class Urdf:
    """A parsed file: links and joints by name, and the chain from `root` to `flange`."""

    name: str
    links: dict[str, UrdfLink]
    joints: tuple[UrdfJoint, ...]
    root: str
    flange: str
    path: tuple[UrdfJoint, ...]

    @property
    def moving(self) -> tuple[UrdfJoint, ...]:
        """Joints of the chain that move."""
        return tuple(joint for joint in self.path if joint.kind in MOVING)


def parse_urdf(path: Path) -> Urdf:
    """Read a URDF file.

    Raises:
        ConfigError: Not URDF, not a tree, no moving joint, or a mimic or unknown joint inside the chain.
    """
    raw = path.read_bytes()
    if len(raw) > _MAX_BYTES or b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise ConfigError(f"{path}: larger than 16 MiB, or declares a document type or entities")
    try:
        robot = ElementTree.fromstring(raw)  # noqa: S314  (no entity can be declared, see above)
        links = {element.attrib["name"]: _link(element) for element in robot.findall("link")}
        joints = tuple(_joint(element) for element in robot.findall("joint"))
    except (ElementTree.ParseError, KeyError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: not URDF: {error}") from error
    root, flange, chain = _find_chain(str(path), links, joints)
    return Urdf(robot.attrib.get("name", path.stem), links, joints, root, flange, chain)


def _floats(element: ElementTree.Element | None, key: str, default: str) -> list[float]:
    text = default if element is None else element.attrib.get(key, default)
    return [float(part) for part in text.split()]


def _pose(element: ElementTree.Element) -> FloatArray:
    origin = element.find("origin")
    return transform(_floats(origin, "xyz", "0 0 0"), _floats(origin, "rpy", "0 0 0"))


def _link(element: ElementTree.Element) -> UrdfLink:
    shapes = tuple((_pose(shape), shape.find("geometry")[0]) for shape in element.findall("collision"))  # type: ignore[index]
    inertial = element.find("inertial")
    if inertial is None:
        return UrdfLink(element.attrib["name"], 0.0, np.eye(4), np.zeros((3, 3)), shapes)
    mass = float(inertial.find("mass").attrib["value"])  # type: ignore[union-attr]
    tensor = inertial.find("inertia").attrib  # type: ignore[union-attr]
    values = [float(tensor.get(key, 0.0)) for key in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")]
    return UrdfLink(element.attrib["name"], mass, _pose(inertial), inertia_matrix(values), shapes)


def _joint(element: ElementTree.Element) -> UrdfJoint:
    limit, mimic = element.find("limit"), element.find("mimic")
    axis = np.array(_floats(element.find("axis"), "xyz", "1 0 0"))
    length = float(np.linalg.norm(axis))
    if not length > 0.0 and element.attrib["type"] in MOVING:
        raise ValueError(f"joint '{element.attrib['name']}' has the axis {axis.tolist()}")
    bounds = {} if limit is None else {key: float(value) for key, value in limit.attrib.items() if key in _LIMIT_KEYS}
    return UrdfJoint(
        name=element.attrib["name"],
        kind=element.attrib["type"],
        parent=element.find("parent").attrib["link"],  # type: ignore[union-attr]
        child=element.find("child").attrib["link"],  # type: ignore[union-attr]
        T_parent_joint=_pose(element),
        axis=axis / (length or 1.0),
        lower=bounds.get("lower"),
        upper=bounds.get("upper"),
        velocity=bounds.get("velocity"),
        effort=bounds.get("effort"),
        mimics=None if mimic is None else mimic.attrib["joint"],
    )


_LIMIT_KEYS = ("lower", "upper", "velocity", "effort")


def _find_chain(
    label: str, links: dict[str, UrdfLink], joints: tuple[UrdfJoint, ...]
) -> tuple[str, str, tuple[UrdfJoint, ...]]:
    """Walk from the root as long as one way leads on; after the last moving joint, to the end of the longest way."""
    for joint in joints:
        for link in (joint.parent, joint.child):
            if link not in links:
                raise ConfigError(f"{label}: joint '{joint.name}' names the unknown link '{link}'")
    roots = set(links) - {joint.child for joint in joints}
    children = {joint.child for joint in joints}
    if len(roots) != 1 or len(joints) != len(links) - 1 or len(children) != len(joints):
        raise ConfigError(f"{label}: not a tree: {len(links)} links, {len(joints)} joints, roots {sorted(roots)}")
    root = at = roots.pop()
    chain: list[UrdfJoint] = []
    while ways := [joint for joint in joints if joint.parent == at]:
        moving = [joint for joint in ways if _moves(joint, joints)]
        if len(moving) > 1:
            break  # a gripper's fingers, or two arms: the chain ends where they part
        joint = moving[0] if moving else max(ways, key=lambda way: _length(way, joints))
        chain.append(joint)
        at = joint.child
    _check_chain(label, chain)
    return root, at, tuple(chain)


def _moves(joint: UrdfJoint, joints: tuple[UrdfJoint, ...]) -> bool:
    return joint.kind != "fixed" or any(_moves(after, joints) for after in joints if after.parent == joint.child)


def _length(joint: UrdfJoint, joints: tuple[UrdfJoint, ...]) -> int:
    return 1 + max((_length(after, joints) for after in joints if after.parent == joint.child), default=0)


def _check_chain(label: str, chain: list[UrdfJoint]) -> None:
    for joint in chain:
        if joint.kind not in (*MOVING, "fixed"):
            raise ConfigError(f"{label}: joint '{joint.name}' is {joint.kind}; the chain may hold {', '.join(MOVING)}")
        if joint.mimics is not None:
            raise ConfigError(
                f"{label}: joint '{joint.name}' mimics '{joint.mimics}'; coupled joints are read beside the chain only"
            )
    if not any(joint.kind in MOVING for joint in chain):
        raise ConfigError(f"{label}: no moving joint on one way from the root; more than one arm in a file is not read")


def read_urdf(path: Path) -> Table:
    """Turn a URDF file into an arm's table, with limits for simulation only.

    Raises:
        ConfigError: See `parse_urdf`.
    """
    urdf = parse_urdf(path)
    groups = _rigid_groups(urdf)
    base = _body(urdf.root, groups[0], np.eye(4))
    joints, T_turned, capsules = [], np.eye(4), _capsules(urdf.root, groups[0], np.eye(4))
    for joint, group in zip(urdf.moving, groups[1:], strict=True):
        turn = _axis_to_z(joint.axis)
        T_parent = invert(T_turned) @ _T_to_joint(urdf, joint) @ turn
        T_turned = turn
        joints.append(Joint(joint.name, _origin(T_parent), _body(joint.child, group, turn), "urdf", _kind(joint.kind)))
        capsules += _capsules(joint.child, group, turn)
    T_flange = invert(T_turned) @ _T_after_last(urdf)
    rows = simulation_limits(urdf)
    home = tuple(float(np.clip(0.0, low, high)) for low, high in zip(rows.q_min.values, rows.q_max.values, strict=True))
    return Table(
        name=urdf.name,
        title=f"{urdf.name} from {path.name}",
        frames=f"base is link '{urdf.root}', flange is link '{urdf.flange}'",
        sources={"urdf": path.name},
        base=base,
        joints=tuple(joints),
        flange=_origin(T_flange),
        limits=rows,
        capsules=tuple(capsules),
        capsules_source="collision primitives of the file; meshes are left out",
        excluded=(),
        home=home,
        simulation_only=True,
    )


def _kind(kind: str) -> Literal["revolute", "prismatic"]:  # a continuous joint is a revolute one with wide limits
    return "prismatic" if kind == "prismatic" else "revolute"


def simulation_limits(urdf: Urdf) -> LimitRows:
    """Take what the file says and fill the rest with careful figures of ours, each marked."""
    n = len(urdf.moving)
    turn = 2.0 * np.pi
    low = tuple(_given(j.lower, -turn) if j.kind != "continuous" else -turn for j in urdf.moving)
    high = tuple(_given(j.upper, turn) if j.kind != "continuous" else turn for j in urdf.moving)
    file = "the URDF file; where it says nothing: ours, for simulation only"
    ours = "ours, for simulation only: URDF cannot say it"
    return LimitRows(
        q_min=Row(low, file),
        q_max=Row(high, file),
        dq=Row(tuple(_given(j.velocity, 1.0) or 1.0 for j in urdf.moving), file),
        ddq=Row((5.0,) * n, ours),
        dddq=Row((1000.0,) * n, ours),
        tau=Row(tuple(_given(j.effort, 10.0) or 10.0 for j in urdf.moving), file),
        dtau=Row((1000.0,) * n, ours),
        tcp_speed=Row((0.5,), ours),
    )


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


def _rigid_groups(urdf: Urdf) -> list[list[tuple[FloatArray, UrdfLink]]]:
    """List, for the base and for each moving link, the links fixed to it with their poses in it."""
    heads = [urdf.root, *(joint.child for joint in urdf.moving)]
    chain = {joint.name for joint in urdf.moving}
    groups = []
    for head in heads:
        group = [(np.eye(4), urdf.links[head])]
        for T_head_link, link in group:  # grows while it is walked
            group += [
                (T_head_link @ joint.T_parent_joint, urdf.links[joint.child])
                for joint in urdf.joints
                if joint.parent == link.name and joint.name not in chain
            ]
        groups.append(group)
    return groups


def _T_to_joint(urdf: Urdf, last: UrdfJoint) -> FloatArray:
    """Compute the pose of a moving joint in the moving link before it."""
    T = np.eye(4)
    for joint in urdf.path:
        T = T @ joint.T_parent_joint
        if joint is last:
            break
        if joint.kind in MOVING:
            T = np.eye(4)
    return T


def _T_after_last(urdf: Urdf) -> FloatArray:
    T = np.eye(4)
    for joint in urdf.path[1 + urdf.path.index(urdf.moving[-1]) :]:
        T = T @ joint.T_parent_joint
    return T


def _axis_to_z(axis: FloatArray) -> FloatArray:
    """Compute a rotation, as a pose, whose z axis is `axis`; the identity where it is z already."""
    T = np.eye(4)
    if not np.array_equal(axis, (0.0, 0.0, 1.0)):
        helper = np.eye(3)[int(np.argmin(np.abs(axis)))]
        x = np.cross(helper, axis)
        x /= np.linalg.norm(x)
        T[:3, :3] = np.column_stack([x, np.cross(axis, x), axis])
    return T


def _origin(T: FloatArray) -> Origin:
    R = T[:3, :3]
    pitch = float(np.arctan2(-R[2, 0], np.hypot(R[0, 0], R[1, 0])))
    if np.hypot(R[0, 0], R[1, 0]) < 1e-9:
        roll, yaw = float(np.arctan2(-R[1, 2], R[1, 1])), 0.0
    else:
        roll, yaw = float(np.arctan2(R[2, 1], R[2, 2])), float(np.arctan2(R[1, 0], R[0, 0]))
    return Origin(_vector(T[:3, 3]), (roll, pitch, yaw))


def _vector(values: FloatArray) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _body(name: str, group: list[tuple[FloatArray, UrdfLink]], turn: FloatArray) -> Link:
    """Sum the inertias of links that are fixed to each other, in the turned frame of the first."""
    poses = [(invert(turn) @ T @ link.T_link_com, link) for T, link in group]
    mass = sum(link.mass for _, link in poses)
    com = sum((link.mass * T[:3, 3] for T, link in poses), np.zeros(3)) / (mass or 1.0)
    tensor = np.zeros((3, 3))
    for T, link in poses:
        arm = T[:3, 3] - com
        tensor += T[:3, :3] @ link.tensor @ T[:3, :3].T + link.mass * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    xx, xy, xz, yy, yz, zz = (float(value) for value in tensor[np.triu_indices(3)])
    return Link(name, float(mass), _vector(com), (xx, xy, xz, yy, yz, zz), "urdf")


def _capsules(name: str, group: list[tuple[FloatArray, UrdfLink]], turn: FloatArray) -> list[Capsule]:
    found = (capsule_of(invert(turn) @ T @ T_shape, shape) for T, link in group for T_shape, shape in link.shapes)
    return [Capsule(name, _vector(p), _vector(q), radius) for p, q, radius in (each for each in found if each)]
