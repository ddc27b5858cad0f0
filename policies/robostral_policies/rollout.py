"""Episodes of an environment, in worker processes; what an episode holds depends on its seed and plan alone."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robostral.bundle.policy import open_session
from robostral.contract import Requirements, Sealed
from robostral.episode import Episode as Record
from robostral_policies.config import TrainingError
from robostral_policies.interface import Interface

Pilot = Literal["model", "expert", "random", "nothing"]

_SHARE = 8
"""Episodes per message to a worker: large enough to be cheap, small enough for a smooth progress bar."""


@dataclass(frozen=True)
class Plan:
    """Who drives the episodes, and how.

    Attributes:
        pilot: `nothing` sends the action nearest to zero, `random` a uniform one.
        model: ONNX bytes for the pilot `model`.
        label: Also ask the expert what it would do in every state.
        beta: Probability that the expert drives in the model's place, drawn for each turn.
        turn: Steps of a turn; 0 for a whole episode.
        noisy: Probability that an episode is disturbed.
        noise: Standard deviation of the disturbance, as a share of the action's half range.
        options: What `reset` is given beside the seed.
    """

    pilot: Pilot
    model: bytes = b""
    label: bool = False
    beta: float = 0.0
    turn: int = 0
    noisy: float = 0.0
    noise: float = 0.0
    options: dict[str, Any] | None = None


class BadEpisode(TrainingError):
    """An environment showed a number that is not finite; `record` plays the episode up to there again."""

    def __init__(self, message: str, record: Record) -> None:
        super().__init__(message, record)  # both, so that it survives the way out of a worker
        self.record = record

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Keep an episode that showed numbers which are none, to be played again, and say where.

    Raises:
        TrainingError: In place of `BadEpisode`, with the path of the record.
    """
    try:
        yield
    except BadEpisode as bad:
        path = bad.record.save(folder / f"bad-episode-{bad.record.seed}.json")
        raise TrainingError(f"{bad}; to play it again: robostral sim replay {path}") from bad


@dataclass(frozen=True)
class Episode:
    """What happened.

    Attributes:
        seed: Resets the environment and draws everything else.
        obs: Observations before each step, shape (steps, obs_size), float32.
        labels: The expert's chunks, shape (steps, horizon, n), float32; empty unless the plan asks for them.
        success: As the environment says at the end.
        reason: Why it ended, in the environment's word.
        clean: The plan's own pilot drove it alone, undisturbed.
        figures: Numbers of the last `info`, by name.
        record: Plays it again; of failures of a model that is judged.
    """

    seed: int
    obs: NDArray[np.float32]
    labels: NDArray[np.float32]
    success: bool
    reason: str
    clean: bool
    figures: dict[str, float]
    record: Record | None = None

    @property
    def steps(self) -> int:
        """How many policy steps it took."""
        return len(self.obs)


class Cell:
    """One environment in this process.

    Args:
        env: Gymnasium id.
        kwargs: What it is made with.

    Attributes:
        sealed: The environment's contract; None where it has none, as those of others.
        requirements: What it asks of a plant; None without a contract.
        interface: Sizes and bounds.
        expert: The scripted expert, observations (rows, obs_size) to chunks (rows, horizon, n); None without one.

    Raises:
        TrainingError: No such environment, or its spaces are of a kind that no actor here has.
    """

    def __init__(self, env: str, kwargs: dict[str, Any] | None = None) -> None:
        import gymnasium

        self._id, self._kwargs = env, kwargs or {}
        try:
            self.env = gymnasium.make(env, disable_env_checker=True, **self._kwargs)
        except (gymnasium.error.Error, ModuleNotFoundError, TypeError) as error:
            raise TrainingError(f"environment '{env}' cannot be made: {error}") from error
        cell: Any = self.env.unwrapped
        self.sealed: Sealed | None = getattr(cell, "sealed", None)
        self.requirements: Requirements | None = getattr(cell, "requirements", None)
        self.expert: Callable[[NDArray[np.float32]], NDArray[Any]] | None = getattr(cell, "expert", None)
        self._shape = self.env.action_space.shape
        if self.sealed is None:
            self.interface = Interface.of_spaces(self.env)
            self.to_action: Callable[[NDArray[Any]], NDArray[np.float32]] = self._plain_action
        else:
            self.interface, self.to_action = Interface.of_contract(self.sealed.contract), cell.to_action

    def play(self, seed: int, plan: Plan) -> Episode:
        """Drive one episode from `seed` to its end.

        Raises:
            BadEpisode: The environment showed a number that is not finite.
            TrainingError: There is no expert, and the plan asks for one.
        """
        rng = np.random.default_rng([seed, 1])
        expert_drives, noisy = rng.random() < plan.beta, rng.random() < plan.noisy
        clean, drivers = not (expert_drives or noisy), (self._act(plan.pilot, plan.model, rng), self._expert_here)
        raw, info = self.env.reset(seed=seed, options=plan.options)
        seen: list[NDArray[np.float32]] = []
        actions: list[NDArray[np.float32]] = []
        reward, done = 0.0, False

        def record(reason: str) -> Record:
            sent = [action.tolist() for action in actions]
            return Record(self._id, self._kwargs, seed, sent, success=False, reason=reason, options=plan.options)

        while True:
            obs = self.flat(raw)
            if not (np.isfinite(obs).all() and np.isfinite(reward)):
                fact = "an observation" if np.isfinite(reward) else "a reward"
                message = f"the environment showed {fact} that is not finite (episode seed {seed}, step {len(seen)})"
                raise BadEpisode(message, record(message))
            if done:
                break
            if plan.turn and seen and len(seen) % plan.turn == 0:
                expert_drives = rng.random() < plan.beta
                clean &= not expert_drives
            seen.append(obs)
            act = drivers[expert_drives]
            chunk = self._disturbed(act(obs), rng, plan.noise) if noisy else act(obs)
            actions.append(np.asarray(self.to_action(chunk), np.float32))
            raw, paid, terminated, truncated, info = self.env.step(actions[-1])
            reward, done = float(paid), terminated or truncated
        rows = np.stack(seen)
        labels = np.asarray(self._expert_here(rows) if plan.label else [], np.float32)
        success, reason = success_of(info), str(info.get("reason", "end"))
        numbers = {name: value for name, value in info.items() if not isinstance(value, bool)}
        figures = {name: float(value) for name, value in numbers.items() if isinstance(value, int | float)}
        judged = plan.pilot == "model" and not plan.label
        kept = record(reason) if judged and not success else None
        return Episode(seed, rows, labels, success, reason, clean, figures, kept)

    def flat(self, obs: Any) -> NDArray[np.float32]:
        """Join what the environment shows to one vector, shape (obs_size,), a copy."""
        parts = [obs[name] for name, _ in self.interface.groups] if isinstance(obs, dict) else [obs]
        return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _act(
        self, pilot: Pilot, model: bytes, rng: np.random.Generator
    ) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
        shape, low, high = self.interface.chunk_shape, self.interface.low, self.interface.high
        if pilot == "model":
            session = _session(model)
            return lambda obs: session.run(["chunk"], {"obs": obs[None]})[0][0]
        if pilot == "expert":
            return self._expert_here
        if pilot == "random":
            return lambda _: rng.uniform(low, high, shape)
        return lambda _: np.clip(np.zeros(shape), low, high)

    def _expert_here(self, obs: NDArray[np.float32]) -> NDArray[Any]:
        if self.expert is None:
            raise TrainingError(f"environment '{self._id}' has no expert: choose method ppo, sac or tqc")
        return self.expert(obs)

    def _plain_action(self, chunk: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(chunk[0], np.float32).reshape(self._shape)

    def _disturbed(self, chunk: NDArray[Any], rng: np.random.Generator, noise: float) -> NDArray[Any]:
        """Push about every second step aside, each time with another strength: small pushes matter near a goal."""
        low, high = self.interface.low, self.interface.high
        push = rng.normal(size=chunk.shape[1]) * (high - low) / 2
        strength = noise * rng.random() ** 2 * (rng.random() < 0.5)
        pushed: NDArray[Any] = np.clip(chunk + strength * push, low, high)
        return pushed


def success_of(info: dict[str, Any]) -> bool:
    """Read from an episode's last `info` whether it succeeded, by this project's word or by Gymnasium's."""
    return bool(info.get("success", info.get("is_success", False)))


class Rollouts:
    """Worker processes that play episodes; with one worker, this process plays them itself.

    Args:
        env: Gymnasium id.
        workers: How many processes.
        kwargs: What the environment is made with.
    """

    def __init__(self, env: str, workers: int, kwargs: dict[str, Any] | None = None) -> None:
        self.cell, self.workers = Cell(env, kwargs), workers
        self._pool = _start_pool(env, workers, kwargs) if workers > 1 else None

    def play(self, seeds: Sequence[int], plan: Plan) -> Iterator[Episode]:
        """Play one episode per seed and yield them in the order of `seeds`, whoever finishes first.

        Raises:
            BadEpisode: The environment showed a number that is not finite.
            TrainingError: A worker died.
        """
        if self._pool is None:
            yield from (self.cell.play(seed, plan) for seed in seeds)
            return
        shares = [seeds[start : start + _SHARE] for start in range(0, len(seeds), _SHARE)]
        futures: list[Future[list[Episode]]] = [self._pool.submit(_play_share, share, plan) for share in shares]
        try:
            for future in futures:
                yield from future.result()
        except BrokenProcessPool as error:
            raise TrainingError("a worker process died (out of memory?); try fewer --workers") from error

    def close(self) -> None:
        """Let the workers finish the episode they are in, and end them."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self.cell.close()

    def __enter__(self) -> "Rollouts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_CELL: list[Cell] = []
"""The environment of a worker process."""


def _start_pool(env: str, workers: int, kwargs: dict[str, Any] | None) -> ProcessPoolExecutor:
    # Workers are born deaf to Ctrl-C: it is the parent that decides when they end.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (env, kwargs))
        for _ in range(workers):
            pool.submit(os.getpid)  # a worker starts with the first task that finds none idle
    finally:
        signal.signal(signal.SIGINT, heard)
    return pool


def _start_worker(env: str, kwargs: dict[str, Any] | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _CELL.append(Cell(env, kwargs))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _play_share(seeds: Sequence[int], plan: Plan) -> list[Episode]:
    return [_CELL[0].play(seed, plan) for seed in seeds]


@lru_cache(maxsize=1)
def _session(model: bytes) -> Any:
    return open_session(model)
