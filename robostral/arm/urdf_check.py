"""What to know about a URDF file before one trusts it."""

from pathlib import Path

from robostral.arm.inertia import inertia_doubts, inertia_problems
from robostral.arm.urdf import MOVING, Urdf, UrdfJoint, parse_urdf


def check_urdf(path: Path) -> tuple[list[str], list[str]]:
    """List the errors of a file, which keep it from being used, and its warnings.

    Raises:
        ConfigError: The file is no URDF, or holds no serial chain.
    """
    urdf = parse_urdf(path)
    errors: list[str] = []
    warnings: list[str] = []
    moved = {joint.child for joint in urdf.joints if joint.kind in MOVING}
    for link in urdf.links.values():
        errors += [f"link '{link.name}': {text}" for text in inertia_problems(link.mass, link.tensor)]
        if link.mass > 0.0 or link.tensor.any() or link.name in moved:
            warnings += [f"link '{link.name}': {text}" for text in inertia_doubts(link.mass, link.tensor)]
        if any(shape.tag == "mesh" for _, shape in link.shapes):
            warnings.append(f"link '{link.name}': its collision mesh is not read, it gets no capsule")
    for joint in urdf.moving:
        bad, missing = _limits(joint)
        errors += [f"joint '{joint.name}': {text}" for text in bad]
        warnings += [f"joint '{joint.name}': {text}" for text in missing]
    warnings += _beside(urdf)
    warnings.append(
        "no acceleration, jerk and torque-rate limits: URDF has none; `robostral arm limits` writes the scaffold"
    )
    return errors, warnings


def _limits(joint: UrdfJoint) -> tuple[list[str], list[str]]:
    bad, missing = [], []
    if joint.kind != "continuous":
        if joint.lower is None or joint.upper is None:
            missing.append("no position limits")
        elif joint.lower >= joint.upper:
            bad.append(f"lower limit {joint.lower:.6g} is not below the upper one, {joint.upper:.6g}")
    for name, value in (("velocity", joint.velocity), ("effort", joint.effort)):
        if value is None:
            missing.append(f"no {name} limit")
        elif value <= 0.0:
            missing.append(f"{name} limit {value:.6g} looks like a placeholder")
    return bad, missing


def _beside(urdf: Urdf) -> list[str]:
    chain = {joint.name for joint in urdf.path}
    return [
        f"joint '{joint.name}' is beside the chain and held at zero"
        + (f"; it mimics '{joint.mimics}'" if joint.mimics else "")
        for joint in urdf.joints
        if joint.name not in chain and joint.kind in MOVING
    ]
