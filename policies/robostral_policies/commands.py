"""The command `robostral train`."""

import os
import shlex
from pathlib import Path

_NEEDS = {"gymnasium": "sim", "torch": "train", "safetensors": "train", "onnx": "train", "onnxruntime": "serve"}
_MAX_WORKERS = 8


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
        workers: Processes that play episodes, one per core up to 8 by default; the weights do not depend on it.
        set: Other figures of the preset, for example --set dagger.rounds=3 fit.batch=1024.
    """
    from rich.console import Console

    from robostral import config as presets
    from robostral.extras import require
    from robostral_policies.config import TrainConfig, override, working_folder

    changes = [*set, *([f"seed={seed}"] if seed is not None else [])]
    config = override(presets.load("train", name, TrainConfig), changes)
    folder = out or Path("runs/train") / config.label
    command = ["robostral", "train", name, *(["--set", *changes] if changes else [])]
    console = Console(stderr=True)
    try:
        for module, extra in _NEEDS.items():
            require(module, extra)
        from robostral_policies.train import train as run

        evaluation = run(
            config,
            folder,
            command=shlex.join(command),
            workers=workers or min(_MAX_WORKERS, os.cpu_count() or 1),
            resume=resume,
            key=key,
            console=console,
        )
    except KeyboardInterrupt:
        if working_folder(folder).is_dir():
            again = [*command, "--out", str(folder), "--resume", *(["--key", str(key)] if key else [])]
            console.print(f"to go on: {shlex.join(again)}", soft_wrap=True, highlight=False)
        raise
    for row in evaluation.rows:
        print(f"{row.pilot:8} {row}")
    signed = "signed" if key else f"not signed, for twins only; to sign it: robostral bundle sign {folder} KEY"
    print(f"bundle: {folder} ({signed})")
    return 0
