"""Command line of this package: `robostral twin VENDOR`."""

import signal
from typing import Annotated

import tyro

from robostral.errors import ConfigError


def ur(
    arm: str = "ur5e",
    host: str = "127.0.0.1",
    lockstep: bool = False,
    record: str | None = None,
    seed: int = 0,
    allow_remote: Annotated[bool, tyro.conf.arg(name="allow-remote")] = False,
) -> None:
    """Serve the twin of a Universal Robots controller until Ctrl-C or SIGTERM.

    It answers on the ports of a real one (29999 dashboard, 30003 script, 30004 RTDE), says `ready HOST:30004 ...` and
    moves a simulated arm at 500 Hz. Faults on demand: `echo "twin fault protective_stop" | nc 127.0.0.1 29999`.

    Args:
        arm: Arm to simulate.
        host: Address to listen on; a second arm takes another one, for example 127.0.0.2.
        lockstep: Let time pass only with commands: the same commands give the same motion, bit for bit.
        record: File for the commands as they arrive: rows of 8 doubles (time, number, six values).
        seed: Seed of random faults.
        allow_remote: Also take an address that other machines reach; this protocol knows no password.

    Raises:
        ConfigError: The address is not a loopback one.
    """
    import logging
    from ipaddress import ip_address
    from pathlib import Path

    from robostral.runtime.realtime import precede
    from robostral_drivers.ur.twin import UrTwin

    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        raise ConfigError(f"'{host}' is not an IP address; the twin listens on one, for example 127.0.0.1") from None
    if not loopback and not allow_remote:
        raise ConfigError(
            f"other machines reach {host} and this protocol knows no password; "
            "if they may: `robostral twin ur --allow-remote`"
        )
    logging.basicConfig(level=logging.INFO, format="twin ur: %(message)s")
    with UrTwin(arm, host, lockstep=lockstep, record=Path(record) if record else None, seed=seed) as twin:
        signal.signal(signal.SIGTERM, lambda *_: twin.stop())
        if not lockstep:
            precede()  # a controller is a machine of its own: other work on this one must not delay it
        print(f"ready {host}:30004 {arm} {'lock-step' if lockstep else '500 Hz'}", flush=True)
        twin.serve()


TWIN = {"ur": ur}
