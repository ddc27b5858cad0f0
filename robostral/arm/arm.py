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
from robostral.errors import ConfigError, UnknownName

TABLES = Path(__file__).resolve().parent / "tables"


@dataclass(frozen=True, eq=False)
class Arm:
    """Everything the stack knows about an arm; immutable.

    Attributes:
        name: Name of the arm.
        chain: Joints, link inertias, flange and tcp.
        capsules: Shape for collision checks.
        table: The data it was made from.
    """

    name: str
    chain: Chain
    capsules: Capsules
    table: Table
    _limits: Limits | None

    @property
    def home(self) -> FloatArray:
        """Rest pose [rad], shape (n,); a fresh copy."""
        return np.array(self.table.home)

    @property
    def limits(self) -> Limits:
        """Limits profile.

        Raises:
            ConfigError: The arm has no limits profile.
        """
        if self._limits is None:
            raise ConfigError(f"arm '{self.name}' has no limits profile; `robostral arm limits` writes its scaffold")
        return self._limits

    @property
    def has_limits(self) -> bool:
        """Whether there is a limits profile."""
        return self._limits is not None

    def urdf(self) -> str:
        """Write the arm as URDF text of ours; the frame of its root link is `base`."""
        return generate_urdf(self.table, self._limits)


def arm_names() -> list[str]:
    """List the arms that ship with the package."""
    return sorted(path.stem for path in TABLES.glob("*.yaml"))


@cache
def load_arm(name: str) -> Arm:
    """Load an arm by name.

    Raises:
        UnknownName: No arm has this name.
        ConfigError: The data file is broken.
    """
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
    return Arm(
        table.name,
        build_chain(table),
        build_capsules(table),
        table,
        build_limits(table),
    )
