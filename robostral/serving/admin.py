"""The admin port: list, swap and roll back what a server serves; CURVE, the role admin only, every change in a log."""

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec
import zmq

from robostral.errors import RobostralError, ServingError
from robostral.serving.dial import ask, open_socket
from robostral.serving.keys import Roster
from robostral.serving.ledger import Ledger
from robostral.serving.versions import Version, Versions
from robostral.serving.wire import MIN_MESSAGE, ClientKeys
from robostral.serving.zap import ADMIN_DOMAIN, open_router

log = logging.getLogger("robostral.serving")

SERVER = "server"
"""Under this name the server writes its own lines into the log."""
_POLL_MS = 100


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an admin asks: `bundle` is a name or path on the server's computer, or what to roll back."""

    op: Literal["list", "swap", "rollback"]
    bundle: str = ""
    older: bool = False


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is served after an order, and why it was refused if it was."""

    versions: tuple[Version, ...]
    error: str = ""


_order = msgspec.json.Decoder(Order)


class AdminPort:
    """A thread with a socket of its own: orders are carried out one after the other, beside the serving loop.

    Args:
        context: The server's, whose authenticator decides who gets in.
        bind: `tcp://address:port` or `ipc://path`.
        secret: The server's secret key.
        roster: The allow-list.
        versions: What orders change.
        path: The log of changes.

    Raises:
        ServingError: The address cannot be used, or the log is damaged.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        bind: str,
        secret: bytes,
        roster: Roster,
        versions: Versions,
        path: Path,
    ) -> None:
        self._roster, self._versions, self._ledger = roster, versions, Ledger(path)
        self._router = open_router(context, secret, ADMIN_DOMAIN, MIN_MESSAGE)
        try:
            self._router.bind(bind)
        except zmq.ZMQError as error:
            self._router.close()
            raise ServingError(f"cannot bind the admin port '{bind}': {error.strerror}") from None
        self.endpoint = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="admin-port", daemon=True)

    def __enter__(self) -> "AdminPort":
        for version in self._versions.all():
            self._ledger.append(SERVER, "start", version.label, version.digest)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(timeout=1.0)  # a bundle that is being loaded is not waited for
        self._router.close(linger=0)
        self._ledger.append(SERVER, "stop", "", "")
        self._ledger.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._router.poll(_POLL_MS):
                self._hear()

    def _hear(self) -> None:
        route = self._router.recv()
        message = self._router.recv(copy=False)
        if message.more:
            while self._router.getsockopt(zmq.RCVMORE):
                self._router.recv()
            return
        grant = self._roster.grant(str(message.get("User-Id")))
        if grant is None or not grant.is_admin:  # revoked, or no admin any more, since the connection was made
            outcome = Outcome((), "this key has not the role admin")
        else:
            outcome = self._obey(grant.name, bytes(message.buffer))
        try:
            self._router.send_multipart([route, msgspec.json.encode(outcome)], zmq.NOBLOCK)
        except zmq.ZMQError:
            log.info("an admin did not wait for the answer")

    def _obey(self, who: str, message: bytes) -> Outcome:
        try:
            order = _order.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Outcome((), "not an order that this server knows")
        if order.op == "list":
            return Outcome(self._versions.all())
        done, error = "", ""
        try:
            done = self._change(order).digest
        except RobostralError as refusal:
            error = str(refusal)
        except Exception as fault:  # whatever a bundle does to a loader, the old version serves on
            log.exception("an order failed")
            error = f"it failed: {type(fault).__name__}"
        log.info("%s: %s %s: %s", who, order.op, order.bundle, error or done)
        self._ledger.append(who, order.op, order.bundle, error or done)
        return Outcome(self._versions.all(), error)

    def _change(self, order: Order) -> Version:
        if order.op == "swap":
            return self._versions.swap(order.bundle, older=order.older)
        return self._versions.rollback(order.bundle)


class Admin:
    """An admin's side of the port.

    Args:
        endpoint: Where a server's admin port listens.
        keys: The server's public key, and a pair with the role admin.
        timeout_s: How long an order may take [s].
    """

    def __init__(self, endpoint: str, keys: ClientKeys, timeout_s: float = 120.0) -> None:
        self._endpoint, self._keys, self._timeout_s = endpoint, keys, timeout_s

    def list(self) -> tuple[Version, ...]:
        """List what is served, and what a rollback would bring back.

        Raises:
            ServingError: Nobody answers, or the key is refused.
        """
        return self.order(Order("list"))

    def swap(self, bundle: str, *, older: bool = False) -> tuple[Version, ...]:
        """Let another version of a bundle answer.

        Raises:
            ServingError: It was refused; the old one serves on.
        """
        return self.order(Order("swap", bundle, older))

    def rollback(self, name: str = "") -> tuple[Version, ...]:
        """Let the version before the last change answer again.

        Raises:
            ServingError: There is none.
        """
        return self.order(Order("rollback", name))

    def order(self, order: Order) -> tuple[Version, ...]:
        """Send one order over a connection of its own; return what is served after it.

        Raises:
            ServingError: Nobody answers, the key is refused, or the order is.
        """
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            socket = open_socket(context, self._keys, 0)
            answer = ask(socket, self._endpoint, msgspec.json.encode(order), self._timeout_s)
        finally:
            context.destroy(linger=0)
        outcome = msgspec.json.decode(answer, type=Outcome)
        if outcome.error:
            raise ServingError(outcome.error)
        return outcome.versions
