"""The commands `robostral surrogate ...`."""

import os
import shlex
from pathlib import Path

from robostral_policies.surrogate.report import report

_NEEDS = {"torch": "train", "onnx": "train", "safetensors": "train", "gymnasium": "sim", "onnxruntime": "serve"}


def train(
    name: str,
    /,
    *,
    seed: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    key: Path | None = None,
    workers: int | None = None,
    set: tuple[str, ...] = (),
) -> None:
    """Learn what a cell's jaw and part do in a policy step from episodes of an engine, and write a bundle.

    The bundle is engine `surrogate` of cells with this jaw; any server serves it. Ctrl-C after the last episode leaves
    a folder that --resume takes up.

    Args:
        name: Preset under configs/surrogate, or a YAML file.
        seed: Everything random follows from it.
        out: Folder of the bundle; OUT.training beside it keeps what was watched.
        resume: Fit to what an interrupted training has watched.
        key: Private Ed25519 key that signs the bundle (see `robostral bundle keygen`).
        workers: Processes that fly episodes, one per core up to 8 by default; the weights do not depend on it.
        set: Other figures of the preset, for example --set members=1 steps=6000.
    """
    from rich.console import Console

    from robostral import config as presets
    from robostral.extras import require
    from robostral_policies.config import override
    from robostral_policies.surrogate.config import SurrogateConfig

    for module, extra in _NEEDS.items():
        require(module, extra)
    from robostral_policies.surrogate.train import train as run

    changes = [*set, *([f"seed={seed}"] if seed is not None else [])]
    config = override(presets.load("surrogate", name, SurrogateConfig), changes)
    folder = out or Path("runs/surrogate") / config.label
    command = ["robostral", "surrogate", "train", name, *(["--set", *changes] if changes else [])]
    rows = run(
        config,
        folder,
        command=shlex.join(command),
        workers=workers or _cores(),
        resume=resume,
        key=key,
        console=Console(stderr=True),
    )
    for row in rows:
        print(f"{row.what:6} {row.n:8,} steps: {row.mm[0]:.2f} mm, p95 {row.mm[1]:.2f} mm")
    print(f"bundle: {folder}{'' if key else ' (not signed, for twins only)'}")


_POLICIES = ("ur5e-pick_place-v1", "panda-pick_place-v1", "iiwa14-pick_place-v1", "ur5e-reach-v1")


def evaluate(
    name: str,
    /,
    *,
    policies: tuple[str, ...] = _POLICIES,
    episodes: int = 60,
    closed_loop: int = 200,
    seed: int = 0,
    workers: int | None = None,
    out: Path | None = None,
) -> int:
    """Judge a learned simulator on fresh episodes: many steps open loop, success beside the engine, its intervals.

    Writes evaluation.json. Exit code 1 if it misses a bar.

    Args:
        name: Name or path of its bundle.
        policies: Bundles whose success is compared, and whose environment's expert's.
        episodes: Open-loop episodes of each arm and pilot.
        closed_loop: Episodes of each pilot in each engine.
        seed: Which fresh episodes.
        workers: Processes that play closed-loop episodes, one per core up to 8 by default.
        out: Folder for evaluation.json; runs/surrogate/NAME.evaluation by default.
    """
    import msgspec
    from rich.console import Console

    from robostral_policies.surrogate.config import SurrogateConfig
    from robostral_policies.surrogate.evaluate import evaluate as run

    folder = out or Path("runs/surrogate") / f"{Path(name).name}.evaluation"
    found = run(
        name,
        policies=policies,
        episodes=episodes,
        closed_loop=closed_loop,
        seed=seed,
        workers=workers or _cores(),
        level=SurrogateConfig("", "").level,
        console=Console(stderr=True),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    for row in found.open_loop:
        if row.arm == "all" or ("," in row.arm and row.pilot == "all"):
            off = f"{row.mm[0]:6.2f} mm, p95 {row.mm[1]:6.2f} mm; {row.deg[0]:5.2f} deg, p95 {row.deg[1]:5.2f} deg"
            who = row.pilot if row.arm == "all" else row.arm
            print(f"{who:9} {row.what:9} {row.steps:2} steps {row.n:5} windows: {off}; {row.refused} refused")
    for beside in found.success:
        print(
            f"{beside.pilot:22} {beside.arm:7} surrogate {beside.surrogate.rate:.3f}, engine {beside.engine.rate:.3f}"
        )
    for what, share in found.calibration.flagged.items():
        print(f"flagged {share.rate:6.1%} {what}")
    for bar in found.bars:
        print(f"{'met   ' if bar.met else 'MISSED'} {bar.what}: {bar.found} ({bar.bar})")
    print(f"evaluation: {folder / 'evaluation.json'}")
    return int(not all(bar.met for bar in found.bars))


def improve(
    name: str,
    /,
    *,
    preset: str = "panda-pick_place",
    seeds: tuple[int, ...] = (0, 1, 2),
    workers: int | None = None,
    out: Path | None = None,
    set: tuple[str, ...] = (),
) -> None:
    """Train a policy in the engine and in its learned stand-in, judge both in the engine, and say whether it pays.

    Writes improvement.json: success and engine steps of each training.

    Args:
        name: Name or path of the learned simulator's bundle.
        preset: Preset under configs/train.
        seeds: One training in each place per seed.
        workers: Processes that play episodes, one per core up to 8 by default.
        out: Folder of the trainings and of improvement.json; runs/surrogate/NAME.improvement by default.
        set: Other figures of the preset, for example --set dagger.rounds=4.
    """
    import msgspec
    from rich.console import Console

    from robostral import config as presets
    from robostral_policies.config import TrainConfig, override
    from robostral_policies.surrogate.improve import improve as run

    config = override(presets.load("train", preset, TrainConfig), set)
    folder = out or Path("runs/surrogate") / f"{Path(name).name}.improvement"
    found = run(name, config, preset, set, seeds, folder, workers=workers or _cores(), console=Console(stderr=True))
    (folder / "improvement.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    for one in found.runs:
        print(f"seed {one.seed} in {one.trained_in:9} {one.success.successes} of {one.success.n}; "
              f"{one.engine_steps:,} engine steps, {one.seconds:.0f} s")  # fmt: skip
    print(f"success {found.points:+.1f} points; {found.verdict}")
    print(f"improvement: {folder / 'improvement.json'}")


def _cores() -> int:
    return min(8, os.cpu_count() or 1)


COMMANDS = {"train": train, "eval": evaluate, "improve": improve, "report": report}
