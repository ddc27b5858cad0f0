"""`robostral chaos`: break parts of a twin cell on purpose, and count what followed."""

from pathlib import Path


def chaos(
    *,
    kinds: tuple[str, ...] = ("server-kill", "server-stop", "transport-kill", "transport-stop"),
    count: int = 5,
    seed: int = 0,
    bundle: str = "ur5e-reach-v1",
    wire: bool = False,
    host: str = "127.0.0.1",
    runs: Path = Path("runs"),
    json: Path | None = None,
) -> int:
    """Hit a twin cell with faults while a policy moves it, and judge every stop by the log; never a real arm.

    Kinds: server-kill, server-stop, transport-kill, transport-stop, recorder-kill, link-delay, link-drop,
    link-duplicate, link-reorder, link-corrupt, link-blackout, clock-step, disk-full, memory, cpu; `all` for all of
    these; loop-kill (SIGKILL of the loop in front of a UR twin, whose own dead-man has to stop the arm) goes alone.
    Exits 1 if anything went wrong.

    Args:
        kinds: Which faults.
        count: How many of each kind.
        seed: Seed of their order, phase and length.
        bundle: Policy by name or path.
        wire: Work through a UR controller's own wire instead of an arm simulated inside the loop's process.
        host: Loopback address of the UR twin.
        runs: Folder that the run folder is made in.
        json: File for the evidence; printed if there is none.
    """
    from rich.console import Console

    from robostral.bench import write
    from robostral.chaos import campaign, deadman
    from robostral.chaos.faults import KINDS
    from robostral.errors import ConfigError

    console = Console(stderr=True)
    if "loop-kill" in kinds:
        if len(kinds) > 1:
            raise ConfigError("loop-kill goes alone: it ends the run")
        found = deadman.run(count, seed, bundle, host, runs, console)
    else:
        wanted = tuple(KINDS) if "all" in kinds else kinds
        found = campaign.run(wanted, count, seed, bundle, host, runs, wire=wire, console=console)
    write("chaos", {"seed": seed, "wire": wire} | found, json)
    for fact, failures in found["failures"].items():
        if failures:
            console.print(f"{fact}: {failures} in {found['n']}", style="red")
    return 1 if any(found["failures"].values()) else 0


def soak(
    *,
    hours: float = 28.0,
    minutes: float = 0.0,
    seed: int = 0,
    bundle: str = "ur5e-reach-v1",
    wire: bool = False,
    host: str = "127.0.0.1",
    runs: Path = Path("runs"),
    json: Path | None = None,
) -> int:
    """Let a twin cell reach goals for hours; exit 1 if it stopped without cause, or grew.

    It says how it does once an hour (ten times where the soak is shorter). The log of 28 hours takes some 10 GB.
    Each stop is listed with how long the loop itself stood still before it. Where that is longer than any chunk lasts,
    the machine froze and the stop was right: a true trip, which does not fail the soak.

    Args:
        hours: How long; 28 h at 500 Hz are 5e7 ticks.
        minutes: How long, instead of `hours`, if not 0.
        seed: Seed of the goals.
        bundle: Policy by name or path.
        wire: Work through a UR controller's own wire instead of an arm simulated inside the loop's process.
        host: Loopback address of the UR twin.
        runs: Folder that the run folder is made in.
        json: File for the evidence; printed if there is none.
    """
    from rich.console import Console

    from robostral.bench import write
    from robostral.chaos import soak as soaking

    console = Console(stderr=True)
    seconds = 60.0 * minutes if minutes else 3600.0 * hours
    found = soaking.run(seconds, seed, bundle, host, runs, console, wire=wire, every_s=min(3600.0, seconds / 10))
    write("soak", {"seed": seed, "wire": wire} | found, json)
    for fact, failures in found["failures"].items():
        if failures:
            console.print(f"{fact}: {failures}", style="red")
    return 1 if any(found["failures"].values()) else 0
