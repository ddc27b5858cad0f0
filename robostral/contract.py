"""The contract: what a policy sees and does. Sealed once as bytes; the SHA-256 of those bytes is its identity."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import msgspec


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named group of joints of the cell, in the policy's order."""

    name: str
    joints: tuple[str, ...]
    signs: tuple[int, ...]
    frames: tuple[str, ...] = ("base", "flange", "tcp", "world")


class ObsField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ordered group of the observation."""

    name: str
    shape: tuple[int, ...]
    unit: str
    frame: str
    source: Literal["driver", "external", "derived"]
    dtype: Literal["f32", "u8"] = "f32"
    max_age_s: float | None = None


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the policy commands: `horizon` chunk steps of `dt_s`, usable until `chunk_valid_s` after t_obs."""

    kind: Literal["joint_position_delta", "joint_velocity", "tcp_pose_delta", "tcp_twist"]
    low: tuple[float, ...]
    high: tuple[float, ...]
    unit: str
    frame: str
    horizon: int
    dt_s: float
    chunk_valid_s: float


class StateTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recurrent tensor, held and echoed by the client."""

    name: str
    shape: tuple[int, ...]


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often the policy is asked [Hz], and the latency [s] it was trained for."""

    policy_hz: float
    trained_latency_s: float


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The identity part: equal everywhere, or nothing starts."""

    task: str
    devices: tuple[Device, ...]
    obs: tuple[ObsField, ...]
    action: Action
    rate: Rate
    state: tuple[StateTensor, ...] = ()
    format: Literal["robostral.contract/1"] = "robostral.contract/1"


class Requirements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part that is checked as ranges; each refusal names the figure.

    `limits` are the limits trained in, rows as in `robostral.arm.Limits.array`; run-time limits must lie inside them.
    """

    control_hz: tuple[float, float]
    command_modes: tuple[str, ...]
    arm: str
    kinematics_sha256: str
    kinematics_tolerance_mm: float
    kinematics_tolerance_mrad: float
    limits: tuple[tuple[float, ...], ...]
    max_latency_s: float
    max_batch: int = 64


@dataclass(frozen=True)
class Sealed:
    """A contract with the very bytes that were hashed; they are stored and compared, never re-serialised."""

    raw: bytes
    contract: Contract
    identity: str

    @classmethod
    def seal(cls, contract: Contract) -> "Sealed":
        """Serialise `contract` for the first and only time."""
        return cls.load(msgspec.json.format(msgspec.json.encode(contract), indent=2))

    @classmethod
    def load(cls, raw: bytes) -> "Sealed":
        """Read stored bytes; their SHA-256 is the identity.

        Raises:
            msgspec.ValidationError: The bytes are not a contract of a known format.
        """
        return cls(raw, msgspec.json.decode(raw, type=Contract), hashlib.sha256(raw).hexdigest())

    @property
    def prefix(self) -> bytes:
        """First 8 bytes of the identity, as the wire carries them."""
        return bytes.fromhex(self.identity)[:8]
