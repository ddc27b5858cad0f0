"""Every engine lets parts fall, slide, spring and be carried, and tools grip, alike."""

import numpy as np
import pytest
from engine_cell import ARM, DT_S, FLOOR, above, hold, move, parts, tools, wrench
from robostral_sims.engines import WorldState, load_engine
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
    Solid,
    Sphere,
    Tool,
    Vacuum,
)

from robostral.kinematics import fk

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
