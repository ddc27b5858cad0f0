"""Write and sign bundles. What could not be loaded again is never written."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from robostral.bundle.check import check_model
from robostral.bundle.files import LIMITS, bounded, read_files
from robostral.bundle.manifest import (
    CARD,
    MANIFEST,
    MODEL,
    SIGNATURE,
    Cost,
    FileEntry,
    Files,
    Lineage,
    Manifest,
    Parity,
    Success,
    encode,
)
from robostral.bundle.model import read_model
from robostral.bundle.read import assemble
from robostral.bundle.trial import answer
from robostral.bundle.trust import load_private, sign_bytes
from robostral.contract import Requirements, Sealed
from robostral.errors import BundleRefused, ConfigError


def write(
    folder: Path,
    model: bytes,
    sealed: Sealed,
    requirements: Requirements,
    *,
    name: str,
    version: int,
    lineage: Lineage,
    metrics: dict[str, Success],
    parity: Parity,
    cost: Cost,
    card: str,
    licence: str = "Apache-2.0",
    private_key: Path | None = None,
) -> Path:
    """Write a bundle, signed if there is a key; an older bundle in `folder` is replaced in one step.

    The model is run once in a child process: its answers to a fixed probe become the manifest's `golden`.

    Args:
        folder: Where to; by convention its name is `NAME-vVERSION`.
        model: The ONNX file's bytes: input `obs` (rows, obs_size), output `chunk` (rows, horizon, n), float32.
        sealed: The contract, stored byte for byte.
        requirements: What the policy asks of a plant.
        name: Name without the version.
        version: Counts up from 1; a running server refuses a lower one.
        lineage: Where the weights came from.
        metrics: Closed-loop success by engine.
        parity: Trainer against model.
        cost: What it costs to run and to train; `bytes` is filled in here.
        card: Text of `CARD.md`.
        licence: SPDX name of the weights' licence.
        private_key: PEM file of an Ed25519 key; None leaves the bundle unsigned, for twins.

    Raises:
        BundleRefused: The model or the manifest is one that `load` or `OnnxPolicy` would refuse.
        MissingExtra: onnxruntime is not installed.
        ConfigError: The key cannot be used, or `folder` holds other things than a bundle.
    """
    files = {MODEL: model, CARD: card.encode()}
    inventory = read_model(model)
    check_model(inventory, sealed.contract)
    golden = answer(model, sealed.contract, requirements.max_batch)
    manifest = Manifest(
        name=name,
        version=version,
        licence=licence,
        contract=sealed.raw.decode(),
        requirements=requirements,
        files=Files(entry(model), entry(files[CARD])),
        opset=inventory.opsets[""],
        lineage=lineage,
        metrics=metrics,
        parity=parity,
        cost=msgspec.structs.replace(cost, bytes=len(model)),
        golden=tuple(tuple(tuple(float(f"{x:.9g}") for x in step) for step in chunk) for chunk in golden),
    )
    files[MANIFEST] = encode(manifest)
    for file, raw in files.items():
        bounded(file, raw, LIMITS[file])
    assemble(folder, files, None)
    if private_key is not None:
        files[SIGNATURE] = sign_bytes(files[MANIFEST], load_private(private_key))
    replace(folder, files)
    return folder


def check_folder(folder: Path, allowed: Mapping[str, int] = LIMITS) -> None:
    """Refuse a place where `write` would have to replace something that is no bundle of this kind.

    Raises:
        ConfigError: `folder` is a file, or holds other things than a bundle.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"'{folder}' is a file; choose another place for the bundle")
    foreign = sorted(set(os.listdir(folder)) - allowed.keys()) if folder.is_dir() else []
    if foreign:
        raise ConfigError(f"'{folder}' holds '{foreign[0]}', which is no part of a bundle; choose another folder")


def sign(folder: Path, private_key: Path) -> Path:
    """Sign a bundle folder in place, after checking everything that `load` checks but the old signature.

    Returns:
        Path of the file `signature`.

    Raises:
        BundleRefused: The bundle is broken, or is a zip.
        ConfigError: The key cannot be used.
    """
    if not folder.is_dir():
        raise BundleRefused(f"'{folder}' is not a folder; sign the folder, then zip it")
    key: Ed25519PrivateKey = load_private(private_key)
    try:
        files = read_files(folder)
        assemble(folder, files, None)
    except BundleRefused as error:
        raise BundleRefused(f"bundle '{folder}' refused: {error}") from error
    _write_file(folder / SIGNATURE, sign_bytes(files[MANIFEST], key))
    return folder / SIGNATURE


def entry(raw: bytes) -> FileEntry:
    """Describe a file's bytes."""
    return FileEntry(hashlib.sha256(raw).hexdigest(), len(raw))


def replace(folder: Path, files: dict[str, bytes], allowed: Mapping[str, int] = LIMITS) -> None:
    """Put a bundle's files into `folder`, in one step; an older bundle there goes.

    Raises:
        ConfigError: `folder` is a file, or holds other things than a bundle.
    """
    check_folder(folder, allowed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        fresh.chmod(0o755)
        for name, raw in files.items():
            _write_file(fresh / name, raw)
        if folder.is_dir():
            old = fresh.with_name(f"{fresh.name}.old")
            folder.rename(old)
            fresh.rename(folder)
            shutil.rmtree(old)
        else:
            fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _write_file(path: Path, raw: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
