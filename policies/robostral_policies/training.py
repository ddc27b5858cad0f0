"""A training between two rounds: what is known so far, how a round adds to it, how it is saved and taken up again."""

import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from rich.progress import Progress

from robostral_policies import dagger
from robostral_policies.actor import Actor
from robostral_policies.checkpoint import DATA, WEIGHTS, Checkpoint, RoundLog, State, arrays_of, restore
from robostral_policies.config import TrainConfig, TrainingError
from robostral_policies.dagger import Samples
from robostral_policies.export import to_onnx
from robostral_policies.progress import finish
from robostral_policies.rollout import Rollouts


@dataclass
class Training:
    """A training between two rounds. A round is a function of what is here and of the seed, nothing else.

    Note:
        The last fit starts anew after J. Ash, R. Adams, "On Warm-Starting Neural Network Training", NeurIPS 2020; on
        one set of episodes of ur5e-pick_place it failed in 4 of 1000 fresh ones, a warm start in 21 of 1000.

    Attributes:
        state: Recipe and finished rounds, as saved.
        actor: The network after the last finished round.
        samples: Labelled observations, one set per finished round.
        rollouts: Where episodes are played.
        checkpoint: Where each round is saved.
        device: Where torch computes.
    """

    state: State
    actor: Actor
    rollouts: Rollouts
    checkpoint: Checkpoint
    device: str = "cpu"
    samples: list[Samples] = field(default_factory=list)

    @classmethod
    def start(
        cls, config: TrainConfig, checkpoint: Checkpoint, rollouts: Rollouts, resume: bool, device: str = "cpu"
    ) -> "Training":
        """Begin from nothing, or from the checkpoint.

        Raises:
            TrainingError: There is an unfinished training already, or the one to resume is missing or another one.
        """
        sealed = rollouts.cell.sealed
        if sealed is None or rollouts.cell.expert is None:
            raise TrainingError(f"environment '{config.env}' has no contract or no expert: choose ppo, sac or tqc")
        state = take_up(State(config, sealed.identity), checkpoint, resume)
        actor = Actor(rollouts.cell.interface, config.actor, config.seed)
        training = cls(state, actor, rollouts, checkpoint, device)
        training._load()
        return training

    def observations(self) -> NDArray[np.float32]:
        """Return what was seen in all rounds so far, shape (rows, obs_size)."""
        return Samples.join(self.samples).obs

    @property
    def finished(self) -> bool:
        """Whether all rounds are done."""
        return len(self.state.rounds) >= self.state.config.planned_rounds

    def play_round(self, progress: Progress) -> None:
        """Gather, fit and save one round; the last fit begins with a new network.

        Raises:
            TrainingError: Numbers are not finite, or the disk refuses.
        """
        config, number, start = self.state.config, len(self.state.rounds), time.monotonic()
        last = number + 1 == config.dagger.rounds
        steps = config.fit.last_steps if last else config.fit.steps
        name = f"round {number + 1} of {config.dagger.rounds}"
        bar = progress.add_task(f"{name}: episodes", total=config.dagger.episodes + steps)
        model = to_onnx(self.actor) if number else b""
        episodes = []
        for episode in self.rollouts.play(
            dagger.episode_seeds(config, number), dagger.plan(config.dagger, number, model)
        ):
            episodes.append(episode)
            progress.advance(bar)
        self.samples.append(Samples.of(episodes))
        everything = Samples.join(self.samples)
        if last:  # a network that began on less data does worse, however long it goes on
            self.actor = Actor(self.rollouts.cell.interface, config.actor, config.seed)
        if last or number == 0:
            self.actor.normalise_by(everything.obs)
        progress.update(bar, description=f"{name}: fitting {len(everything.obs):,} samples")
        seed = config.seed * dagger.MAX_ROUNDS + number
        losses = dagger.fit(
            self.actor, everything, config.fit, steps, seed, lambda done: progress.advance(bar, done), self.device
        )
        clean = [episode.success for episode in episodes if episode.clean]
        log = RoundLog(len(everything.obs), sum(clean), len(clean), tuple(losses), time.monotonic() - start)
        self._save(log)
        finish(progress, bar, f"{name}: {log.samples:,} samples, loss {losses[-1]:.4f}, {log.seconds:.0f} s")

    def _save(self, log: RoundLog) -> None:
        number = len(self.state.rounds)
        files = {name: digest for name, digest in self.state.files.items() if name.startswith("data")}
        new = {DATA.format(number): vars(self.samples[-1]), WEIGHTS.format(number): arrays_of(self.actor)}
        for name, arrays in new.items():
            files[name] = self.checkpoint.put_arrays(name, arrays)
        self.state = replace(self.state, rounds=(*self.state.rounds, log), files=files)
        self.checkpoint.write(self.state)

    def _load(self) -> None:
        for name, digest in sorted(self.state.files.items()):
            arrays = self.checkpoint.get_arrays(name, digest)
            if name.startswith("data"):
                self.samples.append(Samples(**arrays))
            else:
                restore(self.actor, arrays)


def take_up(asked: State, checkpoint: Checkpoint, resume: bool) -> State:
    """Return where a training starts: from nothing, or where the saved one of the same recipe stands.

    Raises:
        TrainingError: There is an unfinished training already, or the one to resume is missing or another one.
    """
    saved = checkpoint.read()
    if not resume:
        if saved is None or saved.finished:
            return asked
        raise TrainingError(
            f"'{checkpoint.folder}' holds a training after round {len(saved.rounds)} of "
            f"{asked.config.planned_rounds}: add --resume, or delete the folder"
        )
    if saved is None:
        raise TrainingError(f"nothing to resume in '{checkpoint.folder}'")
    if saved.contract_sha256 != asked.contract_sha256:
        raise TrainingError(
            f"'{checkpoint.folder}' was trained for contract {saved.contract_sha256[:16]}, the environment now has "
            f"{asked.contract_sha256[:16]}: delete the folder to start anew"
        )
    before, now = _flat(msgspec.to_builtins(saved.config)), _flat(msgspec.to_builtins(asked.config))
    other = [
        f"{key} {before.get(key)} -> {now.get(key)}" for key in sorted(before | now) if before.get(key) != now.get(key)
    ]
    if other:
        raise TrainingError(f"'{checkpoint.folder}' was started with other figures: {'; '.join(other)}")
    return saved


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dicts to dotted keys."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
