"""The transport process: carries observations to the policy server, chunks back, and the operator's commands in."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import zmq

from robostral.bundle import Bundle
from robostral.bundle import load as load_bundle
from robostral.bundle.successor import check_successor
from robostral.bundle.trust import Signer, keyring
from robostral.errors import BundleRefused, ContractMismatch, ServingError
from robostral.runtime import realtime, records
from robostral.runtime.board import Board, Inlet
from robostral.runtime.config import RunConfig
from robostral.runtime.ctl import Door
from robostral.runtime.external import layout
from robostral.runtime.ladder import Mode
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.operator import Operator
from robostral.runtime.options import home_of, site_arm
from robostral.runtime.realtime import Bell
from robostral.serving.client import Accepted, PolicyClient
from robostral.serving.dial import KeyRefused
from robostral.serving.keys import KeyStore
from robostral.serving.wire import Reply, Status

SILENCE_S = 0.1
"""A server that answers no request for this long, and for the request's own budget, has gone: dial again."""
AWAKE_S = 0.003
"""How long a rung bell keeps this process awake: the loop rings it a tick before an observation comes. Falling asleep
and being woken costs 50 to 80 µs at each of several hand-overs, measured on two virtual cores."""
DIAL_S = 0.2
"""How long a dial may take; meanwhile the operator waits. Inside it a server that comes up is found within 10 ms."""
PAUSE_S = 0.02
"""Between dials while nobody answers: with `DIAL_S` at most a tenth of the time is spent not listening."""
REFUSED_S = 1.0
"""Between dials while a server is there and refuses us."""
POLL_MS = 20
_BY_HAND = (Mode.MOVING, Mode.JOG)


class Link:
    """The connection to the policy server: dials, sends, receives, and dials again after a bounded pause.

    Args:
        client: Not connected yet.
        bundle: What the server must serve at first, byte for byte; another version may take over while it serves us,
            where contract, requirements and our own keys allow it (`robostral.bundle.successor`).
        known: Public keys that may have signed, see `robostral.bundle.trust.keyring`.
        mailbox: Chunks go in here; the state of the link too.
    """

    def __init__(
        self, client: PolicyClient, bundle: Bundle, mailbox: Mailbox, known: Mapping[bytes, Signer] | None = None
    ) -> None:
        self._client, self._bundle, self._mailbox = client, bundle, mailbox
        self._chunk = records.empty(mailbox.chunk.dtype)
        self._state = records.empty(mailbox.link.dtype)
        self._dial_at, self._unanswered_since = 0.0, math.inf
        self._silence_s = SILENCE_S
        self._known, self._taken, self._heard = known or {}, {bundle.digest.hex()}, ""
        self.connected = False

    @property
    def socket(self) -> "zmq.Socket[bytes]":
        """What to poll while connected; a new one after each dial."""
        return self._client.socket

    def dial(self, timeout_s: float) -> None:
        """Connect and compare contract and bundle.

        Raises:
            ServingError: Nobody answers, or it refuses.
            ContractMismatch: It serves another contract or another bundle.
        """
        self._state["dials"] += 1
        accepted = self._client.connect(timeout_s)
        ours = self._bundle.digest.hex()
        if self._heard and accepted.manifest:  # at the first dial it must be the very bundle
            self._judge(accepted)
        if accepted.digest not in self._taken:
            fields = [f"digest of bundle '{accepted.bundle}': {accepted.digest[:16]} != {ours[:16]}"]
            raise ContractMismatch(f"the policy server at {self._client.endpoint}", "ours", fields)
        self.connected, self._unanswered_since = True, math.inf
        self._heard = accepted.digest
        self._tell(f"connected to {self._client.endpoint}, bundle {accepted.bundle} {accepted.digest[:16]}")

    def keep_up(self, may_dial: bool = True) -> None:
        """Notice a server that has gone, and dial again when it is time to."""
        now = time.monotonic()
        if self.connected:
            if self._client.lost:
                self._lose("the server has no session for us any more")
            elif now - self._unanswered_since > self._silence_s:
                self._lose(f"the server is silent for {1e3 * self._silence_s:.0f} ms")
        elif may_dial and now >= self._dial_at:
            try:
                self.dial(DIAL_S)
            except (KeyRefused, BundleRefused, ContractMismatch) as error:
                self._lose(str(error), REFUSED_S)
            except ServingError as error:
                self._lose(str(error))

    def send(self, obs: records.Record) -> None:
        """Send an observation as it came from the loop, or drop it."""
        numbers = (int(obs[name]) for name in ("session", "seq", "t_obs_ns", "consumed", "budget_us"))
        if self.connected and self._client.send(obs["obs"], *numbers):
            self._state["sent"] += 1
        self._unanswered_since = min(self._unanswered_since, time.monotonic())
        self._silence_s = max(SILENCE_S, 1e-6 * float(obs["budget_us"]))

    def receive(self) -> int:
        """Hand every waiting reply to the loop, stamped with its arrival; return how many there were."""
        count = 0
        while (reply := self._client.receive()) is not None:
            count += 1
            self._unanswered_since = math.inf
            self._state["replies"] += 1
            digest = reply.bundle.hex()
            if digest != self._heard[:16]:
                self._hear_successor()
            if reply.status == Status.OK and digest == self._heard[:16] and self._heard in self._taken:
                self._hand_over(reply)
            else:
                self._state["late"] += 1
        return count

    def close(self) -> None:
        """Leave the server."""
        self._client.close()

    def _hear_successor(self) -> None:
        """Decide about another version, which the server announced before its first reply."""
        said = self._client.server
        assert said is not None
        self._heard = said.digest
        try:
            self._judge(said)
            self._tell(f"connected to {self._client.endpoint}, bundle {said.bundle} {said.digest[:16]}")
        except (BundleRefused, ContractMismatch) as error:
            self._tell(f"the server changed to '{said.bundle}', which is refused here: {error}")

    def _judge(self, said: Accepted) -> None:
        if said.digest not in self._taken:
            manifest = said.manifest.encode()
            check_successor(self._bundle, manifest, said.signature.encode(), self._known)
            self._taken.add(hashlib.sha256(manifest).hexdigest())

    def _hand_over(self, reply: Reply) -> None:
        chunk = self._chunk
        chunk["session"], chunk["seq"], chunk["t_obs_ns"] = reply.session, reply.seq, reply.t_obs_ns
        # To the loop a version that was checked is the bundle that it was armed with; the link's note names it.
        chunk["bundle"] = int.from_bytes(self._bundle.digest[:8], "little")
        chunk["stages_us"] = reply.queue_us, reply.infer_us, reply.total_us
        chunk["chunk"] = reply.chunk[0]
        chunk["t_arrival_ns"] = time.monotonic_ns()
        self._mailbox.chunk.publish(chunk)

    def _lose(self, why: str, pause_s: float = PAUSE_S) -> None:
        self.connected = False
        self._dial_at = time.monotonic() + pause_s
        self._tell(why)

    def _tell(self, note: str) -> None:
        encoded = note.encode()[: self._state.dtype["note"].itemsize]
        if encoded != self._state["note"].item() or bool(self._state["connected"]) != self.connected:
            self._state["note"], self._state["connected"] = encoded, self.connected
            self._state["t_ns"] = time.monotonic_ns()
            self._mailbox.link.publish(self._state)


class Transport:
    """One round of waiting and carrying.

    Args:
        mailbox: Shared with the loop.
        bell: Rung by the loop for a new observation or a handled command.
        link: To the policy server.
        door: To the operator.
        operator: Answers who comes in there.
        inlets: Where external signals come from.
    """

    def __init__(
        self, mailbox: Mailbox, bell: Bell, link: Link, door: Door, operator: Operator, inlets: Sequence[Inlet] = ()
    ) -> None:
        self._mailbox, self._bell, self._link, self._operator, self._inlets = mailbox, bell, link, operator, inlets
        self._awake_until = 0.0
        self._poller, self._polled = zmq.Poller(), link.socket
        for source in (bell.read_fd, door.socket, link.socket, *(inlet.socket for inlet in inlets)):
            self._poller.register(source, zmq.POLLIN)

    def round(self) -> None:
        """Wait for the bell, the server or the operator, and serve whoever came."""
        if self._polled is not self._link.socket:
            self._poller.unregister(self._polled)
            self._polled = self._link.socket
            self._poller.register(self._polled, zmq.POLLIN)
        if time.monotonic() < self._awake_until:
            self._poller.poll(0)
            realtime.give_way()
        else:
            self._poller.poll(POLL_MS)
        if self._bell.clear():
            self._awake_until = time.monotonic() + AWAKE_S
        obs = self._mailbox.obs.take()
        if obs is not None:
            self._link.send(obs)
        if self._link.receive():
            self._awake_until = 0.0
        for inlet in self._inlets:
            inlet.receive()
        self._operator.serve(self._link.connected)
        # A dial takes its time, and who moves the arm by hand must not wait for it.
        self._link.keep_up(may_dial=self._operator.mode not in _BY_HAND)


def run_transport(
    config: RunConfig,
    folder: Path,
    mailbox: Mailbox,
    bell: Bell,
    leaving: Callable[[], bool],
    say_ready: Callable[[str], None],
) -> None:
    """Be the transport process until asked to leave.

    Raises:
        ServingError: No policy server answers at the start, or it refuses our key.
        ContractMismatch: It serves another contract or another bundle.
        ConfigError: A source of signals cannot be dialled.
    """
    realtime.precede(realtime.POLICY_PRIORITY)
    realtime.keep_off(config.core)
    trust = Path(config.trust) if config.trust else None
    bundle = load_bundle(config.bundle, trusted_keys=trust)
    keys = KeyStore(config.keys).client()
    client = PolicyClient(config.server, keys, bundle.sealed.raw, config.name, bundle=bundle.manifest.label)
    link = Link(client, bundle, mailbox, keyring(trust))
    try:
        link.dial(2.0)
        with ExitStack() as stack:
            door = Door(folder)
            stack.callback(door.close)
            board, arm = Board(mailbox, layout(bundle.sealed.contract)), site_arm(config)
            inlets = [Inlet(source, board) for source in config.signals]
            for inlet in inlets:
                stack.callback(inlet.close)
            home = home_of(None if config.home is None else np.array(config.home), arm)
            operator = Operator(door, mailbox, board, arm, {"home": home.tolist(), **config.poses})
            transport = Transport(mailbox, bell, link, door, operator, inlets)
            say_ready("")
            while not leaving():
                transport.round()
    finally:
        link.close()
