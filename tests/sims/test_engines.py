"""Every engine moves the arms of the tables and keeps the same World protocol."""

import numpy as np
import pytest
from robostral_sims.engines import EngineError, WorldState, engine_names, load_engine
from robostral_sims.scene import (
    ArmMount,
    Body,
    Box,
    Compound,
    Conveyor,
    Cylinder,
    Jaw,
    Material,
    Pose,
    Scene,
    Servo,
    Solid,
    Sphere,
    Tool,
    Vacuum,
)

from robostral.arm import arm_names, load_arm
from robostral.arm.chain import transform
from robostral.arm.limits import Q_MAX, Q_MIN, TAU
from robostral.driver import DriverState, load_driver
from robostral.kinematics import crba, fk, gravity, ik

ARM = load_arm("panda")
FLOOR = Body("floor", Box((3.0, 3.0, 0.02)), Pose((0.0, 0.0, -0.01)))
DT_S = 0.004


@pytest.fixture(params=engine_names())
def make(request):
    worlds = []

    def make(scene, dt_s=DT_S):
        worlds.append(load_engine(request.param)(scene, dt_s))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
        world.close()


def read(world):
    state = np.zeros((3, world.n))
    world.read(*state)
    return state


def parts(world, k=1):
    out = np.zeros((k, 13))
    world.read_parts(out)
    return out


def tools(world):
    out = np.zeros((1, 2))
    world.read_tools(out)
    return out[0]


def wrench(world):
    out = np.zeros((1, 6))
    world.read_wrenches(out)
    return out[0]


def above(x, y, z, tool, near=ARM.home):
    """Return the Panda's joints with its tool's tcp at a point, looking down."""
    chain = ARM.chain.with_tcp(transform(tool.tcp.p, (0.0, 0.0, 0.0)))
    return ik.ik(chain, ARM.limits, transform((x, y, z), (np.pi, 0.0, 0.0)), near)


def hold(world, q, seconds):
    world.run(np.tile(q, (round(seconds / world.dt_s), 1)))


def move(world, q, q_end, seconds):
    """Move straight in joint space, at rest at both ends."""
    s = np.linspace(0.0, 1.0, round(seconds / world.dt_s) + 1)[1:, None]
    world.run(q + s * s * (3.0 - 2.0 * s) * (q_end - q))


# -- the arms of the tables


def of_pybullet(world):
    """Return functions of q for the flange's pose, mass matrix and gravity torque, and the limits, in Bullet."""
    import pybullet as p

    c, arm = world._client, world._arms[0]

    def pose(q):
        world.reset(WorldState.at_rest(world._scene, q))
        names = [p.getJointInfo(arm.body, k, physicsClientId=c)[12] for k in range(p.getNumJoints(arm.body, c))]
        at = p.getLinkState(arm.body, names.index(b"flange"), computeForwardKinematics=True, physicsClientId=c)
        T = np.eye(4)
        T[:3, :3] = np.reshape(p.getMatrixFromQuaternion(at[5]), (3, 3))
        T[:3, 3] = at[4]
        return T

    def mass(q):
        return np.array(p.calculateMassMatrix(arm.body, q.tolist(), physicsClientId=c))

    def weight(q):
        zeros = [0.0] * q.size
        return np.array(p.calculateInverseDynamics(arm.body, q.tolist(), zeros, zeros, physicsClientId=c))

    limits = [p.getJointInfo(arm.body, joint, physicsClientId=c)[8:11] for joint in arm.joints]
    return pose, mass, weight, np.transpose(limits)


def of_mujoco(world):
    """Return the same in MuJoCo."""
    import mujoco

    model, data = world._built.model, world._data
    table = load_arm(world._scene.arms[0].model).table

    def pose(q):
        world.reset(WorldState.at_rest(world._scene, q))
        last = world._built.mounts[0].dofs[-1] + 2
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = data.xmat[last].reshape(3, 3), data.xpos[last]
        return T @ transform(table.flange.xyz, table.flange.rpy)

    def mass(q):
        full = np.zeros((model.nv, model.nv))
        pose(q)
        mujoco.mj_fullM(model, data, full)
        return full

    def weight(q):
        pose(q)
        return data.qfrc_bias.copy()

    return pose, mass, weight, np.array([*model.jnt_range.T, model.dof_frictionloss])


@pytest.mark.parametrize("engine", engine_names())
@pytest.mark.parametrize("name", arm_names())
def test_an_engine_has_the_arm_of_the_table(name, engine):
    arm = load_arm(name)
    chain = arm.chain.with_gravity((0.0, 0.0, -9.81))
    world = load_engine(engine)(Scene(arms=(ArmMount(name),)), DT_S)
    pose, mass, weight, limits = {"pybullet": of_pybullet, "mujoco": of_mujoco}[engine](world)
    for q in np.random.default_rng(0).uniform(*arm.limits.array[[Q_MIN, Q_MAX]], (8, chain.n)):
        np.testing.assert_allclose(pose(q), fk.tcp(chain, q), atol=1e-6)
        M, tau = crba.crba(chain, q), gravity.gravity(chain, q)
        np.testing.assert_allclose(mass(q), M, atol=1e-6 * M.max())
        np.testing.assert_allclose(weight(q), tau, atol=1e-6 * max(1.0, np.abs(tau).max()))
    np.testing.assert_allclose(limits, arm.limits.array[[Q_MIN, Q_MAX, TAU]], rtol=1e-12)
    world.close()


# -- servos and torques


@pytest.mark.parametrize("servo", [Servo(), Servo(50.0, 0.5), Servo(200.0, 1.0)])
@pytest.mark.parametrize("dt_s", [0.001, 0.004])
def test_a_servo_lags_as_it_says_on_every_wrist(make, servo, dt_s):
    world = make(Scene(arms=(ArmMount("panda", servo=servo),)), dt_s)
    speed = np.array([0.3, 0.2, -0.3, 0.2, -0.4, 0.3, 0.5])
    ramp = ARM.home + speed * dt_s * np.arange(1, round(0.6 / dt_s))[:, None]
    world.run(ramp)
    q, dq, tau = read(world)
    np.testing.assert_allclose(ramp[-1] - q, speed * (1.0 - servo.feed_forward) / servo.stiffness, atol=3e-4)
    np.testing.assert_allclose(dq, speed, atol=2e-3)
    assert tau[3] == pytest.approx(gravity.gravity(ARM.chain, q)[3], rel=0.05), "slow motion carries little but weight"


def test_a_joint_has_no_more_than_its_torque(make):
    heavy = Tool(Box((0.1, 0.1, 0.1)), Pose(), mass=60.0)
    world = make(Scene(arms=(ArmMount("panda", tool=heavy),)))
    hold(world, ARM.home, 0.2)
    q, _, tau = read(world)
    assert (np.abs(tau) <= ARM.limits.array[TAU] * (1.0 + 1e-9)).all()
    assert np.abs(q - ARM.home).max() > 0.1, "60 kg are too much for it"


def test_torques_take_the_place_of_the_servos(make):
    world = make(Scene(arms=(ArmMount("panda"),)), 0.001)
    chain = ARM.chain.with_gravity((0.0, 0.0, -9.81))
    weight = gravity.gravity(chain, ARM.home)
    hold(world, ARM.home, 0.1)
    for _ in range(200):
        world.run_torque(weight)
    q, dq, tau = read(world)
    np.testing.assert_allclose(q, ARM.home, atol=1e-4)
    np.testing.assert_array_equal(tau, weight)
    push = 0.01 * crba.crba(chain, ARM.home) @ np.ones(7)
    for _ in range(10):
        world.run_torque(weight + push)
    np.testing.assert_allclose(read(world)[1] - dq, 0.01 * 0.010, rtol=0.02)
    hold(world, ARM.home, 0.5)
    np.testing.assert_allclose(read(world)[0], ARM.home, atol=1e-5)


# -- one world, and many


def busy(engine_make):
    jaw = Jaw()
    things = (FLOOR, Body("ball", Sphere(0.03), Pose((0.5, 0.2, 0.2)), mass=0.1))
    things += (Body("brick", Box((0.04, 0.06, 0.05)), Pose((0.5, 0.22, 0.3)), mass=0.2),)
    belt = Conveyor("belt", (0.5, 0.3, 0.05), Pose((0.5, 0.3, 0.025)))
    scene = Scene(arms=(ArmMount("panda", tool=jaw),), bodies=things, conveyors=(belt,))
    return engine_make(scene)


def play(world, ticks=100, seed=0):
    """Move everything for a while; return all that can be measured."""
    waves = np.random.default_rng(seed).uniform(-0.2, 0.2, (3, 7))
    t = np.linspace(0.0, 1.0, ticks + 1)[1:, None]
    world.set_belts(np.array([0.1]))
    world.set_tools(np.array([0.03]))
    world.run(ARM.home + sum(wave * np.sin((k + 1) * np.pi * t) ** 2 for k, wave in enumerate(waves)))
    return measured(world)


def measured(world):
    return np.concatenate([*read(world), parts(world, 2).ravel(), tools(world), wrench(world)])


def test_a_reset_repeats_every_bit_after_anything(make):
    world, fresh = busy(make), busy(make)
    start = WorldState.at_rest(world._scene, ARM.home)
    wanted = play(fresh)
    for before in (0, 1, 150):
        if before:
            play(world, before, seed=before)
        world.reset(start)
        np.testing.assert_array_equal(play(world), wanted)


def test_a_captured_state_always_goes_on_in_the_same_way(make):
    world, other = busy(make), busy(make)
    play(world, 70)
    state, ends = world.capture(), []
    for one in (world, world, other):
        one.reset(state)
        np.testing.assert_array_equal(read(one)[:2], [state.q, state.dq])
        np.testing.assert_allclose(parts(one, 2), state.parts, atol=1e-12)
        ends.append(play(one, 50, seed=1))
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[0], ends[2])


def test_worlds_share_nothing_and_looking_changes_nothing(make):
    alone, watched, other = busy(make), busy(make), busy(make)
    wanted = [play(alone, 20, seed) for seed in range(3)]
    for seed in range(3):
        np.testing.assert_array_equal(play(watched, 20, seed), wanted[seed])
        play(other, 30, seed + 7)
        picture = watched.render(64, 48)
        assert picture.shape == (48, 64, 3)
    assert picture.std() > 5.0


def test_a_world_keeps_its_arms_and_takes_other_figures(make):
    world = make(Scene(arms=(ArmMount("panda"),), bodies=(FLOOR,)))
    with pytest.raises(EngineError, match="keeps its arms"):
        world.reset(world.capture(), Scene(arms=(ArmMount("panda"), ArmMount("panda", "other"))))
    slow = Scene(arms=(ArmMount("panda", servo=Servo(20.0, 0.0)),), bodies=(FLOOR,))
    world.reset(WorldState.at_rest(slow, ARM.home), slow)
    hold(world, ARM.home + 0.01, 0.05)
    assert np.all(ARM.home + 0.005 < read(world)[0])
    assert np.all(read(world)[0] < ARM.home + 0.008), "1 - exp(-20 * 0.05) of the way"


def test_two_arms_stand_where_they_are_mounted_each_with_its_tool(make):
    turned = Pose((1.4, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    scene = Scene(arms=(ArmMount("ur5e", "left", tool=Jaw()), ArmMount("panda", "right", turned, tool=Jaw(0.06))))
    world = make(scene)
    home = np.concatenate([load_arm("ur5e").home, ARM.home])
    world.set_tools(np.array([0.02, 0.05]))
    hold(world, home + 0.05, 0.8)
    np.testing.assert_allclose(read(world)[0], home + 0.05, atol=1e-4)
    out = np.zeros((2, 2))
    world.read_tools(out)
    np.testing.assert_allclose(out, [[0.02, 0.0], [0.05, 0.0]], atol=1e-4)


# -- parts and contacts


def test_parts_fall_and_lie_on_the_floor(make):
    kinds = {
        "ball": (Sphere(0.03), 0.03),
        "brick": (Box((0.04, 0.06, 0.05)), 0.025),
        "can": (Cylinder(0.03, 0.08), 0.04),
        "cross": (Compound((Solid(Box((0.1, 0.02, 0.04))), Solid(Box((0.02, 0.1, 0.04))))), 0.02),
    }
    falling = [
        Body(name, shape, Pose((0.6, 0.3 * k, 0.03 + rest)), mass=0.2)
        for k, (name, (shape, rest)) in enumerate(kinds.items())
    ]
    world = make(Scene(arms=(ArmMount("panda"),), bodies=(FLOOR, *falling)))
    dropped = np.sqrt(2 * 0.03 / 9.81)
    hold(world, ARM.home, round(0.5 * dropped / DT_S) * DT_S)
    np.testing.assert_allclose(parts(world, 4)[:, 9], -9.81 * 0.5 * dropped, rtol=0.06)
    hold(world, ARM.home, 1.5)
    state = parts(world, 4)
    np.testing.assert_allclose(state[:, 2], [rest for _, rest in kinds.values()], atol=1e-3)
    np.testing.assert_allclose(state[:, 7:], 0.0, atol=5e-3)


@pytest.mark.parametrize(("friction", "slides"), [(0.6, True), (0.75, False)])
def test_a_brick_slides_where_the_slope_beats_the_product_of_the_frictions(make, friction, slides):
    tilt = np.arctan(0.45)
    turn = (np.cos(tilt / 2), 0.0, np.sin(tilt / 2), 0.0)
    up = np.array([np.sin(tilt), 0.0, np.cos(tilt)])
    slope = Body("slope", Box((1.0, 0.5, 0.02)), Pose(tuple(np.array([1.0, 0.0, 0.5]) - 0.01 * up), turn), material="m")
    brick = Body("brick", Box((0.06, 0.06, 0.03)), Pose(tuple(np.array([1.0, 0, 0.5]) + 0.015 * up), turn), 0.3, "m")
    scene = Scene(arms=(ArmMount("panda"),), bodies=(slope, brick), materials={"m": Material(friction)})
    world = make(scene)
    before = parts(world)[0, :3].copy()
    hold(world, ARM.home, 0.4)
    gone = np.linalg.norm(parts(world)[0, :3] - before)
    expected = 0.5 * 9.81 * (np.sin(tilt) - friction**2 * np.cos(tilt)) * 0.4**2
    assert gone == pytest.approx(expected, rel=0.1) if slides else gone < 2e-3


def test_a_soft_surface_gives_way_as_a_spring(make):
    soft = {"rubber": Material(contact_stiffness=2000.0, contact_damping=100.0)}
    ball = Body("ball", Sphere(0.05), Pose((0.7, 0.0, 0.05)), mass=1.0)
    pad = Body("pad", Box((0.5, 0.5, 0.02)), Pose((0.7, 0.0, -0.01)), material="rubber")
    world = make(Scene(arms=(ArmMount("panda"),), bodies=(pad, ball), materials=soft), 0.001)
    hold(world, ARM.home, 1.0)
    assert 0.05 - parts(world)[0, 2] == pytest.approx(1.0 * 9.81 / 2000.0, rel=0.02)


def test_a_ball_bounces_in_mujoco_with_the_product_of_the_restitutions():
    ball = Body("ball", Sphere(0.03), Pose((0.7, 0.0, 0.23)), mass=0.1, material="rubber")
    floor = Body("floor", Box((3.0, 3.0, 0.02)), Pose((0.0, 0.0, -0.01)), material="rubber")
    rubber = {"rubber": Material(restitution=0.8)}
    world = load_engine("mujoco")(Scene(arms=(ArmMount("panda"),), bodies=(floor, ball), materials=rubber), 0.001)
    hold(world, ARM.home, 0.19)
    assert parts(world)[0, 9] == pytest.approx(-9.81 * 0.19, rel=0.01)
    top = 0.0
    for _ in range(250):
        hold(world, ARM.home, 0.001)
        top = max(top, parts(world)[0, 2] - 0.03) if parts(world)[0, 9] > 0.0 else top
    assert top == pytest.approx(0.2 * 0.64**2, rel=0.15)


# -- tools


def test_a_jaw_closes_on_a_box_lifts_it_and_lets_go(make):
    jaw = Jaw(material="pad")
    box = Body("box", Box((0.05, 0.04, 0.05)), Pose((0.45, 0.004, 0.025)), mass=0.3, material="pad")
    rough = {"pad": Material(0.9, spinning_friction=0.01)}
    world = make(Scene(arms=(ArmMount("panda", tool=jaw),), bodies=(FLOOR, box), materials=rough))
    low = above(0.45, 0.0, 0.03, jaw)
    high = above(0.45, 0.0, 0.23, jaw, low)
    world.reset(WorldState.at_rest(world._scene, low))
    np.testing.assert_allclose(tools(world), [jaw.opening, 0.0])
    world.set_tools(np.array([0.0]))
    hold(world, low, 0.1)
    assert tools(world)[0] == pytest.approx(0.08 - 2 * 0.1 * jaw.speed, abs=2e-3), "both fingers move at their speed"
    hold(world, low, 0.5)
    assert tools(world)[0] == pytest.approx(0.04, abs=1e-3)
    move(world, low, high, 0.8)
    hold(world, high, 1.0)
    lifted = parts(world)[0]
    np.testing.assert_allclose(lifted[:3], [0.45, 0.0, 0.225], atol=4e-3)
    assert abs(lifted[3]) > np.cos(np.radians(2.0)), "it has not turned"
    assert wrench(world)[2] == pytest.approx(-(0.73 + 0.3) * 9.81, rel=0.02)
    state = world.capture()
    world.reset(state)
    hold(world, high, 0.2)
    assert parts(world)[0, 2] == pytest.approx(lifted[2], abs=2e-3), "a captured grasp holds"
    world.set_tools(np.array([jaw.opening]))
    hold(world, high, 0.6)
    assert parts(world)[0, 2] < 0.03


def test_a_vacuum_lifts_what_it_touches_and_drops_what_is_too_heavy(make):
    cup = Vacuum(force=10.0)
    low, high = above(0.45, 0.0, 0.053, cup), above(0.45, 0.0, 0.2, cup)
    for mass, lifts in ((0.3, True), (1.5, False)):
        box = Body("box", Box((0.08, 0.08, 0.05)), Pose((0.45, 0.0, 0.025)), mass=mass)
        world = make(Scene(arms=(ArmMount("panda", tool=cup),), bodies=(FLOOR, box)))
        world.reset(WorldState.at_rest(world._scene, high))
        world.set_tools(np.array([1.0]))
        hold(world, high, 0.05)
        assert tools(world)[0] == 0.0, "nothing is there to seal on"
        move(world, high, low, 0.6)
        hold(world, low, 0.1)
        assert tools(world)[0] == 1.0
        move(world, low, high, 0.8)
        hold(world, high, 0.3)
        assert (parts(world)[0, 2] > 0.15) == lifts
        assert tools(world)[0] == float(lifts)
        if lifts:
            assert wrench(world)[2] == pytest.approx(-(cup.mass + mass) * 9.81, rel=0.02)
            world.reset(world.capture())
            hold(world, high, 0.1)
            assert parts(world)[0, 2] > 0.15
            world.set_tools(np.array([0.0]))
            hold(world, high, 0.5)
            assert parts(world)[0, 2] < 0.03


def test_a_belt_carries_a_box_at_its_speed(make):
    turn = (np.cos(np.pi / 8), 0.0, 0.0, np.sin(np.pi / 8))
    belt = Conveyor("belt", (1.0, 0.3, 0.1), Pose((0.8, 0.0, 0.05), turn))
    box = Body("box", Box((0.06, 0.06, 0.04)), Pose((0.7, -0.1, 0.12)), mass=0.2)
    world = make(Scene(arms=(ArmMount("panda"),), bodies=(box,), conveyors=(belt,)))
    hold(world, ARM.home, 0.2)
    np.testing.assert_allclose(parts(world)[0, 7:10], 0.0, atol=1e-3)
    world.set_belts(np.array([0.2]))
    hold(world, ARM.home, 0.5)
    before = parts(world)[0].copy()
    hold(world, ARM.home, 0.5)
    after = parts(world)[0]
    np.testing.assert_allclose(after[:2] - before[:2], 0.1 * np.array([1.0, 1.0]) / np.sqrt(2.0), atol=2e-3)
    assert after[2] == pytest.approx(0.12, abs=1e-3)
    world.set_belts(np.array([0.0]))
    hold(world, ARM.home, 0.3)
    np.testing.assert_allclose(parts(world)[0, 7:10], 0.0, atol=2e-3)


def test_a_wrench_is_the_tools_weight_and_what_it_presses_with(make):
    pad = Tool(Box((0.06, 0.06, 0.1)), Pose((0.0, 0.0, 0.1)), mass=0.5, material="pad")
    pad = Tool(Compound((Solid(Box((0.06, 0.06, 0.1)), Pose((0.0, 0.0, 0.05))),)), pad.tcp, 0.5, "pad")
    soft = {"pad": Material(contact_stiffness=5000.0, contact_damping=200.0)}
    turned = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    floor = Body("floor", Box((3.0, 3.0, 0.02)), Pose((0.0, 0.0, -0.01)))
    world = make(Scene(arms=(ArmMount("panda", base=turned, tool=pad),), bodies=(floor,), materials=soft), 0.002)
    q = above(0.45, 0.0, 0.05, pad)
    world.reset(WorldState.at_rest(world._scene, q))
    hold(world, q, 0.3)
    np.testing.assert_allclose(wrench(world), [0, 0, -0.5 * 9.81, 0, 0, 0], atol=0.02)
    tilted = q + np.array([0, 0, 0, 0, 0, 0.5, 0])
    world.reset(WorldState.at_rest(world._scene, tilted))
    hold(world, tilted, 0.3)
    T = fk.tcp(ARM.chain, tilted)
    moment = np.cross(0.05 * T[:3, 2], [0, 0, -0.5 * 9.81])
    np.testing.assert_allclose(wrench(world), [0, 0, -0.5 * 9.81, *moment], atol=0.02)
    world.reset(WorldState.at_rest(world._scene, q))
    pressed = above(0.45, 0.0, -0.002, pad, q)
    move(world, q, pressed, 1.0)
    hold(world, pressed, 1.0)
    assert wrench(world)[2] + 0.5 * 9.81 == pytest.approx(4 * 0.002 * 5000.0, rel=0.1), "four corners, four springs"


def test_a_world_that_blows_up_in_mujoco_says_so_and_leaves_no_file(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    world = load_engine("mujoco")(Scene(arms=(ArmMount("panda"),)), 0.001)
    with pytest.raises(EngineError, match="not finite"):
        world.run_torque(np.full(7, np.nan))
    assert "unstable" in caplog.text
    assert not list(tmp_path.iterdir())
    world.reset(WorldState.at_rest(world._scene, ARM.home))
    hold(world, ARM.home, 0.1)
    np.testing.assert_allclose(read(world)[0], ARM.home, atol=1e-6)


def test_what_mujoco_would_refuse_is_an_error_of_ours():
    tilted = Body("box", Cylinder(0.05, 1e-30), mass=1e-20)
    with pytest.raises(EngineError, match="MuJoCo refuses the cell"):
        load_engine("mujoco")(Scene(arms=(ArmMount("panda"),), bodies=(tilted,)), 0.001)


# -- one engine against another


def test_engines_move_alike_under_the_same_torques():
    scene = Scene(arms=(ArmMount("panda", tool=Tool(Box((0.04, 0.06, 0.1)), Pose(), mass=0.8)),))
    ends = []
    for engine in engine_names():
        world, rng = load_engine(engine)(scene, 0.001), np.random.default_rng(0)
        weight = gravity.gravity(ARM.chain, ARM.home)
        for _ in range(20):
            push = rng.uniform(-4.0, 4.0, 7) * (1.0, 1.0, 1.0, 1.0, 0.2, 0.2, 0.1)
            for _ in range(10):
                world.run_torque(weight + push)
        ends.append(read(world)[:2])
        world.close()
    assert np.abs(ends[0][0] - ARM.home).max() > 0.05
    np.testing.assert_allclose(ends[0], ends[1], atol=5e-3)


@pytest.mark.parametrize("engine", engine_names())
def test_a_simulated_plant_runs_on_it(engine):
    driver = load_driver("sim", arm="panda", realtime=False, engine=engine)
    driver.connect()
    state, q_c = DriverState(7), ARM.home + 0.02
    for _ in range(500):
        driver.write(q_c)
        driver.advance()
    driver.read(state)
    np.testing.assert_allclose(state.q, q_c, atol=1e-5)
    np.testing.assert_allclose(state.tau, gravity.gravity(ARM.chain, q_c), atol=0.05)
    driver.close()
