"""Episodes of an engine, watched step by step: what a learned simulator is fitted to and judged by."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from robostral.contract import Sealed
from robostral_policies.config import MAX_SEED, TrainingError
from robostral_policies.surrogate.config import SurrogateConfig

Pilot = Literal["expert", "disturbed", "pushing", "curious"]
PILOTS: tuple[Pilot, ...] = ("expert", "disturbed", "pushing", "curious")
"""Who flies: the scripted expert, the same with pushes, one that pushes the part about, one that tries what it can."""

_SHARE = 12


@dataclass(frozen=True)
class Watched:
    """Steps that were watched: seen (rows, k), told (rows, m), and the episode that each row is of."""

    seen: NDArray[np.float32]
    told: NDArray[np.float32]
    episode: NDArray[np.int64]

    def of(self, rows: NDArray[np.bool_]) -> "Watched":
        """Return some of the rows."""
        return Watched(self.seen[rows], self.told[rows], self.episode[rows])

    @classmethod
    def join(cls, parts: Sequence["Watched"]) -> "Watched":
        """Join several sets, in order."""
        arrays = [np.concatenate([getattr(p, name) for p in parts]) for name in ("seen", "told", "episode")]
        return cls(*arrays)


class Pilots:
    """Flies episodes of one cell; each is a function of its seed and pilot alone.

    Args:
        env: Gymnasium id.
        kwargs: What it is made with.

    Attributes:
        env: The environment.
        sealed: What a learned simulator of its cell sees and says.

    Raises:
        TrainingError: No such environment, or one that no learned simulator knows.
    """

    def __init__(self, env: str, kwargs: dict[str, Any]) -> None:
        try:
            made: Any = gymnasium.make(env, disable_env_checker=True, **kwargs).unwrapped
            self.env = made
            self.sealed = Sealed.seal(self.env.watch().contract)
        except (gymnasium.error.Error, ModuleNotFoundError, TypeError, AttributeError) as error:
            raise TrainingError(f"environment '{env}' cannot be watched: {error}") from error
        action = self.env.contract.action
        self._low, self._high = np.array(action.low), np.array(action.high)

    def fly(self, seed: int, pilot: Pilot, longest: int) -> Iterator[Any]:
        """Fly one episode of at most `longest` steps; yield the environment's `Watcher` after each step."""
        rng, notes = np.random.default_rng([seed, 3]), self.env.watch()
        obs, _ = self.env.reset(seed=seed)
        for _ in range(longest):
            if pilot in ("pushing", "curious"):
                chunk = notes.curious(rng, pushing=pilot == "pushing")
            else:
                chunk = self.env.expert(obs)
            if pilot == "disturbed" and rng.random() < 0.5:
                push = rng.normal(size=len(self._low)) * (self._high - self._low) * 0.3 * rng.random() ** 2
                chunk = np.clip(chunk + push, self._low, self._high)
            notes.before()
            obs, _, terminated, truncated, _ = self.env.step(self.env.to_action(chunk))
            yield notes
            if terminated or truncated or notes.gone:
                return


def watch(config: SurrogateConfig, workers: int) -> Iterator[Watched]:
    """Fly all episodes of a recipe, in order; what is seen depends on the recipe alone.

    Raises:
        TrainingError: No such environment, or one that no learned simulator knows.
    """
    numbers = range(config.episodes)
    if workers == 1:
        yield from _episodes(config, numbers)
        return
    shares = [numbers[start : start + _SHARE] for start in numbers[::_SHARE]]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        try:
            for found in pool.map(_share, [config] * len(shares), shares):
                yield from found
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _share(config: SurrogateConfig, numbers: range) -> list[Watched]:
    return list(_episodes(config, numbers))


_cells: dict[str, Pilots] = {}


def _episodes(config: SurrogateConfig, numbers: range) -> Iterator[Watched]:
    shares = [config.expert, config.disturbed, config.pushing]
    shares.append(max(0.0, 1.0 - sum(shares)))
    for number in numbers:
        kwargs = config.kwargs[number % len(config.kwargs)]
        key = repr((config.env, kwargs))
        if key not in _cells:
            _cells[key] = Pilots(config.env, kwargs)
        seed = config.seed * MAX_SEED + number
        pilot: Pilot = np.random.default_rng([seed, 4]).choice(PILOTS, p=np.array(shares) / sum(shares))
        rows = [notes.after() for notes in _cells[key].fly(seed, pilot, config.longest)]
        seen, told = (np.stack(column) for column in zip(*rows, strict=True))
        yield Watched(seen, told, np.full(len(seen), number))
