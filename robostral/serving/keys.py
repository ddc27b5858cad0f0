"""Keys as files: CURVE pairs (secrets readable by the owner only) and the allow-list that says who may ask for what."""

import os
import struct
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import zmq
from zmq.utils import z85

from robostral.errors import ServingError, UnknownName
from robostral.serving.wire import ClientKeys, Role

ClientName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]

_ALLOWED = "allowed.json"
_RANK: dict[Role, int] = {"observe": 0, "act": 1, "admin": 2}


class ServerKeys(NamedTuple):
    """The server's CURVE pair in Z85, 40 bytes each."""

    public: bytes
    secret: bytes


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the allow-list: who holds this public key, and what it may do for which robots."""

    name: ClientName
    key: str
    role: Role = "act"
    robots: tuple[str, ...] = ("*",)

    def covers(self, role: Role, robot: str) -> bool:
        """Tell whether this key may take `role` for `robot`."""
        return _RANK[self.role] >= _RANK[role] and ("*" in self.robots or robot in self.robots)

    @property
    def is_admin(self) -> bool:
        """Whether this key may change what is served, which concerns every robot."""
        return self.role == "admin" and "*" in self.robots


class KeyStore:
    """A folder of keys: `server.key`, `server.pub`, a pair per client and, beside the server, `allowed.json`.

    A client's computer needs `server.pub` and its own pair only.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def create(self, client: ClientName = "client", role: Role = "act", robots: tuple[str, ...] = ("*",)) -> Grant:
        """Make a client pair and allow it; the first call makes the server's pair too.

        Raises:
            ServingError: The client's pair is there already.
        """
        _check_name(client)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._secret("server").exists():
            self._write_pair("server")
        if client == "server" or self._secret(client).exists():
            raise ServingError(f"'{self._secret(client)}' exists; choose another client name, or remove it first")
        return self.allow(client, self._write_pair(client), role, robots)

    def server(self) -> ServerKeys:
        """Read the server's pair.

        Raises:
            ServingError: It is missing, unreadable, or its secret is open to others.
        """
        return ServerKeys(*self._read_pair("server"))

    def client(self, name: str = "client") -> ClientKeys:
        """Read a client's pair and the server's public key.

        Raises:
            ServingError: One is missing, unreadable, or the secret is open to others.
        """
        return ClientKeys(_read_key(self.folder / "server.pub"), *self._read_pair(name))

    @property
    def allowed_path(self) -> Path:
        """Where the allow-list is stored."""
        return self.folder / _ALLOWED

    def grants(self) -> tuple[Grant, ...]:
        """Read the allow-list; no file means that nobody is allowed.

        Raises:
            ServingError: The file cannot be read as an allow-list, or others may write it.
        """
        try:
            if os.name == "posix" and self.allowed_path.stat().st_mode & 0o022:
                raise ServingError(f"others may write '{self.allowed_path}'; run `chmod 600 {self.allowed_path}`")
            return msgspec.json.decode(self.allowed_path.read_bytes(), type=tuple[Grant, ...])
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ServingError(f"allow-list '{self.allowed_path}' cannot be read: {error}") from error

    def allow(self, name: ClientName, key: bytes, role: Role = "act", robots: tuple[str, ...] = ("*",)) -> Grant:
        """Allow a public key under a name; a name or key that is listed already is replaced.

        Raises:
            ServingError: The name or the key is malformed, or the allow-list cannot be read.
        """
        _check_name(name)
        grant = Grant(name, _check_key(key, f"key of '{name}'").decode(), role, robots)
        kept = [other for other in self.grants() if other.name != name and other.key != grant.key]
        self._write_grants([*kept, grant])
        return grant

    def revoke(self, name: str) -> Grant:
        """Take a client off the allow-list; a running server ends its sessions within a second.

        Raises:
            UnknownName: Nobody of this name is listed.
            ServingError: The allow-list cannot be read.
        """
        grants = {grant.name: grant for grant in self.grants()}
        if name not in grants:
            raise UnknownName("client", name, grants)
        gone = grants.pop(name)
        self._write_grants(list(grants.values()))
        return gone

    def _secret(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def _write_pair(self, name: str) -> bytes:
        public, secret = zmq.curve_keypair()
        _write(self._secret(name), secret + b"\n", 0o600)
        _write(self.folder / f"{name}.pub", public + b"\n", 0o644)
        return public

    def _read_pair(self, name: str) -> tuple[bytes, bytes]:
        path = self._secret(name)
        secret = _read_key(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise ServingError(f"secret key '{path}' is open to other users; run `chmod 600 {path}`")
        return zmq.curve_public(secret), secret

    def _write_grants(self, grants: list[Grant]) -> None:
        """Replace the allow-list in one step: a server that reads it now sees the old one or the new one."""
        fresh = self.allowed_path.with_suffix(f".{os.getpid()}")
        _write(fresh, msgspec.json.format(msgspec.json.encode(grants), indent=2) + b"\n", 0o600)
        os.replace(fresh, self.allowed_path)


class Roster:
    """The allow-list as a running server sees it: re-read when the file changes, empty when it cannot be read."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._stamp: tuple[int, int, int] | None = None
        self._listed: dict[str, Grant] = {}
        self.guest: Grant | None = None
        """One more entry that no file holds; the server's own proof at start uses it."""
        self.refresh()

    def refresh(self) -> bool:
        """Read the file again where it changed; return whether it did."""
        try:
            stat = os.stat(self._store.allowed_path)
            stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except OSError:
            stamp = (0, 0, 0)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._listed = {grant.key: grant for grant in self._store.grants()}
        except ServingError:
            self._listed = {}
        return True

    def grant(self, key: str) -> Grant | None:
        """Find what a public key (Z85) may do; None for a key that is not allowed."""
        if self.guest is not None and self.guest.key == key:
            return self.guest
        return self._listed.get(key)


def _check_name(name: str) -> None:
    try:
        msgspec.convert(name, ClientName)
    except msgspec.ValidationError:
        raise ServingError(f"name '{name}' is not 1 to 64 letters, digits, _ or -") from None


def _check_key(key: bytes, label: str) -> bytes:
    try:
        z85.decode(key)
    except (KeyError, ValueError, struct.error):
        key = b""
    if len(key) != 40:
        raise ServingError(f"{label} is not a CURVE key (40 characters of Z85)")
    return key


def _read_key(path: Path) -> bytes:
    try:
        return _check_key(path.read_bytes().strip(), f"'{path}'")
    except FileNotFoundError:
        raise ServingError(f"no key '{path}'; make one with `robostral keys new {path.parent}`") from None
    except OSError as error:
        raise ServingError(f"key '{path}' cannot be read: {error.strerror}") from error


def _write(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
