"""Who may sign: Ed25519 keys as PEM files, a folder of public keys that the owner trusts, and demo keys for twins.

The file `signature` is one line, `ed25519 <public key> <signature>`, both in lower-case hex; the signature is over the
bytes of `manifest.json` (RFC 8032).
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from robostral.bundle.store import stores
from robostral.errors import BundleRefused, ConfigError

Plant = Literal["twin", "real"]

DEMO = "demo.pub"
_LINE = re.compile(rb"ed25519 ([0-9a-f]{64}) ([0-9a-f]{128})\n")


@dataclass(frozen=True)
class Signer:
    """A public key that is known here.

    Attributes:
        name: Name of the key's file without its ending.
        key: The 32 raw bytes of the public key.
        demo: Ships with the open weights: good for twins, never for a real driver.
    """

    name: str
    key: bytes
    demo: bool

    def __str__(self) -> str:
        return f"'{self.name}' ({fingerprint(self.key)}{', demo key: twins only' if self.demo else ''})"


def fingerprint(key: bytes) -> str:
    """Shorten a raw public key for people: its first 8 bytes in hex."""
    return key[:8].hex()


def default_folder() -> Path:
    """Return the folder of trusted keys in the user's configuration."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "robostral" / "trust"


def keyring(folder: Path | None = None) -> dict[bytes, Signer]:
    """Collect the keys that may have signed: the owner's `*.pub` files, and the demo keys of the bundle stores.

    Args:
        folder: Folder of trusted keys; `default_folder()` if None, and then it need not exist.

    Raises:
        ConfigError: The folder is not there, anyone may write to it, or a file in it is not a public key.
    """
    where = default_folder() if folder is None else folder
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"no folder of trusted keys '{folder}'")
    files = sorted(where.glob("*.pub"))
    for path in [where, *files] if files else []:
        if path.stat().st_mode & stat.S_IWOTH:
            raise ConfigError(f"anyone may write to '{path}', so it proves nothing: chmod o-w '{path}'")
    keys = [Signer(path.stem, load_public(path), demo=False) for path in files]
    # Last, so that a demo key stays a demo key even where somebody copied it into the trust folder.
    keys += [Signer("demo", load_public(root / DEMO), demo=True) for root in stores() if (root / DEMO).is_file()]
    return {signer.key: signer for signer in keys}


def check(manifest: bytes, signature: bytes | None, known: Mapping[bytes, Signer], plant: Plant) -> Signer | None:
    """Decide whether a manifest may be used on a plant, before anything in it is read.

    Args:
        manifest: The manifest's bytes.
        signature: Bytes of the file `signature`, None if there is none.
        known: See `keyring`.
        plant: A twin takes an unsigned or demo-signed bundle; a real driver needs a key that the owner trusts.

    Returns:
        Who signed; None if nobody did.

    Raises:
        BundleRefused: Signature missing, invalid, or by a key that is not trusted for this plant.
    """
    if signature is None:
        if plant == "real":
            raise BundleRefused("it is not signed; a real driver needs a bundle signed by a key that its owner trusts")
        return None
    found = _LINE.fullmatch(signature)
    if found is None:
        raise BundleRefused("file 'signature' is not one line 'ed25519 <public key> <signature>'")
    key, proof = (bytes.fromhex(part.decode()) for part in found.groups())
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(proof, manifest)
    except (InvalidSignature, ValueError) as error:
        raise BundleRefused(f"the signature by key {fingerprint(key)} does not fit the manifest") from error
    signer = known.get(key)
    if signer is None:
        names = ", ".join(sorted(str(signer) for signer in known.values())) or "none"
        raise BundleRefused(f"signed by key {fingerprint(key)}, which is not trusted here (trusted: {names})")
    if signer.demo and plant == "real":
        raise BundleRefused("signed by the demo key, which opens twins only: sign it with a key of yours")
    return signer


def sign_bytes(manifest: bytes, private_key: Ed25519PrivateKey) -> bytes:
    """Write the content of the file `signature` for a manifest's bytes."""
    key = private_key.public_key().public_bytes_raw()
    return f"ed25519 {key.hex()} {private_key.sign(manifest).hex()}\n".encode()


def generate(name: str, folder: Path) -> tuple[Path, Path]:
    """Make a key pair, `NAME.key` (PKCS8, mode 0600) and `NAME.pub`; an existing file is never overwritten.

    Raises:
        ConfigError: The name is not a plain file name, or a file is already there, or the folder cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigError(f"key name '{name}' is not a plain name of letters, digits, '.', '_' and '-'")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    paths = folder / f"{name}.key", folder / f"{name}.pub"
    for path in paths:
        if path.exists():
            raise ConfigError(f"'{path}' is already there; keys are never overwritten")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, raw, mode in zip(paths, (private, public), (0o600, 0o644), strict=True):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(raw)
    except OSError as error:
        raise ConfigError(f"cannot write a key into '{folder}': {error.strerror}") from error
    return paths


def load_private(path: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        ConfigError: No such file, others may read it, or it is not an unencrypted Ed25519 key in PEM.
    """
    raw = _read(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"others may read the private key '{path}': chmod 600 '{path}'")
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"'{path}' is not an Ed25519 private key in PEM without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"'{path}' is not an Ed25519 private key")
    return key


def load_public(path: Path) -> bytes:
    """Read a public key; return its 32 raw bytes.

    Raises:
        ConfigError: No such file, or not an Ed25519 public key in PEM.
    """
    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"'{path}' is not an Ed25519 public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"'{path}' is not an Ed25519 public key")
    return key.public_bytes_raw()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the key '{path}': {error.strerror}") from error
