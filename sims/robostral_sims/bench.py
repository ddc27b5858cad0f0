"""`robostral bench env`: how fast environments are, what of a step is the engine's, and how the experts do."""

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
    from robostral_sims.benchmark import run

    write("env", run(cell, steps, rounds, episodes, peer_python), json)
