"""Bullet through PyBullet: one private client per World, nothing drawn, nothing asleep, every reset a rebuild."""

import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm, load_arm
from robostral.arm.limits import TAU
from robostral.extras import quiet, require
from robostral_sims.engines import EngineError, WorldState
from robostral_sims.scene import ArmMount, Body, Box, Compound, Pose, Scene, Servo, Sphere

with quiet():  # it greets with the time it was built
    p: Any = require("pybullet", "sim")

_SOLVER_ITERATIONS = 20
"""Ours: a free arm's six motor rows converge in fewer; the default of 50 changes no figure of the tests."""
_MASSLESS = '<inertial><mass value="0"/><inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/></inertial>'
_DOT = '<visual><geometry><box size="0.001 0.001 0.001"/></geometry></visual>'


class PyBulletWorld:
    """A scene in Bullet; implements `robostral_sims.engines.World`.

    Args:
        scene: The cell.
        dt_s: Control period [s]; also the engine's step.
        drawn: Whether this World is there to be looked at.

    Raises:
        EngineError: Bullet has no free client, or refuses an inertia.
        UnknownName: An arm of the scene has no table.
    """

    def __init__(self, scene: Scene, dt_s: float, *, drawn: bool = False) -> None:
        self._dt_s, self._scene = dt_s, scene
        self._drawn = drawn
        self._viewer: PyBulletWorld | None = None
        self._models = [load_arm(mount.model) for mount in scene.arms]
        self._starts = np.cumsum([0, *(arm.chain.n for arm in self._models)]).tolist()
        self._folder = tempfile.TemporaryDirectory(prefix="robostral-")
        files = [Path(self._folder.name) / f"{i}.urdf" for i in range(len(self._models))]
        self._urdfs = [_write_urdf(file, arm, drawn=drawn) for file, arm in zip(files, self._models, strict=True)]
        self._client = p.connect(p.DIRECT)
        if self._client < 0:
            raise EngineError("PyBullet gives no client: this process holds too many open Worlds; close some")
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
            numSolverIterations=_SOLVER_ITERATIONS,
            deterministicOverlappingPairs=1,
            physicsClientId=c,
        )
        p.setGravity(*scene.gravity, physicsClientId=c)
        self._parts = [body for body in (self._add_body(b) for b in scene.bodies) if body is not None]
        self._arms = [self._add_arm(i, mount) for i, mount in enumerate(scene.arms)]
        self._place(state)

    def run(self, q_c: NDArray[np.float64]) -> None:
        """Advance by one tick for each row of `q_c`, shape (ticks, n) [rad].

        Note:
            The servo aims at where the set-point was when the tick began, and feeds forward the velocity that brings
            it to where it will be at the tick's end: with `feed_forward` 1 it follows without lag.
        """
        before = np.concatenate((self._q_c[None], q_c[:-1]))
        velocity = (q_c - before) * (self._feed_forward / self._dt_s)
        c, step, motor = self._client, p.stepSimulation, p.setJointMotorControlArray
        if len(self._arms) == 1:  # most cells; saves the slicing
            arm = self._arms[0]
            for aim, dq in zip(before.tolist(), velocity.tolist(), strict=True):
                motor(*arm.motor, aim, dq, arm.tau_max, arm.gains, arm.ones, physicsClientId=c)
                step(physicsClientId=c)
        else:
            for aim, dq in zip(before, velocity, strict=True):
                for arm in self._arms:
                    rows = aim[arm.rows].tolist(), dq[arm.rows].tolist()
                    motor(*arm.motor, *rows, arm.tau_max, arm.gains, arm.ones, physicsClientId=c)
                step(physicsClientId=c)
        self._q_c[:] = q_c[-1]

    def read(self, q: NDArray[np.float64], dq: NDArray[np.float64], tau: NDArray[np.float64]) -> None:
        """Fill measured positions [rad], velocities [rad/s] and motor torques [N·m], shape (n,) each."""
        for arm in self._arms:
            states = p.getJointStates(arm.body, arm.joints, physicsClientId=self._client)
            q[arm.rows], dq[arm.rows], _, tau[arm.rows] = zip(*states, strict=True)

    def capture(self) -> WorldState:
        """Return the present state; `reset` with it always continues in the same way."""
        q, dq, tau = np.zeros((3, self.n))
        self.read(q, dq, tau)
        parts = np.zeros((len(self._parts), 13))
        for row, body in zip(parts, self._parts, strict=True):
            at, xyzw = p.getBasePositionAndOrientation(body, physicsClientId=self._client)
            row[:] = (*at, xyzw[3], *xyzw[:3], *np.ravel(p.getBaseVelocity(body, physicsClientId=self._client)))
        return replace(WorldState.at_rest(self._scene, q), dq=dq, q_c=self._q_c.copy(), parts=parts)

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

    def _add_body(self, body: Body) -> int | None:
        """Create a primitive; return its id when it moves."""
        c = self._client
        collision = p.createCollisionShape(**_shape(body, "height"), physicsClientId=c)
        visual = p.createVisualShape(**_shape(body, "length"), rgbaColor=body.rgba, physicsClientId=c)
        uid = p.createMultiBody(body.mass, collision, visual, *_bullet(body.pose), physicsClientId=c)
        material = self._scene.material(body)
        p.changeDynamics(
            uid,
            -1,
            lateralFriction=material.lateral_friction,
            spinningFriction=material.spinning_friction,
            rollingFriction=material.rolling_friction,
            restitution=material.restitution,
            linearDamping=0.0,
            angularDamping=0.0,
            activationState=p.ACTIVATION_STATE_DISABLE_SLEEPING,
            physicsClientId=c,
        )
        return uid if body.mass > 0.0 else None

    def _add_arm(self, index: int, mount: ArmMount) -> "_Arm":
        c, model = self._client, self._models[index]
        flags, at = p.URDF_USE_INERTIA_FROM_FILE, _bullet(mount.base)
        body = p.loadURDF(self._urdfs[index], *at, useFixedBase=True, flags=flags, physicsClientId=c)
        by_name: dict[str, int] = {}
        for joint in range(p.getNumJoints(body, physicsClientId=c)):
            info = p.getJointInfo(body, joint, physicsClientId=c)
            by_name[info[1].decode()] = joint
            # Bullet answers an inertia tensor that no body can have by a printed warning and zeros
            mass, *_, inertia = p.getDynamicsInfo(body, joint, physicsClientId=c)[:3]
            if mass > 0.0 and not min(inertia) > 0.0:
                raise EngineError(f"arm '{model.name}', link '{info[12].decode()}': bad inertia tensor {inertia}")
            p.changeDynamics(body, joint, linearDamping=0.0, angularDamping=0.0, jointDamping=0.0, physicsClientId=c)
        p.changeDynamics(body, -1, activationState=p.ACTIVATION_STATE_DISABLE_SLEEPING, physicsClientId=c)
        joints = [by_name[name] for name in model.chain.joint_names]
        return _Arm(body, joints, self._starts[index], model, mount.servo, self._dt_s)

    def _place(self, state: WorldState) -> None:
        c = self._client
        self._q_c = state.q_c.copy()
        self._feed_forward = np.concatenate([np.full(len(a.joints), a.servo.feed_forward) for a in self._arms])
        for arm in self._arms:
            for joint, q, dq in zip(arm.joints, state.q[arm.rows], state.dq[arm.rows], strict=True):
                p.resetJointState(arm.body, joint, q, dq, physicsClientId=c)
        for body, row in zip(self._parts, state.parts, strict=True):
            xyzw = (*row[4:7], row[3])
            p.resetBasePositionAndOrientation(body, row[:3], xyzw, physicsClientId=c)
            p.resetBaseVelocity(body, row[7:10], row[10:13], physicsClientId=c)


class _Arm:
    """An arm's ids in Bullet, and the arguments of its motor call that never change."""

    def __init__(self, body: int, joints: list[int], start: int, model: Arm, servo: Servo, dt_s: float) -> None:
        self.body, self.joints, self.servo = body, joints, servo
        self.rows = slice(start, start + len(joints))
        self.motor = (body, joints, p.POSITION_CONTROL)
        self.tau_max = model.limits.array[TAU].tolist()
        # Bullet's motor: dq_next = dq + positionGain (q_d - q) / dt + velocityGain (dq_d - dq)
        self.gains = [servo.stiffness * dt_s] * len(joints)
        self.ones = [1.0] * len(joints)


def _write_urdf(path: Path, arm: Arm, *, drawn: bool) -> str:
    """Write the arm's URDF for Bullet, which would give a link without inertia, such as the flange, a mass of 1 kg.

    Bullet tessellates every visual shape on every rebuild, and collision shapes where there are no visual ones: more
    than half of the time that a reset takes. A World that nobody looks at shows a dot instead.
    """
    robot = ElementTree.fromstring(arm.urdf())  # noqa: S314 - text of our own making
    for link in robot.iter("link"):
        if link.find("inertial") is None:
            link.append(ElementTree.fromstring(_MASSLESS))  # noqa: S314
        if not drawn:
            for visual in link.findall("visual"):
                link.remove(visual)
            link.append(ElementTree.fromstring(_DOT))  # noqa: S314
    ElementTree.ElementTree(robot).write(path, encoding="utf-8")
    return str(path)


def _bullet(pose: Pose) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Position and quaternion in Bullet's own order, scalar last."""
    w, x, y, z = pose.quat_wxyz
    return pose.p, (x, y, z, w)


def _shape(body: Body, length: str) -> dict[str, Any]:
    """Arguments that describe a primitive; `length` is the name that the call at hand gives a cylinder's."""
    shape = body.shape
    if isinstance(shape, Box):
        return {"shapeType": p.GEOM_BOX, "halfExtents": [edge / 2.0 for edge in shape.size]}
    if isinstance(shape, Sphere):
        return {"shapeType": p.GEOM_SPHERE, "radius": shape.radius}
    if isinstance(shape, Compound):
        raise EngineError(f"body '{body.name}' is a compound, which this engine cannot build yet")
    return {"shapeType": p.GEOM_CYLINDER, "radius": shape.radius, length: shape.length}
