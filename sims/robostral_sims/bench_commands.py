"""`robostral bench env` and `robostral bench surrogate`: how fast environments are, and what stands in for them."""

from pathlib import Path


def env(
    json: Path | None = None,
    *,
    cell: str = "panda-pick_place",
    steps: int = 3000,
    rounds: int = 3,
    episodes: int = 10,
    peer_python: Path | None = None,
) -> None:
    """Measure environments: speed against panda-gym, resets, two worker processes, and every expert on every engine.

    Args:
        json: File to write the report to; printed if there is none.
        cell: Cell whose speed is measured.
        steps: Policy steps of each timing.
        rounds: Timings of each kind, in turn; the medians count.
        episodes: Episodes of each expert on each engine; 500 for a figure to publish.
        peer_python: Python of an environment with panda-gym, which needs a gymnasium older than 1.
    """
    from robostral.bench import write
    from robostral_sims.env_bench import run

    write("env", run(cell, steps, rounds, episodes, peer_python), json)


def surrogate(
    json: Path | None = None,
    *,
    cell: str = "panda-pick_place",
    ensemble: str = "jaw-part-v1",
    one: str | None = None,
    steps: int = 2000,
    rounds: int = 3,
) -> None:
    """Measure a learned simulator on one core: policy steps per second beside the environment's and the engine's own.

    Actions are random and resets counted, everywhere; the engine's own is PyBullet's stepSimulation alone.

    Args:
        json: File to write the report to; printed if there is none.
        cell: Cell of all of them.
        ensemble: Bundle of an ensemble, a name or a path.
        one: Bundle of one member, a name or a path. It needs no new episodes: copy OUT.training of the ensemble to
            ONE.training, then `robostral surrogate train jaw-part --resume --out ONE --set members=1`.
        steps: Policy steps of each timing of the environment.
        rounds: Timings of each kind, in turn; the medians count.
    """
    from robostral.bench import write
    from robostral_sims.surrogate_bench import run

    write("surrogate", run(cell, ensemble, one, steps, rounds), json)
