"""Whole episodes of an environment: who drives, and how a recorded one is played again to the bit."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from robostral.bundle import OnnxPolicy, load
from robostral.contract import check_same
from robostral.episode import Episode
from robostral.errors import ConfigError
from robostral_sims import TASKS
from robostral_sims.env import CellEnv

PILOTS = ("expert", "random", "nothing")
"""Who can drive without a bundle: the scripted expert, uniform actions, the action nearest to zero."""

Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Observation, shape (obs_size,), to action, shape (horizon, n), in shares of the contract's bounds."""

Look = Callable[[CellEnv], None]
"""Called after the reset and after every step, for example to draw a picture."""


@dataclass(frozen=True)
class Played:
    """What happened in an episode: its record, its last `info` and the sum of its rewards."""

    episode: Episode
    info: dict[str, Any]
    rewards: float

    def __str__(self) -> str:
        told = {k: v for k, v in self.info.items() if isinstance(v, int | float) and k not in _SAID_ANYWAY}
        figures = "  ".join(f"{name} {value:.3g}" for name, value in told.items())
        word = "done  " if self.episode.success else "failed"
        return f"seed {self.episode.seed:4}  {word}  {self.info['time_s']:5.2f} s  {self.episode.reason}  {figures}"


_SAID_ANYWAY = {"success", "limited", "time_s"}


def pilot_of(env: CellEnv, name: str, seed: int) -> Act:
    """Return the pilot called `name`: one of `PILOTS`, or the bundle of that name or path.

    Args:
        env: What it drives.
        name: Who.
        seed: Of random actions.

    Raises:
        UnknownName: No such pilot and no such bundle.
        BundleRefused: The bundle did not stand its checks.
        ContractMismatch: The bundle was trained for another contract; every field that differs is named.
    """
    shape = env.contract.chunk_shape
    if name == "expert":
        return lambda obs: env.to_action(env.expert(obs))
    if name == "random":
        rng = np.random.default_rng([seed, 1])
        return lambda _: rng.uniform(-1.0, 1.0, shape).astype(np.float32)
    if name == "nothing":
        still = np.clip(env.to_action(np.zeros(shape, np.float32)), -1.0, 1.0)
        return lambda _: still
    policy = OnnxPolicy(load(name))
    check_same(env.sealed, policy.sealed, "the environment", f"bundle '{name}'")
    return lambda obs: env.to_action(policy.infer(obs[None])[0])


def play(env: CellEnv, act: Act, seed: int, look: Look | None = None, options: dict[str, Any] | None = None) -> Played:
    """Play one episode to its end.

    Args:
        env: The environment.
        act: Who drives.
        seed: What the environment is reset with; everything drawn follows from it.
        look: Called after the reset and after every step.
        options: What `reset` is given beside the seed.
    """
    obs, info = env.reset(seed=seed, options=options)
    digest, actions = hashlib.sha256(obs.tobytes()), []
    total, done = 0.0, False
    while not done:
        if look is not None:
            look(env)
        actions.append(np.asarray(act(obs), dtype=np.float32))
        obs, reward, terminated, truncated, info = env.step(actions[-1])
        digest.update(obs.tobytes())
        total, done = total + reward, terminated or truncated
    if look is not None:
        look(env)
    task = str(env.options["task"])
    episode = Episode(
        env=f"robostral_sims:Robostral/{task if task in TASKS else 'Cell'}-v0",
        kwargs=dict(env.options),
        seed=seed,
        actions=np.stack(actions).tolist(),
        success=info["success"],
        reason=info["reason"],
        options=options,
        contract=env.sealed.identity,
        digest=digest.hexdigest(),
    )
    return Played(episode, info, total)


def replay(episode: Episode, look: Look | None = None) -> tuple[Played, bool]:
    """Play a recorded episode again: same environment, seed and actions.

    Returns:
        What happened now, and whether it is the same: end, reason and, where the record has a digest, every bit of
        every observation.

    Raises:
        ConfigError: No such environment, it has another contract, or it goes on beyond the last recorded action.
        UnknownName: The episode's task, arm, engine or cell is not there.
    """
    mode = {"render_mode": "rgb_array"} if look else {}
    try:
        env: Any = gymnasium.make(episode.env, disable_env_checker=True, **(episode.kwargs | mode)).unwrapped
    except (gymnasium.error.Error, ModuleNotFoundError, TypeError) as error:
        raise ConfigError(f"environment '{episode.env}' of the episode cannot be made: {error}") from error
    try:
        if not isinstance(env, CellEnv):
            raise ConfigError(f"environment '{episode.env}' is no cell: it cannot be played again here")
        if episode.contract not in {"", env.sealed.identity}:
            raise ConfigError(f"the episode has the contract {episode.contract[:16]}, here {env.sealed.identity[:16]}")
        again = play(env, _as_recorded(episode), episode.seed, look, episode.options)
    finally:
        env.close()
    digest = again.episode.digest if episode.digest else ""
    same = (again.episode.success, again.episode.reason, again.episode.actions, digest)
    return again, same == (episode.success, episode.reason, episode.actions, episode.digest)


def _as_recorded(episode: Episode) -> Act:
    rows: Iterator[NDArray[np.float32]] = iter(episode.steps)

    def act(_: NDArray[np.float32]) -> NDArray[np.float32]:
        for row in rows:
            return row
        raise ConfigError("the episode goes on beyond its last recorded action: it is not the one that was recorded")

    return act
