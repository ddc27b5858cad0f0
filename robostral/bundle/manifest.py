"""The manifest of a bundle: what it holds, where it came from, how well it does. Its bytes are what is signed."""

import math
from typing import Annotated, Any, Final, Literal

import msgspec

from robostral.contract import Requirements, Word
from robostral.errors import BundleRefused

FORMAT: Final = "robostral.bundle/1"

MANIFEST = "manifest.json"
SIGNATURE = "signature"
MODEL = "model.onnx"
CARD = "CARD.md"

PROBES = 4
"""How many observations a model is tried with before it is used; see `robostral.bundle.trial`."""

Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,63}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0)]


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Digest and size [bytes] of one file."""

    sha256: Digest
    size: Count


class Files(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every file that a bundle holds beside manifest and signature."""

    model: FileEntry = msgspec.field(name=MODEL)
    card: FileEntry = msgspec.field(name=CARD)


class Lineage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the weights came from."""

    environment: Word
    engine: Word
    config_sha256: Digest
    seed: int
    git_revision: Word
    packages: dict[Word, Word]
    data: dict[Word, Digest] = {}
    environment_kwargs: dict[Word, Any] = {}
    """What the environment was made with."""


class Success(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Closed-loop success of fresh episodes, with its 95 % Wilson interval [low, high]; build it with `of`."""

    n: Count
    successes: Count
    rate: float
    low: float
    high: float

    @classmethod
    def of(cls, successes: int, n: int) -> "Success":
        """Compute rate and interval from counts.

        Note:
            E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212.
        """
        z, rate = 1.959963984540054, successes / n
        centre, scale = rate + z * z / (2 * n), 1 + z * z / n
        half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
        # Rounding must not put the rate itself outside, nor the bounds outside [0, 1].
        low, high = min(rate, (centre - half) / scale), max(rate, (centre + half) / scale)
        return cls(n, successes, rate, max(0.0, low), min(1.0, high))


class Parity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Greatest difference between the trainer's outputs and the model's, over `n` observations."""

    max_abs_error: float
    n: Count


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the policy costs to run and to train."""

    parameters: Count
    bytes: Count
    us_per_action: float
    training_s: float
    machine: Word


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a bundle is.

    `contract` is the sealed contract's JSON as it was hashed, kept verbatim as a string. `golden` holds the model's
    chunks for `robostral.bundle.trial.probe`, shape (PROBES, horizon, n), as computed where the bundle was written.
    """

    format: Literal["robostral.bundle/1"] = FORMAT
    name: Name
    version: Annotated[int, msgspec.Meta(ge=1)]
    licence: Word
    contract: str
    requirements: Requirements
    files: Files
    opset: Count
    lineage: Lineage
    metrics: dict[Word, Success]
    parity: Parity
    cost: Cost
    golden: tuple[tuple[tuple[float, ...], ...], ...]

    @property
    def label(self) -> str:
        """Name and version in one word, as bundle folders are called."""
        return f"{self.name}-v{self.version}"


class _Format(msgspec.Struct):
    format: str


def decode(raw: bytes) -> Manifest:
    """Read a manifest's bytes.

    Raises:
        BundleRefused: Not JSON, an unknown format, or a field that is unknown, missing or wrong.
    """
    try:
        found = msgspec.json.decode(raw, type=_Format).format
        if found != FORMAT:
            raise BundleRefused(f"{MANIFEST}: unknown format {found!r}; this release reads '{FORMAT}'")
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleRefused(f"{MANIFEST}: {error}") from error


def encode(manifest: Manifest) -> bytes:
    """Serialise a manifest; done once, the bytes are then signed and stored."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
