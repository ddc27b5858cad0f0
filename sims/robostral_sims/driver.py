"""A World as a driver: the reference plant, in real time for a loop, in lock-step for tests and inside vendor twins."""

import time

import numpy as np
from numpy.typing import NDArray

from robostral.arm import load_arm
from robostral.control.law import JOINT_POSITION, JOINT_TORQUE
from robostral.driver import DriverInfo, DriverState, PlantStatus
from robostral.errors import DriverError
from robostral_sims.catalogue import snake_case
from robostral_sims.engines import World, WorldState, engine_names, load_engine
from robostral_sims.randomize import draw
from robostral_sims.scene import ArmMount, ForceTorque, Scene, load_mounted, load_scene
from robostral_sims.sensor import FORCES, Wrist
from robostral_sims.tasks import Task, Truth, load_task

DEAD_MAN_PERIODS = 20
"""A torque holds for one period, and then for as many more; after that the plant's own servos hold the arm where it is.
Franka's controllers give up after as many lost packets."""
_MAX_CATCH_UP_S = 0.1
"""In real time the plant lives through at most this much in one read; a longer pause of the process is lost time."""


class SimDriver:
    """An arm's plant: it holds the last command and reports q, dq and motor torques as an arm's controller does.

    Its servos hold it until torques come, and again once they stay away: then it takes none until `arm`.

    In lock-step (`realtime=False`) time passes only in `advance`; in real time every `read` first lives through the
    whole periods that have passed since the last one.

    Args:
        arm: Arm's name, or the path of a URDF.
        cell: Cell preset by name or path; its first arm must be `arm`. None is the arm alone.
        rate_hz: Control rate [Hz].
        realtime: Whether the plant follows the monotonic clock.
        engine: Engine's name.
        task: Task whose episode the cell is, by its name: PegInsert puts a hole there, its plant drawn from `seed`; its
            cell is `<arm>-<task>` by default. As it begins: belts stand, and what is told does not change. None is the
            cell as its preset has it.
        seed: Of that episode.

    Attributes:
        mounted: The arm with the tool that the cell gives it.
        task: The task, in the state of this episode; None for none.
        told: What the task would tell a policy from outside, as the contract's external vector has it.

    Raises:
        UnknownName: No such arm, cell, engine or task.
        ConfigError: The cell's file is wrong, or the task does not fit it.
        DriverError: The cell holds another arm, or the rate is not positive.
    """

    def __init__(
        self,
        arm: str = "ur5e",
        cell: str | None = None,
        rate_hz: float = 500.0,
        realtime: bool = True,
        engine: str = "pybullet",
        task: str | None = None,
        seed: int = 0,
    ) -> None:
        if not rate_hz > 0.0:
            raise DriverError(f"rate_hz = {rate_hz} must be positive")
        model = load_arm(arm)
        cell = f"{arm}-{snake_case(task)}" if task and not cell else cell
        self._scene = load_scene(cell) if cell else Scene(arms=(ArmMount(model=arm),))
        if self._scene.arms[0].model != arm or len(self._scene.arms) != 1:
            raise DriverError(f"cell '{cell}' holds {[m.model for m in self._scene.arms]}, not one '{arm}'")
        self._make = load_engine(engine)
        self.mounted = load_mounted(self._scene.arms[0])
        self.task: Task | None = load_task(task)(self.mounted, self._scene) if task else None
        self._seed, self.told = seed, np.zeros(0)
        mount = self._scene.arms[0]
        self._wrist = Wrist.of(mount, self.mounted.chain, 1.0 / rate_hz) if mount.sensor else None
        self._home, self._realtime = model.home, realtime
        self._period_ns = round(1e9 / rate_hz)
        modes = (JOINT_POSITION, JOINT_TORQUE) if engine in engine_names() else (JOINT_POSITION,)
        senses = ("tau", "wrench") if self._wrist else ("tau",)
        self._info = DriverInfo("sim", model.name, model.chain.joint_names, True, modes, rate_hz, senses)
        self._q_c, self._tau_c = np.zeros((1, model.chain.n)), np.zeros(model.chain.n)
        self._q, self._dq, self._tau = np.zeros((3, model.chain.n))
        self._wrenches = np.zeros((1, 6))
        self._torques, self._silent = False, 0
        self._world: World | None = None
        self._status, self._ticks, self._lived_ns = PlantStatus.NOT_RUNNING, 0, 0

    @property
    def info(self) -> DriverInfo:
        """Name, joints, rate and that the plant is a twin."""
        return self._info

    @property
    def q_c(self) -> NDArray[np.float64]:
        """The command that the servos follow [rad], shape (n,); a copy."""
        return np.array(self._q_c[0])

    def connect(self, q: NDArray[np.float64] | None = None) -> None:
        """Build the world, the arm at rest at `q` [rad], shape (n,); by default at home, or where the task begins."""
        rng, home, scene = np.random.default_rng(self._seed), self._home, self._scene
        if self.task is not None:
            plant = draw(self.task.ranges, rng)
            episode = self.task.start(rng, plant)
            home, self.told, scene = episode.q, episode.external, episode.scene or plant.apply(scene)
        start = np.array(home if q is None else q, dtype=np.float64)
        if self._world is None:
            self._world = self._make(self._scene, self._period_ns * 1e-9)
        self._world.reset(WorldState.at_rest(scene, start), scene)
        if self._wrist is not None:
            self._wrist.reset(scene.arms[0].sensor or ForceTorque(), rng)
        self._q_c[0], self._ticks, self._lived_ns, self._torques = start, 0, time.monotonic_ns(), False
        self._status = PlantStatus.OK

    def advance(self, periods: int = 1) -> None:
        """Let the plant live through `periods` control periods, holding the last command.

        Raises:
            DriverError: Not connected.
        """
        world = self._connected()
        for _ in range(periods):
            self._silent += 1
            if self._torques and self._silent > 1 + DEAD_MAN_PERIODS:
                self._hold(world)
            if self._torques:
                world.run_torque(self._tau_c)
            else:
                world.run(self._q_c)
            if self._wrist is not None:
                world.read(self._q, self._dq, self._tau)
                world.read_wrenches(self._wrenches)
                self._wrist.step(self._q, self._wrenches[0], self._wrist.noise(1)[0])
        self._ticks += periods

    def read(self, state: DriverState) -> int:
        """Fill `state` with the newest measurement; return a `PlantStatus`."""
        if self._world is None:
            return PlantStatus.DISCONNECTED
        if self._realtime:
            self._catch_up()
        self._world.read(state.q, state.dq, state.tau)
        if self._wrist is not None:
            state.wrench[:] = self._wrist.reading
        state.t_ns = time.monotonic_ns()
        state.plant_time_s = self._ticks * self._period_ns * 1e-9
        return self._status

    def arm(self) -> int:
        """Say whether the plant takes commands; from now on it takes torques, too."""
        self._silent = 0
        return PlantStatus.DISCONNECTED if self._world is None else self._status

    def write(self, q_c: NDArray[np.float64]) -> int:
        """Command joint positions [rad], shape (n,), from the next period on; return a `PlantStatus`."""
        if self._world is None:
            return PlantStatus.DISCONNECTED
        if self._status != PlantStatus.OK:
            return self._status
        if q_c.shape != self._q_c[0].shape or not np.isfinite(q_c).all():
            return PlantStatus.REFUSED
        self._q_c[0], self._torques = q_c, False
        return PlantStatus.OK

    def write_torque(self, tau_c: NDArray[np.float64]) -> int:
        """Command joint torques [N·m], shape (n,), gravity's share included; return a `PlantStatus`."""
        if self._world is None:
            return PlantStatus.DISCONNECTED
        if self._status != PlantStatus.OK:
            return self._status
        lost = self._silent > 1 + DEAD_MAN_PERIODS
        if lost or JOINT_TORQUE not in self._info.command_modes or tau_c.shape != self._tau_c.shape:
            return PlantStatus.REFUSED
        if not np.isfinite(tau_c).all():
            return PlantStatus.REFUSED
        self._tau_c[:], self._torques, self._silent = tau_c, True, 0
        return PlantStatus.OK

    def stop(self) -> None:
        """Make the plant hold the arm, and take no command until it is connected again."""
        if self._world is not None:
            self._hold(self._world)
            self._status = PlantStatus.NOT_RUNNING

    def close(self) -> None:
        """Release the world; calling it twice is harmless."""
        if self._world is not None:
            self._world.close()
            self._world = None

    def truth(self) -> Truth:
        """Return what really is in the cell now, as the judge of a task asks for it; no policy sees it.

        Raises:
            DriverError: Not connected.
        """
        world = self._connected()
        q, dq, tau = np.zeros((3, world.n))
        parts, tools = np.zeros((len(self._scene.parts), 13)), np.zeros((1, 2))
        world.read(q, dq, tau)
        world.read_parts(parts)
        world.read_tools(tools)
        force = self._wrist.force.copy() if self._wrist is not None else np.zeros(FORCES)
        return Truth(q, dq, parts, tools, np.array([self._ticks * self._period_ns * 1e-9]), force)

    def _connected(self) -> World:
        if self._world is None:
            raise DriverError("the simulated plant is not connected; call connect() first")
        return self._world

    def _hold(self, world: World) -> None:
        """Hold the arm where it is, if torques did: their place is taken by the servos."""
        if self._torques:
            world.read(self._q_c[0], self._dq, self._tau)
            self._torques = False

    def _catch_up(self) -> None:
        passed = (time.monotonic_ns() - self._lived_ns) // self._period_ns
        self._lived_ns += passed * self._period_ns
        self.advance(min(passed, int(_MAX_CATCH_UP_S * 1e9) // self._period_ns))
