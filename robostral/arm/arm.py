"""An arm by name: chain, limits, capsules, home and generated URDF."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from robostral import config
from robostral.arm.capsules import Capsules
from robostral.arm.chain import Chain, FloatArray
from robostral.arm.generate import generate_urdf
from robostral.arm.limits import Limits
from robostral.arm.table import Table, build_capsules, build_chain, build_limits
from robostral.arm.urdf import read_urdf
from robostral.errors import ConfigError, UnknownName

TABLES = Path(__file__).resolve().parent / "tables"


@dataclass(frozen=True, eq=False)
class Arm:
    """Everything the stack knows about an arm; immutable.

    Attributes:
        name: Name of the arm.
        chain: Joints, link inertias, flange and tcp.
        limits: What the arm may do.
        capsules: Shape for collision checks.
        table: The data it was made from.
    """

    name: str
    chain: Chain
    limits: Limits
    capsules: Capsules
    table: Table

    @property
    def home(self) -> FloatArray:
        """Rest pose [rad], shape (n,); a fresh copy."""
        return np.array(self.table.home)

    @property
    def simulation_only(self) -> bool:
        """Whether nobody vouches for the limits: a real driver is not armed with them."""
        return self.table.simulation_only

    def urdf(self) -> str:
        """Write the arm as URDF text of ours; the frame of its root link is `base`."""
        return generate_urdf(self.table, self.limits)


def arm_names() -> list[str]:
    """List the arms that ship with the package."""
    return sorted(path.stem for path in TABLES.glob("*.yaml"))


@cache
def load_arm(name: str) -> Arm:
    """Load an arm by name, from a file that ends in `.urdf` or, as the shipped ones, in `.yaml`, or from an arm bundle.

    An arm from URDF has limits for simulation only. An arm bundle is a folder that `robostral identify` wrote.

    Raises:
        UnknownName: No arm has this name.
        ConfigError: The file is not there or contradicts itself.
        BundleRefused: The arm bundle is broken.
    """
    if "/" in name and Path(name).is_dir():
        from robostral.identified.bundle import load_arm_bundle  # it builds on this module

        return load_arm_bundle(Path(name)).arm
    if name.endswith((".urdf", ".yaml")):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"no file '{path}'")
        return build_arm(read_urdf(path) if path.suffix == ".urdf" else config.decode(path.read_bytes(), Table, name))
    if name not in arm_names():
        raise UnknownName("arm", name, arm_names())
    path = TABLES / f"{name}.yaml"
    return build_arm(config.decode(path.read_bytes(), Table, str(path)))


def build_arm(table: Table) -> Arm:
    """Turn a table into arrays.

    Raises:
        ConfigError: The table contradicts itself.
    """
    table.check()
    return Arm(table.name, build_chain(table), build_limits(table), build_capsules(table), table)
