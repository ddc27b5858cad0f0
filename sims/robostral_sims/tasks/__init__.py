"""What is to be done in a cell: one file per task with its contract, goal, reward, success and scripted expert."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.contract import Contract, Requirements
from robostral.errors import UnknownName
from robostral_sims import TASKS
from robostral_sims.scene import Scene


@dataclass(frozen=True)
class Start:
    """How an episode begins: at rest at `q` [rad], shape (n,), with the contract's external vector."""

    q: NDArray[np.float64]
    external: NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What a policy step was worth, whether the task is done, and figures for `info`."""

    reward: float
    success: bool
    figures: dict[str, float]


class Task(Protocol):
    """A task in a cell. It is told of what happens by `start` and `judge` and holds the state of one episode."""

    @property
    def contract(self) -> Contract:
        """What a policy for this task sees and does."""
        ...

    @property
    def requirements(self) -> Requirements:
        """Where a policy trained here may run."""
        ...

    @property
    def time_limit_s(self) -> float:
        """Length of an episode [s] after which it is cut off."""
        ...

    def start(self, rng: np.random.Generator) -> Start:
        """Draw a new episode."""
        ...

    def judge(self, obs: NDArray[np.float32], chunk: NDArray[np.float32], *, stopped: bool) -> Verdict:
        """Judge the policy step that `chunk`, shape (horizon, n), commanded and that ended in `obs`, or in a stop."""
        ...

    def expert(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the scripted expert does: obs (obs_size,) to chunk (horizon, n), or a row for each of many."""
        ...


def load_task(name: str) -> Callable[[Arm, Scene], Task]:
    """Return the maker of tasks `(arm, scene) -> Task` that is registered as `name`.

    Raises:
        UnknownName: No task has this name.
    """
    if name not in TASKS:
        raise UnknownName("task", name, TASKS)
    module, attribute = TASKS[name].split(":")
    return cast(Callable[[Arm, Scene], Task], getattr(import_module(module), attribute))
