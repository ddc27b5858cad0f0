"""Metrics and health over HTTP, from a process of its own: whoever asks, the serving loop is not disturbed.

Four times a second the server sends its plain counters through a datagram socket that never blocks; the child keeps the
newest ones and turns them into Prometheus' text format when it is asked.
"""

import contextlib
import ipaddress
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from robostral.errors import ConfigError
from robostral.extras import require
from robostral.serving.wire import Drop, Status

STALE_S = 2.0
"""A server that sent no counters for this long is not healthy: its loop is stuck, or it has ended [s]."""
BUCKETS = 24
"""Bucket i counts replies that took less than 2^i µs from receipt; the last one takes everything longer."""
_MAX_SNAPSHOT = 1 << 16


class Answers(msgspec.Struct, frozen=True):
    """What one bundle has answered: how many replies took less than 2^i µs but not less than half of it; all [µs]."""

    bundle: str
    digest: str
    took: list[int]
    sum_us: int


class Snapshot(msgspec.Struct, frozen=True):
    """A server's counters: answers by status and messages dropped by reason, as in `PolicyServer.counts`."""

    counts: dict[str, int]
    sessions: int
    swaps: int
    bundles: list[Answers]


class Metrics:
    """The server's end: starts the child, and sends snapshots to it.

    Args:
        address: `127.0.0.1:port`, port 0 takes a free one.

    Attributes:
        url: Where the child answers `/metrics` and `/healthz`.

    Raises:
        ConfigError: The address is not of this computer alone.
        MissingExtra: prometheus-client is not installed.
        ChildFailed: The port is in use.
    """

    def __init__(self, address: str) -> None:
        from robostral.process import Child

        host, _, port = address.rpartition(":")
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host).is_loopback and 0 <= int(port) < 1 << 16:
                require("prometheus_client", "serve")
                self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
                self._folder = tempfile.TemporaryDirectory()
                args = [str(theirs.fileno()), host, port]
                with theirs:
                    self._child = Child(
                        "metrics process",
                        args,
                        Path(self._folder.name) / "log",
                        module="robostral.serving.metrics",
                        pass_fds=(theirs.fileno(),),
                    )
                self.url = self._child.ready
                return
        raise ConfigError(
            f"metrics address '{address}' is not 127.x.y.z:port; let a proxy with its own guard go further"
        )

    def tell(self, snapshot: Snapshot) -> None:
        """Send counters; a child that is busy or gone misses them."""
        with contextlib.suppress(OSError):
            self._socket.send(msgspec.json.encode(snapshot))

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self._child.stop()
        self._socket.close()
        self._folder.cleanup()


class _Collector:
    """Turns the newest snapshot into metrics; prometheus_client asks it at every scrape."""

    def __init__(self) -> None:
        self.newest: Snapshot | None = None
        self.since = 0.0

    def keep(self, source: socket.socket) -> None:
        """Receive until the server closes its end or sends what cannot be read."""
        while raw := source.recv(_MAX_SNAPSHOT):
            self.newest, self.since = msgspec.json.decode(raw, type=Snapshot), time.monotonic()

    @property
    def healthy(self) -> bool:
        """Whether the serving loop went round lately."""
        return self.newest is not None and time.monotonic() - self.since < STALE_S

    def collect(self) -> Iterator[Any]:
        """Yield every metric."""
        core = require("prometheus_client.core", "serve")
        said = self.newest or Snapshot({}, 0, 0, [])
        statuses = [status.name.lower() for status in Status]
        yield _counter(core, "requests", "Requests answered, by status", "status", statuses, said.counts)
        reasons = [reason.value for reason in Drop]
        yield _counter(
            core, "dropped", "Messages and connections not answered, by reason", "reason", reasons, said.counts
        )
        yield core.GaugeMetricFamily("robostral_sessions", "Robots in session", said.sessions)
        yield core.CounterMetricFamily("robostral_swaps", "Changes of a served version", said.swaps)
        info = core.InfoMetricFamily("robostral_bundle", "Bundles served", labels=("bundle",))
        took = core.HistogramMetricFamily("robostral_reply_seconds", "From receipt to reply", labels=("bundle",))
        for answers in said.bundles:
            info.add_metric((answers.bundle,), {"digest": answers.digest})
            took.add_metric((answers.bundle,), list(_cumulative(answers.took)), answers.sum_us / 1e6)
        yield from (info, took)


def main() -> None:
    """Be the child: `FD HOST PORT`; ends when the server does."""
    prometheus = require("prometheus_client", "serve")
    fd, host, port = sys.argv[1:]
    collector, registry = _Collector(), prometheus.CollectorRegistry()
    registry.register(collector)

    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._say(200, prometheus.generate_latest(registry), prometheus.CONTENT_TYPE_LATEST)
            elif self.path == "/healthz":
                self._say(*((200, b"serving\n") if collector.healthy else (503, b"not serving\n")), "text/plain")
            else:
                self._say(404, b"/metrics or /healthz\n", "text/plain")

        def _say(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: every scrape would fill the log."""

    try:
        server = ThreadingHTTPServer((host, int(port)), Handler)
    except OSError as error:
        sys.exit(f"cannot listen at {host}:{port}: {error.strerror}")
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"ready http://{host}:{server.server_address[1]}", flush=True)
    collector.keep(socket.socket(fileno=int(fd)))


def _counter(core: Any, name: str, text: str, label: str, keys: list[str], counts: Mapping[str, int]) -> Any:
    family = core.CounterMetricFamily(f"robostral_{name}", text, labels=(label,))
    for key in keys:
        family.add_metric((key,), counts.get(key, 0))
    return family


def _cumulative(took: list[int]) -> Iterator[tuple[str, float]]:
    total = 0
    for i, count in enumerate(took):
        total += count
        yield "+Inf" if i == len(took) - 1 else str(2**i / 1e6), total


if __name__ == "__main__":
    main()
