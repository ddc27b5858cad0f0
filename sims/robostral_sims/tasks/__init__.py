"""What is to be done in a cell: one file per task with its contract, goal, reward, success and scripted expert."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.contract import Contract, Requirements
from robostral.errors import ConfigError, UnknownName
from robostral_sims import TASKS
from robostral_sims.randomize import NOMINAL, Plant, Ranges
from robostral_sims.scene import Scene

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Start:
    """How an episode begins: at rest, every part where the scene puts it.

    Attributes:
        q: Joint positions [rad], shape (n,).
        external: The contract's external vector at the first observation.
        scene: The cell of this episode; None is the plant's own.
        rng: Where the noise of the force/torque sensor is drawn from.
    """

    q: FloatArray
    external: FloatArray
    scene: Scene | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))


@dataclass(frozen=True)
class Truth:
    """What really is in the cell now; the arrays are the stepper's own and are filled anew before each observation.

    Attributes:
        q, dq: Joint positions [rad] and velocities [rad/s], shape (n,).
        parts: As `WorldState.parts`: position [m], quat_wxyz, velocities in `world`, shape (k, 13).
        tools: As `WorldState.tools`: gap [m] and rate of a jaw, seal of a vacuum, shape (a, 2).
        time_s: Time since the episode began [s], shape (1,).
        force: Contact force at the wrist [N], as `robostral_sims.sensor.Wrist.force` has it, shape (5,); zeros without
            impedance.
    """

    q: FloatArray
    dq: FloatArray
    parts: FloatArray
    tools: FloatArray
    time_s: FloatArray
    force: FloatArray = field(default_factory=lambda: np.zeros(5))


@dataclass(frozen=True)
class Verdict:
    """What a policy step was worth, whether the task is done, and figures for `info`."""

    reward: float
    success: bool
    figures: dict[str, float]


class Task(Protocol):
    """A task in a cell, made by `(arm, scene)`; the arm is the scene's first, with the tcp of its tool.

    An episode is `start`, then `outside` before every observation, and `judge` after every policy step; the task holds
    the state of one episode. Only `outside` and `judge` know the truth: the policy and the expert see observations.
    """

    @property
    def contract(self) -> Contract:
        """What a policy for this task sees and does."""
        ...

    @property
    def requirements(self) -> Requirements:
        """Where a policy trained here may run."""
        ...

    @property
    def ranges(self) -> Ranges:
        """Figures of the plant that are drawn for each episode, see `robostral_sims.randomize`."""
        ...

    @property
    def time_limit_s(self) -> float:
        """Length of an episode [s] after which it is cut off."""
        ...

    def start(self, rng: np.random.Generator, plant: Plant = NOMINAL) -> Start:
        """Draw a new episode on this plant; `rng` stays the task's for the noise of the whole episode."""
        ...

    def outside(self, truth: Truth, external: FloatArray, belts: FloatArray) -> None:
        """Say what other systems of the plant tell and do from now on.

        Args:
            truth: The cell.
            external: The contract's external vector, to be brought up to date in place.
            belts: Speeds that the conveyors are commanded [m/s], in place, shape (b,).
        """
        ...

    def judge(self, obs: NDArray[np.float32], chunk: NDArray[np.float32], *, truth: Truth, stopped: bool) -> Verdict:
        """Judge the policy step that `chunk`, shape (horizon, actions), commanded and that ended in `obs`."""
        ...

    def expert(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the scripted expert does: obs (obs_size,) to chunk (horizon, actions), or a row for each."""
        ...


def answer_rows(
    fill: Callable[[FloatArray, NDArray[np.float32]], object], obs: NDArray[np.float32], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return an expert's chunks: what `Task.expert` returns, from a function of one observation.

    Args:
        fill: Fills a chunk of zeros, of this shape, for an observation, shape (obs_size,).
        obs: Shape (obs_size,) or (rows, obs_size).
        shape: The contract's `chunk_shape`.
    """
    rows = np.atleast_2d(obs).astype(np.float64)
    chunks = np.zeros((len(rows), *shape), dtype=np.float32)
    for row, chunk in zip(rows, chunks, strict=True):
        fill(row, chunk)
    return chunks.reshape(*np.shape(obs)[:-1], *shape)


def load_task(name: str) -> Callable[[Arm, Scene], Task]:
    """Return the maker of tasks `(arm, scene) -> Task` that is registered as `name`, or any `module:Class`.

    Raises:
        UnknownName: No task has this name.
        ConfigError: There is no such module, or nothing of this name in it.
    """
    if name not in TASKS and ":" not in name:
        raise UnknownName("task", name, TASKS)
    module, _, attribute = TASKS.get(name, name).partition(":")
    try:
        return cast(Callable[[Arm, Scene], Task], getattr(import_module(module), attribute))
    except (ModuleNotFoundError, AttributeError) as error:
        raise ConfigError(f"task '{name}' cannot be loaded: {error}") from error
