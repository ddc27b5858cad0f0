"""Every engine moves the arms of the tables and keeps the same World protocol."""

import numpy as np
import pytest
from engine_cell import ARM, DT_S, FLOOR, hold, parts, read, tools, wrench
from robostral_sims.engines import EngineError, WorldState, engine_names, load_engine
from robostral_sims.scene import ArmMount, Body, Box, Conveyor, Cylinder, Jaw, Pose, Scene, Servo, Sphere, Tool

from robostral.arm import arm_names, load_arm
from robostral.arm.chain import transform
from robostral.arm.limits import Q_MAX, Q_MIN, TAU
from robostral.driver import DriverState, load_driver
from robostral.kinematics import crba, fk, gravity

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
