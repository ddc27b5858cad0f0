"""A training between two rounds: what is known so far, how a round adds to it, how it is saved and taken up again."""

import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace
from rich.progress import Progress

from robostral.contract import Sealed
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

    Attributes:
        state: Recipe and finished rounds, as saved.
        sealed: The contract that is trained for.
        actor: The network after the last finished round.
        samples: Labelled observations, one set per finished round.
        rollouts: Where episodes are played.
        checkpoint: Where each round is saved.
    """

    state: State
    sealed: Sealed
    actor: Actor
    rollouts: Rollouts
    checkpoint: Checkpoint
    samples: list[Samples] = field(default_factory=list)

    @classmethod
    def start(cls, config: TrainConfig, checkpoint: Checkpoint, rollouts: Rollouts, resume: bool) -> "Training":
        """Begin from nothing, or from the checkpoint.

        Raises:
            TrainingError: There is an unfinished training already, or the one to resume is missing or another one.
        """
        sealed = rollouts.cell.sealed
        state, saved = State(config, sealed.identity), checkpoint.read()
        if resume:
            state = _same(saved, state, checkpoint)
        elif saved is not None and not saved.finished:
            raise TrainingError(
                f"'{checkpoint.folder}' holds a training after round {len(saved.rounds)} of "
                f"{saved.config.dagger.rounds}: add --resume, or delete the folder"
            )
        training = cls(state, sealed, Actor(sealed.contract, config.actor, config.seed), rollouts, checkpoint)
        training._load()
        return training

    @property
    def finished(self) -> bool:
        """Whether all rounds are done."""
        return len(self.state.rounds) >= self.state.config.dagger.rounds

    def play_round(self, progress: Progress) -> None:
        """Gather, fit and save one round.

        Raises:
            TrainingError: Numbers are not finite, or the disk refuses.
        """
        config, number, start = self.state.config, len(self.state.rounds), time.monotonic()
        steps = config.fit.last_steps if number + 1 == config.dagger.rounds else config.fit.steps
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
        if number == 0:
            self.actor.normalise_by(everything.obs)
        progress.update(bar, description=f"{name}: fitting {len(everything.obs):,} samples")
        seed = config.seed * dagger.MAX_ROUNDS + number
        losses = dagger.fit(self.actor, everything, config.fit, steps, seed, lambda done: progress.advance(bar, done))
        clean = [episode.success for episode in episodes if episode.clean]
        log = RoundLog(len(everything.obs), sum(clean), len(clean), tuple(losses), time.monotonic() - start)
        self._save(log)
        finish(progress, bar, f"{name}: {log.samples:,} samples, loss {losses[-1]:.4f}, {log.seconds:.0f} s")

    def finish(self) -> None:
        """Note that the bundle is written."""
        self.state = replace(self.state, finished=True)
        self.checkpoint.write(self.state)

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


def _same(saved: State | None, asked: State, checkpoint: Checkpoint) -> State:
    """Return the saved state if it is of the training that is asked for."""
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
