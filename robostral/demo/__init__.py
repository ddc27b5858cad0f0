"""`robostral demo`: twin, server and loop on this machine, a policy over a UR controller's own wire."""

from pathlib import Path


def demo(
    *,
    poses: int = 20,
    chaos: bool = False,
    train: bool = False,
    seed: int = 0,
    bundle: str = "ur5e-reach-v1",
    host: str = "127.0.0.1",
    runs: Path = Path("runs"),
) -> int:
    """Run the shipped policy on a UR twin: twin, server and loop, 20 poses at 500 Hz, a table and a report.

    Exits 0 when at least 95 % of the poses are reached (and, with --chaos, every stop was clean), 1 when it fell short.

    Args:
        poses: How many random poses to reach.
        chaos: Kill the policy server with SIGKILL in mid-motion, five times, and judge every stop.
        train: Train a policy from nothing first, and run that one (needs the extra `train`).
        seed: Seed of the poses and of the moments of the kills, and of the training.
        bundle: Policy by name or path.
        host: Loopback address of the twin; another 127.0.0.x runs a second demo beside this one.
        runs: Folder that the run folder is made in.
    """
    from rich.console import Console

    from robostral.demo.chaos import CHAOS_KILLS, unleash
    from robostral.demo.conclude import conclude
    from robostral.demo.plant import Plant
    from robostral.demo.poses import reach_all, sample_goals
    from robostral.errors import ConfigError

    if poses < 1:
        raise ConfigError(f"poses = {poses} must be at least 1")
    console = Console()
    if train:
        bundle = _train(seed, runs)
    with Plant(bundle, host, runs, console) as plant:
        goals = sample_goals(plant.bundle.manifest.lineage.environment, max(poses, CHAOS_KILLS if chaos else 1), seed)
        reaches, kills = unleash(plant, goals, seed) if chaos else (reach_all(plant, goals), None)
    return conclude(plant, reaches, kills, console)


def _train(seed: int, runs: Path) -> str:
    import subprocess
    import sys

    from robostral.errors import RobostralError

    folder = runs / f"train-seed{seed}" / "ur5e-reach-v1"
    command = ["train", "ur5e-reach", "--seed", str(seed), "--out", str(folder)]
    command += ["--set", "evaluate.episodes=200", "evaluate.baseline_episodes=20"]
    code = subprocess.run([sys.executable, "-m", "robostral", *command], check=False).returncode
    if code:
        raise RobostralError(
            f"the training ended with code {code}, see above; its command: robostral {' '.join(command)}"
        )
    return str(folder)
