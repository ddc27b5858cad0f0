"""Thousands of PickPlace cells on one core: the simulator of engine `surrogate`, a policy step of all at once."""

import math
from collections.abc import Callable
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from robostral import bundle as bundles
from robostral.bundle import OnnxPolicy
from robostral.bundle.policy import open_session
from robostral.contract import Sealed, check_same
from robostral.errors import ConfigError
from robostral.guard import Workspace, cell_guard
from robostral.guard.table import Reason
from robostral.kinematics.lm import ik_workspace
from robostral.signals import Signals
from robostral_sims.camera import Mounting
from robostral_sims.engines.surrogate import BUNDLE, MAX_OUTSIDE
from robostral_sims.env import CellEnv, EnvError, chunk_kernel
from robostral_sims.learned import SAID, SEEN
from robostral_sims.many_cells import (
    BEYOND,
    FIGURES_READ,
    RUNNING,
    STOPPED,
    SUCCESS,
    Draw,
    Place,
    Site,
    begin_cells_kernel,
    happen_cells_kernel,
    new_cells,
    new_room,
    observe_cells_kernel,
    see_cells_kernel,
)
from robostral_sims.many_moves import ManyArms
from robostral_sims.randomize import FIGURES
from robostral_sims.scene import load_mounted
from robostral_sims.solids import transform
from robostral_sims.tasks.pick_place import PickPlace
from robostral_sims.watch import contract_of, hand, jaw_of, part_of

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class SurrogateVecEnv(VectorEnv[Floats, Floats, Any]):
    """Cells of one kind that step together; a finished one begins its next episode in the same step.

    Contract, observations, rewards, success, episodes and plants are those of `CellEnv` with engine `surrogate`, by the
    same kernels: `reset(seed=s)` gives cell i the episode that the environment draws with the seed s + i, whatever `n`.
    Later episodes go on with the same stream of numbers, but need not be the environment's. `infos` has `final_obs`
    and `final_info` (success, reason, time_s, position_error_m, rotation_error_rad) where an episode ended.

    Between a policy and the arms stands, with `guard="steps"`, the filter of `robostral_sims.many_arms`, which says
    what it does not look for; with `guard="ticks"` the whole guard at every control tick, which takes tens of times as
    long. What was learned in here has to be tried in an engine behind the whole guard before it is believed.

    Args:
        n: How many cells.
        bundle: Name or path of the learned simulator.
        guard: What stands between a policy and the arms.
        options: Arguments of `CellEnv` but engine and render_mode; task `PickPlace` if it is not named.

    Attributes:
        stages: What a step is made of, by name, in order.

    Raises:
        EnvError: `n` is not positive.
        ConfigError: No learned simulator knows such a cell, or an actuator of it has dead time.
        UnknownName: No such arm, cell, or bundle.
        ContractMismatch: The bundle is of another jaw.
    """

    def __init__(
        self, n: int, *, bundle: str = BUNDLE, guard: Literal["steps", "ticks"] = "steps", **options: Any
    ) -> None:
        if n < 1:
            raise EnvError(f"n = {n} cells; at least one")
        one = self._one = CellEnv(**{"task": "PickPlace", "arm": "panda", **options, "engine": f"surrogate:{bundle}"})
        task, mount = one.task, one.scene.arms[0]
        if not isinstance(task, PickPlace):
            raise ConfigError(f"many cells at once are known for task 'PickPlace' only, not '{one.options['task']}'")
        if mount.actuator.delay_s:
            raise ConfigError(
                f"'{mount.device}': many cells at once know no dead time; delay_s = {mount.actuator.delay_s}"
            )
        loaded = bundles.load(bundles.find(bundle))
        policy = OnnxPolicy(loaded)  # tries the model; the session below has no bound of rows, as a server's has
        self._session = open_session(loaded.model_bytes)
        ours = Sealed.seal(contract_of(jaw_of(one.scene), one.contract.action.dt_s))
        check_same(ours, policy.sealed, "the cell's jaw", f"bundle '{bundle}'")
        self.num_envs, self.sealed, self.task = n, one.sealed, task
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = one.observation_space, one.action_space
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        self._build(n, guard == "ticks")
        self.stages, self._figures = self._plan_stages(), self._plan_figures()
        self._rngs: dict[int, np.random.Generator] = {}
        one.close()

    def _build(self, n: int, whole: bool) -> None:
        one, task, mount = self._one, self.task, self._one.scene.arms[0]
        arm, contract, jaw = load_mounted(mount), one.contract, jaw_of(one.scene)
        dt_s, joints, box = 1.0 / one.control_hz, arm.chain.n, one.scene.regions.get("workspace")
        bounds = Workspace(box.low, box.high) if box else None
        cell = cell_guard(arm, contract.action.kind, dt_s, bounds, keep_out=one.scene.keep_out)
        signals = Signals(contract, arm.chain)
        self._plan, self._many = signals.plan, ManyArms(cell, contract, signals.bounds, n, whole=whole)
        longest = math.ceil(task.time_limit_s / contract.action.dt_s - 1e-9)
        self._site = Site(
            arm.chain.model,
            transform(mount.base),
            Mounting(mount.base).back,
            hand(jaw),
            jaw.opening,
            2.0 * jaw.speed * dt_s,
            dt_s,
            self._many.ticks,
            contract.action.dt_s,
            longest,
            MAX_OUTSIDE,
        )
        base, part = np.array([*mount.base.p, *mount.base.quat_wxyz]), part_of(one.scene)
        self._place = Place(base, *task.frame, part, arm.limits.array, arm.home, ik_workspace(arm.chain))
        self._cells = new_cells(n, longest)
        self._seen, self._said = np.zeros((n, SEEN), np.float32), np.zeros((n, SAID), np.float32)
        self._chunks = np.zeros((n, *contract.chunk_shape), np.float32)
        self._obs, self._all = np.zeros((n, signals.obs_size), np.float32), np.arange(n)
        self._room = new_room(joints)
        low, high = np.array(contract.action.low), np.array(contract.action.high)
        self._middle, self._reach = (low + high) / 2.0, (high - low) / 2.0

    def _ask(self) -> None:
        """Ask the network about the cells whose part may move; far from the hand it would say nothing that counts."""
        rows = np.flatnonzero(self._cells.free)
        if len(rows):
            self._said[rows] = self._session.run(["chunk"], {"obs": self._seen[rows]})[0][:, 0]

    def _plan_stages(self) -> dict[str, Callable[[], Any]]:
        same = self._site, self._many.arms, self._cells
        return {
            "arms": lambda: self._many.move(self._chunks),
            "seeing": lambda: see_cells_kernel(*same, self._room, self._seen),
            "network": self._ask,
            "happening": lambda: happen_cells_kernel(*same, self._chunks, self._seen, self._said),
            "observing": lambda: observe_cells_kernel(self._all, self._plan, *same, self._room, self._obs),
        }

    def _plan_figures(self) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], FloatArray, Rows, Rows]:
        """Say of a draw where each range begins, how long it is, and if its logarithm is drawn; then the nominal plant.

        Last come which of `FIGURES_READ` are drawn, and where in the draw they stand.
        """
        ranges = self.task.ranges if self._one.options["randomize"] else {}
        logs = np.array([one.law == "log-uniform" for one in ranges.values()], bool)
        ends = np.array([(one.low, one.high) for one in ranges.values()]).reshape(-1, 2)
        ends[logs] = np.log(ends[logs])
        mount, drawn = self._one.scene.arms[0], list(ranges)
        own = {"stiffness": mount.servo.stiffness, "feed_forward": mount.servo.feed_forward}
        own |= {"lag_s": mount.actuator.lag_s, "round": 0.0}
        nominal = np.array([own[name] if name in own else FIGURES[name].nominal for name in FIGURES_READ])
        read = [(k, drawn.index(name)) for k, name in enumerate(FIGURES_READ) if name in ranges]
        which = np.array(read, np.int64).reshape(-1, 2)
        return ends[:, 0], ends[:, 1] - ends[:, 0], logs, nominal, which[:, 0], which[:, 1]

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode in each cell; returns observations, shape (n, obs_size), and infos.

        Raises:
            EnvError: An option, or seeds of another number.
        """
        if options:
            raise EnvError(f"reset of many cells has no options; got {sorted(options)}")
        n = self.num_envs
        seeds = [seed + i for i in range(n)] if isinstance(seed, int) else seed or [None] * n
        if len(seeds) != n:
            raise EnvError(f"{len(seeds)} seeds for {n} cells")
        for i, one in enumerate(seeds):
            if one is not None or i not in self._rngs:
                self._rngs[i], _ = gymnasium.utils.seeding.np_random(one)
        self._begin(self._all)
        return self._obs.copy(), {}

    def step(
        self, actions: Floats
    ) -> tuple[Floats, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step all cells with actions, shape (n, horizon, k), shares of the contract's bounds.

        Raises:
            EnvError: Not reset, a wrong shape, or not a number.
        """
        if not self._rngs:
            raise EnvError("no episode has begun: call reset() before step()")
        actions = np.asarray(actions, dtype=np.float32)
        if actions.shape != self._chunks.shape:
            raise EnvError(f"actions have the shape {actions.shape}, these need {self._chunks.shape}")
        k = self._reach.size
        if not chunk_kernel(actions.reshape(-1, k), self._middle, self._reach, self._chunks.reshape(-1, k)):
            raise EnvError("actions hold a NaN or an infinity")
        for stage in self.stages.values():
            stage()
        cells = self._cells
        terminated = (cells.ends == SUCCESS) | (cells.ends == STOPPED)
        truncated = cells.ends > STOPPED
        rewards = cells.rewards.copy() if self._one.options["reward"] == "dense" else (cells.ends == SUCCESS) - 1.0
        infos = self._end(np.flatnonzero(cells.ends)) if cells.ends.any() else {}
        return self._obs.copy(), rewards, terminated, truncated, infos

    def _end(self, rows: Rows) -> dict[str, Any]:
        """Note how episodes ended, and begin the next ones."""
        cells, arms = self._cells, self._many.arms
        over = cells.ends != RUNNING
        final_obs = np.full(self.num_envs, None, dtype=object)
        reasons = np.full(self.num_envs, None, dtype=object)
        for row in rows.tolist():
            final_obs[row] = self._obs[row].copy()
            reasons[row] = self._reason(row)
        info = {
            "success": cells.ends == SUCCESS,
            "reason": reasons,
            "time_s": arms.steps * self._site.dt_s,
            "position_error_m": cells.figures[:, 0].copy(),
            "rotation_error_rad": cells.figures[:, 1].copy(),
        }
        info |= {f"_{name}": over for name in info}
        self._begin(rows)
        return {"final_obs": final_obs, "_final_obs": over, "final_info": info, "_final_info": over}

    def _reason(self, row: int) -> str:
        end = int(self._cells.ends[row])
        if end == STOPPED:
            return f"guard: {Reason(int(self._many.arms.codes[row])).name}"
        return "success" if end == SUCCESS else "beyond what was trained on" if end == BEYOND else "time limit"

    def _begin(self, rows: Rows) -> None:
        """Begin an episode in some cells, with the draws of `randomize.draw` and of the task, and observe them."""
        low, span, logs, nominal, into, of = self._figures
        cells, arms, k = self._cells, self._many.arms, len(rows)
        drawn, shares, figures = np.empty((k, len(low))), np.empty((k, 13)), np.empty((k, len(nominal)))
        for i, row in enumerate(rows.tolist()):
            rng = self._rngs[row]
            rng.random(out=drawn[i])
            shares[i], _ = self.task.draw_shares(rng)
            rng.standard_normal(out=cells.noise[row])
        drawn = low + span * drawn
        drawn[:, logs] = np.exp(drawn[:, logs])
        figures[:] = nominal
        figures[:, into] = drawn[:, of]
        draw = Draw(shares, figures, np.zeros(k, bool), np.empty((k, len(self._room.q))))
        if not begin_cells_kernel(rows, self._site, self._place, draw, arms, cells, self._room):
            for i in np.flatnonzero(~draw.stands).tolist():
                draw.q[i] = self.task.stand(shares[i])
            draw.stands[:] = True
            begin_cells_kernel(rows, self._site, self._place, draw, arms, cells, self._room)
        self._many.begin(rows, draw.q)
        observe_cells_kernel(rows, self._plan, self._site, arms, cells, self._room, self._obs)

    def close_extras(self, **kwargs: Any) -> None:
        """Release the session; called by `close`."""
        self._session = None
