"""Randomisation: every figure inside its range, the same plant from the same seed, and any plant again on demand."""

import msgspec
import numpy as np
import pytest
from robostral_sims.env import CellEnv, EnvError
from robostral_sims.randomize import FIGURES, NOMINAL, Plant, draw, ranges, scaled
from robostral_sims.scene import ArmMount, Body, Box, Compound, Cylinder, Jaw, Pose, Scene, Solid, Sphere

from robostral.errors import ConfigError, UnknownName

SCENE = Scene(
    arms=(ArmMount("panda", tool=Jaw()),),
    bodies=(Body("table", Box((1.0, 1.0, 0.1))), Body("part", Cylinder(0.02, 0.06), mass=0.1)),
)


def test_every_figure_stays_in_its_range_and_names_its_source():
    rng = np.random.default_rng(0)
    for name, one in FIGURES.items():
        values = [one.draw(rng) for _ in range(500)]
        assert one.source
        if one.low == one.high:  # drawn by nobody unless a task or a sweep widens it
            assert set(values) == {one.low}
            continue
        assert one.low <= min(values) < max(values) <= one.high, name
        middle = np.sqrt(one.low * one.high) if one.law == "log-uniform" else (one.low + one.high) / 2
        share = np.mean(np.array(values) < middle)
        assert 0.4 < share < 0.6, f"{name} is drawn {one.law}"


def test_a_plant_changes_what_it_says_and_nothing_else():
    assert NOMINAL.apply(SCENE) == SCENE
    plant = Plant({"stiffness": 60.0, "part_size": 1.1, "part_mass": 2.0, "friction": 0.5, "payload": 0.3})
    scene = plant.apply(SCENE)
    assert scene.arms[0].servo.stiffness == 60.0
    assert scene.arms[0].servo.feed_forward == SCENE.arms[0].servo.feed_forward
    assert scene.arms[0].tool.mass == pytest.approx(Jaw().mass + 0.3)
    assert scene.bodies[0] == SCENE.bodies[0], "a fixture is no part"
    assert scene.bodies[1].mass == pytest.approx(0.2)
    assert scene.bodies[1].shape.length == pytest.approx(0.066)
    assert scene.material(scene.bodies[1]).lateral_friction == pytest.approx(0.25)
    soft = Plant({"contact_stiffness": 1e5, "joint_friction": 0.5}).apply(SCENE)
    assert soft.material(soft.bodies[1]).contact_stiffness == 1e5
    assert soft.arms[0].actuator.coulomb == (0.5,) * 7


def test_a_shape_grows_in_all_its_lengths():
    tray = Compound((Solid(Box((0.1, 0.2, 0.3)), Pose((0.0, 0.0, 0.1))), Solid(Sphere(0.01))))
    grown = scaled(tray, 2.0)
    assert grown.solids[0].shape.size == (0.2, 0.4, 0.6)
    assert grown.solids[0].pose.p == (0.0, 0.0, 0.2)
    assert grown.solids[1].shape.radius == 0.02


def test_fixed_figures_leave_the_rest_of_the_draw_as_it_is():
    picked = ranges("stiffness", "latency_s", friction=(1.0, 2.0))
    free = draw(picked, np.random.default_rng(1)).figures
    held = draw(picked, np.random.default_rng(1), {"latency_s": 0.01, "part_mass": 3}).figures
    assert held == free | {"latency_s": 0.01, "part_mass": 3.0}
    with pytest.raises(UnknownName, match="did you mean 'latency_s'"):
        draw(picked, np.random.default_rng(1), {"latencys": 0.0})
    with pytest.raises(ConfigError, match="friction = nan"):
        draw(picked, np.random.default_rng(1), {"friction": float("nan")})
    with pytest.raises(UnknownName, match="figure"):
        ranges("stifness")


def test_an_episode_is_replayed_from_its_seed_and_its_plant():
    env = CellEnv()
    _, info = env.reset(seed=3)
    seen = [env.step(np.full((3, 6), 0.2))[0].tobytes() for _ in range(5)]
    plant = msgspec.json.decode(msgspec.json.encode(info["plant"]))
    other = CellEnv(randomize=False)
    _, nominal = other.reset(seed=3)
    assert nominal["plant"] == {}
    env.reset(seed=3, options={"plant": {**plant, "stiffness": 55.0}})
    assert env.step(np.full((3, 6), 0.2))[0].tobytes() != seen[0]
    _, again = env.reset(seed=3, options={"plant": plant})
    assert again["plant"] == info["plant"]
    assert [env.step(np.full((3, 6), 0.2))[0].tobytes() for _ in range(5)] == seen
    with pytest.raises(EnvError, match="no option 'plnt'"):
        env.reset(options={"plnt": {}})
    env.close()
    other.close()
