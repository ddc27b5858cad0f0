"""Many environments at once in several processes: actions and observations in shared memory, one wake-up per step.

Gymnasium's own asynchronous vector sends every action and every `info` through a pipe; beside a world that steps in
less than a millisecond that costs more than a second core brings. Here the calling process steps a share itself, in
place of waiting for the others: so a step wakes one process less than there are cores.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import msgspec
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from robostral.errors import RobostralError
from robostral_sims.catalogue import find
from robostral_sims.env import CellEnv, EnvError

Floats = NDArray[np.float32]
Arrays = tuple[Floats, Floats, NDArray[np.float64]]
"""Observations, actions, and (reward, terminated, truncated), a row per environment."""


def make_vec(name: str, n: int, workers: int | None = None, **options: Any) -> "CellVector":
    """Start `n` environments in `workers` processes, this one among them; one process for each by default.

    Args:
        name: Task, environment id or cell, as `robostral sim list` has them.
        n: How many environments.
        workers: How many processes; each steps its share of them one after the other, this one the first share.
        **options: Arguments of `CellEnv`.

    Raises:
        EnvError: `n` or `workers` is not positive.
        UnknownName: No such environment.
    """
    entry = find(name)
    return CellVector(n, workers or n, {"task": entry.task, "arm": entry.arm, "cell": entry.cell} | options)


class CellVector(VectorEnv[Floats, Floats, Any]):
    """Environments in several processes; a finished one begins its next episode in the same step.

    `reset(seed=s)` gives environment i the seed s + i: what it shows depends neither on `n` nor on `workers`. Where an
    episode ended, `infos["final_obs"]` and `infos["final_info"]` hold its last observation and `info`. The other
    processes are deaf to Ctrl-C and end with this one.

    Args:
        n: How many environments.
        workers: How many processes, this one among them.
        options: Arguments of `CellEnv`.

    Raises:
        EnvError: `n` or `workers` is not positive.
        RobostralError: The environment cannot be made with these options.
    """

    def __init__(self, n: int, workers: int, options: dict[str, Any]) -> None:
        if min(n, workers) < 1:
            raise EnvError(f"n = {n} environments in {workers} processes; at least one of each")
        self.num_envs = n
        self._workers: list[tuple[Connection, SpawnProcess]] = []
        self._own: dict[int, CellEnv] = {}
        ours, *others = (rows.tolist() for rows in np.array_split(np.arange(n), min(workers, n)))
        for row in ours:
            self._own[row] = CellEnv(**options)
        one = self._own[0]
        self.single_observation_space, self.single_action_space = one.observation_space, one.action_space
        self.sealed, self.metadata = one.sealed, {**one.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        context = get_context("spawn")
        self._share = _Share(
            context.RawArray("f", n * self.sealed.contract.obs_size),
            context.RawArray("f", n * int(np.prod(self.sealed.contract.chunk_shape))),
            context.RawArray("d", n * 3),
            (n, self.sealed.contract.obs_size),
            (n, *self.sealed.contract.chunk_shape),
        )
        self._arrays = self._obs, self._actions, self._ends = self._share.arrays()
        with _deaf():
            for rows in others:
                pipe, end = context.Pipe()
                child = context.Process(target=_work, args=(end, self._share, rows, options), daemon=True, name="cell")
                child.start()
                end.close()
                self._workers.append((pipe, child))

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode in each environment; returns observations, shape (n, obs_size), and infos.

        Raises:
            EnvError: A worker is gone.
        """
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed or [None] * self.num_envs
        infos: dict[str, Any] = {}
        for row, info in self._ask(msgspec.json.encode(seeds)):
            infos = self._add_info(infos, info, row)
        return self._obs.copy(), infos

    def step(
        self, actions: Floats
    ) -> tuple[Floats, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step all environments with actions, shape (n, horizon, k).

        Raises:
            EnvError: A wrong shape, not a number, not reset before, or a worker is gone.
        """
        if np.shape(actions) != self._actions.shape:
            raise EnvError(f"actions have the shape {np.shape(actions)}, these need {self._actions.shape}")
        self._actions[:] = actions
        infos: dict[str, Any] = {}
        for row, final in self._ask(b""):
            infos = self._add_info(infos, final, row)
        ends = self._ends.copy()
        return self._obs.copy(), ends[:, 0], ends[:, 1] > 0.0, ends[:, 2] > 0.0, infos

    def close_extras(self, **kwargs: Any) -> None:
        """End the other processes; called by `close`."""
        for pipe, child in self._workers:
            pipe.close()
            child.join()
        for env in self._own.values():
            env.close()
        self._workers = []

    def _ask(self, message: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
        """Let every process do its share, see `_obey`; yield what they have to say of single environments."""
        for pipe, _ in self._workers:
            with _reaching():
                pipe.send_bytes(message)
        own = _obey(message, self._own, self._arrays)
        for answer in [own, *(_received(pipe) for pipe, _ in self._workers)]:
            if isinstance(answer, str):
                raise EnvError(answer)
            yield from answer


@dataclass(frozen=True)
class _Share:
    """Memory that all processes see: observations, actions, and (reward, terminated, truncated) per environment."""

    obs: Any
    actions: Any
    ends: Any
    obs_shape: tuple[int, ...]
    actions_shape: tuple[int, ...]

    def arrays(self) -> Arrays:
        obs = np.frombuffer(self.obs, np.float32).reshape(self.obs_shape)
        actions = np.frombuffer(self.actions, np.float32).reshape(self.actions_shape)
        return obs, actions, np.frombuffer(self.ends, np.float64).reshape(-1, 3)


@contextmanager
def _deaf() -> Iterator[None]:
    """Let processes that start here ignore Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise EnvError("a worker process is gone (out of memory?)") from error


def _received(pipe: Connection) -> Any:
    with _reaching():
        return pipe.recv()


def _work(pipe: Connection, share: _Share, rows: list[int], options: dict[str, Any]) -> None:
    """Live in another process until the pipe ends."""
    arrays = share.arrays()
    envs = {row: CellEnv(**options) for row in rows}
    try:
        while True:
            pipe.send(_obey(pipe.recv_bytes(), envs, arrays))
    except (EOFError, OSError):
        for env in envs.values():
            env.close()


def _obey(message: bytes, envs: dict[int, CellEnv], arrays: Arrays) -> list[tuple[int, dict[str, Any]]] | str:
    """Step a share of the environments, or reset it with a list of seeds; return what there is to say, or a fault."""
    try:
        if message:
            seeds = msgspec.json.decode(message, type=list[int | None])
            return [(row, _reset(env, arrays[0][row], seeds[row])) for row, env in envs.items()]
        stepped = [(row, _step(env, *(array[row] for array in arrays))) for row, env in envs.items()]
        return [(row, final) for row, final in stepped if final]
    except RobostralError as error:
        return str(error)


def _reset(env: CellEnv, obs: Floats, seed: int | None) -> dict[str, Any]:
    obs[:], info = env.reset(seed=seed)
    return info


def _step(env: CellEnv, obs: Floats, action: Floats, ends: NDArray[np.float64]) -> dict[str, Any]:
    """Step one environment in place; at an episode's end begin the next one and return what ended."""
    seen, *end, info = env.step(action)
    ends[:] = end
    final: dict[str, Any] = {}
    if end[1] or end[2]:
        final = {"final_obs": seen, "final_info": info}
        seen, _ = env.reset()
    obs[:] = seen
    return final
