"""From nothing to a bundle: rounds of learning, export, parity, closed-loop evaluation, manifest, signature."""

from dataclasses import replace
from pathlib import Path

import msgspec
import torch
from rich.console import Console
from rich.progress import Progress

from robostral import bundle
from robostral.bundle import Cost, Parity
from robostral.bundle.trust import load_private
from robostral_policies.card import write_card
from robostral_policies.checkpoint import Checkpoint
from robostral_policies.config import TrainConfig, TrainingError, working_folder
from robostral_policies.curve import draw_curve, write_scalars
from robostral_policies.evaluate import Evaluation, Judge, time_action
from robostral_policies.export import parity, probe, to_onnx
from robostral_policies.lineage import lineage_of, machine
from robostral_policies.progress import bars
from robostral_policies.rl import Learner
from robostral_policies.rollout import Plan, Rollouts, kept
from robostral_policies.training import Training

MAX_PARITY = 1e-5
"""Greatest difference between network and exported model that leaves this house [unit of the action]."""


def train(
    config: TrainConfig,
    out: Path,
    *,
    command: str,
    workers: int = 1,
    resume: bool = False,
    key: Path | None = None,
    device: str = "cpu",
    console: Console | None = None,
) -> Evaluation:
    """Train, export and judge a policy, and write its bundle.

    Args:
        config: The recipe.
        out: Folder of the bundle; `working_folder(out)` holds everything else.
        command: What the user typed, for the card.
        workers: Processes that play episodes; the weights do not depend on it.
        resume: Go on with the training in the working folder.
        key: Private key (PEM, Ed25519) that signs the bundle; None leaves it unsigned.
        device: Where torch computes; weights are the same bit for bit on one kind of device only.
        console: Where progress is shown; nowhere if None.

    Raises:
        TrainingError: There is an unfinished training, or the one to resume is another one, or numbers are not finite.
        ConfigError: `out` holds other things than a bundle, or the key cannot be used.
        MissingExtra: A package that training needs is not installed.
    """
    torch.set_num_threads(1)
    if device != "cpu" and not torch.cuda.is_available():
        raise TrainingError(f"device '{device}' is asked for, and torch sees no accelerator here; use cpu")
    bundle.check_folder(out)
    if key is not None:
        load_private(key)
    folder = working_folder(out)
    with (
        Rollouts(config.env, workers, config.kwargs) as rollouts,
        bars(console or Console(quiet=True)) as progress,
        kept(folder),
    ):
        training = _start(config, Checkpoint(folder), rollouts, resume, device)
        while not training.finished:
            training.play_round(progress)
            write_scalars(training.state, folder / "tensorboard")
        model = to_onnx(training.actor)
        checked = check_parity(training, model)
        evaluation = judge(training, model, progress)
        if rollouts.cell.sealed is None:  # no contract, no bundle: no robot could be held to it
            Checkpoint(out).put("model.onnx", model)
        else:
            write(training, out, model, checked, evaluation, command, machine(workers, device), key)
        training.checkpoint.write(msgspec.structs.replace(training.state, finished=True))
    return evaluation


def _start(
    config: TrainConfig, checkpoint: Checkpoint, rollouts: Rollouts, resume: bool, device: str
) -> Training | Learner:
    if config.method == "dagger":
        return Training.start(config, checkpoint, rollouts, resume, device)
    return Learner(config, checkpoint, rollouts, resume, device)


def check_parity(training: Training | Learner, model: bytes) -> Parity:
    """Compare an exported model with the network, on rollout and random observations.

    Raises:
        TrainingError: They differ by more than `MAX_PARITY`.
    """
    config = training.state.config
    obs = probe(training.observations(), config.evaluate.parity, config.seed)
    found = Parity(parity(training.actor, model, obs), len(obs))
    if not found.max_abs_error <= MAX_PARITY:
        raise TrainingError(f"the exported model differs from the network by {found.max_abs_error:.1e} > {MAX_PARITY}")
    return found


def judge(training: Training | Learner, model: bytes, progress: Progress) -> Evaluation:
    """Evaluate an exported model; leave `evaluation.json` and the training curve in the working folder."""
    config, checkpoint, rollouts = training.state.config, training.checkpoint, training.rollouts
    figures, pilot = config.evaluate, Plan("model", model)
    here = Judge(rollouts, config.seed, progress, config.engine, checkpoint.folder / "failures")
    rows = [here.row(pilot, figures.episodes), *here.baselines(figures.baseline_episodes)]
    for engine in figures.engines:
        with Rollouts(config.env, rollouts.workers, {**config.kwargs, "engine": engine}) as there:
            rows.append(replace(here, rollouts=there, engine=engine).row(pilot, figures.episodes))
    interface = rollouts.cell.interface
    evaluation = Evaluation(tuple(rows), interface.step_s, time_action(model, interface.obs_size))
    checkpoint.put("evaluation.json", msgspec.json.format(msgspec.json.encode(evaluation), indent=2))
    draw_curve(training.state, evaluation, checkpoint.folder / "curve.svg")
    return evaluation


def write(
    training: Training | Learner,
    out: Path,
    model: bytes,
    checked: Parity,
    evaluation: Evaluation,
    command: str,
    where: str,
    key: Path | None,
) -> None:
    """Write the bundle with the figures of this run."""
    config, cell, lineage = training.state.config, training.rollouts.cell, lineage_of(training.state)
    assert cell.sealed is not None
    assert cell.requirements is not None
    cost = Cost(
        parameters=training.actor.parameter_count(),
        bytes=len(model),
        us_per_action=evaluation.us_per_action,
        training_s=sum(log.seconds for log in training.state.rounds),
        machine=where,
    )
    metrics = {r.engine + ("" if r.pilot == "model" else f"/{r.pilot}"): r.success for r in evaluation.rows}
    bundle.write(
        out,
        model,
        cell.sealed,
        cell.requirements,
        name=config.name,
        version=config.version,
        lineage=lineage,
        metrics=metrics,
        parity=checked,
        cost=cost,
        card=write_card(config, cell.sealed, evaluation, lineage, checked, cost, command),
        licence=config.licence,
        private_key=key,
    )
