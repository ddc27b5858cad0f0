"""The commands `robostral surrogate ...`."""

import os
import shlex
from pathlib import Path

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
        workers=workers or min(8, os.cpu_count() or 1),
        resume=resume,
        key=key,
        console=Console(stderr=True),
    )
    for row in rows:
        print(f"{row.what:6} {row.n:8,} steps: {row.mm[0]:.2f} mm, p95 {row.mm[1]:.2f} mm")
    print(f"bundle: {folder}{'' if key else ' (not signed, for twins only)'}")


COMMANDS = {"train": train}
