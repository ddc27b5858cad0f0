"""Who is in: sessions by connection, opened by a handshake, ended by a newer one, by revocation or by silence."""

import logging
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from robostral.contract import Sealed, diff
from robostral.errors import ConfigError
from robostral.serving.handshake import Accepted, Hello, Refused, decode_hello, encode
from robostral.serving.keys import Roster
from robostral.serving.wire import MIN_MESSAGE, VERSION, Drop, Frame, Request

if TYPE_CHECKING:
    from robostral.serving.hosted import Hosted

log = logging.getLogger("robostral.serving")

MAX_SESSIONS = 256
"""Most sessions at once; one more ends the one that was silent for longest."""


class Session:
    """One accepted handshake: who asks, for which policy, and how far its numbering has come.

    Attributes:
        last: Session and seq of the newest request, as the client numbers them.
        received_ns: When the last message arrived, on our clock.
        expected_ns: When the next one should: an interval later.
    """

    __slots__ = ("expected_ns", "hosted", "last", "received_ns", "robot", "role", "route", "token", "user")

    def __init__(self, route: bytes, user: str, hello: Hello, hosted: "Hosted") -> None:
        self.route, self.user, self.robot, self.hosted = route, user, hello.robot, hosted
        self.role = hello.role
        self.token = secrets.randbits(32)
        self.last = (-1, -1)
        self.received_ns = self.expected_ns = time.monotonic_ns()

    def offer(self, request: Request) -> Drop | None:
        """Make `request` the one that waits; return why it, or the one that it replaces, is dropped."""
        if self.role == "observe":
            return Drop.ROLE
        number = (request.session, request.seq)
        if number <= self.last:
            return Drop.ORDER
        now_ns = time.monotonic_ns()
        self.expected_ns = 2 * now_ns - self.received_ns
        self.last, self.received_ns = number, now_ns
        drop = Drop.SUPERSEDED if self in self.hosted.pending else None
        self.hosted.pending[self] = request
        return drop


def accept(session: Session) -> Accepted:
    """Tell a robot which bundle answers it, with what its own keys can verify."""
    hosted, manifest, signature = session.hosted, "", ""
    if hosted.bundle is not None:
        manifest = hosted.bundle.manifest_bytes.decode()
        signature = (hosted.bundle.signature or b"").decode()
    bare = Accepted(session.token, hosted.name, hosted.digest.hex(), hosted.max_batch)
    full = msgspec.structs.replace(bare, manifest=manifest, signature=signature)
    # A manifest beyond what every client takes as a message is left out: its robots work, but follow no swap.
    return full if len(encode(full)) <= MIN_MESSAGE else bare


class Sessions:
    """All sessions of a server.

    Args:
        hosted: What the server serves, its own list; the first one is the reference where a contract fits none.
        roster: The allow-list.
    """

    def __init__(self, hosted: "list[Hosted]", roster: Roster) -> None:
        self._hosted, self._roster = hosted, roster
        self._open: dict[bytes, Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def find(self, route: bytes) -> Session | None:
        """Find the session of a connection."""
        return self._open.get(route)

    def talking(self, since_ns: int) -> "set[Hosted]":
        """Collect the policies of the sessions from which something came since then, on our clock [ns]."""
        return {session.hosted for session in self._open.values() if session.received_ns > since_ns}

    def greet(self, route: bytes, user: str, message: Frame) -> Accepted | Refused | Drop:
        """Answer a handshake. A newer one of the same key and robot ends the older session."""
        grant = self._roster.grant(user)
        if grant is None:
            return Drop.REVOKED
        hello = decode_hello(message)
        if hello is None:
            return Refused("hello", (f"not a hello of wire version {VERSION}",))
        judged = self._judge(hello, grant.covers(hello.role, hello.robot))
        if isinstance(judged, Refused):
            log.warning("refused %s: %s: %s", grant.name, judged.reason, "; ".join(judged.fields))
            return judged
        self.end(lambda old: old.route == route or (old.user, old.robot) == (user, hello.robot))
        if len(self._open) >= MAX_SESSIONS:
            silent = min(self._open.values(), key=lambda old: old.received_ns)
            self.end(lambda old: old is silent)
        session = self._open[route] = Session(route, user, hello, judged)
        log.info("accepted %s to %s for robot '%s' on %s", grant.name, hello.role, hello.robot, judged.name)
        return accept(session)

    def of(self, hosted: "Hosted") -> list[Session]:
        """Collect the sessions that a policy answers."""
        return [session for session in self._open.values() if session.hosted is hosted]

    def move(self, old: "Hosted", new: "Hosted") -> list[Session]:
        """Hand the sessions of a policy to the one that takes its place; return them."""
        moved = self.of(old)
        for session in moved:
            session.hosted = new
        return moved

    def end(self, which: Callable[[Session], bool]) -> None:
        """End the sessions that `which` picks; their waiting requests are not answered."""
        for route in [route for route, session in self._open.items() if which(session)]:
            session = self._open.pop(route)
            session.hosted.pending.pop(session, None)

    def end_revoked(self) -> None:
        """End the sessions that the allow-list no longer covers. libzmq itself would keep serving them."""

        def is_revoked(session: Session) -> bool:
            grant = self._roster.grant(session.user)
            return grant is None or not grant.covers(session.role, session.robot)

        self.end(is_revoked)

    def _judge(self, hello: Hello, allowed: bool) -> "Hosted | Refused":
        if hello.wire != VERSION:
            return Refused("wire", (f"version: {VERSION} != {hello.wire}",))
        if not allowed:
            return Refused("role", (f"this key may not {hello.role} for robot '{hello.robot}'",))
        named = [hosted for hosted in self._hosted if not hello.bundle or hello.bundle in hosted.names]
        if not named:
            names = ", ".join(hosted.name for hosted in self._hosted)
            return Refused("bundle", (f"no '{hello.bundle}' here (bundles: {names})",))
        raw = hello.contract.encode()
        for hosted in named:
            if hosted.sealed.raw == raw:
                return hosted
        return Refused("contract", _differing(named[0].sealed, raw))


def _differing(ours: Sealed, theirs: bytes) -> tuple[str, ...]:
    try:
        return tuple(diff(ours.contract, Sealed.load(theirs).contract)) or ("formatting of the stored bytes",)
    except ConfigError:
        return ("not a contract that this server can read",)
