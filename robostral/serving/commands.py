"""`robostral serve` and `robostral keys`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from robostral.serving.keys import KeyStore
    from robostral.serving.server import PolicyServer

DEFAULT_BIND = "tcp://127.0.0.1:7400"


def serve(
    bundles: list[str],
    /,
    *,
    keys: Path = Path("keys"),
    bind: str = DEFAULT_BIND,
    admin: str = "",
    metrics: str = "",
    plant: Literal["twin", "real"] = "twin",
    trust: Path | None = None,
    max_delay_ms: float = 2.0,
    provider: str = "CPUExecutionProvider",
) -> None:
    """Serve policy bundles to robots over encrypted ZeroMQ; prints `ready ADDRESS` once it does.

    Args:
        bundles: Names or paths of bundles.
        keys: Folder with the server's keys and the allow-list, made by `robostral keys new`.
        bind: Address to listen on: tcp://address:port (port 0 takes a free one) or ipc://path.
        admin: Address of the admin port (see `robostral serve-admin`); none if left out.
        metrics: Address 127.0.0.1:port for Prometheus (/metrics) and health checks (/healthz); none if left out.
        plant: A real plant takes only bundles signed by a trusted key.
        trust: Folder of trusted public keys; the user's own if left out.
        max_delay_ms: Longest that a request waits for another robot's, and only for a policy slow enough to gain by it.
        provider: Execution provider of onnxruntime; only the CPU's is tested.
    """
    import logging
    import signal
    from contextlib import nullcontext

    from robostral.bundle import load
    from robostral.errors import ConfigError
    from robostral.runtime.realtime import POLICY_PRIORITY, precede
    from robostral.serving.hosted import Hosted
    from robostral.serving.keys import KeyStore
    from robostral.serving.metrics import Metrics
    from robostral.serving.server import PolicyServer

    if not bundles or len(set(bundles)) < len(bundles):
        raise ConfigError("name at least one bundle to serve, and none of them twice")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    loaded = [load(bundle, plant=plant, trusted_keys=trust) for bundle in bundles]
    hosted = [Hosted.from_bundle(bundle, provider, round(1e6 * max_delay_ms)) for bundle in loaded]
    with Metrics(metrics) if metrics else nullcontext() as told:
        # A robot waits for the answer, other work does not. Before the server, whose I/O thread inherits it.
        precede(POLICY_PRIORITY)
        server = PolicyServer(hosted, bind, KeyStore(keys))
        server.metrics = told
        if told:
            logging.info("metrics %s/metrics", told.url)
        if admin:
            logging.info("admin port %s", server.open_admin(admin, plant, trust))
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        _run(server)


def _run(server: "PolicyServer") -> None:
    import gc
    import sys

    def announce(endpoint: str) -> None:
        # What start-up has made lives as long as the server: the collector need never walk it again.
        gc.collect()
        gc.freeze()
        print(f"ready {endpoint}", flush=True)

    try:
        server.run(announce)
    finally:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(server.counts.items()))
        print(f"stopped: {counts or 'nobody called'}", file=sys.stderr)


def new(folder: Path, /, *, client: str = "client", role: Literal["observe", "act", "admin"] = "act") -> None:
    """Make a client key pair and allow it; the first call in a folder makes the server's pair too.

    Args:
        folder: Where the keys go; made if there is none.
        client: What the client is called in the allow-list and in the server's log.
        role: What it may ask for: `observe`, `act`, or `admin`, which may also change what is served.
    """
    from robostral.serving.keys import KeyStore

    grant = KeyStore(folder).create(client, role)
    print(f"{grant.name} may {grant.role}; a client needs {folder / 'server.pub'} and {folder / grant.name}.key")


def allow(
    folder: Path,
    name: str,
    key: str,
    /,
    *,
    role: Literal["observe", "act", "admin"] = "act",
    robots: tuple[str, ...] = ("*",),
) -> None:
    """Allow a public key that was made elsewhere.

    Args:
        folder: The server's folder of keys.
        name: What the client is called in the allow-list and in the server's log.
        key: The public key: a .pub file, or its 40 characters.
        role: What it may ask for: `observe`, `act`, or `admin`, which may also change what is served.
        robots: Robots that it may speak for; * is every one.
    """
    from robostral.serving.keys import KeyStore

    path = Path(key)
    text = path.read_bytes() if path.suffix == ".pub" and path.is_file() else key.encode()
    grant = KeyStore(folder).allow(name, text.strip(), role, robots)
    print(f"{grant.name} may {grant.role} for {', '.join(grant.robots)}")


def revoke(folder: Path, name: str, /) -> None:
    """Take a client off the allow-list; running servers end its sessions within a second.

    Args:
        folder: The server's folder of keys.
        name: The client, as `robostral keys list` names it.
    """
    print(f"revoked {_made(folder).revoke(name).name}")


def list_keys(folder: Path, /) -> None:
    """Print the allow-list: name, role, robots and public key of each client.

    Args:
        folder: The server's folder of keys.
    """
    for grant in _made(folder).grants():
        print(f"{grant.name:16} {grant.role:8} {','.join(grant.robots):16} {grant.key}")


def _made(folder: Path) -> "KeyStore":
    from robostral.errors import ServingError
    from robostral.serving.keys import KeyStore

    if not folder.is_dir():
        raise ServingError(f"no folder of keys '{folder}'; `robostral keys new {folder}` makes one")
    return KeyStore(folder)


KEYS: dict[str, Callable[..., Any]] = {"new": new, "allow": allow, "revoke": revoke, "list": list_keys}
