"""The generated URDF: our own text from the table, capsules as shapes, no mesh, readable by any engine."""

from xml.sax.saxutils import quoteattr

import numpy as np

from robostral.arm.chain import FloatArray
from robostral.arm.limits import DQ, Q_MAX, Q_MIN, TAU, Limits
from robostral.arm.table import Capsule, Joint, Link, Table

# Without these zeros PyBullet gives a bare link 1 kg.
_FLANGE = """  <link name="flange">
    <inertial>
      <mass value="0"/>
      <inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/>
    </inertial>
  </link>"""


def generate_urdf(table: Table, limits: Limits) -> str:
    """Write an arm as URDF text; link `flange` ends it, and its root link's frame is `base`."""
    links = [table.base, *(joint.link for joint in table.joints)]
    lines = ['<?xml version="1.0"?>', f"<robot name={quoteattr(table.name)}>"]
    for link in links:
        lines += _link(link, [capsule for capsule in table.capsules if capsule.link == link.name])
    for i, joint in enumerate(table.joints):
        lines += _joint(joint, links[i].name, limits.array[:, i])
    origin = _origin(table.flange.xyz, table.flange.rpy)
    lines += [_FLANGE, '  <joint name="flange_fixed" type="fixed">']
    lines += [
        f"    <parent link={quoteattr(links[-1].name)}/>",
        '    <child link="flange"/>',
        f"    {origin}",
        "  </joint>",
    ]
    return "\n".join([*lines, "</robot>", ""])


def _numbers(values: FloatArray | tuple[float, ...]) -> str:
    return " ".join(repr(float(value)) for value in values)


def _origin(xyz: FloatArray | tuple[float, ...], rpy: FloatArray | tuple[float, ...]) -> str:
    return f'<origin xyz="{_numbers(xyz)}" rpy="{_numbers(rpy)}"/>'


def _link(link: Link, capsules: list[Capsule]) -> list[str]:
    keys = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
    tensor = " ".join(f'{key}="{value!r}"' for key, value in zip(keys, link.inertia, strict=True))
    lines = [f"  <link name={quoteattr(link.name)}>", "    <inertial>", f"      {_origin(link.com, link.rpy)}"]
    lines += [f'      <mass value="{link.mass!r}"/>', f"      <inertia {tensor}/>", "    </inertial>"]
    for capsule in capsules:
        for kind in ("visual", "collision"):
            lines += [
                f"    <{kind}>",
                f"      {_capsule_origin(capsule)}",
                f"      {_geometry(capsule)}",
                f"    </{kind}>",
            ]
    return [*lines, "  </link>"]


def _capsule_origin(capsule: Capsule) -> str:
    p, q = np.array(capsule.p), np.array(capsule.q)
    dx, dy, dz = q - p
    # URDF capsules lie along z: pitch and yaw turn z into the segment.
    pitch, yaw = np.arctan2(np.hypot(dx, dy), dz), np.arctan2(dy, dx)
    return _origin((p + q) / 2, (0.0, pitch, yaw))


def _geometry(capsule: Capsule) -> str:
    length = float(np.linalg.norm(np.subtract(capsule.q, capsule.p)))
    if length == 0.0:
        return f'<geometry><sphere radius="{capsule.radius!r}"/></geometry>'
    return f'<geometry><capsule radius="{capsule.radius!r}" length="{length!r}"/></geometry>'


def _joint(joint: Joint, parent: str, limits: FloatArray) -> list[str]:
    lines = [f"  <joint name={quoteattr(joint.name)} type={quoteattr(joint.kind)}>"]
    lines += [f"    <parent link={quoteattr(parent)}/>", f"    <child link={quoteattr(joint.link.name)}/>"]
    lines += [f"    {_origin(joint.origin.xyz, joint.origin.rpy)}", '    <axis xyz="0 0 1"/>']
    lower, upper, velocity, effort = (float(limits[row]) for row in (Q_MIN, Q_MAX, DQ, TAU))
    limit = f'    <limit lower="{lower!r}" upper="{upper!r}" velocity="{velocity!r}" effort="{effort!r}"/>'
    return [*lines, limit, "  </joint>"]
