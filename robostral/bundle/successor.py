"""Whether another version of a bundle may take the place of a running one, as its server and as its robots judge it."""

from collections.abc import Mapping

from robostral.bundle.manifest import Manifest, decode
from robostral.bundle.read import Bundle
from robostral.bundle.trust import Signer, check
from robostral.contract import Sealed, diff
from robostral.errors import BundleRefused, ConfigError, ContractMismatch


def check_place(running: Bundle, found: Manifest) -> None:
    """Refuse a version whose contract or requirements are others: robots checked both against their plant at the start.

    Raises:
        BundleRefused: Its contract cannot be read.
        ContractMismatch: Lists the fields that differ.
    """
    fields: list[str] = []
    if found.contract.encode() != running.sealed.raw:
        try:
            theirs = Sealed.load(found.contract.encode()).contract
        except (ConfigError, UnicodeEncodeError) as error:
            raise BundleRefused(f"'{found.label}': {error}") from error
        fields = diff(running.sealed.contract, theirs) or ["formatting of the stored bytes"]
    fields += [f"requirements.{field}" for field in diff(running.requirements, found.requirements)]
    if fields:
        raise ContractMismatch(f"the running '{running.manifest.label}'", f"'{found.label}'", fields)


def check_successor(running: Bundle, manifest: bytes, signature: bytes, known: Mapping[bytes, Signer]) -> None:
    """Decide, with a robot's own keys, about a version of which only manifest and signature are at hand.

    Where the running bundle is signed by a key that the owner trusts for real plants, so must be its successor.

    Raises:
        BundleRefused: The signature is missing, wrong or of nobody known, or the manifest cannot be read.
        ContractMismatch: Contract or requirements are not those of the running bundle.
    """
    real = running.signer is not None and not running.signer.demo
    check(manifest, signature or None, known, "real" if real else "twin")
    check_place(running, decode(manifest))
