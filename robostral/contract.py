"""The contract: what a policy sees and does. Sealed once as bytes; the SHA-256 of those bytes is its identity."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec

from robostral.errors import ConfigError, ContractMismatch

# Contracts come from strangers and are printed on terminals: short, and no control characters.
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z")]

MAX_OBS = 1 << 16
MAX_HORIZON = 256
MAX_BATCH = 1024


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named group of joints of the cell, in the policy's order."""

    name: Word
    joints: tuple[Word, ...]
    signs: tuple[Literal[-1, 1], ...]
    frames: tuple[Word, ...] = ("base", "flange", "tcp", "world")

    def __post_init__(self) -> None:
        _require(len(set(self.joints)) == len(self.joints) > 0, f"device '{self.name}': joints are not unique")
        _require(
            len(self.signs) == len(self.joints),
            f"device '{self.name}' has {len(self.signs)} signs for {len(self.joints)} joints",
        )


class ObsField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ordered group of the observation."""

    name: Word
    shape: tuple[int, ...]
    unit: Word
    frame: Word
    source: Literal["driver", "external", "derived"]
    dtype: Literal["f32", "u8"] = "f32"
    max_age_s: float | None = None

    def __post_init__(self) -> None:
        _require(all(1 <= d <= MAX_OBS for d in self.shape), f"obs '{self.name}': shape {self.shape} is not positive")
        _require(self.size <= MAX_OBS, f"obs '{self.name}' has {self.size} numbers, at most {MAX_OBS}")
        _require(
            self.max_age_s is None or 0.0 < self.max_age_s < math.inf,
            f"obs '{self.name}': max_age_s {self.max_age_s} is not a positive time",
        )

    @property
    def size(self) -> int:
        """How many numbers this field adds to the observation."""
        return math.prod(self.shape)


class Impedance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cartesian impedance as the law: how stiff the tcp is about its set-point, in `base`, linear part first.

    Damping ratios are 1 at the aperiodic limit.
    """

    stiffness: tuple[float, ...]
    """Shape (6,) [N/m, N·m/rad]."""
    damping_ratio: tuple[float, ...]
    """Shape (6,) [1]."""
    null_stiffness: float
    """Of a redundant arm towards the set-point of its joints [N·m/rad]."""

    def __post_init__(self) -> None:
        for name, values in (("stiffness", self.stiffness), ("damping_ratio", self.damping_ratio)):
            _require(
                len(values) == 6 and all(0.0 <= value < math.inf for value in values),
                f"impedance.{name} {values} is not six figures >= 0",
            )
        _require(0.0 <= self.null_stiffness < math.inf, f"impedance.null_stiffness {self.null_stiffness} < 0")


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the policy commands: `horizon` chunk steps of `dt_s`, usable until `chunk_valid_s` after t_obs.

    First the arm's numbers: one per joint, or, for `tcp_pose_delta`, a translation [m] and a rotation vector [rad] in
    `base`. Then one absolute set-point per tool (the joints of all devices but the first): `gap` [m], `suction` 0..1.
    An `outcome` is no command: it is what a learned simulator says that a step comes to, and no arm takes it.
    """

    kind: Literal["joint_position_delta", "joint_velocity", "tcp_pose_delta", "tcp_twist", "outcome"]
    low: tuple[float, ...]
    high: tuple[float, ...]
    unit: Word
    frame: Word
    horizon: int
    dt_s: float
    chunk_valid_s: float
    posture: tuple[float, ...] = ()
    """Where the null space of a redundant arm is pulled to [rad], shape (n,); of `tcp_pose_delta` only."""
    impedance: Impedance | None = None
    """None is the plant's own position servo."""

    def __post_init__(self) -> None:
        _require(
            len(self.low) == len(self.high) > 0,
            f"action has {len(self.low)} lower and {len(self.high)} upper bounds",
        )
        for low, high in zip(self.low, self.high, strict=True):
            _require(-math.inf < low < high < math.inf, f"action bounds [{low}, {high}] are not a finite range")
        _require(1 <= self.horizon <= MAX_HORIZON, f"action.horizon {self.horizon} outside [1, {MAX_HORIZON}]")
        _require(0.0 < self.dt_s < math.inf, f"action.dt_s {self.dt_s} is not a positive time")
        span = self.horizon * self.dt_s
        _require(
            0.0 < self.chunk_valid_s <= span * (1.0 + 1e-9),
            f"action.chunk_valid_s {self.chunk_valid_s} outside (0, {span:g}], the chunk's own length",
        )


class StateTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recurrent tensor, held and echoed by the client."""

    name: Word
    shape: tuple[int, ...]


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often the policy is asked [Hz], and the latency [s] it was trained for."""

    policy_hz: float
    trained_latency_s: float

    def __post_init__(self) -> None:
        _require(0.0 < self.policy_hz < math.inf, f"rate.policy_hz {self.policy_hz} is not a positive rate")
        _require(0.0 <= self.trained_latency_s < math.inf, f"rate.trained_latency_s {self.trained_latency_s} < 0")


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The identity part: equal everywhere, or nothing starts. Printing it shows a table."""

    task: Word
    devices: tuple[Device, ...]
    obs: tuple[ObsField, ...]
    action: Action
    rate: Rate
    state: tuple[StateTensor, ...] = ()
    format: Literal["robostral.contract/1"] = "robostral.contract/1"

    def __post_init__(self) -> None:
        for part, items in (("devices", self.devices), ("obs", self.obs), ("state", self.state)):
            listed = [item.name for item in items]
            _require(len(set(listed)) == len(listed), f"{part}: a name occurs twice in {listed}")
        _require(bool(self.devices), "devices: none is named")
        _require(0 < self.obs_size <= MAX_OBS, f"obs has {self.obs_size} numbers, allowed are 1 to {MAX_OBS}")

    @property
    def obs_size(self) -> int:
        """How many numbers an observation holds."""
        return sum(field.size for field in self.obs)

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """Shape (horizon, numbers of an action) of one action chunk."""
        return self.action.horizon, len(self.action.low)

    @property
    def tools(self) -> tuple[str, ...]:
        """What the tools' numbers are called, in the action's order: `gap` [m], `suction` [1]."""
        return tuple(joint for device in self.devices[1:] for joint in device.joints)

    def __str__(self) -> str:
        rate, action = self.rate, self.action
        lines = [
            f"task    {self.task}",
            *(f"device  {d.name}: {', '.join(_signed(d))}" for d in self.devices),
            f"rate    {rate.policy_hz:g} Hz, trained for {rate.trained_latency_s * 1e3:g} ms latency",
            f"obs     {self.obs_size} numbers",
            *_table(_obs_rows(self.obs)),
            f"action  {action.kind} in '{action.frame}': {action.horizon} steps of {action.dt_s * 1e3:g} ms, "
            f"valid for {action.chunk_valid_s * 1e3:g} ms",
            *_table(_bound_rows(self)),
            *_impedance_lines(action.impedance),
            *(f"state   {tensor.name} {tensor.shape}" for tensor in self.state),
        ]
        return "\n".join(lines)


class Requirements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part that is checked as ranges by `robostral.requirements.check_requirements`; each refusal names the figure.

    `limits` are the limits trained in, rows as in `robostral.arm.Limits.array`, None where there was none; run-time
    limits must lie inside them.
    """

    control_hz: tuple[float, float]
    command_modes: tuple[Word, ...]
    arm: Word
    kinematics_sha256: Word
    kinematics_tolerance_mm: float
    kinematics_tolerance_mrad: float
    limits: tuple[tuple[float | None, ...], ...]
    max_latency_s: float
    max_batch: int = 64

    def __post_init__(self) -> None:
        _require(1 <= self.max_batch <= MAX_BATCH, f"max_batch {self.max_batch} outside [1, {MAX_BATCH}]")


@dataclass(frozen=True)
class Sealed:
    """A contract with the very bytes that were hashed; they are stored and compared, never re-serialised."""

    raw: bytes
    contract: Contract
    identity: str

    @classmethod
    def seal(cls, contract: Contract) -> "Sealed":
        """Serialise `contract` for the first and only time.

        Raises:
            ConfigError: The contract holds a value that its format does not allow.
        """
        return cls.load(msgspec.json.format(msgspec.json.encode(contract), indent=2))

    @classmethod
    def load(cls, raw: bytes) -> "Sealed":
        """Read stored bytes; their SHA-256 is the identity.

        Raises:
            ConfigError: The bytes are not a contract of a known format.
        """
        try:
            contract = msgspec.json.decode(raw, type=Contract)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"not a contract: {error}") from error
        return cls(raw, contract, hashlib.sha256(raw).hexdigest())

    @property
    def prefix(self) -> bytes:
        """First 8 bytes of the identity, as the wire carries them."""
        return bytes.fromhex(self.identity)[:8]

    def __str__(self) -> str:
        return f"contract {self.identity[:16]}\n{self.contract}"


def check_same(ours: Sealed, theirs: Sealed, our_name: str, their_name: str) -> None:
    """Refuse two contracts whose identities differ.

    Raises:
        ContractMismatch: Lists every field that differs.
    """
    if ours.identity != theirs.identity:
        fields = diff(ours.contract, theirs.contract)
        raise ContractMismatch(our_name, their_name, fields or ["stored bytes only: copy them, do not re-seal"])


def diff(a: msgspec.Struct, b: msgspec.Struct) -> list[str]:
    """List the fields in which two contracts, or parts of them, differ; what has a name is compared by name."""
    return _diff("", msgspec.to_builtins(a), msgspec.to_builtins(b))


def _diff(path: str, a: Any, b: Any) -> list[str]:
    if a == b:
        return []
    if isinstance(a, dict) and isinstance(b, dict):
        dot = f"{path}." if path else ""
        return [line for key in a | b for line in _diff(f"{dot}{key}", a.get(key), b.get(key))]
    if _are_named(a) and _are_named(b):
        return _diff_named(path, {item["name"]: item for item in a}, {item["name"]: item for item in b})
    return [f"{path}: {_brief(a)} != {_brief(b)}"]


def _diff_named(path: str, a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    lines = [f"{path}.{name}: only on the first side" for name in a if name not in b]
    lines += [f"{path}.{name}: only on the second side" for name in b if name not in a]
    shared = [name for name in a if name in b]
    if shared != [name for name in b if name in a]:
        lines.append(f"{path}: order {_brief(list(a))} != {_brief(list(b))}")
    for name in shared:
        lines += _diff(f"{path}.{name}", a[name], b[name])
    return lines


def _are_named(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, dict) and "name" in item for item in value)


def _brief(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_brief(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _require(holds: bool, fact: str) -> None:
    if not holds:
        raise ValueError(fact)


def _signed(device: Device) -> Iterable[str]:
    return (f"{'-' if sign < 0 else ''}{joint}" for joint, sign in zip(device.joints, device.signs, strict=True))


def _obs_rows(obs: tuple[ObsField, ...]) -> list[tuple[str, ...]]:
    starts = [0]
    for field in obs:
        starts.append(starts[-1] + field.size)
    rows: list[tuple[str, ...]] = [("at", "name", "shape", "type", "unit", "frame", "source", "max age")]
    for field, (start, stop) in zip(obs, pairwise(starts), strict=True):
        age = "-" if field.max_age_s is None else f"{field.max_age_s * 1e3:g} ms"
        shape = f"({', '.join(map(str, field.shape))})"
        rows.append((f"{start}:{stop}", field.name, shape, field.dtype, field.unit, field.frame, field.source, age))
    return rows


_TWIST_LABELS = (("dx", "m"), ("dy", "m"), ("dz", "m"), ("rx", "rad"), ("ry", "rad"), ("rz", "rad"))
_TOOL_UNITS = {"gap": "m", "suction": "1"}


def _bound_rows(contract: Contract) -> list[tuple[str, ...]]:
    action, first = contract.action, contract.devices[0]
    units = action.unit.split(", ")
    labels = [(joint, units[i % len(units)]) for i, joint in enumerate(first.joints)]
    if action.kind in ("tcp_pose_delta", "tcp_twist"):
        labels = list(_TWIST_LABELS)
    labels += [(tool, _TOOL_UNITS.get(tool, action.unit)) for tool in contract.tools]
    if len(labels) != len(action.low):
        labels = [(f"{i}", action.unit) for i in range(len(action.low))]
    rows: list[tuple[str, ...]] = [("of", "low", "high", "unit")]
    for (label, unit), low, high in zip(labels, action.low, action.high, strict=True):
        rows.append((label, f"{low:g}", f"{high:g}", unit))
    return rows


def _impedance_lines(impedance: Impedance | None) -> list[str]:
    if impedance is None:
        return []
    stiffness, ratio = (", ".join(f"{x:g}" for x in row) for row in (impedance.stiffness, impedance.damping_ratio))
    return [f"law     Cartesian impedance: stiffness [{stiffness}] N/m and N·m/rad, damping ratio [{ratio}]"]


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))).rstrip() for row in rows]
