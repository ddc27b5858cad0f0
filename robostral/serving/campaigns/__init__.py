"""`robostral fuzz`: long attacks on the policy server, each one command with a size, a seed and JSON evidence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

BUNDLE = "ur5e-reach-v1"


def frames(*, n: int = 10_000_000, seed: int = 0, bundle: str = BUNDLE, json: Path | None = None) -> int:
    """Give broken and random frames to every reader of the wire, and some to a live server; exit 1 if one is taken.

    Args:
        n: How many frames; one in a hundred goes to a live server too.
        seed: Of the frames.
        bundle: Name or path of the bundle that gives the sizes.
        json: File to write the report to; printed if there is none.
    """
    from robostral.serving.campaigns.frames import run

    return _write("fuzz frames", run(bundle, n, seed), json)


def replay(*, n: int = 100_000, seed: int = 0, bundle: str = BUNDLE, json: Path | None = None) -> int:
    """Record frames and send them again: in six orders, by the same robot, by another, after a restart.

    Args:
        n: How many frames are recorded.
        seed: Of the shuffled order.
        bundle: Name or path of the bundle to serve.
        json: File to write the report to; printed if there is none.
    """
    from robostral.serving.campaigns.replay import run

    return _write("fuzz replay", run(bundle, n, seed), json)


def handshakes(*, n: int = 10_000, bundle: str = BUNDLE, json: Path | None = None) -> int:
    """Knock with unknown, revoked and wrong keys, without any and with a password; exit 1 if one gets in.

    Args:
        n: How many of each kind.
        bundle: Name or path of the bundle to serve.
        json: File to write the report to; printed if there is none.
    """
    from robostral.serving.campaigns.handshakes import run

    return _write("fuzz handshakes", run(bundle, n), json)


def swaps(*, n: int = 1000, bundle: str = BUNDLE, json: Path | None = None) -> int:
    """Swap versions under load, and try one swap in ten that must fail; exit 1 if a reply is lost, doubled or late.

    Args:
        n: How many swaps.
        bundle: Name or path of the bundle to serve.
        json: File to write the report to; printed if there is none.
    """
    from robostral.serving.campaigns.swaps import run

    return _write("fuzz swaps", run(bundle, n), json)


def flood(*, seconds: float = 60.0, bundle: str = BUNDLE, json: Path | None = None) -> int:
    """Flood a server from other processes, on and off, and time a robot; exit 1 above twice the quiet p95.

    Args:
        seconds: How long in all.
        bundle: Name or path of the bundle to serve.
        json: File to write the report to; printed if there is none.
    """
    from robostral.serving.campaigns.flood import run

    return _write("fuzz flood", run(bundle, seconds), json)


def _write(suite: str, figures: dict[str, Any], json: Path | None) -> int:
    from robostral.bench import write

    write(suite, figures, json)
    return 1 if figures["failures"] else 0


COMMANDS: dict[str, Callable[..., int]] = {
    "frames": frames,
    "replay": replay,
    "handshakes": handshakes,
    "swaps": swaps,
    "flood": flood,
}
