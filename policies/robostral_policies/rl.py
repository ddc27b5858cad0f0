"""Learning from reward: PPO, SAC and TQC of Stable-Baselines3 on any Gymnasium environment, resumable bit for bit.

A training is cut into segments. Each begins with an environment that is reset and with generators that are seeded anew
from (seed, segment), so that what is saved between two of them - networks, optimisers, replay buffer - is all there is.
"""

import copy
import time
from typing import Any

import gymnasium
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from rich.progress import Progress
from torch import nn

from robostral.episode import Episode as Record
from robostral.extras import require
from robostral_policies.actor import Actor
from robostral_policies.checkpoint import Checkpoint, RoundLog, State
from robostral_policies.config import MAX_SEED, ActorConfig, TrainConfig, TrainingError
from robostral_policies.progress import finish
from robostral_policies.rl_state import load, save
from robostral_policies.rollout import BadEpisode, Cell, Plan, Rollouts, success_of
from robostral_policies.training import take_up

_PROBED = 20
"""Episodes whose observations the exported model is compared on."""
_MODULES = {"ppo": "stable_baselines3", "sac": "stable_baselines3", "tqc": "sb3_contrib"}


class Learner:
    """A training by reward between two segments; a segment is a function of what is here and of the seed.

    Args:
        config: The recipe.
        checkpoint: Where each segment is saved.
        rollouts: Where it is judged; it learns on an environment of its own.
        resume: Whether to go on from the checkpoint.
        device: Where torch computes.

    Raises:
        TrainingError: Method and environment do not fit together; or as `robostral_policies.training.take_up`.
        MissingExtra: Stable-Baselines3 is not installed.
    """

    def __init__(
        self, config: TrainConfig, checkpoint: Checkpoint, rollouts: Rollouts, resume: bool, device: str = "cpu"
    ) -> None:
        self.checkpoint, self.rollouts = checkpoint, rollouts
        sealed = rollouts.cell.sealed
        self.state = take_up(State(config, sealed.identity if sealed else "none"), checkpoint, resume)
        self._episodes = _Episodes(Cell(config.env, config.kwargs).env, config)
        self._model = _make(config, self._episodes, device)
        if self.state.rounds:
            load(self._model, checkpoint, self.state.files)

    @property
    def finished(self) -> bool:
        """Whether all segments are done."""
        return len(self.state.rounds) >= self.state.config.planned_rounds

    def observations(self) -> NDArray[np.float32]:
        """Play some random episodes, and return what was seen, shape (rows, obs_size)."""
        episodes = self.rollouts.play(range(_PROBED), Plan("random"))
        return np.concatenate([episode.obs for episode in episodes])

    def play_round(self, progress: Progress) -> None:
        """Learn for one segment, and save.

        Raises:
            BadEpisode: The environment showed a number that is not finite.
            TrainingError: The networks' numbers are not finite, or the disk refuses.
        """
        config, number, start = self.state.config, len(self.state.rounds), time.monotonic()
        steps = min(config.rl.segment, config.rl.steps - self._model.num_timesteps)
        bar = progress.add_task(f"steps from {self._model.num_timesteps:,}", total=steps)
        self._begin(number)
        try:
            self._model.learn(steps, _advancing(progress, bar), log_interval=None, reset_num_timesteps=False)
        except ValueError as error:  # torch's distributions refuse parameters that are not finite
            raise TrainingError(f"the network's numbers are not finite: lower rl.learning_rate ({error})") from error
        _close_episode(self._model)
        done = self._episodes.results
        log = RoundLog(self._model.num_timesteps, sum(done), len(done), (), time.monotonic() - start)
        files = save(self._model, self.checkpoint, number)
        self.state = replace(self.state, rounds=(*self.state.rounds, log), files=files)
        self.checkpoint.write(self.state)
        finish(progress, bar, f"{log.samples:,} steps, success {sum(done)} of {len(done)}, {log.seconds:.0f} s")

    @property
    def actor(self) -> Actor:
        """Return the deployable part of what was learned: the mean action, bounded, as one network."""
        policy = self._model.policy
        bound: nn.Module
        if self.state.config.method == "ppo":
            layers, bound = [*policy.mlp_extractor.policy_net, policy.action_net], nn.Hardtanh(-1.0, 1.0)
        else:
            layers, bound = [*policy.actor.latent_pi, policy.actor.mu], nn.Tanh()
        actor = Actor(self.rollouts.cell.interface, ActorConfig(hidden=self.state.config.rl.hidden))
        actor.net, actor.bound = copy.deepcopy(nn.Sequential(*layers)).cpu(), bound
        return actor

    def _begin(self, number: int) -> None:
        from stable_baselines3.common.utils import set_random_seed

        seed = self.state.config.seed * MAX_SEED + number
        set_random_seed(seed % (1 << 32))
        self._model.action_space.seed(seed)
        self._episodes.begin(number)
        self._model._last_obs = None


class _Episodes(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The environment that is learned on: every episode has a seed of its own, actions are shares of the bounds."""

    def __init__(self, env: gymnasium.Env[Any, Any], config: TrainConfig) -> None:
        super().__init__(env)
        self._config, self._next, self._seed = config, 0, 0
        self._actions: list[NDArray[np.float32]] = []
        self.results: list[bool] = []
        box = env.action_space
        assert isinstance(box, gymnasium.spaces.Box)
        self._low, self._reach = box.low, (box.high - box.low) / 2
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, box.shape, np.float32)

    def begin(self, segment: int) -> None:
        """Number the episodes of a segment."""
        self._next = self._config.seed * MAX_SEED + segment * self._config.rl.segment
        self.results = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin the next episode; what the learner would seed it with does not matter."""
        self._seed, self._actions = self._next, []
        self._next += 1
        obs, info = self.env.reset(seed=self._seed, options=options)
        self._check(obs, 0.0)
        return obs, info

    def step(self, action: Any) -> Any:
        """Execute an action, and look at what comes back."""
        sent = self._low + (np.clip(action, -1.0, 1.0) + 1.0) * self._reach
        self._actions.append(sent)
        obs, reward, terminated, truncated, info = self.env.step(sent)
        self._check(obs, float(reward))
        if terminated or truncated:
            self.results.append(success_of(info))
        return obs, reward, terminated, truncated, info

    def _check(self, obs: Any, reward: float) -> None:
        parts = obs.values() if isinstance(obs, dict) else (obs,)
        if np.isfinite(reward) and all(np.isfinite(part).all() for part in parts):
            return
        message = f"the environment showed a number that is not finite (episode seed {self._seed})"
        sent = [action.tolist() for action in self._actions]
        raise BadEpisode(message, Record(self._config.env, self._config.kwargs, self._seed, sent, False, message))


def _make(config: TrainConfig, env: _Episodes, device: str) -> Any:
    """Make the learner of a recipe, its networks drawn from the seed."""
    module = require(_MODULES[config.method], "train")
    has_goal = isinstance(env.observation_space, gymnasium.spaces.Dict)
    policy, rl = "MultiInputPolicy" if has_goal else "MlpPolicy", config.rl
    common = {"gamma": rl.gamma, "batch_size": rl.batch, "seed": config.seed, "device": device}
    net: dict[str, Any] = {"net_arch": list(rl.hidden)}
    if config.method == "ppo":
        return module.PPO(policy, env, rl.learning_rate, n_steps=rl.rollout, policy_kwargs=net, **common)
    replay: dict[str, Any] = {}
    if rl.relabel:
        if not has_goal:
            raise TrainingError("rl.relabel needs an environment with goals (a dict with desired_goal)")
        from stable_baselines3 import HerReplayBuffer

        replay = {"replay_buffer_class": HerReplayBuffer, "replay_buffer_kwargs": {"n_sampled_goal": rl.relabel}}
    kind = module.SAC if config.method == "sac" else module.TQC
    memory = {"buffer_size": min(rl.buffer, rl.steps), "learning_starts": rl.warm_up}
    return kind(policy, env, rl.learning_rate, policy_kwargs=net, **memory, **replay, **common)


def _close_episode(model: Any) -> None:
    """Make the episode that a segment cut off one that hindsight may draw from."""
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None and hasattr(buffer, "truncate_last_trajectory") and not buffer.dones[buffer.pos - 1].all():
        buffer.truncate_last_trajectory()


def _advancing(progress: Progress, bar: Any) -> Any:
    """Return Stable-Baselines3's kind of callback, which must be a subclass of its own."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Advance(BaseCallback):
        def _on_step(self) -> bool:
            progress.advance(bar)
            return True

    return Advance()
