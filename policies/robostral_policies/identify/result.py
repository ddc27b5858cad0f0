"""From fitted numbers to an arm: the published table with identified inertias, and everything else that was found."""

from collections.abc import Sequence

import msgspec
import numpy as np

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.arm.table import Link, Table
from robostral.identified import IdentifiedArm, JointFriction, Parameters, Ranges
from robostral_policies.identify.fit import Block, Model

MARGIN = 0.2
"""Share by which the range of what was fitted is widened on both sides."""


def identified_table(arm: Arm, pi: FloatArray) -> Table:
    """Return the arm's table with inertial parameters `pi`, shape (n, 10), in place of the published ones."""
    joints = []
    for joint, row in zip(arm.table.joints, pi, strict=True):
        link = identified_link(joint.link.name, row)
        joints.append(msgspec.structs.replace(joint, link=link))
    sources = {**arm.table.sources, "identified": "identified from logs with `robostral identify`"}
    return msgspec.structs.replace(
        arm.table, joints=tuple(joints), sources=sources, title=f"{arm.table.title}, inertias identified"
    )


def identified_link(name: str, pi: FloatArray) -> Link:
    """Return a link from its 10 inertial parameters about the origin of its frame."""
    mass, h = float(pi[0]), pi[1:4]
    com = h / mass
    xx, xy, xz, yy, yz, zz = pi[4:]
    about_origin = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    tensor = about_origin - mass * (com @ com * np.eye(3) - np.outer(com, com))
    values = [float(value) for value in tensor[np.triu_indices(3)]]
    x, y, z = (float(value) for value in com)
    return Link(name, mass, (x, y, z), (values[0], values[1], values[2], values[3], values[4], values[5]), "identified")


def numbers(row: FloatArray) -> tuple[float, ...]:
    """Return a row as plain numbers."""
    return tuple(float(value) for value in row)


def make_parameters(
    arm: Arm,
    model: Model,
    blocks: Sequence[Block],
    *,
    rms: FloatArray,
    interval: FloatArray,
    contact: FloatArray,
    false_alarms_per_hour: float,
    lag: float,
    motor: FloatArray | None = None,
) -> Parameters:
    """Put together what goes into a bundle.

    Args:
        arm: The arm as published.
        model: What was fitted.
        blocks: What it was fitted on.
        rms: Error of each joint on folds that were not fitted [N·m], shape (n,).
        interval: Half width of the 90 % interval [N·m], shape (n,).
        contact: Thresholds of contact [N·m], shape (n,).
        false_alarms_per_hour: At these thresholds, all joints together.
        lag: How late the torques are [s].
        motor: Torque constants [N·m/A], shape (n,), where the logs held currents.
    """
    friction = tuple(
        JointFriction(family, numbers(row)) for family, row in zip(model.families, model.weights, strict=True)
    )
    motions = [block.motion for block in blocks]
    q, dq, ddq = (np.concatenate([getattr(motion, name) for motion in motions]) for name in ("q", "dq", "ddq"))
    return Parameters(
        arm=identified_table(arm, model.pi),
        rotor=numbers(model.rotor),
        friction=friction,
        rms=numbers(rms),
        interval=numbers(interval),
        contact=numbers(contact),
        false_alarms_per_hour=false_alarms_per_hour,
        torque_lag_s=lag,
        ranges=Ranges(_range(q), _range(dq), _range(ddq)),
        motor=None if motor is None else numbers(motor),
    )


def _range(values: FloatArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low, high = values.min(axis=0), values.max(axis=0)
    margin = MARGIN * (high - low)
    return numbers(low - margin), numbers(high + margin)


def with_contact(found: IdentifiedArm, contact: FloatArray) -> IdentifiedArm:
    """Return the same arm with other thresholds of contact [N·m], shape (n,)."""
    return IdentifiedArm(msgspec.structs.replace(found.parameters, contact=numbers(contact)), found.residual)
