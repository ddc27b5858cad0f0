"""`robostral serve-admin`: change what a running policy server serves."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robostral.errors import ServingError

if TYPE_CHECKING:
    from robostral.serving.admin import Admin
    from robostral.serving.versions import Version

_DEFAULT = "tcp://127.0.0.1:7401"
_KEYS = Path("keys")


def list_versions(*, admin: str = _DEFAULT, keys: Path = _KEYS, key: str = "admin") -> None:
    """Print what is served, and under it the version that a rollback would bring back.

    Args:
        admin: Address of the server's admin port (`robostral serve --admin`).
        keys: Folder with the server's public key and the admin's pair.
        key: Name of that pair (`robostral keys new keys --client admin --role admin`).
    """
    _print(_admin(admin, keys, key).list())


def swap(bundle: str, /, *, older: bool = False, admin: str = _DEFAULT, keys: Path = _KEYS, key: str = "admin") -> None:
    """Load another version of a bundle beside the running one, and let it answer from the next chunk on.

    Args:
        bundle: Name of the bundle, or its path on the server's computer.
        older: Whether a lower version than the running one will do.
        admin: Address of the server's admin port (`robostral serve --admin`).
        keys: Folder with the server's public key and the admin's pair.
        key: Name of that pair (`robostral keys new keys --client admin --role admin`).
    """
    path = Path(bundle)
    _print(_admin(admin, keys, key).swap(str(path.resolve()) if path.exists() else bundle, older=older))


def rollback(name: str = "", /, *, admin: str = _DEFAULT, keys: Path = _KEYS, key: str = "admin") -> None:
    """Let the version that answered before the last change answer again.

    Args:
        name: The bundle's name without its version; may be left out where only one was changed.
        admin: Address of the server's admin port (`robostral serve --admin`).
        keys: Folder with the server's public key and the admin's pair.
        key: Name of that pair (`robostral keys new keys --client admin --role admin`).
    """
    _print(_admin(admin, keys, key).rollback(name))


def history(keys: Path = _KEYS, /) -> None:
    """Check the log of changes and print it.

    Args:
        keys: The server's folder of keys, which the log lies in.
    """
    from robostral.serving.ledger import read
    from robostral.serving.server import CHANGES

    path = keys / CHANGES
    if not path.is_file():
        raise ServingError(f"no log of changes '{path}'; a server with --admin writes one")
    for entry in read(path):
        print(f"{entry.time}  {entry.who:12} {entry.what:8} {entry.bundle:24} {entry.outcome}")


def _admin(endpoint: str, keys: Path, key: str) -> "Admin":
    from robostral.serving.admin import Admin
    from robostral.serving.keys import KeyStore

    return Admin(endpoint, KeyStore(keys).client(key))


def _print(versions: "tuple[Version, ...]") -> None:
    for version in versions:
        print(f"{'serving ' if version.serving else 'previous'} {version.label:24} {version.digest[:16]}")


COMMANDS: dict[str, Callable[..., Any]] = {
    "list": list_versions,
    "swap": swap,
    "rollback": rollback,
    "history": history,
}
