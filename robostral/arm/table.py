"""The data file of an arm: what it holds, and how it becomes arrays. Adding an arm adds a file and touches no code."""

from typing import Literal

import msgspec
import numpy as np

from robostral.arm.capsules import Capsules, build_pairs
from robostral.arm.chain import (
    COLUMNS,
    EXTRA_ROWS,
    GRAVITY,
    KIND,
    MASS,
    POS,
    TURN,
    Chain,
    FloatArray,
    frozen,
    rotation_rpy,
    transform,
    write_pose,
)
from robostral.arm.inertia import inertia_matrix, inertia_problems
from robostral.arm.limits import ROW_NAMES, Limits
from robostral.errors import ConfigError

Vector = tuple[float, float, float]


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pose as URDF writes it: position [m] and roll, pitch, yaw [rad] about fixed axes."""

    xyz: Vector = (0.0, 0.0, 0.0)
    rpy: Vector = (0.0, 0.0, 0.0)


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mass [kg], centre of mass [m] and inertia [kg·m²] about it: xx, xy, xz, yy, yz, zz in axes turned by `rpy`."""

    name: str
    mass: float
    com: Vector
    inertia: tuple[float, float, float, float, float, float]
    source: str
    rpy: Vector = (0.0, 0.0, 0.0)
    note: str = ""


class Joint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A joint about (or along) z of its frame, where it sits in the link before it, and the link that it moves."""

    name: str
    origin: Origin
    link: Link
    source: str
    kind: Literal["revolute", "prismatic"] = "revolute"
    note: str = ""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One limit for every joint, and where it comes from."""

    values: tuple[float, ...]
    source: str


class Taper(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A vendor's velocity limit near a position limit: `sqrt(2 * ddq * distance) - offset`, never below 0."""

    offset: tuple[float, ...]
    ddq: tuple[float, ...]
    source: str


class LimitRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits profile; rows in the order of `Limits.array`."""

    q_min: Row
    q_max: Row
    dq: Row
    ddq: Row
    dddq: Row
    tau: Row
    dtau: Row
    tcp_speed: Row
    dq_taper: Taper | None = None


class Capsule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A capsule in the frame of its link [m]."""

    link: str
    p: Vector
    q: Vector
    radius: float


class Excluded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two links that are not checked against each other, and why they cannot meet."""

    links: tuple[str, str]
    reason: str


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An arm's data file.

    `sources` names each source with its revision once; rows refer to it by key. `simulation_only` says that the limits
    are no profile that somebody vouches for: a real driver is not armed with them.
    """

    name: str
    title: str
    frames: str
    sources: dict[str, str]
    base: Link
    joints: tuple[Joint, ...]
    flange: Origin
    limits: LimitRows
    capsules: tuple[Capsule, ...]
    capsules_source: str
    excluded: tuple[Excluded, ...]
    home: tuple[float, ...]
    simulation_only: bool = False

    def check(self) -> None:
        """Check what the types cannot say.

        Raises:
            ConfigError: An unknown source or link, a bad inertia tensor, or a row of wrong length.
        """
        n = len(self.joints)
        links = [self.base, *(joint.link for joint in self.joints)]
        rows: list[Link | Joint] = [*links, *self.joints]
        for row in rows:
            if row.source not in self.sources:
                raise ConfigError(f"arm '{self.name}', row '{row.name}': source '{row.source}' is not listed")
        names = {link.name for link in links}
        for name in {c.link for c in self.capsules} | {link for pair in self.excluded for link in pair.links}:
            if name not in names:
                raise ConfigError(
                    f"arm '{self.name}': capsule on unknown link '{name}' (links: {', '.join(sorted(names))})"
                )
        for link in links:
            for problem in inertia_problems(link.mass, inertia_matrix(link.inertia)):
                raise ConfigError(f"arm '{self.name}', link '{link.name}': {problem}")
        lengths = {"home": len(self.home)} | {name: len(getattr(self.limits, name).values) for name in ROW_NAMES}
        for name, length in lengths.items():
            if length != n:
                raise ConfigError(f"arm '{self.name}': '{name}' has {length} values for {n} joints")


def build_chain(table: Table) -> Chain:
    """Pack joints and links into the table of the kernels."""
    n = len(table.joints)
    model = np.zeros((n + EXTRA_ROWS, COLUMNS))
    for row, joint in zip(model, table.joints, strict=False):
        write_pose(row, transform(joint.origin.xyz, joint.origin.rpy))
        row[KIND] = float(joint.kind == "prismatic")
        row[MASS:TURN] = pack_inertia(joint.link)
    for row in model[n : n + 2]:
        write_pose(row, transform(table.flange.xyz, table.flange.rpy))
    model[n + 2, POS : POS + 3] = GRAVITY
    names = tuple(joint.name for joint in table.joints)
    return Chain(names, tuple(joint.link.name for joint in table.joints), table.base.name, frozen(model))


def pack_inertia(link: Link) -> FloatArray:
    """Compute mass, first moment and inertia about the link's origin, the columns from `MASS` on."""
    com = np.array(link.com)
    R = rotation_rpy(link.rpy)
    about_origin = R @ inertia_matrix(link.inertia) @ R.T + link.mass * (com @ com * np.eye(3) - np.outer(com, com))
    return np.concatenate([[link.mass], link.mass * com, about_origin[np.triu_indices(3)]])


def build_limits(table: Table) -> Limits:
    """Pack the limits profile."""
    rows = table.limits
    array = frozen(np.array([getattr(rows, name).values for name in ROW_NAMES]))
    sources = {name: getattr(rows, name).source for name in (*ROW_NAMES, "tcp_speed")}
    taper = None
    if rows.dq_taper is not None:
        taper = frozen(np.array([rows.dq_taper.offset, rows.dq_taper.ddq]))
        sources["dq_taper"] = rows.dq_taper.source
    return Limits(array, rows.tcp_speed.values[0], sources, taper)


def build_capsules(table: Table) -> Capsules:
    """Pack the capsules and list the pairs that can touch."""
    names = [table.base.name, *(joint.link.name for joint in table.joints)]
    links = np.array([names.index(capsule.link) - 1 for capsule in table.capsules], dtype=np.int64)
    array = frozen(np.array([(*c.p, *c.q, c.radius) for c in table.capsules]).reshape(-1, 7))
    excluded = {tuple(sorted(names.index(link) - 1 for link in pair.links)) for pair in table.excluded}
    pairs = build_pairs(links, {(a, b) for a, b in excluded})
    for part in (links, pairs):
        part.setflags(write=False)
    return Capsules(links, array, pairs, {pair.links: pair.reason for pair in table.excluded})
