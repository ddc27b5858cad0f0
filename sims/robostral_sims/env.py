"""A cell as a Gymnasium environment: spaces from the contract, one policy step per `step`."""

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robostral.arm import load_arm
from robostral.contract import Contract, ObsField, Requirements, Sealed
from robostral.errors import ConfigError, RobostralError, UnknownName
from robostral.jit import kernel
from robostral_sims.catalogue import snake_case
from robostral_sims.engines import BeyondTraining, World, WorldState, load_engine
from robostral_sims.randomize import NOMINAL, draw
from robostral_sims.scene import load_mounted, load_scene
from robostral_sims.stepper import CellStepper
from robostral_sims.tasks import Task, Truth, load_task

if TYPE_CHECKING:
    from robostral_sims.shadow import Shadow
    from robostral_sims.watch import Watcher

_BOUNDS = {
    "rad": 4.0 * np.pi, "rad/s": 100.0, "m": 10.0, "m/s": 10.0, "1": 1.001, "m or 1": 1.001, "N": 1e5, "N·m": 1e5,
}  # fmt: skip
"""What no observation exceeds, by unit; spaces must be finite, and nothing is clipped to them."""
_REWARDS = ("dense", "sparse")


class EnvError(RobostralError):
    """An environment was used in a way that it cannot answer."""


@kernel
def chunk_kernel(
    action: NDArray[np.float32], middle: NDArray[np.float64], reach: NDArray[np.float64], out: NDArray[np.float32]
) -> bool:
    """Fill a chunk [units of the contract] from shares of its bounds, shape (rows, n) both; say if all are finite."""
    finite = True
    for i in range(action.shape[0]):
        for j in range(action.shape[1]):
            out[i, j] = middle[j] + reach[j] * action[i, j]
            finite = finite and math.isfinite(action[i, j])
    return finite


class CellEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """One task in one cell, with the observation code, control law and guard of the real arm.

    An action is a whole chunk, shape (horizon, n), in shares of the contract's bounds: -1 is `low`, +1 is `high`.
    `to_action` and `to_chunk` convert. A step executes the chunk for one policy period; its further rows are what a
    late server would leave to the arm, and are used for as long as the episode's latency lasts.

    `info` holds `success`, `reason` (`running`, `success`, `time limit`, the guard's reason, or what a learned engine
    refuses to go on with, which truncates the episode), the task's figures, how many set-points the guard changed, and
    what was drawn for the episode (`plant`).

    Args:
        task: Task's name.
        arm: Arm's name.
        engine: Engine's name.
        cell: Cell preset by name or path; `<arm>-<task>` by default.
        rate_hz: Control rate [Hz], a multiple of the policy's rate inside the requirements' range; None is 250 Hz, or
            the lowest rate of that range where that is higher.
        randomize: Whether each episode draws its own plant; otherwise all are the nominal one.
        render_mode: None or `rgb_array`.
        reward: `dense`, as the task judges, or `sparse`: 0 for the step that succeeds, -1 for any other.

    Raises:
        UnknownName: No such task, arm, engine or cell; the nearest name is suggested.
        ConfigError: The cell's file is wrong, or the rate does not fit the contract.
    """

    metadata = {  # noqa: RUF012 - Gymnasium declares it so
        "render_modes": ["rgb_array"],
        "render_fps": 25,
    }

    def __init__(
        self,
        task: str = "Reach",
        arm: str = "ur5e",
        engine: str = "pybullet",
        cell: str | None = None,
        rate_hz: float | None = None,
        randomize: bool = True,
        render_mode: str | None = None,
        reward: str = "dense",
    ) -> None:
        make_task, make_world, _ = load_task(task), load_engine(engine), load_arm(arm)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise EnvError(f"render_mode '{render_mode}' is not one of {self.metadata['render_modes']}")
        if reward not in _REWARDS:
            raise UnknownName("reward", reward, _REWARDS)
        self.render_mode, self._sparse = render_mode, reward == "sparse"
        self.options: dict[str, str | float | bool | None] = {
            "task": task, "arm": arm, "engine": engine, "cell": cell, "rate_hz": rate_hz, "randomize": randomize,
            "reward": reward,
        }  # fmt: skip
        """What this environment was made with: `CellEnv(**options)` makes it again."""
        self.scene = load_scene(cell or f"{arm}-{snake_case(task)}")
        if self.scene.arms[0].model != arm:
            raise ConfigError(f"the first arm of cell '{cell}' is a '{self.scene.arms[0].model}', not a '{arm}'")
        model = load_mounted(self.scene.arms[0])
        self.task: Task = make_task(model, self.scene)
        self.sealed = Sealed.seal(self.task.contract)
        self._ranges = self.task.ranges if randomize else {}
        low_hz, high_hz = self.requirements.control_hz
        rate_hz = max(250.0, low_hz) if rate_hz is None else rate_hz
        if not low_hz <= rate_hz <= high_hz:
            raise ConfigError(f"rate_hz = {rate_hz:g} is outside the control rates [{low_hz:g}, {high_hz:g}] Hz")
        self.control_hz = rate_hz
        """Rate of law, guard and engine [Hz]."""
        self._stepper = CellStepper(model, self.contract, self.scene, 1.0 / rate_hz)
        self._open = partial(make_world, self.scene, 1.0 / rate_hz)
        self._world: World | None = self._open()
        self.episode_scene = self.scene
        """The cell as this episode has it."""
        self._running, self._steps = False, 0
        self._plant = NOMINAL

        bound = np.concatenate([_bounds(field) for field in self.contract.obs])
        self.observation_space = spaces.Box(-bound.astype(np.float32), bound.astype(np.float32), dtype=np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, self.contract.chunk_shape, np.float32)
        low, high = np.array(self.contract.action.low), np.array(self.contract.action.high)
        self._middle, self._reach = (high + low) / 2.0, (high - low) / 2.0

    @property
    def contract(self) -> Contract:
        """What a policy for this environment sees and does; prints as a table."""
        return self.sealed.contract

    @property
    def requirements(self) -> Requirements:
        """Where a policy trained here may run."""
        return self.task.requirements

    @property
    def truth(self) -> Truth:
        """What really is in the cell, as of the last observation; no policy sees it."""
        return self._stepper.truth

    @property
    def tools_c(self) -> NDArray[np.float64]:
        """What the tools are commanded, one number an arm, shape (a,)."""
        return self._stepper.tools_c

    @property
    def late_s(self) -> float:
        """How far into a policy step of this episode a new chunk takes over from the one before [s]."""
        return self._stepper.late_s

    @property
    def world(self) -> World:
        """The cell itself; another one may be put in its place between two episodes.

        Raises:
            EnvError: The environment is closed.
        """
        if self._world is None:
            raise EnvError("the environment is closed: call reset() first")
        return self._world

    @world.setter
    def world(self, world: World) -> None:
        self._world = world

    def shadow(self, engine: str) -> "Shadow":
        """Let another engine, a learned one say, do beside this cell what it does; see `robostral_sims.shadow`.

        Raises:
            ConfigError: The cell is not one that a learned simulator knows.
            UnknownName: There is no such engine.
        """
        from robostral_sims.shadow import Shadow

        return Shadow(self, engine)

    def watch(self) -> "Watcher":
        """Return what notes each step of an episode for a learned simulator.

        Raises:
            ConfigError: The cell is not one that a learned simulator knows.
        """
        from robostral_sims.watch import Watcher

        return Watcher(self)

    def expert(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scripted expert's chunk [units of the contract]: obs (obs_size,) to (horizon, n), or rows of both.

        It is a function of the observation alone; what it returns goes through `to_action` into `step`.
        """
        return self.task.expert(obs)

    def to_action(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn chunks [units of the contract] into actions [shares of its bounds]."""
        return np.asarray((chunk - self._middle) / self._reach, dtype=np.float32)

    def to_chunk(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn actions [shares of the contract's bounds] into chunks [its units]."""
        chunk = np.empty(action.shape, dtype=np.float32)
        chunk_kernel(
            action.reshape(-1, self._reach.size), self._middle, self._reach, chunk.reshape(-1, self._reach.size)
        )
        return chunk

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Build the world anew, also after `close`, and begin an episode; same seed, same bits.

        Args:
            seed: Seed of this and all later episodes; None goes on with the present one.
            options: None, or `{"plant": figures}`: figures of the plant, as `info["plant"]` tells them, in place of
                what the seed draws.

        Raises:
            EnvError: Another option.
            UnknownName: No figure of a plant has this name.
        """
        super().reset(seed=seed)
        for name in set(options or ()) - {"plant"}:
            raise EnvError(f"reset has no option '{name}'; it has 'plant'")
        self._plant = draw(self._ranges, self.np_random, (options or {}).get("plant"))
        start = self.task.start(self.np_random, self._plant)
        scene = self.episode_scene = start.scene or self._plant.apply(self.scene)
        self._world = self._world or self._open()
        self._world.reset(WorldState.at_rest(scene, start.q), scene)
        self._stepper.reset(self._world, start, self.task, scene, self._plant["latency_s"])
        self._running, self._steps = True, 0
        return self._stepper.observe(), self._info(success=False, reason="running", figures={})

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Execute an action for one policy step.

        Args:
            action: Shape (horizon, n), shares of the contract's bounds; beyond +-1 it is clipped, as on the arm.

        Raises:
            EnvError: Not reset, the episode is over, a wrong shape, or not a number.
        """
        if not self._running:
            raise EnvError("the episode is over, or has not begun: call reset() before step()")
        action = np.asarray(action, dtype=np.float32)
        if action.shape != self.action_space.shape:
            raise EnvError(f"action has the shape {action.shape}, the contract needs {self.action_space.shape}")
        chunk = np.empty(action.shape, dtype=np.float32)
        if not chunk_kernel(action, self._middle, self._reach, chunk):
            raise EnvError("action holds a NaN or an infinity")
        try:
            stopped, beyond = self._stepper.step(chunk), ""
        except BeyondTraining as error:
            stopped, beyond = None, str(error)
        self._steps += 1
        obs = self._stepper.observe()
        verdict = self.task.judge(obs, chunk, truth=self._stepper.truth, stopped=stopped is not None)
        late = self._steps * self.contract.action.dt_s >= self.task.time_limit_s - 1e-9
        success = verdict.success and not beyond
        reason = "success" if success else stopped or beyond or ("time limit" if late else "running")
        terminated, truncated = success or stopped is not None, bool(beyond) or reason == "time limit"
        self._running = not (terminated or truncated)
        info = self._info(success=success, reason=reason, figures=verdict.figures)
        reward = float(success) - 1.0 if self._sparse else verdict.reward
        return obs, reward, terminated, truncated, info

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the cell as its camera sees it, shape (240, 320, 3); None without a render mode.

        Raises:
            EnvError: The environment is closed.
        """
        if self._world is None:
            raise EnvError("the environment is closed: call reset() before render()")
        return self._world.render(320, 240) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Release the engine; calling it twice is harmless."""
        self._running = False
        if self._world is not None:
            self._world.close()
            self._world = None

    def _info(self, *, success: bool, reason: str, figures: dict[str, float]) -> dict[str, Any]:
        return {
            "success": success,
            "reason": reason,
            "limited": self._stepper.limited,
            "time_s": self._steps * self.contract.action.dt_s,
            "plant": dict(self._plant.figures),
            **figures,
        }


def _bounds(field: ObsField) -> NDArray[np.float64]:
    """Return what no number of this field exceeds, shape (size,); its units share it evenly, in order."""
    units = field.unit.split(", ")
    return np.repeat([_BOUNDS[unit] for unit in units], field.size // len(units))
