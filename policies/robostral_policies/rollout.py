"""Episodes of an environment, in worker processes; what an episode holds depends on its seed and plan alone."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection, get_context, parent_process
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robostral.bundle.policy import open_session
from robostral.contract import Requirements, Sealed
from robostral_policies.config import TrainingError

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
        beta: Probability that the expert drives an episode in the model's place.
        noisy: Probability that an episode is disturbed.
        noise: Standard deviation of the disturbance, as a share of the action's half range.
    """

    pilot: Pilot
    model: bytes = b""
    label: bool = False
    beta: float = 0.0
    noisy: float = 0.0
    noise: float = 0.0


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
    """

    seed: int
    obs: NDArray[np.float32]
    labels: NDArray[np.float32]
    success: bool
    reason: str
    clean: bool

    @property
    def steps(self) -> int:
        """How many policy steps it took."""
        return len(self.obs)


class Cell:
    """One environment in this process.

    Args:
        env: Gymnasium id.

    Attributes:
        sealed: The environment's contract.
        requirements: What it asks of a plant.

    Raises:
        TrainingError: No such environment, or it has no contract and no expert.
    """

    def __init__(self, env: str) -> None:
        import gymnasium

        try:
            self._env = gymnasium.make(env, disable_env_checker=True)
            cell: Any = self._env.unwrapped
            self.sealed: Sealed = cell.sealed
            self.requirements: Requirements = cell.requirements
            self._expert: Callable[[NDArray[np.float32]], NDArray[Any]] = cell.expert
            self._to_action: Callable[[NDArray[Any]], NDArray[np.float32]] = cell.to_action
        except (gymnasium.error.Error, ModuleNotFoundError, AttributeError) as error:
            raise TrainingError(f"environment '{env}' cannot be trained on: {error}") from error
        self.contract = self.sealed.contract
        action = self.contract.action
        self._low, self._high = np.asarray(action.low), np.asarray(action.high)

    def play(self, seed: int, plan: Plan) -> Episode:
        """Drive one episode from `seed` to its end.

        Raises:
            TrainingError: The environment showed a number that is not finite.
        """
        rng = np.random.default_rng([seed, 1])
        expert_drives, noisy = rng.random() < plan.beta, rng.random() < plan.noisy
        act = self._act("expert" if expert_drives else plan.pilot, plan.model, rng)
        obs, _ = self._env.reset(seed=seed)
        seen, done = [], False
        while not done:
            seen.append(self._checked(obs, seed))
            chunk = self._disturbed(act(obs), rng, plan.noise) if noisy else act(obs)
            obs, _, terminated, truncated, info = self._env.step(self._to_action(chunk))
            done = terminated or truncated
        rows = np.stack(seen)
        labels = np.asarray(self._expert(rows) if plan.label else [], np.float32)
        return Episode(seed, rows, labels, info["success"], info["reason"], clean=not (expert_drives or noisy))

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def _act(
        self, pilot: Pilot, model: bytes, rng: np.random.Generator
    ) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
        shape = self.contract.chunk_shape
        if pilot == "model":
            session = _session(model)
            return lambda obs: session.run(["chunk"], {"obs": obs[None]})[0][0]
        if pilot == "expert":
            return self._expert
        if pilot == "random":
            return lambda _: rng.uniform(self._low, self._high, shape)
        return lambda _: np.clip(np.zeros(shape), self._low, self._high)

    def _disturbed(self, chunk: NDArray[Any], rng: np.random.Generator, noise: float) -> NDArray[Any]:
        """Push about every second step aside, each time with another strength: small pushes matter near a goal."""
        push = rng.normal(size=chunk.shape[1]) * (self._high - self._low) / 2
        strength = noise * rng.random() ** 2 * (rng.random() < 0.5)
        pushed: NDArray[Any] = np.clip(chunk + strength * push, self._low, self._high)
        return pushed

    @staticmethod
    def _checked(obs: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        if not np.isfinite(obs).all():
            raise TrainingError(f"the environment showed an observation that is not finite (episode seed {seed})")
        return obs.copy()


class Rollouts:
    """Worker processes that play episodes; with one worker, this process plays them itself.

    Args:
        env: Gymnasium id.
        workers: How many processes.
    """

    def __init__(self, env: str, workers: int) -> None:
        self.cell = Cell(env)
        self._pool = _start_pool(env, workers) if workers > 1 else None

    def play(self, seeds: Sequence[int], plan: Plan) -> Iterator[Episode]:
        """Play one episode per seed and yield them in the order of `seeds`, whoever finishes first.

        Raises:
            TrainingError: A worker died, or the environment showed a number that is not finite.
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


def _start_pool(env: str, workers: int) -> ProcessPoolExecutor:
    # Workers are born deaf to Ctrl-C: it is the parent that decides when they end.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (env,))
        for _ in range(workers):
            pool.submit(os.getpid)  # a worker starts with the first task that finds none idle
    finally:
        signal.signal(signal.SIGINT, heard)
    return pool


def _start_worker(env: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _CELL.append(Cell(env))


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
