"""MuJoCo as a second opinion: the same arms, servos, tools and contacts as in Bullet, by other mathematics."""

import logging
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from robostral.arm import load_arm
from robostral.extras import require
from robostral_sims.actuator import Actuators
from robostral_sims.engines import EngineError, World, WorldState, load_engine
from robostral_sims.engines.mujoco_model import CUP_M, Mount, build
from robostral_sims.scene import Actuator, Camera, Jaw, Scene, Servo, Vacuum

mj: Any = require("mujoco", "sim")
if mj.get_mju_user_warning() is None:  # it would write a file where the process happens to be
    mj.set_mju_user_warning(logging.getLogger("robostral.sims").warning)

FloatArray = NDArray[np.float64]

_SEAL_S = 0.02
"""Ours: time constant of the first-order filter between a pull and the cup's limit [s]; impacts open no seal."""
_CONJUGATE = np.array([1.0, -1.0, -1.0, -1.0])


class MujocoWorld:
    """A scene in MuJoCo; implements `robostral_sims.engines.World`.

    Args:
        scene: The cell.
        dt_s: Control period [s]; also the engine's step.

    Raises:
        EngineError: MuJoCo refuses a figure of the scene.
        UnknownName: An arm of the scene has no table.

    Note:
        A motor is a row of MuJoCo's constraint solver: dry friction, bounded by the joint's torque limit, against the
        velocity that the servo wants at the end of the tick. MuJoCo's own friction wants velocity 0; the World writes
        the row's reference acceleration between the two halves of a step. So a servo here is what it is in Bullet: a
        velocity constraint with a bounded force, solved together with the contacts. A gain tuned to each wrist's
        inertia, as torque actuators need, is not needed.
    """

    def __init__(self, scene: Scene, dt_s: float) -> None:
        self._dt_s, self._scene = dt_s, scene
        self._models = [load_arm(mount.model) for mount in scene.arms]
        self._viewer: World | None = None
        self._built_from: Scene | None = None
        self._starts = np.cumsum([0, *(arm.chain.n for arm in self._models)]).tolist()
        home = np.concatenate([arm.home for arm in self._models])
        self.reset(WorldState.at_rest(scene, home))

    @property
    def n(self) -> int:
        """Number of joints of all arms."""
        return int(self._starts[-1])

    @property
    def dt_s(self) -> float:
        """Control period [s]."""
        return self._dt_s

    def reset(self, state: WorldState, scene: Scene | None = None) -> None:
        """Build the world anew in `state`; the compiled model is kept for as long as no figure in it changes.

        Raises:
            EngineError: MuJoCo refuses a figure, or `scene` mounts other arms.
        """
        scene = scene or self._scene
        if [m.model for m in scene.arms] != [m.model for m in self._scene.arms]:
            raise EngineError("a World keeps its arms: make a new one for other arms")
        self._scene = scene
        if _what_is_built(scene) != self._built_from:
            self._built = build(scene, self._models, self._dt_s)
            self._data = mj.MjData(self._built.model)
            self._built_from = _what_is_built(scene)
            self._index()
        mj.mj_resetData(self._built.model, self._data)
        self._set_figures()
        self._place(state)

    def run(self, q_c: FloatArray) -> None:
        """Advance by one tick for each row of `q_c`, shape (ticks, n) [rad].

        Note:
            The servo aims at where the set-point was when the tick began, and feeds forward the velocity that brings
            it to where it will be at the tick's end: with `feed_forward` 1 it follows without lag.
        """
        if not self._servos:
            self._use_servos(on=True)
        reached = self._actuators.positions(q_c)
        before = np.concatenate((self._aim[None], reached[:-1]))
        velocity = (reached - before) * (self._feed_forward / self._dt_s)
        d, arm = self._data, self._dofs
        for aim, dq in zip(before, velocity, strict=True):
            self._velocity[arm] = self._stiffness * (aim - d.qpos[arm]) + dq
            self._tick()
        self._tau[:] = d.efc_force[d.ne + self._arm_rows]
        self._aim[:], self._q_c[:] = reached[-1], q_c[-1]
        self._check()

    def run_torque(self, tau_c: FloatArray) -> None:
        """Advance by one tick under joint torques [N·m], shape (n,), in place of the servos; gravity acts too."""
        if self._servos:
            self._use_servos(on=False)
        d = self._data
        self._tau[:] = self._actuators.torques(tau_c, d.qvel[self._dofs])
        d.qfrc_applied[self._dofs] = self._tau
        self._tick()
        self._aim[:] = self._q_c[:] = d.qpos[self._dofs]
        self._check()

    def set_tools(self, command: FloatArray) -> None:
        """Command each arm's tool from now on, shape (a,): gap of a jaw [m], 1 or 0 of a vacuum; others ignore it."""
        self._tools_c[:] = command
        jaws = [value for value, mount in zip(command, self._scene.arms, strict=True) if isinstance(mount.tool, Jaw)]
        self._finger_c = np.repeat(jaws, 2) / 2.0
        for i in np.flatnonzero(command < 0.5).tolist():
            self._release(i)
            self._lost[i] = False

    def set_belts(self, speed: FloatArray) -> None:
        """Run the conveyors at these speeds [m/s] from now on, shape (b,)."""
        self._belts[:] = speed
        self._built.model.geom_surfacevel[list(self._built.belts), 0] = speed

    def read(self, q: FloatArray, dq: FloatArray, tau: FloatArray) -> None:
        """Fill measured positions [rad], velocities [rad/s] and motor torques [N·m], shape (n,) each."""
        np.take(self._data.qpos, self._dofs, out=q)
        np.take(self._data.qvel, self._dofs, out=dq)
        tau[:] = self._tau

    def read_parts(self, out: FloatArray) -> None:
        """Fill the parts' states, shape (k, 13), as in `WorldState.parts`."""
        d = self._data
        for row, (position, velocity) in zip(out, self._free, strict=True):
            row[:7] = d.qpos[position : position + 7]
            row[7:10] = d.qvel[velocity : velocity + 3]
            mj.mju_rotVecQuat(row[10:13], d.qvel[velocity + 3 : velocity + 6], row[3:7])

    def read_tools(self, out: FloatArray) -> None:
        """Fill the tools' states, shape (a, 2): a jaw's gap [m] and rate [m/s]; a vacuum's seal, 1 or 0, and 0."""
        out[:] = 0.0
        for i, mount in enumerate(self._built.mounts):
            if mount.fingers.size:
                out[i] = self._data.qpos[mount.fingers].sum(), self._data.qvel[mount.fingers].sum()
            out[i, 0] += float(self._held[i] >= 0)

    def read_wrenches(self, out: FloatArray) -> None:
        """Fill what tool and world exert on each flange, shape (a, 6): force [N], moment [N·m] there, in `base`."""
        out[:] = 0.0
        for row, mount in zip(out, self._built.mounts, strict=True):
            if mount.tool >= 0:
                R = self._data.xmat[mount.base].reshape(3, 3).T @ self._data.xmat[mount.tool].reshape(3, 3)
                sensed = self._data.sensordata[mount.wrench : mount.wrench + 6].reshape(2, 3)
                row.reshape(2, 3)[:] = -sensed @ R.T  # MuJoCo's is what the flange exerts on the tool

    def capture(self) -> WorldState:
        """Return the present state; `reset` with it always continues in the same way."""
        q, dq, tau = np.zeros((3, self.n))
        self.read(q, dq, tau)
        parts, tools = np.zeros((len(self._free), 13)), np.zeros((len(self._scene.arms), 2))
        self.read_parts(parts)
        self.read_tools(tools)
        for row, mount, command in zip(tools, self._scene.arms, self._tools_c, strict=True):
            if isinstance(mount.tool, Vacuum):
                row[0] = command
        tools_c, held, belts = self._tools_c.copy(), self._held.copy(), self._belts.copy()
        return WorldState(q, dq, self._q_c.copy(), parts, tools, tools_c, held, belts)

    def render(self, width: int, height: int) -> NDArray[np.uint8]:
        """Draw what the scene's camera sees, shape (height, width, 3).

        Note:
            MuJoCo draws with OpenGL only, which a machine without a display need not have. Bullet's software renderer
            draws the same primitives, in a World of its own.
        """
        self._viewer = self._viewer or load_engine("pybullet")(self._scene, self._dt_s)
        self._viewer.reset(self.capture(), self._scene)
        return self._viewer.render(width, height)

    def close(self) -> None:
        """Release the engine; calling it twice is harmless."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    def _index(self) -> None:
        """Find where in the engine's arrays the things are that every tick reads and writes."""
        model, mounts = self._built.model, self._built.mounts
        self._dofs = np.concatenate([mount.dofs for mount in mounts])
        self._limits = model.dof_frictionloss[self._dofs].copy()
        self._fingers = np.concatenate([mount.fingers for mount in mounts])
        joints = [int(model.body_jntadr[body]) for body in self._built.parts]
        self._free = [(int(model.jnt_qposadr[j]), int(model.jnt_dofadr[j])) for j in joints]
        self._velocity, self._tau = np.zeros(model.nv), np.zeros(self.n)

    def _set_figures(self) -> None:
        """Take over the figures of the scene that the model does not hold."""
        mounts, counts = self._scene.arms, [arm.chain.n for arm in self._models]
        self._stiffness = np.repeat([mount.servo.stiffness for mount in mounts], counts)
        self._feed_forward = np.repeat([mount.servo.feed_forward for mount in mounts], counts)
        self._actuators = Actuators(self._scene, self._models, self._dt_s)
        self._speed = np.repeat([mount.tool.speed for mount in mounts if isinstance(mount.tool, Jaw)], 2)

    def _place(self, state: WorldState) -> None:
        d = self._data
        self._q_c, self._aim = state.q_c.copy(), state.q_c.copy()
        self._actuators.reset(state.q_c)
        count = len(self._built.mounts)
        self._held, self._lost, self._pull = np.full(count, -1), np.zeros(count, dtype=bool), np.zeros((count, 3))
        self._tools_c, self._belts = np.zeros_like(state.tools_c), np.zeros_like(state.belts)
        d.qpos[self._dofs], d.qvel[self._dofs] = state.q, state.dq
        for mount, (gap, rate) in zip(self._built.mounts, state.tools, strict=True):
            d.qpos[mount.fingers], d.qvel[mount.fingers] = gap / 2.0, rate / 2.0
        for (position, velocity), row in zip(self._free, state.parts, strict=True):
            d.qpos[position : position + 7] = row[:7]
            d.qvel[velocity : velocity + 3] = row[7:10]
            mj.mju_rotVecQuat(d.qvel[velocity + 3 : velocity + 6], row[10:13], row[3:7] * _CONJUGATE)
        self._use_servos(on=True)
        self.set_tools(state.tools_c)
        self.set_belts(state.belts)
        mj.mj_kinematics(self._built.model, d)
        for i, part in enumerate(state.held.tolist()):
            if part >= 0:
                self._hold(i, part)
        self._measure()

    def _measure(self) -> None:
        """Compute torques and wrenches of this moment, as a tick leaves those of the moment at which it began."""
        model, d = self._built.model, self._data
        mj.mj_fwdPosition(model, d)
        mj.mj_fwdVelocity(model, d)
        self._velocity[self._dofs] = self._stiffness * (self._aim - d.qpos[self._dofs])
        self._drive()
        mj.mj_fwdAcceleration(model, d)
        mj.mj_fwdConstraint(model, d)
        mj.mj_sensorAcc(model, d)
        self._tau[:] = d.efc_force[d.ne + self._arm_rows]

    def _tick(self) -> None:
        model, d = self._built.model, self._data
        mj.mj_step1(model, d)
        self._drive()
        mj.mj_step2(model, d)
        for i, mount in enumerate(self._built.mounts):
            if mount.cup >= 0 and self._tools_c[i] >= 0.5:
                self._suck(i, mount)

    def _drive(self) -> None:
        """Give the motors' rows the acceleration that ends the tick at the wanted velocity."""
        d = self._data
        if self._fingers.size:
            left = (self._finger_c - d.qpos[self._fingers]) / self._dt_s
            self._velocity[self._fingers] = np.clip(left, -self._speed, self._speed)
        rows = self._motors
        d.efc_aref[d.ne : d.ne + rows.size] = (self._velocity[rows] - d.qvel[rows]) / self._dt_s

    def _use_servos(self, *, on: bool) -> None:
        """Switch the arms' motor rows on, or off where torques take their place."""
        model = self._built.model
        model.dof_frictionloss[self._dofs] = self._limits if on else 0.0
        self._data.qfrc_applied[self._dofs] = 0.0
        self._motors = np.flatnonzero(model.dof_frictionloss > 0.0)
        self._arm_rows = np.searchsorted(self._motors, self._dofs)
        self._servos = on

    def _suck(self, i: int, mount: Mount) -> None:
        """Seal a cup that is on to the part before it, or let go of what has become too heavy."""
        d, cup = self._data, self._scene.arms[i].tool
        assert isinstance(cup, Vacuum)
        if self._held[i] >= 0:
            rows = np.flatnonzero(d.efc_id[: d.ne] == mount.welds[self._held[i]])[:3]
            pull = d.xmat[mount.tool].reshape(3, 3).T @ d.efc_force[rows]
            self._pull[i] += (pull - self._pull[i]) * min(1.0, self._dt_s / _SEAL_S)
            # what presses on the cup does not open it, and its friction holds the part sideways
            if self._pull[i, 2] > 0.0 and np.linalg.norm(self._pull[i]) > cup.force:
                self._release(i)
                self._lost[i] = True  # air comes in until it is switched off
        elif not self._lost[i]:
            found = [self._distance(mount.cup, body, cup.reach) for body in self._built.parts]
            if found and min(found) <= cup.reach:
                self._hold(i, int(np.argmin(found)))

    def _distance(self, cup: int, body: int, reach: float) -> float:
        """Return the distance from the middle of a cup's rim to a part's surface [m]; more than `reach` if farther."""
        model, first = self._built.model, int(self._built.model.body_geomadr[body])
        geoms = range(first, first + int(model.body_geomnum[body]))
        distances = [mj.mj_geomDistance(model, self._data, cup, geom, 2.0 * reach, None) for geom in geoms]
        return CUP_M + min(float(d - model.geom_margin[geom]) for d, geom in zip(distances, geoms, strict=True))

    def _hold(self, i: int, part: int) -> None:
        """Weld a part to a cup as they stand now."""
        d, mount = self._data, self._built.mounts[i]
        tool, body = mount.tool, self._built.parts[part]
        back, turn = np.empty((2, 4))
        mj.mju_negQuat(back, d.xquat[tool])
        mj.mju_mulQuat(turn, back, d.xquat[body])
        at = d.xmat[tool].reshape(3, 3).T @ (d.xpos[body] - d.xpos[tool])
        self._built.model.eq_data[mount.welds[part], 3:10] = (*at, *turn)
        d.eq_active[mount.welds[part]] = 1
        self._held[i], self._pull[i] = part, 0.0

    def _release(self, i: int) -> None:
        if self._held[i] >= 0:
            self._data.eq_active[self._built.mounts[i].welds[self._held[i]]] = 0
            self._held[i] = -1

    def _check(self) -> None:
        if not np.isfinite(self._data.qvel.sum()):
            raise EngineError("MuJoCo lost the scene: a velocity is not finite; shorten the tick or soften contacts")


def _what_is_built(scene: Scene) -> Scene:
    """Return the scene without the figures that its model does not hold."""
    arms = [msgspec.structs.replace(arm, servo=Servo(), actuator=Actuator(), sensor=None) for arm in scene.arms]
    return msgspec.structs.replace(scene, arms=tuple(arms), regions={}, camera=Camera())
