"""Load a bundle: every check is done on bytes in memory before anything of it is handed on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robostral.bundle.check import check_model
from robostral.bundle.files import read_files
from robostral.bundle.manifest import CARD, MANIFEST, MODEL, PROBES, SIGNATURE, FileEntry, Manifest, decode
from robostral.bundle.model import read_model
from robostral.bundle.store import find
from robostral.bundle.trust import Plant, Signer, check, keyring
from robostral.contract import Requirements, Sealed
from robostral.errors import BundleRefused, ConfigError


@dataclass(frozen=True)
class Bundle:
    """A verified bundle; the bytes here are the bytes that were hashed.

    Attributes:
        path: Where it was read from.
        manifest: Its manifest.
        manifest_bytes: The manifest as signed.
        signature: Content of the file `signature`; None if it is not signed.
        sealed: The contract with its identity.
        model_bytes: The ONNX model.
        signer: Whose key signed it; None if it is not signed.
    """

    path: Path
    manifest: Manifest
    manifest_bytes: bytes
    signature: bytes | None
    sealed: Sealed
    model_bytes: bytes
    signer: Signer | None

    @property
    def requirements(self) -> Requirements:
        """What the policy asks of the plant, checked as ranges."""
        return self.manifest.requirements

    @property
    def digest(self) -> bytes:
        """SHA-256 of the manifest's bytes, 32 bytes: names everything in the bundle."""
        return hashlib.sha256(self.manifest_bytes).digest()

    def __str__(self) -> str:
        signer = f"signed by {self.signer}" if self.signer else "not signed: twins only"
        return f"{self.manifest.label} {self.digest.hex()[:16]}, contract {self.sealed.identity[:16]}, {signer}"


def load(source: str | Path, *, plant: Plant = "twin", trusted_keys: Path | None = None, at_least: int = 0) -> Bundle:
    """Read a bundle once, verify all of it, and return it.

    Args:
        source: A folder, a zip of one, or the name of a bundle in a registered store.
        plant: A twin takes unsigned and demo-signed bundles, a real driver only those signed by a trusted key.
        trusted_keys: Folder of the owner's `*.pub` keys; the one in the user's configuration if None.
        at_least: Lowest version taken, for example that of the running bundle.

    Raises:
        UnknownName: No store holds a bundle of this name.
        BundleRefused: Says which check failed.
        ConfigError: The folder of trusted keys cannot be used.
    """
    return load_with(keyring(trusted_keys), find(source), plant, at_least)


def load_with(known: Mapping[bytes, Signer], path: Path, plant: Plant, at_least: int = 0) -> Bundle:
    """Load the bundle at `path` as `load` does, with keys that are collected already.

    Raises:
        BundleRefused: Says which check failed.
    """
    try:
        files = read_files(path)
        signer = check(files[MANIFEST], files.get(SIGNATURE), known, plant)
        bundle = assemble(path, files, signer)
        version = bundle.manifest.version
        if version < at_least:
            raise BundleRefused(f"version {version} is lower than {at_least}; ask for the older version explicitly")
    except BundleRefused as error:
        raise BundleRefused(f"bundle '{path}' refused: {error}") from error
    return bundle


def verify(source: str | Path, *, plant: Plant = "twin", trusted_keys: Path | None = None) -> Bundle:
    """Load a bundle as `load` does, and refuse it if nobody signed it.

    Raises:
        UnknownName: No store holds a bundle of this name.
        BundleRefused: Says which check failed.
        ConfigError: The folder of trusted keys cannot be used.
    """
    bundle = load(source, plant=plant, trusted_keys=trusted_keys)
    if bundle.signer is None:
        raise BundleRefused(f"bundle '{source}' refused: it is not signed")
    return bundle


def assemble(path: Path, files: dict[str, bytes], signer: Signer | None) -> Bundle:
    """Check everything but the signature, and put the bundle together.

    Raises:
        BundleRefused: Says which check failed.
    """
    manifest = decode(files[MANIFEST])
    check_digest(MODEL, files[MODEL], manifest.files.model)
    check_digest(CARD, files[CARD], manifest.files.card)
    try:
        sealed = Sealed.load(manifest.contract.encode())
    except (ConfigError, UnicodeEncodeError) as error:
        raise BundleRefused(f"{MANIFEST}: {error}") from error
    model = read_model(files[MODEL])
    check_model(model, sealed.contract)
    if model.opsets[""] != manifest.opset:
        raise BundleRefused(f"{MANIFEST}: says operator set {manifest.opset}, the model has {model.opsets['']}")
    _check_golden(manifest, sealed.contract.chunk_shape)
    return Bundle(path, manifest, files[MANIFEST], files.get(SIGNATURE), sealed, files[MODEL], signer)


def _check_golden(manifest: Manifest, shape: tuple[int, int]) -> None:
    horizon, n = shape
    found = [[len(step) for step in chunk] for chunk in manifest.golden]
    if found != [[n] * horizon] * PROBES:
        raise BundleRefused(f"{MANIFEST}: 'golden' is not of shape ({PROBES}, {horizon}, {n})")


def check_digest(name: str, raw: bytes, entry: FileEntry) -> None:
    """Refuse a file that is not the one listed.

    Raises:
        BundleRefused: Its size or digest differs.
    """
    if len(raw) != entry.size or hashlib.sha256(raw).hexdigest() != entry.sha256:
        raise BundleRefused(f"file '{name}' is not the one that the manifest lists (SHA-256 or size differs)")
