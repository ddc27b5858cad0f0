"""The command `robostral train`."""

import os
import shlex
from pathlib import Path


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
) -> int:
    """Train a policy from nothing, export it, judge it on fresh episodes, and write a bundle.

    Ctrl-C leaves a folder that --resume takes up after the last finished round, with the same result bit for bit.

    Args:
        name: Preset under configs/train, or a YAML file.
        seed: Everything random follows from it.
        out: Folder of the bundle; OUT.training beside it holds checkpoints, curve and evaluation.
        resume: Go on with an interrupted training.
        key: Private Ed25519 key that signs the bundle (see `robostral bundle keygen`).
        workers: Processes that play episodes; the weights do not depend on it.
        set: Other figures of the preset, for example --set dagger.rounds=3 fit.batch=1024.
    """
    from rich.console import Console

    from robostral import config as presets
    from robostral_policies.config import TrainConfig, override

    changes = [*set, *([f"seed={seed}"] if seed is not None else [])]
    config = override(presets.load("train", name, TrainConfig), changes)
    folder = out or Path("runs/train") / config.label
    command = shlex.join(["robostral", "train", name, *(["--set", *changes] if changes else [])])
    console = Console(stderr=True)
    try:
        from robostral_policies.train import train as run

        evaluation = run(
            config,
            folder,
            command=command,
            workers=workers or len(os.sched_getaffinity(0)),
            resume=resume,
            key=key,
            console=console,
        )
    except KeyboardInterrupt:
        again = [
            "robostral",
            "train",
            name,
            "--out",
            str(folder),
            "--resume",
            *(["--set", *changes] if changes else []),
        ]
        console.print(f"to go on: {shlex.join(again)}", soft_wrap=True)
        raise
    for row in evaluation.rows:
        print(f"{row.pilot:8} {row}")
    signed = "signed" if key else "not signed, for twins only (sign it: robostral bundle sign)"
    print(f"bundle: {folder} ({signed})")
    return 0
