"""An arm in words."""

from robostral.arm.arm import Arm
from robostral.arm.limits import ROW_NAMES


def describe(arm: Arm) -> str:
    """Write joints, limits with sources, frames and collision pairs as text."""
    chain, table = arm.chain, arm.table
    width = max(len(name) for name in chain.joint_names)
    lines = [f"{arm.name}: {table.title}", f"frames: {table.frames}", ""]
    lines.append(f"{'joint':{width}}  " + "  ".join(f"{name:>9}" for name in ROW_NAMES) + "     mass [kg]")
    for i, joint in enumerate(table.joints):
        figures = "  ".join(f"{value:9.4g}" for value in arm.limits.array[:, i])
        lines.append(f"{joint.name:{width}}  {figures}  {joint.link.mass:12.4g}")
    lines += ["", f"tcp speed {arm.limits.tcp_speed} m/s; home {[round(q, 4) for q in table.home]}"]
    if arm.simulation_only:
        lines.append("limits are for simulation only: a real driver is not armed with them")
    lines += ["", "sources:", *(f"  {key}: {text}" for key, text in table.sources.items())]
    lines += [f"  {name}: {text}" for name, text in arm.limits.sources.items()]
    lines += [f"  {joint.link.name}: {joint.link.note}" for joint in table.joints if joint.link.note]
    lines += [
        "",
        f"{len(arm.capsules.links)} capsules, {len(arm.capsules.pairs)} pairs checked; {table.capsules_source}",
    ]
    lines += [f"  not checked: {a} - {b}: {reason}" for (a, b), reason in arm.capsules.excluded.items()]
    return "\n".join(lines)
