"""From nothing to a bundle that simulates: episodes of an engine, fit, intervals, export, parity, signature."""

import hashlib
import time
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from robostral import bundle
from robostral.bundle import Cost, Lineage, Parity, Success
from robostral.bundle.policy import open_session
from robostral.bundle.trust import load_private
from robostral.contract import Contract, Requirements, Sealed
from robostral.revision import revision
from robostral_policies.checkpoint import Checkpoint
from robostral_policies.config import TrainingError, working_folder
from robostral_policies.evaluate import time_action
from robostral_policies.export import parity, probe
from robostral_policies.lineage import machine, packages
from robostral_policies.progress import bars, finish
from robostral_policies.surrogate.card import write_card
from robostral_policies.surrogate.config import SurrogateConfig
from robostral_policies.surrogate.learn import fit, touched
from robostral_policies.surrogate.model import MOTION, Ensemble, columns, to_onnx
from robostral_policies.surrogate.watched import Pilots, Watched, watch
from robostral_policies.train import MAX_PARITY

STATE = "surrogate.json"
WATCHED = "watched.safetensors"
PARITY = 10_000
"""Rows on which the exported model must equal the network."""

MAX_ROWS = 256
"""Rows of one request: a server tries every number of them when it starts."""


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a training stands once its episodes are watched.

    Attributes:
        config: The recipe.
        watched_sha256: Of the file of what was watched.
        watching_s: How long that took [s].
        finished: Whether the bundle is written.
    """

    config: SurrogateConfig
    watched_sha256: str
    watching_s: float
    finished: bool = False
    format: Literal["robostral.surrogate/1"] = "robostral.surrogate/1"


class OneStep(msgspec.Struct, frozen=True):
    """How far one step ends from what happened, on episodes that nothing was fitted to.

    Attributes:
        what: Which steps: the part `held` (moves with the tcp), `moved` otherwise, or `lay` still (less than 1 mm).
        n: How many.
        mm: Median and 95th percentile of the part's position error [mm].
        held_by: Share of them that the stated interval holds.
    """

    what: str
    n: int
    mm: tuple[float, float]
    held_by: float


def train(
    config: SurrogateConfig,
    out: Path,
    *,
    command: str,
    workers: int = 1,
    resume: bool = False,
    key: Path | None = None,
    console: Console | None = None,
) -> tuple[OneStep, ...]:
    """Watch, fit, export and write the bundle of a learned simulator.

    Args:
        config: The recipe.
        out: Folder of the bundle; `working_folder(out)` keeps what was watched.
        command: What the user typed, for the card.
        workers: Processes that fly episodes; the weights do not depend on it.
        resume: Fit to what an interrupted training has watched.
        key: Private key (PEM, Ed25519) that signs the bundle; None leaves it unsigned.
        console: Where progress is shown; nowhere if None.

    Raises:
        TrainingError: There is an unfinished training, or the one to resume is another one, or numbers are not finite.
        ConfigError: `out` holds other things than a bundle, or the key cannot be used.
        MissingExtra: A package that training needs is not installed.
    """
    torch.set_num_threads(1)
    bundle.check_folder(out)
    if key is not None:
        load_private(key)
    checkpoint = Checkpoint(working_folder(out))
    with bars(console or Console(quiet=True)) as progress:
        state, watched = _watched(config, checkpoint, workers, resume, progress)
        start = time.monotonic()
        pilots = Pilots(config.env, config.kwargs[0])
        sealed, requirements = pilots.sealed, _requirements(pilots)
        pilots.env.close()
        ensemble, test = _fitted(config, watched, sealed, progress)
        fitting_s = time.monotonic() - start
    model = to_onnx(ensemble)
    checked = _check_parity(config, ensemble, model, watched)
    rows = one_step(model, sealed.contract, test)
    cost = Cost(
        parameters=ensemble.parameter_count(),
        bytes=len(model),
        us_per_action=time_action(model, sealed.contract.obs_size),
        training_s=state.watching_s + fitting_s,
        machine=machine(workers),
    )
    lineage = _lineage(config, state)
    everything = rows[-1]
    bundle.write(
        out,
        model,
        sealed,
        requirements,
        name=config.name,
        version=config.version,
        lineage=lineage,
        metrics={
            "steps inside the stated interval": Success.of(round(everything.held_by * everything.n), everything.n)
        },
        parity=checked,
        cost=cost,
        card=write_card(config, sealed, rows, len(watched.seen), lineage, checked, cost, command),
        licence=config.licence,
        private_key=key,
    )
    checkpoint.put(STATE, msgspec.json.encode(msgspec.structs.replace(state, finished=True)))
    return rows


def _watched(
    config: SurrogateConfig, checkpoint: Checkpoint, workers: int, resume: bool, progress: Progress
) -> tuple[State, Watched]:
    """Fly all episodes, or take up what was watched."""
    path = checkpoint.folder / STATE
    saved = msgspec.json.decode(path.read_bytes(), type=State) if path.is_file() else None
    if resume:
        if saved is None:
            raise TrainingError(f"nothing to resume in '{checkpoint.folder}': nothing was watched to the end")
        if _flown(saved.config) != _flown(config):
            raise TrainingError(f"'{checkpoint.folder}' was watched with other figures; delete the folder")
        return saved, Watched(**checkpoint.get_arrays(WATCHED, saved.watched_sha256))
    if saved is not None and not saved.finished:
        raise TrainingError(f"'{checkpoint.folder}' holds an unfinished training: add --resume, or delete the folder")
    start, parts = time.monotonic(), []
    bar = progress.add_task("watching episodes", total=config.episodes)
    for part in watch(config, workers):
        parts.append(part)
        progress.advance(bar)
    watched = Watched.join(parts)
    seconds = time.monotonic() - start
    finish(progress, bar, f"{config.episodes:,} episodes, {len(watched.seen):,} steps, {seconds:.0f} s")
    state = State(config, checkpoint.put_arrays(WATCHED, vars(watched)), seconds)
    checkpoint.put(STATE, msgspec.json.encode(state))
    return state, watched


def _flown(config: SurrogateConfig) -> SurrogateConfig:
    """Return what of a recipe decides what is watched."""
    kept = {name: getattr(config, name) for name in ("kwargs", "seed", "episodes", "expert", "disturbed", "pushing")}
    return SurrogateConfig(config.env, "watched", longest=config.longest, **kept)


def _fitted(config: SurrogateConfig, watched: Watched, sealed: Sealed, progress: Progress) -> tuple[Ensemble, Watched]:
    """Fit the ensemble and stretch its interval; return it with what is left to test it on."""
    every = max(2, round(1.0 / config.held_out)) if config.held_out else config.episodes
    turn, of = watched.episode // every, watched.episode % every == every - 1
    train_on, scale_on, test_on = watched.of(~of), watched.of(of & (turn % 2 == 0)), watched.of(of & (turn % 2 == 1))
    if not (len(scale_on.seen) and len(test_on.seen)):
        raise TrainingError(f"{config.episodes} episodes leave none to hold out; at least {2 * every} are needed")
    bar = progress.add_task(f"fitting {len(train_on.seen):,} steps", total=config.steps * config.members)
    ensemble = fit(config, sealed.contract, train_on, lambda done: progress.advance(bar, done))
    scale_on = scale_on.of(touched(sealed.contract, scale_on))
    ensemble.calibrate(scale_on.seen, scale_on.told, config.level)
    finish(progress, bar, f"{config.members} members fitted to {len(train_on.seen):,} steps")
    return ensemble, test_on.of(touched(sealed.contract, test_on))


def _check_parity(config: SurrogateConfig, ensemble: Ensemble, model: bytes, watched: Watched) -> Parity:
    rows = probe(watched.seen, PARITY, config.seed)
    found = Parity(parity(lambda seen: ensemble(seen)[:, None], model, rows), len(rows))
    if not found.max_abs_error <= MAX_PARITY:
        raise TrainingError(f"the exported model differs from the network by {found.max_abs_error:.1e} > {MAX_PARITY}")
    return found


def _requirements(pilots: Pilots) -> Requirements:
    own: Requirements = pilots.env.requirements
    return msgspec.structs.replace(
        own, arm="any", kinematics_sha256="any", kinematics_tolerance_mm=0.0, kinematics_tolerance_mrad=0.0,
        limits=(), max_latency_s=pilots.env.contract.action.dt_s, max_batch=MAX_ROWS,
    )  # fmt: skip


def _lineage(config: SurrogateConfig, state: State) -> Lineage:
    return Lineage(
        environment=config.env,
        engine="pybullet",
        config_sha256=hashlib.sha256(msgspec.json.encode(config)).hexdigest(),
        seed=config.seed,
        git_revision=revision(),
        packages=packages(),
        environment_kwargs={"cells": list(config.kwargs)},
        data={WATCHED: state.watched_sha256},
    )


def one_step(model: bytes, contract: Contract, watched: Watched) -> tuple[OneStep, ...]:
    """Judge a model on steps that nothing was fitted to; the last row is all of them."""
    said: NDArray[np.float32] = open_session(model).run(["chunk"], {"obs": watched.seen})[0][:, 0]
    first = columns(contract)["carried_motion"]
    told, carried = watched.told, watched.seen[:, first : first + MOTION]
    off = np.linalg.norm(said[:, :MOTION] - told[:, :MOTION], axis=1)
    still = np.linalg.norm(told[:, :MOTION], axis=1) < 1e-3
    held = ~still & (np.linalg.norm(told[:, :MOTION] - carried, axis=1) < 1e-3)
    kinds = {"lay": still, "held": held, "moved": ~still & ~held, "all": np.ones(len(off), bool)}
    rows = []
    for what, of in kinds.items():
        if of.any():
            median, p95 = (1e3 * np.percentile(off[of], (50, 95))).tolist()
            inside = float((off[of] <= said[of, told.shape[1]]).mean())
            rows.append(OneStep(what, int(of.sum()), (median, p95), inside))
    return tuple(rows)
