"""The policy server: one process, one loop, many robots and bundles; a request is answered in its budget or `late`."""

import logging
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import zmq

from robostral.bundle.trust import Plant
from robostral.errors import ServingError
from robostral.serving.admin import AdminPort
from robostral.serving.batching import wait_ns
from robostral.serving.canary import prove
from robostral.serving.handshake import Accepted, Refused, encode
from robostral.serving.hosted import Hosted
from robostral.serving.keys import KeyStore, Roster
from robostral.serving.metrics import BUCKETS, Answers, Metrics, Snapshot
from robostral.serving.sessions import Session, Sessions, accept
from robostral.serving.versions import Versions
from robostral.serving.wire import (
    MIN_MESSAGE,
    Drop,
    Request,
    Status,
    is_json,
    read_request,
)
from robostral.serving.zap import DOMAIN, Authenticator, open_router

log = logging.getLogger("robostral.serving")

CHANGES = "changes.jsonl"
"""Name of the log of changes, in the folder of keys."""
POLL_MS = 100
WARM_MS = 5
"""How often a policy whose robots are talking runs in between [ms]. Measured at 25 requests a second: an inference that
takes 15 µs back to back takes 150 µs once code and weights have left the caches, and the whole answer a fifth more."""
TALKING_NS = 1_000_000_000
ROSTER_NS = 250_000_000
"""How often the allow-list's file is looked at [ns]."""
MAX_DRAIN = 1024
"""Most messages taken in before the policies run, so that a flood delays nobody for long."""

# Plain integers: `zmq.SNDMORE | zmq.NOBLOCK` goes through Python's enum at every call.
_NOBLOCK, _NOBLOCK_MORE, _POLLIN = int(zmq.NOBLOCK), int(zmq.SNDMORE | zmq.NOBLOCK), int(zmq.POLLIN)
_COUNTED = [status.name.lower() for status in Status]


class PolicyServer:
    """Serve policies to robots whose keys are allowed. Binds at once; `run` proves the door, then answers.

    Args:
        hosted: Policies to serve, at least one.
        bind: `tcp://address:port` (port 0 takes a free one) or `ipc://path`.
        keys: Folder with the server's pair and the allow-list.

    Attributes:
        endpoint: Where the server listens.
        public_key: Its CURVE key in Z85.
        swaps: How often a version was changed.
        metrics: Where the counters go four times a second, if anywhere.
        counts: Answers by status, dropped messages and refused connections by reason.

    Raises:
        ServingError: The address is in use or malformed, a key is missing, or the allow-list cannot be read.
    """

    def __init__(self, hosted: Sequence[Hosted], bind: str, keys: KeyStore) -> None:
        if not bind.startswith(("tcp://", "ipc://")):
            raise ServingError(f"cannot bind '{bind}'; choose tcp://address:port or ipc://path")
        self.hosted = list(hosted)
        self.counts: Counter[str] = Counter()
        self._keys, (self.public_key, secret) = keys, keys.server()
        keys.grants()  # a list that cannot be read is told now; later it silently allows nobody
        self.roster = Roster(keys)
        self.sessions = Sessions(self.hosted, self.roster)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._auth = Authenticator(self._context, self.roster)
        size = max(MIN_MESSAGE, *(h.layout.request_size(h.max_batch) for h in self.hosted))
        self._router = open_router(self._context, secret, DOMAIN, size)
        self.endpoint = self._bind(bind)
        self._poller = zmq.Poller()
        self._poller.register(self._router, zmq.POLLIN)
        self._poller.register(self._auth.socket, zmq.POLLIN)
        self._roster_due_ns = 0
        self._changes: deque[Callable[[], None]] = deque()
        self._admin: AdminPort | None = None
        self.metrics: Metrics | None = None
        self.swaps = 0
        self._held_ms = POLL_MS
        self._stopping = threading.Event()

    def run(self, on_ready: Callable[[str], None] | None = None) -> None:
        """Warm up, prove that a stranger is refused, call `on_ready` with the endpoint, answer until `stop`.

        Raises:
            ServingError: The proof failed.
            BundleRefused: A policy does not keep its own contract.
        """
        try:
            for hosted in self.hosted:
                hosted.warm_up()
            prove(self)
            self.counts.clear()
            if on_ready is not None:
                on_ready(self.endpoint)
            with self._admin or nullcontext():
                while not self._stopping.is_set():
                    self.turn(WARM_MS if len(self.sessions) else POLL_MS)
        finally:
            self.close()

    def open_admin(self, bind: str, plant: Plant = "twin", trust: Path | None = None) -> str:
        """Open the admin port, before `run`; return where it listens. The log of changes lies beside the keys.

        Args:
            bind: `tcp://address:port` or `ipc://path`.
            plant: A real plant takes only bundles signed by a trusted key.
            trust: Folder of trusted public keys; the user's own if None.

        Raises:
            ServingError: The address cannot be used, or the log of changes is damaged.
        """
        path, secret = self._keys.folder / CHANGES, self._keys.server().secret
        self._admin = AdminPort(self._context, bind, secret, self.roster, Versions(self, plant, trust), path)
        return self._admin.endpoint

    def snapshot(self) -> Snapshot:
        """Collect the counters for the metrics."""
        answers = [Answers(h.name, h.digest.hex(), h.took, h.took_us) for h in self.hosted]
        return Snapshot(self.counts, len(self.sessions), self.swaps, answers)

    def stop(self) -> None:
        """End `run` within 0.1 s; safe from a signal handler and from another thread."""
        self._stopping.set()

    def between_batches(self, change: Callable[[], None]) -> None:
        """Call `change` in the serving loop when no batch runs, within 0.1 s; safe from another thread."""
        self._changes.append(change)

    def replace(self, old: Hosted, new: Hosted) -> None:
        """Let `new` answer for `old` from the next batch on; called between batches only.

        Sessions and waiting requests go on. Every robot is told which bundle answers it before that bundle's first
        reply, on the same ordered connection, so its chunks change hands at their edge.
        """
        new.take_over(old)
        self.hosted[self.hosted.index(old)] = new
        for session in self.sessions.move(old, new):
            self._send(session.route, encode(accept(session)))
        self.swaps += 1
        log.info("%s answers for %s", new.name, old.name)

    def close(self) -> None:
        """Release sockets and policies; calling it twice is harmless."""
        self._context.destroy(linger=0)
        for hosted in self.hosted:
            hosted.policy.close()

    @contextmanager
    def in_thread(self) -> Iterator[str]:
        """Run in a thread of this process while the context lasts; gives the endpoint. For tests and notebooks."""
        ready, failed = threading.Event(), list[Exception]()

        def body() -> None:
            try:
                self.run(lambda _: ready.set())
            except Exception as error:  # raised again where the caller sees it
                failed.append(error)
            ready.set()

        thread = threading.Thread(target=body, name="policy-server", daemon=True)
        thread.start()
        try:
            ready.wait()
            if not failed:
                yield self.endpoint
        finally:
            self.stop()
            thread.join()
        if failed:
            raise failed[0]

    def turn(self, timeout_ms: int) -> None:
        """Wait for events, take in what is there, answer it."""
        events = dict(self._poller.poll(min(timeout_ms, self._held_ms)))
        while self._changes:
            self._changes.popleft()()
        if self._auth.socket in events or time.monotonic_ns() > self._roster_due_ns:
            self._roster_due_ns = time.monotonic_ns() + ROSTER_NS
            if self.roster.refresh():
                self.sessions.end_revoked()
            if self.metrics is not None:
                self.metrics.tell(self.snapshot())
        if self._auth.socket in events and not self._auth.answer():
            self.counts[Drop.KEY] += 1
            if (count := self.counts[Drop.KEY]) & (count - 1) == 0:  # a flood of strangers must not fill the log
                log.warning("refused an unknown key, %d so far", count)
        if self._router in events:
            self._drain()
        if self._router in events or self._held_ms < POLL_MS:
            self._held_ms = POLL_MS
            for hosted in self.hosted:
                while hosted.pending and not (hosted.patient and self._hold(hosted)):
                    self._answer(hosted)
        elif not events:
            for hosted in self.sessions.talking(time.monotonic_ns() - TALKING_NS):
                hosted.stay_warm()

    def _hold(self, hosted: Hosted) -> bool:
        """Decide whether waiting requests wait for more; if so, the next turn begins in time for them."""
        left_ms = wait_ns(hosted, self.sessions.of(hosted), time.monotonic_ns()) // 1_000_000
        self._held_ms = min(self._held_ms, left_ms or POLL_MS)
        return left_ms > 0

    def _bind(self, bind: str) -> str:
        try:
            if bind.startswith("ipc://") and _is_listening(bind.removeprefix("ipc://")):
                raise zmq.ZMQError(zmq.EADDRINUSE)
            self._router.bind(bind)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            if error.errno == zmq.EADDRINUSE:
                raise ServingError(f"'{bind}' is in use; stop the other server or choose another port") from None
            raise ServingError(f"cannot bind '{bind}': {error.strerror}") from None
        return self._router.getsockopt_string(zmq.LAST_ENDPOINT)

    def _drain(self) -> None:
        """Take in what has arrived; the newest request of a robot replaces an older one that still waits."""
        router = self._router
        for _ in range(MAX_DRAIN):
            route = router.recv(_NOBLOCK)
            session = self.sessions.find(route)
            if session is None:
                self._meet(route)
            else:
                frame = router.recv()
                if router.getsockopt(zmq.RCVMORE):
                    self._skip_parts()
                else:
                    self._take_in(session, frame)
            if not router.getsockopt(zmq.EVENTS) & _POLLIN:  # type: ignore[operator]
                return

    def _meet(self, route: bytes) -> None:
        """Hear someone who has no session: libzmq says which key is behind the message."""
        message = self._router.recv(copy=False)
        user = str(message.get("User-Id"))
        if message.more:
            self._skip_parts()
        elif route[0] != 0:
            # A name that the peer chose; one that libzmq chose begins with 0 and never belongs to two connections.
            self._say(route, Drop.ROUTE)
        elif is_json(message.buffer):
            self._say(route, self.sessions.greet(route, user, message.buffer))
        else:
            # A robot whose session is over must dial again; a revoked key hears nothing.
            self._say(route, Drop.REVOKED if self.roster.grant(user) is None else Refused("session"))

    def _skip_parts(self) -> None:
        while self._router.getsockopt(zmq.RCVMORE):
            self._router.recv()
        self.counts[Drop.PARTS] += 1

    def _take_in(self, session: Session, frame: bytes) -> None:
        hosted = session.hosted
        request = read_request(frame, hosted.layout, session.token, hosted.max_batch)
        drop = request if isinstance(request, Drop) else session.offer(request)
        if drop is Drop.MAGIC and is_json(frame):
            self._say(session.route, self.sessions.greet(session.route, session.user, frame))
        elif drop is not None:
            self.counts[drop] += 1

    def _say(self, route: bytes, answer: Accepted | Refused | Drop) -> None:
        if isinstance(answer, Drop):
            self.counts[answer] += 1
            return
        if isinstance(answer, Refused):
            self.counts[Drop.SESSION if answer.reason == "session" else Drop.HELLO] += 1
        self._send(route, encode(answer))

    def _answer(self, hosted: Hosted) -> None:
        """Run one batch; what cannot be answered in its budget, or is no number, is answered before it."""
        start_ns = time.monotonic_ns()
        waiting, hosted.pending = hosted.pending, {}
        done_ns = start_ns + hosted.cost_ns(sum([request.rows for request in waiting.values()]))
        batch: list[tuple[Session, Request]] = []
        rows = 0
        for session, request in waiting.items():
            if rows + request.rows > hosted.max_batch:
                hosted.pending[session] = request  # in the next batch
            elif done_ns - session.received_ns > 1000 * request.budget_us:
                self._reply(session, request, Status.LATE, start_ns)
            elif not hosted.load(rows, request):
                self._reply(session, request, Status.BAD_OBS, start_ns)
            else:
                batch.append((session, request))
                rows += request.rows
        if batch:
            self._run(hosted, batch, rows, start_ns)

    def _run(self, hosted: Hosted, batch: list[tuple[Session, Request]], rows: int, start_ns: int) -> None:
        try:
            chunks = hosted.infer(rows)
        except Exception:  # whatever a policy throws, the other bundles and robots are served on
            if not self.counts["fault"]:
                log.exception("policy %s failed; further failures are counted only", hosted.name)
            for session, request in batch:
                self._reply(session, request, Status.FAULT, start_ns)
            return
        infer_us = (time.monotonic_ns() - start_ns) // 1000
        end = 0
        for session, request in batch:
            start, end = end, end + request.rows
            hosted.reply.chunk[: request.rows] = chunks[start:end]
            self._reply(session, request, Status.OK, start_ns, infer_us)

    def _reply(self, session: Session, request: Request, status: Status, start_ns: int, infer_us: int = 0) -> None:
        hosted, received_ns = session.hosted, session.received_ns
        total_us = (time.monotonic_ns() - received_ns) // 1000
        self.counts[_COUNTED[status]] += 1
        hosted.took[min(total_us.bit_length(), BUCKETS - 1)] += 1
        hosted.took_us += total_us
        times_us = (total_us, (start_ns - received_ns) // 1000, infer_us)
        self._send(session.route, hosted.reply.seal(session.token, status, request, times_us))

    def _send(self, route: bytes, frame: bytes | memoryview) -> None:
        try:
            self._router.send(route, _NOBLOCK_MORE)
            self._router.send(frame, _NOBLOCK)
        except zmq.ZMQError:  # the peer went away, or does not read
            self.counts[Drop.UNSENT] += 1


def _is_listening(path: str) -> bool:
    """Tell whether someone answers at a socket file; libzmq would take the file away from him."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0
