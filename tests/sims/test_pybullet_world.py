"""Bullet moves the arm that the tables describe, follows as the servo says, and repeats itself to the bit."""

import re

import numpy as np
import pybullet as p
import pytest
from robostral_sims.engines import EngineError, WorldState, load_engine
from robostral_sims.scene import (
    ArmMount,
    Body,
    Box,
    Compound,
    Cylinder,
    Pose,
    Scene,
    Servo,
    Solid,
    Sphere,
    Tool,
    load_mounted,
    load_scene,
)

from robostral import config
from robostral.arm import load_arm
from robostral.kinematics import fk
from robostral.kinematics.fk import tcp_kernel

ARM = load_arm("ur5e")
PARTS = (
    Body("floor", Box((2.0, 2.0, 0.02)), Pose((0.0, 0.0, -0.31))),
    Body("ball", Sphere(0.03), Pose((0.5, 0.5, -0.25)), mass=0.1),
    Body("brick", Box((0.04, 0.06, 0.05)), Pose((0.5, 0.52, -0.1)), mass=0.2),
)


@pytest.fixture
def make():
    worlds = []

    def make(scene, dt_s=0.004):
        worlds.append(load_engine("pybullet")(scene, dt_s))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
        world.close()


def commands(q, ticks, seed=0):
    """Return a smooth random motion from `q`, shape (ticks, n)."""
    waves = np.random.default_rng(seed).uniform(-0.3, 0.3, (3, q.size))
    t = np.linspace(0.0, 1.0, ticks + 1)[1:, None]
    return q + sum(wave * np.sin((k + 1) * np.pi * t) ** 2 for k, wave in enumerate(waves))


def measured(world):
    return np.concatenate([*read(world), world.capture().parts.ravel()])


def read(world):
    state = np.zeros((3, world.n))
    world.read(*state)
    return state


def test_bullet_has_the_arm_of_the_tables(make):
    import pybullet as p

    world = make(Scene(arms=(ArmMount("ur5e"),)))
    client, body = world._client, world._arms[0].body
    masses = [p.getDynamicsInfo(body, link, physicsClientId=client)[0] for link in range(7)]
    np.testing.assert_allclose(masses, [joint.link.mass for joint in ARM.table.joints] + [0.0])
    T = np.empty((4, 4))
    for q in np.random.default_rng(0).uniform(-3.0, 3.0, (20, 6)):
        world.reset(WorldState.at_rest(world._scene, q))
        tcp_kernel(ARM.chain.model, q, T)
        flange = p.getLinkState(body, 6, computeForwardKinematics=True, physicsClientId=client)[4]
        np.testing.assert_allclose(flange, T[:3, 3], atol=1e-6)


@pytest.mark.parametrize("dt_s", [0.002, 0.004])
@pytest.mark.parametrize("servo", [Servo(), Servo(50.0, 0.5), Servo(200.0, 1.0)])
def test_the_servo_lags_as_it_says(make, servo, dt_s):
    world = make(Scene(arms=(ArmMount("ur5e", servo=servo),)), dt_s)
    speed = np.array([0.5, 0.2, -0.3, 0.6, -0.4, 0.8])
    ramp = ARM.home + speed * dt_s * np.arange(1, round(0.6 / dt_s))[:, None]
    world.run(ramp)
    q, dq, _ = read(world)
    lag = speed * (1.0 - servo.feed_forward) / servo.stiffness
    np.testing.assert_allclose(ramp[-1] - q, lag, atol=3e-4)
    np.testing.assert_allclose(dq, speed, atol=2e-3)


def test_a_reset_repeats_every_bit_after_anything(make):
    scene = Scene(arms=(ArmMount("ur5e"),), bodies=PARTS)
    start = WorldState.at_rest(scene, ARM.home)
    q_c = commands(ARM.home, 60)
    world, fresh = make(scene), make(scene)
    fresh.run(q_c)
    wanted = measured(fresh)
    for before in (0, 1, 200):
        world.run(commands(ARM.home, before, seed=before)) if before else None
        world.reset(start)
        world.run(q_c)
        np.testing.assert_array_equal(measured(world), wanted)
    assert wanted[3 * 6 + 2] < -0.26, "the ball has fallen to the floor"


def test_a_captured_state_always_goes_on_in_the_same_way(make):
    scene = Scene(arms=(ArmMount("ur5e"),), bodies=PARTS)
    world = make(scene)
    q_c = commands(ARM.home, 100)
    world.run(q_c[:40])
    state, ends = world.capture(), []
    for _ in range(2):
        world.reset(state)
        np.testing.assert_array_equal(read(world)[:2], [state.q, state.dq])
        world.run(q_c[40:])
        ends.append(measured(world))
    np.testing.assert_array_equal(*ends)


def test_worlds_share_nothing_and_looking_changes_nothing(make):
    scene = load_scene("ur5e-reach")
    alone, watched, other = make(scene), make(scene), make(scene)
    q_c = commands(ARM.home, 30)
    alone.run(q_c)
    for row in q_c:
        watched.run(row[None])
        other.run(row[None] + 0.1)
        if row is q_c[10]:
            watched.render(32, 24)
    watched.render(32, 24)
    np.testing.assert_array_equal(measured(watched), measured(alone))


def test_two_arms_stand_where_they_are_mounted(make):
    turned = Pose((1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    scene = Scene(arms=(ArmMount("ur5e", "left"), ArmMount("ur5e", "right", turned)))
    world = make(scene)
    q = np.concatenate([ARM.home, ARM.home + 0.2])
    world.reset(WorldState.at_rest(scene, q))
    world.run(np.concatenate([commands(q[:6], 500), commands(q[6:], 500, seed=1)], axis=1))
    np.testing.assert_allclose(read(world)[0], q, atol=1e-3)


def test_what_bullet_would_swallow_is_an_error(make, monkeypatch):
    from robostral.arm.arm import Arm

    broken = re.sub(r'(<mass value="3.761"/>\s*<inertia ixx=)"[^"]*"', r'\1"9.0"', ARM.urdf())
    assert broken != ARM.urdf()
    monkeypatch.setattr(Arm, "urdf", lambda self: broken)
    with pytest.raises(EngineError, match=r"shoulder_link.*bad inertia"):
        make(Scene(arms=(ArmMount("ur5e"),)))


def test_a_world_keeps_its_arms(make):
    world = make(Scene(arms=(ArmMount("ur5e"),)))
    with pytest.raises(EngineError, match="keeps its arms"):
        world.reset(world.capture(), Scene(arms=(ArmMount("ur5e"), ArmMount("ur5e", "other"))))


def test_a_cylinder_is_as_large_as_it_says(make):
    """A hull would have grown by 1 mm on every side, and a hole of 1 mm clearance would be none."""
    import pybullet as p

    peg = Tool(Compound((Solid(Cylinder(0.01, 0.08), Pose((0.0, 0.0, 0.04))),)), Pose((0.0, 0.0, 0.08)))
    can = Body("can", Cylinder(0.03, 0.08), Pose((0.6, 0.4, 0.3)), mass=0.2)
    world = make(Scene(arms=(ArmMount("ur5e", tool=peg),), bodies=(can,)))
    client, arm = world._client, world._arms[0]
    ball = p.createCollisionShape(p.GEOM_SPHERE, radius=0.001, physicsClientId=client)
    flange = load_mounted(ArmMount("ur5e", tool=peg))
    T = fk.frames(flange.chain, flange.home)[-2]

    def distance(body, link, at):
        found = p.getClosestPoints(
            body, -1, 0.2, linkIndexA=link, collisionShapeB=ball, collisionShapePositionB=at, physicsClientId=client
        )
        return min(point[8] for point in found) + 0.001

    for aside, along, gap in ((0.02, 0.04, 0.01), (0.0, 0.1, 0.02), (0.012, 0.02, 0.002)):
        at = (T @ [aside, 0.0, along, 1.0])[:3]
        assert distance(arm.body, arm._links["tool"], at) == pytest.approx(gap, abs=1e-4)
    assert distance(world._parts[0], -1, (0.6, 0.45, 0.3)) == pytest.approx(0.02, abs=1e-4)
    assert distance(world._parts[0], -1, (0.6, 0.4, 0.36)) == pytest.approx(0.02, abs=1e-4)


def test_the_flange_feels_a_tools_weight_at_its_lever(make):
    tool = Tool(Compound((Solid(Box((0.1, 0.06, 0.04)), Pose((0.05, 0.02, 0.1))),)), Pose(), mass=2.0)
    turned = Pose((0.2, 0.1, 0.0), (np.cos(0.4), 0.0, 0.0, np.sin(0.4)))
    for base in (Pose(), turned):
        world = make(Scene(arms=(ArmMount("ur5e", base=base, tool=tool),)))
        q, felt = ARM.home + 0.3, np.zeros((1, 6))
        world.reset(WorldState.at_rest(world._scene, q))
        world.run(np.tile(q, (100, 1)))
        world.read_wrenches(felt)
        lever, weight = fk.frames(ARM.chain, q)[-2][:3, :3] @ [0.05, 0.02, 0.1], [0.0, 0.0, -2.0 * 9.81]
        np.testing.assert_allclose(felt[0], [*weight, *np.cross(lever, weight)], atol=0.02)


def test_moving_parts_have_their_centre_where_they_say(make):
    lopsided = Compound((Solid(Box((0.1, 0.1, 0.1)), Pose((0.02, 0.0, 0.0))),))
    with pytest.raises(EngineError, match="'hook' has its centre of mass"):
        make(Scene(arms=(ArmMount("ur5e"),), bodies=(Body("hook", lopsided, mass=1.0),)))
    make(Scene(arms=(ArmMount("ur5e"),), bodies=(Body("hook", lopsided),)))


def test_a_body_of_more_solids_than_bullet_takes_is_refused(make):
    def cell(count):
        solids = tuple(Solid(Box((0.01, 0.01, 0.01)), Pose((0.02 * i, 0.0, 0.0))) for i in range(count))
        return Scene(arms=(ArmMount("ur5e"),), bodies=(Body("rack", Compound(solids)),))

    make(cell(16))
    with pytest.raises(EngineError, match="body 'rack' has 17 solids; Bullet takes 16 a body"):
        make(cell(17))


@pytest.mark.parametrize("name", config.names("cells"))
def test_nothing_clamps_the_arm(make, name):
    """A link that overlaps a table is held by its friction, and the tcp stays millimetres from where it should be."""
    scene = load_scene(name)
    world = make(scene)
    world.reset(WorldState.at_rest(scene, load_mounted(scene.arms[0]).home), scene)
    client, arm = world._client, world._arms[0].body
    p.performCollisionDetection(physicsClientId=client)
    fixed = [body for body in range(p.getNumBodies(client)) if p.getDynamicsInfo(body, -1, client)[0] == 0.0]
    assert not any(p.getContactPoints(arm, body, physicsClientId=client) for body in fixed if body != arm)
