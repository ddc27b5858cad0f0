"""Bullet through PyBullet: one private client per World, nothing drawn, nothing asleep, every reset a rebuild."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.arm import load_arm
from robostral.extras import quiet, require
from robostral_sims.actuator import Actuators
from robostral_sims.engines import EngineError, WorldState
from robostral_sims.engines.pybullet_build import add_body, built_tool, to_bullet, write_urdf
from robostral_sims.engines.pybullet_tools import MountedArm
from robostral_sims.scene import Body, Box, Scene, Vacuum

with quiet():  # it greets with the time it was built
    p: Any = require("pybullet", "sim")


class PyBulletWorld:
    """A scene in Bullet; implements `robostral_sims.engines.World`.

    A surface's stiffness is a figure of each contact's two sides, in series; coefficients of friction multiply.

    Args:
        scene: The cell.
        dt_s: Control period [s]; also the engine's step.
        drawn: Whether this World is there to be looked at.

    Raises:
        EngineError: Bullet has no free client, or refuses an inertia or a body of more primitives than it takes.
        UnknownName: An arm of the scene has no table.
    """

    def __init__(self, scene: Scene, dt_s: float, *, drawn: bool = False) -> None:
        self._dt_s, self._scene = dt_s, scene
        self._drawn = drawn
        self._viewer: PyBulletWorld | None = None
        self._models = [load_arm(mount.model) for mount in scene.arms]
        self._starts = np.cumsum([0, *(arm.chain.n for arm in self._models)]).tolist()
        self._folder = tempfile.TemporaryDirectory(prefix="robostral-")
        self._urdfs: dict[Any, str] = {}
        self._tau: NDArray[np.float64] | None = None
        self._measured = np.zeros((3, self.n))
        self._client = p.connect(p.DIRECT)
        if self._client < 0:
            raise EngineError("PyBullet gives no client: this process holds too many open Worlds; close some")
        home = np.concatenate([arm.home for arm in self._models])
        try:
            self.reset(WorldState.at_rest(scene, home))
        except EngineError:
            self.close()
            raise

    @property
    def n(self) -> int:
        """Number of joints of all arms."""
        return int(self._starts[-1])

    @property
    def dt_s(self) -> float:
        """Control period [s]."""
        return self._dt_s

    def reset(self, state: WorldState, scene: Scene | None = None) -> None:
        """Build the world anew in `state`.

        Raises:
            EngineError: Bullet refuses an inertia, or `scene` mounts other arms.
        """
        scene = scene or self._scene
        if [m.model for m in scene.arms] != [m.model for m in self._scene.arms]:
            raise EngineError("a World keeps its arms: make a new one for other arms")
        self._scene, c = scene, self._client
        p.resetSimulation(physicsClientId=c)
        p.setPhysicsEngineParameter(
            fixedTimeStep=self._dt_s,
            numSolverIterations=scene.solver_iterations,
            deterministicOverlappingPairs=1,
            physicsClientId=c,
        )
        p.setGravity(*scene.gravity, physicsClientId=c)
        ids = [add_body(p, c, body, scene.material(body), drawn=self._drawn) for body in scene.bodies]
        self._parts = [uid for uid, body in zip(ids, scene.bodies, strict=True) if body.mass > 0.0]
        belts = [Body(belt.name, Box(belt.size), belt.pose, rgba=belt.rgba) for belt in scene.conveyors]
        materials = [scene.material(belt) for belt in scene.conveyors]
        self._belts = [add_body(p, c, *pair, drawn=self._drawn) for pair in zip(belts, materials, strict=True)]
        self._arms = [self._add_arm(i) for i in range(len(scene.arms))]
        self._place(state)

    def run(self, q_c: NDArray[np.float64]) -> None:
        """Advance by one tick for each row of `q_c`, shape (ticks, n) [rad].

        Note:
            The servo aims at where the set-point was when the tick began, and feeds forward the velocity that brings
            it to where it will be at the tick's end: with `feed_forward` 1 it follows without lag.
        """
        if self._tau is not None:
            self._hold_still()
        reached = self._actuators.positions(q_c)
        c, step, motor, beside = self._client, p.stepSimulation, p.setJointMotorControlArray, self._beside()
        orders = [(*arm.drive(self._aim, reached), arm.motor, arm.strength) for arm in self._arms]
        for tick in range(len(q_c)):
            for aims, speeds, (body, joints, mode), (tau_max, gains, ones, client) in orders:
                motor(body, joints, mode, aims[tick], speeds[tick], tau_max, gains, ones, client)
            step(c)
            if beside:
                self._look_beside()
        self._q_c[:] = q_c[-1]

    def run_torque(self, tau_c: NDArray[np.float64]) -> None:
        """Advance by one tick under joint torques [N·m], shape (n,), in place of the servos; gravity acts too."""
        c = self._client
        if self._tau is None:
            self._tau = np.zeros(self.n)
            for arm in self._arms:
                none = [0.0] * len(arm.joints)
                p.setJointMotorControlArray(arm.body, arm.joints, p.VELOCITY_CONTROL, forces=none, physicsClientId=c)
        q, dq, _ = self._measured
        self.read(q, dq, self._measured[2])
        self._tau[:] = self._actuators.torques(tau_c, dq)
        for arm in self._arms:
            arm.drive_torque(self._tau[arm.rows].tolist())
        p.stepSimulation(c)
        if self._beside():
            self._look_beside()

    def set_tools(self, command: NDArray[np.float64]) -> None:
        """Command each arm's tool from now on, shape (a,): gap of a jaw [m], 1 or 0 of a vacuum; others ignore it."""
        self._tools_c[:] = command
        for arm, value in zip(self._arms, command.tolist(), strict=True):
            arm.command(value)

    def set_belts(self, speed: NDArray[np.float64]) -> None:
        """Run the conveyors at these speeds [m/s] from now on, shape (b,)."""
        self._speeds[:] = speed
        self._move_belts()

    def read(self, q: NDArray[np.float64], dq: NDArray[np.float64], tau: NDArray[np.float64]) -> None:
        """Fill measured positions [rad], velocities [rad/s] and motor torques [N·m], shape (n,) each."""
        for arm in self._arms:
            states = arm.states()[: len(arm.joints)]
            q[arm.rows], dq[arm.rows], _, tau[arm.rows] = zip(*states, strict=True)
        if self._tau is not None:
            tau[:] = self._tau

    def read_parts(self, out: NDArray[np.float64]) -> None:
        """Fill the parts' states, shape (k, 13), as in `WorldState.parts`."""
        for row, body in zip(out, self._parts, strict=True):
            at, (x, y, z, w) = p.getBasePositionAndOrientation(body, physicsClientId=self._client)
            linear, angular = p.getBaseVelocity(body, physicsClientId=self._client)
            row[:] = (*at, w, x, y, z, *linear, *angular)

    def read_tools(self, out: NDArray[np.float64]) -> None:
        """Fill the tools' states, shape (a, 2): a jaw's gap [m] and rate [m/s]; a vacuum's seal, 1 or 0, and 0."""
        for row, arm in zip(out, self._arms, strict=True):
            row[:] = arm.read_tool()

    def read_wrenches(self, out: NDArray[np.float64]) -> None:
        """Fill what tool and world exert on each flange, shape (a, 6): force [N], moment [N·m] there, in `base`."""
        for row, arm in zip(out, self._arms, strict=True):
            arm.read_wrench(row)

    def capture(self) -> WorldState:
        """Return the present state; `reset` with it always continues in the same way."""
        q, dq, tau = np.zeros((3, self.n))
        self.read(q, dq, tau)
        parts, tools = np.zeros((len(self._parts), 13)), np.zeros((len(self._arms), 2))
        self.read_parts(parts)
        self.read_tools(tools)
        for row, arm, command in zip(tools, self._arms, self._tools_c, strict=True):
            if isinstance(arm.tool, Vacuum):
                row[0] = command
        held = np.array([arm.held for arm in self._arms])
        q_c = self._q_c.copy() if self._tau is None else q.copy()
        return WorldState(q, dq, q_c, parts, tools, self._tools_c.copy(), held, self._speeds.copy())

    def render(self, width: int, height: int) -> NDArray[np.uint8]:
        """Draw what the scene's camera sees with Bullet's software renderer, shape (height, width, 3).

        Note:
            A second World draws, so that looking changes no bit of what is looked at, and costs only those who look.
        """
        if not self._drawn:
            self._viewer = self._viewer or PyBulletWorld(self._scene, self._dt_s, drawn=True)
            self._viewer.reset(self.capture(), self._scene)
            return self._viewer.render(width, height)
        camera = self._scene.camera
        view = p.computeViewMatrix(camera.eye, camera.target, (0.0, 0.0, 1.0))
        lens = p.computeProjectionMatrixFOV(camera.fov_deg, width / height, 0.05, 10.0)
        _, _, rgba, _, _ = p.getCameraImage(
            width, height, view, lens, renderer=p.ER_TINY_RENDERER, physicsClientId=self._client
        )
        return np.array(rgba, dtype=np.uint8).reshape(height, width, 4)[:, :, :3].copy()

    def close(self) -> None:
        """Release the client and the files; calling it twice is harmless."""
        if self._client >= 0:
            p.disconnect(physicsClientId=self._client)
            self._client = -1
            if self._viewer is not None:
                self._viewer.close()
            self._folder.cleanup()

    def _add_arm(self, index: int) -> MountedArm:
        c, model, mount = self._client, self._models[index], self._scene.arms[index]
        flags = p.URDF_USE_INERTIA_FROM_FILE | p.URDF_USE_IMPLICIT_CYLINDER  # a hull would grow by 1 mm
        urdf = self._urdf(index)
        body = p.loadURDF(urdf, *to_bullet(mount.base), useFixedBase=True, flags=flags, physicsClientId=c)
        links: dict[str, int] = {}
        for joint in range(p.getNumJoints(body, physicsClientId=c)):
            link = p.getJointInfo(body, joint, physicsClientId=c)[12].decode()
            links[link] = joint
            # Bullet answers an inertia tensor that no body can have by a printed warning and zeros
            mass, *_, inertia = p.getDynamicsInfo(body, joint, physicsClientId=c)[:3]
            if mass > 0.0 and not min(inertia) > 0.0:
                raise EngineError(f"arm '{model.name}', link '{link}': bad inertia tensor {inertia}")
            p.changeDynamics(body, joint, linearDamping=0.0, angularDamping=0.0, jointDamping=0.0, physicsClientId=c)
        p.changeDynamics(body, -1, activationState=p.ACTIVATION_STATE_DISABLE_SLEEPING, physicsClientId=c)
        return MountedArm(p, c, body, links, index, self._starts[index], model, self._scene, self._dt_s)

    def _urdf(self, index: int) -> str:
        """Return the path of an arm's file, written when its tool is new."""
        tool = self._scene.arms[index].tool
        key = index, built_tool(tool)
        if key not in self._urdfs:
            path = Path(self._folder.name) / f"{len(self._urdfs)}.urdf"
            self._urdfs[key] = write_urdf(path, self._models[index], tool, drawn=self._drawn)
        return self._urdfs[key]

    def _place(self, state: WorldState) -> None:
        c = self._client
        self._q_c, self._aim = state.q_c.copy(), state.q_c.copy()
        self._tau = None
        self._tools_c, self._speeds = np.zeros_like(state.tools_c), np.zeros_like(state.belts)
        self._actuators = Actuators(self._scene, self._models, self._dt_s)
        self._actuators.reset(state.q_c)
        tools = zip(self._arms, state.tools.tolist(), state.tools_c.tolist(), strict=True)
        for arm, (gap, rate), command in tools:
            for joint, q, dq in zip(arm.joints, state.q[arm.rows], state.dq[arm.rows], strict=True):
                p.resetJointState(arm.body, joint, q, dq, physicsClientId=c)
            arm.place_tool(gap, rate, command)
        for body, row in zip(self._parts, state.parts.tolist(), strict=True):
            p.resetBasePositionAndOrientation(body, row[:3], (*row[4:7], row[3]), physicsClientId=c)
            p.resetBaseVelocity(body, row[7:10], row[10:13], physicsClientId=c)
        self.set_tools(state.tools_c)
        self.set_belts(state.belts)
        for arm, part in zip(self._arms, state.held.tolist(), strict=True):
            if part >= 0:
                arm.hold(part, self._parts)

    def _hold_still(self) -> None:
        """Give the joints back to their servos, where they are."""
        self._tau = None
        self.read(self._aim, *self._measured[1:])
        self._actuators.reset(self._aim)

    def _beside(self) -> bool:
        """Whether a tick has more to do than the arms' motors."""
        return any(arm.sucks for arm in self._arms) or bool(self._belts and self._speeds.any())

    def _look_beside(self) -> None:
        """Look after seals and belts at the end of a tick."""
        for arm in self._arms:
            if arm.sucks:
                arm.suck(self._parts)
        self._move_belts()

    def _move_belts(self) -> None:
        """Put the belts' bodies back where they stand: Bullet moves them with their surface, which carries parts."""
        for body, belt, speed in zip(self._belts, self._scene.conveyors, self._speeds.tolist(), strict=True):
            at, turn = to_bullet(belt.pose)
            along = p.rotateVector(turn, (speed, 0.0, 0.0))
            p.resetBasePositionAndOrientation(body, at, turn, physicsClientId=self._client)
            p.resetBaseVelocity(body, along, (0.0, 0.0, 0.0), physicsClientId=self._client)
