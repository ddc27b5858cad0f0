"""`robostral arm`: what arms there are, what they hold, and whether a URDF file can be trusted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from robostral.arm.arm import Arm

Name = Annotated[str, tyro.conf.Positional]


def list_arms() -> None:
    """List the arms that ship with the package."""
    from robostral.arm.arm import arm_names, load_arm

    for name in arm_names():
        arm = load_arm(name)
        print(f"{name:8} {arm.chain.n} joints  {arm.table.title}")


def show(arm: Name) -> None:
    """Print joints, limits with their sources, frames and collision pairs of an arm.

    Args:
        arm: Name of an arm, or a path to a .urdf or .yaml file.
    """
    from robostral.arm.show import describe

    print(describe(_load(arm)))


def check(urdf: Annotated[Path, tyro.conf.Positional]) -> int:
    """Check a URDF file: tree, inertias, limits. Exits 1 if it holds an error.

    Args:
        urdf: Path of the file.
    """
    from robostral.arm.urdf_check import check_urdf
    from robostral.errors import ConfigError

    if not urdf.is_file():
        raise ConfigError(f"no file '{urdf}'")
    errors, warnings = check_urdf(urdf)
    for text in errors:
        print(f"error: {text}")
    for text in warnings:
        print(f"warning: {text}")
    print(f"{urdf.name}: {len(errors)} errors, {len(warnings)} warnings")
    return 1 if errors else 0


def limits(urdf: Name) -> None:
    """Write the scaffold of an arm's data file; fill in its limits, then set simulation_only to false.

    Args:
        urdf: Path of a URDF file, or the name of an arm.
    """
    import msgspec

    print(msgspec.yaml.encode(_load(urdf).table).decode(), end="")


def _load(name: str) -> "Arm":
    from robostral.arm.arm import load_arm

    return load_arm(name)


COMMANDS = {"list": list_arms, "show": show, "check": check, "limits": limits}
