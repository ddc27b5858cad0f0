"""Arm bundles: an identified arm under one signature, with the same files, keys and refusals as a policy's bundle.

A folder or a zip of it: `manifest.json`, `arm.json`, `CARD.md`, `signature`, and `model.onnx` if a residual was kept.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from robostral.bundle.check import check_graph
from robostral.bundle.files import LIMITS, bounded, read_files
from robostral.bundle.manifest import CARD, MANIFEST, MODEL, SIGNATURE, FileEntry, Name
from robostral.bundle.model import read_model
from robostral.bundle.read import check_digest
from robostral.bundle.store import find
from robostral.bundle.trust import Plant, check, keyring, load_private, sign_bytes
from robostral.bundle.write import check_folder, entry, replace
from robostral.contract import Word
from robostral.errors import BundleRefused, ConfigError
from robostral.identified.arm import IdentifiedArm, Parameters

FORMAT: Final = "robostral.arm/1"
PARAMETERS = "arm.json"
FILES = {**LIMITS, PARAMETERS: 1 << 20}
"""Files that an arm bundle may hold, with the greatest size of each [bytes]."""
REQUIRED = frozenset({MANIFEST, PARAMETERS, CARD})

INPUTS = 5
"""Inputs of the residual for each joint: velocity, acceleration, rigid-body torque, and two stop operators."""


class ArmLineage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an identified arm comes from: what was published, and the logs."""

    published: Word
    logs: dict[str, str]
    git_revision: Word
    seed: int


class ArmManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an arm bundle is; `nmse` is each joint's mean squared error over the variance of its torque, held out."""

    format: Literal["robostral.arm/1"] = FORMAT
    name: Name
    version: Annotated[int, msgspec.Meta(ge=1)]
    files: dict[str, FileEntry]
    lineage: ArmLineage
    nmse: dict[str, float]


T = TypeVar("T", Parameters, ArmManifest)


def write_arm(
    folder: Path,
    found: IdentifiedArm,
    *,
    name: str,
    version: int,
    lineage: ArmLineage,
    nmse: dict[str, float],
    card: str,
    private_key: Path | None = None,
) -> Path:
    """Write an arm bundle, signed if there is a key; an older one in `folder` is replaced in one step.

    Args:
        folder: Where to.
        found: The identified arm.
        name: Name without the version.
        version: Counts up from 1.
        lineage: Where it comes from.
        nmse: Held-out error of each joint.
        card: Text of `CARD.md`.
        private_key: PEM file of an Ed25519 key; None leaves the bundle unsigned, for twins.

    Raises:
        BundleRefused: `load_arm_bundle` would refuse it.
        ConfigError: The key cannot be used, or `folder` holds other things than an arm bundle.
    """
    check_folder(folder, FILES)
    files = {PARAMETERS: msgspec.json.encode(found.parameters), CARD: card.encode()}
    if found.residual is not None:
        files[MODEL] = found.residual
    listed = {file: entry(raw) for file, raw in files.items()}
    manifest = ArmManifest(name=name, version=version, files=listed, lineage=lineage, nmse=nmse)
    files[MANIFEST] = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    for file, raw in files.items():
        bounded(file, raw, FILES[file])
    _assemble(files)
    if private_key is not None:
        files[SIGNATURE] = sign_bytes(files[MANIFEST], load_private(private_key))
    replace(folder, files, FILES)
    return folder


def load_arm_bundle(source: str | Path, *, plant: Plant = "twin", trusted_keys: Path | None = None) -> IdentifiedArm:
    """Read an arm bundle once, verify all of it, and return the arm.

    Args:
        source: A folder, a zip of one, or the name of a bundle in a registered store.
        plant: A twin takes unsigned and demo-signed bundles, a real driver only those signed by a trusted key.
        trusted_keys: Folder of the owner's `*.pub` keys; the one in the user's configuration if None.

    Raises:
        UnknownName: No store holds a bundle of this name.
        BundleRefused: Says which check failed.
        ConfigError: The folder of trusted keys cannot be used.
    """
    path = find(source)
    try:
        files = read_files(path, FILES, REQUIRED)
        check(files[MANIFEST], files.get(SIGNATURE), keyring(trusted_keys), plant)
        return _assemble(files)
    except BundleRefused as error:
        raise BundleRefused(f"arm bundle '{path}' refused: {error}") from error


def _assemble(files: dict[str, bytes]) -> IdentifiedArm:
    manifest = _decode(files[MANIFEST], ArmManifest, MANIFEST)
    held = files.keys() - {MANIFEST, SIGNATURE}
    if held != manifest.files.keys():
        raise BundleRefused(f"{MANIFEST}: lists {sorted(manifest.files)}, the bundle holds {sorted(held)}")
    for file, listed in manifest.files.items():
        check_digest(file, files[file], listed)
    parameters = _decode(files[PARAMETERS], Parameters, PARAMETERS)
    found = IdentifiedArm(parameters, files.get(MODEL))
    try:
        parameters.check()
        n = found.arm.chain.n
    except ConfigError as error:
        raise BundleRefused(f"{PARAMETERS}: {error}") from error
    if found.residual is not None:
        check_graph(read_model(found.residual), INPUTS * n, (2, n))
    return found


def _decode(raw: bytes, kind: type[T], file: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleRefused(f"{file}: {error}") from error
