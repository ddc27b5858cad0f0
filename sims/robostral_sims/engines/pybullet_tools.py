"""An arm in Bullet: its ids, the arguments of its motor call, and what is on its flange."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.limits import TAU
from robostral.jit import kernel
from robostral_sims.engines.pybullet_build import apply_material
from robostral_sims.scene import ArmMount, Jaw, Material, Scene, Vacuum
from robostral_sims.solids import parts_of, rotation

FloatArray = NDArray[np.float64]

_CUP_M = 0.002
"""Radius of the ball in the middle of a vacuum cup's rim that finds what is before it [m]."""
_FINGER_GAIN = 0.2
"""Share of the way to its target that a finger's motor wants to go in a tick [1]. Ours: a finger weighs 20 g, so each
iteration of Bullet's solver adds little to the grip; 0.2 reaches 35 N in ten iterations. With more, motors at their
limit win over the gear between the fingers; with 0.2 a part may already wander 3 mm off the middle."""
_RESUMED_M = 0.004
"""How much narrower a jaw that is placed on a part wants to be at once [m]; with more its fingers jump into it."""
_STIFF_N = 1e4
"""What the constraints of a jaw's gear and a vacuum's seal may exert [N]: more than any tool."""


_GAP, _GOAL, _SPEED = range(3)
"""Of a jaw that moves: gap that its motors aim at [m], gap that is commanded [m], and how fast the first may change
[m/s]."""


@kernel
def finger_kernel(jaw: FloatArray, dt_s: float) -> float:
    """Advance a jaw, shape (3,), by a tick; return the rate of its gap [m/s]."""
    most = jaw[_SPEED] * dt_s
    way: float = min(max(jaw[_GOAL] - jaw[_GAP], -most), most)
    jaw[_GAP] += way
    return way / dt_s


@kernel
def motor_kernel(
    aim: FloatArray, reached: FloatArray, first: int, feed_forward: float, dt_s: float, jaw: FloatArray, out: FloatArray
) -> None:
    """Fill what an arm's motors aim at in the next ticks, and how fast.

    Args:
        aim: Where the set-points of all arms are when the first tick begins [rad], shape (n,); the arm's own become
            those of the last tick's end.
        reached: Set-points of all arms at each tick's end [rad], shape (ticks, n).
        first: The arm's first joint.
        feed_forward: Share of the set-point's velocity that is fed forward [1].
        dt_s: Length of a tick [s].
        jaw: The arm's jaw, see `finger_kernel`.
        out: Positions [rad, m] and velocities of joints and fingers, shape (2, ticks, joints + fingers).
    """
    fingers = 2 if jaw[_SPEED] > 0.0 else 0
    n = out.shape[2] - fingers
    for tick in range(out.shape[1]):
        for i in range(n):
            out[0, tick, i] = aim[first + i]
            out[1, tick, i] = (reached[tick, first + i] - aim[first + i]) * (feed_forward / dt_s)
            aim[first + i] = reached[tick, first + i]
        if fingers:
            rate = finger_kernel(jaw, dt_s)
            for i in range(n, n + 2):
                out[0, tick, i], out[1, tick, i] = 0.5 * jaw[_GAP], 0.5 * rate


class MountedArm:
    """An arm of the scene in Bullet, with its tool.

    Args:
        p: Bullet.
        client: Its client.
        body: The arm's id.
        links: Index of each link by name.
        index: Which of the scene's arms it is.
        start: Its first joint among those of all arms.
        model: The arm.
        scene: The cell.
        dt_s: Control period [s].

    Attributes:
        rows: Its joints among those of all arms.
        motor: First arguments of the motor call.
        strength: Last arguments of it.
        held: Index of the part that its vacuum holds, -1 for none.
    """

    def __init__(
        self,
        p: Any,
        client: int,
        body: int,
        links: dict[str, int],
        index: int,
        start: int,
        model: Arm,
        scene: Scene,
        dt_s: float,
    ) -> None:
        mount: ArmMount = scene.arms[index]
        self._p, self._c, self._links, self._mount = p, client, links, mount
        self.body, self.joints = body, [links[link] for link in model.chain.link_names]
        self.servo, self.tool = mount.servo, mount.tool
        self._R_base = rotation(mount.base)
        self._turned = not np.array_equal(self._R_base, np.eye(3))
        self.rows = slice(start, start + len(self.joints))
        self.fingers = [links[f"finger{k}"] for k in range(2)] if isinstance(self.tool, Jaw) else []
        force = [self.tool.force] * 2 if isinstance(self.tool, Jaw) else []
        self.motor = (body, [*self.joints, *self.fingers], p.POSITION_CONTROL)
        tau_max = [*model.limits.array[TAU].tolist(), *force]
        # Bullet's motor: dq_next = dq + positionGain (q_d - q) / dt + velocityGain (dq_d - dq)
        gains = [mount.servo.stiffness * dt_s] * len(self.joints) + [_FINGER_GAIN] * len(self.fingers)
        self.strength = (tau_max, gains, [1.0] * len(gains), client)
        self._dt_s = dt_s
        self._states: Any = None
        self._jaw = np.array([0.0, 0.0, 2.0 * self.tool.speed if isinstance(self.tool, Jaw) else 0.0])
        self.held, self._seal, self._lost, self._on = -1, -1, False, False
        if self.tool is not None:
            self._build(scene)

    def _build(self, scene: Scene) -> None:
        p, c, tool = self._p, self._c, self.tool
        assert tool is not None
        material = Material() if isinstance(tool, Vacuum) else scene.material(tool)
        for name, _, mass in parts_of(tool):
            link = self._links[name]
            apply_material(p, c, self.body, link, material)
            built, _, inertia = p.getDynamicsInfo(self.body, link, physicsClientId=c)[:3]
            if mass != built:  # the file has the mass of the first reset's tool
                inertia = [x * mass / built for x in inertia]
                p.changeDynamics(self.body, link, mass=mass, localInertiaDiagonal=inertia, physicsClientId=c)
        p.enableJointForceTorqueSensor(self.body, self._links["tool"], True, physicsClientId=c)
        if isinstance(tool, Jaw):
            frames = [0.0, 1.0, 0.0], [0.0] * 3, [0.0] * 3
            one, other = self.fingers
            gear = p.createConstraint(self.body, one, self.body, other, p.JOINT_GEAR, *frames, physicsClientId=c)
            p.changeConstraint(gear, gearRatio=-1.0, erp=0.5, maxForce=_STIFF_N, physicsClientId=c)
        if isinstance(tool, Vacuum):
            self._cup = p.createCollisionShape(p.GEOM_SPHERE, radius=_CUP_M, physicsClientId=c)

    def place_tool(self, gap: float, rate: float, command: float) -> None:
        """Put the fingers of a jaw [m, m/s]; those that do not move have closed on what there is, and grip it."""
        for finger in self.fingers:
            self._p.resetJointState(self.body, finger, gap / 2.0, rate / 2.0, physicsClientId=self._c)
        if isinstance(self.tool, Jaw):  # the grip of one that has closed on something is there within two ticks
            self._jaw[_GAP] = max(command, gap - _RESUMED_M) if abs(rate) < 0.5 * self.tool.speed else gap

    def command(self, value: float) -> None:
        """Command the tool: gap of a jaw [m], 1 or 0 of a vacuum."""
        tool = self.tool
        if isinstance(tool, Jaw):
            # What closes on a part goes on to be wanted narrower, up to the grip force; opening begins where it stands
            gap, aim = self.read_tool()[0], float(self._jaw[_GAP])
            self._jaw[_GAP], self._jaw[_GOAL] = max(aim, gap) if value > gap else min(aim, gap), value
        elif isinstance(tool, Vacuum):
            self._on = value >= 0.5
            if not self._on:
                self._release()
                self._lost = False

    def drive(self, aim: FloatArray, reached: FloatArray) -> list[list[list[float]]]:
        """Return positions and velocities of the motors in the next ticks, see `motor_kernel`."""
        out, self._states = np.empty((2, len(reached), len(self.motor[1]))), None
        motor_kernel(aim, reached, self.rows.start, self.servo.feed_forward, self._dt_s, self._jaw, out)
        driven: list[list[list[float]]] = out.tolist()
        return driven

    def drive_torque(self, tau: list[float]) -> None:
        """Give the joints torques [N·m] for a tick, and advance the fingers' motors."""
        p, self._states = self._p, None
        p.setJointMotorControlArray(self.body, self.joints, p.TORQUE_CONTROL, forces=tau, physicsClientId=self._c)
        if self.fingers:
            rate = finger_kernel(self._jaw, self._dt_s)
            ways = [0.5 * float(self._jaw[_GAP])] * 2, [0.5 * rate] * 2
            strength = [figures[-2:] for figures in self.strength[:3]]
            p.setJointMotorControlArray(self.body, self.fingers, p.POSITION_CONTROL, *ways, *strength, self._c)

    def states(self) -> Any:
        """Return Bullet's states of joints and fingers, asked once after a tick."""
        if self._states is None:
            self._states = self._p.getJointStates(self.body, self.motor[1], physicsClientId=self._c)
        return self._states

    def read_tool(self) -> tuple[float, float]:
        """Return a jaw's gap [m] and its rate [m/s], a vacuum's seal, 1 or 0, and 0."""
        if not self.fingers:
            return float(self.held >= 0), 0.0
        (a, da, *_), (b, db, *_) = self.states()[-2:]
        return a + b, da + db

    def read_wrench(self, out: FloatArray) -> None:
        """Fill what tool and world exert on the flange [N, N·m], shape (6,), along the axes of `base`."""
        out[:] = 0.0
        if self.tool is None:
            return
        p, link = self._p, self._links["tool"]
        reaction = p.getJointState(self.body, link, physicsClientId=self._c)[2]
        state = p.getLinkState(self.body, link, computeForwardKinematics=True, physicsClientId=self._c)
        # Bullet's reaction is what the flange exerts on the tool, at the tool's centre of mass. Plain numbers: this
        # runs at every tick, where arrays of three cost more than the engine's own answer.
        fx, fy, fz, mx, my, mz = (-x for x in reaction)
        cx, cy, cz = state[2]
        moment = (mx + cy * fz - cz * fy, my + cz * fx - cx * fz, mz + cx * fy - cy * fx)
        r0, r1, r2, r3, r4, r5, r6, r7, r8 = p.getMatrixFromQuaternion(state[5])
        for at, (x, y, z) in ((0, (fx, fy, fz)), (3, moment)):
            out[at] = r0 * x + r1 * y + r2 * z
            out[at + 1] = r3 * x + r4 * y + r5 * z
            out[at + 2] = r6 * x + r7 * y + r8 * z
        if self._turned:
            out[:3], out[3:] = self._R_base.T @ out[:3], self._R_base.T @ out[3:]

    @property
    def sucks(self) -> bool:
        """Whether a vacuum is on, so that every tick has to look after its seal."""
        return self._on

    def suck(self, parts: list[int]) -> None:
        """Seal a cup that is on to the part before it, or let go of what has become too heavy."""
        tool, p = self.tool, self._p
        assert isinstance(tool, Vacuum)
        if self.held >= 0:
            pull = np.array(p.getConstraintState(self._seal, physicsClientId=self._c)[:3])  # on the cup, in `world`
            along = float(pull @ np.array(p.getMatrixFromQuaternion(self._link_frame()[1])[2::3]))
            # what presses on the cup does not open it, and its friction holds the part sideways
            if np.linalg.norm(pull) > tool.force and along > 0.0:
                self._release()
                self._lost = True  # air comes in until it is switched off
        elif not self._lost:
            at, turn = self._link_frame()
            ball = p.multiplyTransforms(at, turn, (0.0, 0.0, tool.length - _CUP_M), (0.0, 0.0, 0.0, 1.0))[0]
            found = [self._distance(ball, part, tool.reach) for part in parts]
            if found and min(found) <= tool.reach:
                self.hold(int(np.argmin(found)), parts)

    def hold(self, part: int, parts: list[int]) -> None:
        """Fix a part to the cup as they stand now."""
        p, c, link = self._p, self._c, self._links["tool"]
        com = p.getLinkState(self.body, link, computeForwardKinematics=True, physicsClientId=c)[:2]
        there = p.getBasePositionAndOrientation(parts[part], physicsClientId=c)
        at, turn = p.multiplyTransforms(*p.invertTransform(*com), *there)
        zero, one = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
        self._seal = p.createConstraint(
            self.body, link, parts[part], -1, p.JOINT_FIXED, zero, at, zero, turn, one, physicsClientId=c
        )
        p.changeConstraint(self._seal, maxForce=_STIFF_N, physicsClientId=c)
        self.held = part

    def _release(self) -> None:
        if self.held >= 0:
            self._p.removeConstraint(self._seal, physicsClientId=self._c)
            self.held = -1

    def _link_frame(self) -> tuple[Any, Any]:
        state = self._p.getLinkState(
            self.body, self._links["tool"], computeForwardKinematics=True, physicsClientId=self._c
        )
        return state[4], state[5]

    def _distance(self, ball: Any, part: int, reach: float) -> float:
        """Return the distance from the middle of the cup's rim to a part's surface [m]; infinite if it is farther."""
        points = self._p.getClosestPoints(
            part, -1, 2.0 * reach, collisionShapeB=self._cup, collisionShapePositionB=ball, physicsClientId=self._c
        )
        return min((point[8] for point in points), default=np.inf)
