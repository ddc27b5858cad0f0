"""The commands `robostral train` and `robostral eval`."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robostral_policies.evaluate import Evaluation

_TRAIN = ("torch", "safetensors", "onnx", "tensorboard")
_NEEDS = {"gymnasium": "sim", "onnxruntime": "serve"} | dict.fromkeys(_TRAIN, "train")
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
    device: str = "cpu",
    set: tuple[str, ...] = (),
) -> int:
    """Train a policy from nothing, export it, judge it on fresh episodes, and write a bundle.

    Ctrl-C leaves a folder that --resume takes up after the last finished round, with the same result bit for bit.

    Args:
        name: Preset under configs/train, or a YAML file.
        seed: Everything random follows from it.
        out: Folder of the bundle; OUT.training beside it holds checkpoints, curve, evaluation, TensorBoard's log.
        resume: Go on with an interrupted training.
        key: Private Ed25519 key that signs the bundle (see `robostral bundle keygen`).
        workers: Processes that play episodes, one per core up to 8 by default; the weights do not depend on it.
        device: Where torch computes: cpu, or cuda where there is an accelerator.
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
            workers=workers or _cores(),
            resume=resume,
            key=key,
            device=device,
            console=console,
        )
    except KeyboardInterrupt:
        if working_folder(folder).is_dir():
            again = [*command, "--out", str(folder), "--resume", *_given("--key", key), *_given("--device", device)]
            console.print(f"to go on: {shlex.join(again)}", soft_wrap=True, highlight=False)
        raise
    _say(evaluation, folder, signed=key is not None)
    return 0


def _say(evaluation: "Evaluation", folder: Path, *, signed: bool) -> None:
    for row in evaluation.rows:
        print(f"{row.pilot:8} {row.engine:9} {row}")
    if not (folder / "manifest.json").is_file():
        print(f"model: {folder}/model.onnx (no bundle: the environment has no contract that a robot could be held to)")
    elif signed:
        print(f"bundle: {folder} (signed)")
    else:
        print(f"bundle: {folder} (not signed, for twins only; to sign it: robostral bundle sign {folder} KEY)")


def _given(option: str, value: Path | str | None) -> list[str]:
    return [option, str(value)] if value else []


def _cores() -> int:
    return min(_MAX_WORKERS, os.cpu_count() or 1)


def evaluate(
    bundle: str,
    /,
    *,
    engine: tuple[str, ...] = (),
    episodes: int = 1000,
    baselines: int = 200,
    latency: tuple[float, ...] = (),
    sweep: tuple[str, ...] = (),
    seed: int = 0,
    workers: int | None = None,
    out: Path | None = None,
) -> int:
    """Judge a bundle on fresh episodes of the environment that it was trained in; write evaluation.json and a page.

    Exit code 1 if a row of the bundle's own falls below half.

    Args:
        bundle: Name or path of the bundle.
        engine: Physics to judge it on, for example --engine pybullet mujoco; the trained one by default.
        episodes: Fresh episodes of each row; none of them was trained on.
        baselines: Episodes of each row beside it: scripted expert, random, do-nothing; 0 for none.
        latency: Times from an observation to the use of its chunk [ms], a row each, for example --latency 0 20 50 100.
        sweep: Figures of the plant to vary, a row for each value, for example --sweep stiffness=25,50,100,200.
        seed: Which fresh episodes.
        workers: Processes that play episodes, one per core up to 8 by default.
        out: Folder for evaluation.json, evaluation.html and failures/; runs/eval/NAME by default.
    """
    import msgspec
    from rich.console import Console

    from robostral_policies.examination_page import page
    from robostral_policies.examine import conditions, examine

    folder = out or Path("runs/eval") / Path(bundle).name
    found = examine(
        bundle,
        folder,
        engines=engine,
        episodes=episodes,
        baseline_episodes=baselines,
        fixed=conditions(latency, sweep),
        seed=seed,
        workers=workers or _cores(),
        console=Console(stderr=True),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    (folder / "evaluation.html").write_text(page(found), encoding="utf-8")
    for row in found.rows:
        fixed = " ".join(f"{name}={value:g}" for name, value in row.condition.items())
        print(f"{row.pilot:8} {row.engine:9} {fixed:16} {row}")
    print(f"page: {folder / 'evaluation.html'}; to see a failure: robostral sim replay {folder / 'failures'}/FILE")
    return int(any(row.pilot == "model" and row.success.rate < 0.5 for row in found.rows))
