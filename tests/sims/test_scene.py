"""A cell is data: every preset loads, and what is wrong in one is named."""

import pytest
from robostral_sims.scene import Pose, Scene, load_scene

from robostral import config
from robostral.arm import load_arm
from robostral.errors import ConfigError, UnknownName


@pytest.mark.parametrize("name", config.names("cells"))
def test_every_preset_loads_and_its_arms_exist(name):
    for mount in load_scene(name).arms:
        load_arm(mount.model)


def test_parts_are_what_moves(tmp_path):
    scene = decode("{name: a, shape: {type: sphere, radius: 1}}, {name: b, shape: {type: sphere, radius: 1}, mass: 2}")
    assert [part.name for part in scene.parts] == ["b"]
    assert scene.bodies[0].pose == Pose()


@pytest.mark.parametrize(
    ("bodies", "fact"),
    [
        ("{name: a, shape: {type: sphere, radius: 0}}", "radius = 0.0 must be positive"),
        ("{name: a, shape: {type: box, size: [1, -1, 1]}}", "size = -1.0 must be positive"),
        ("{name: a, shape: {type: cone, radius: 1}}", "cone"),
        ("{name: arm, shape: {type: sphere, radius: 1}}", "two things of the cell are called 'arm'"),
        ("{name: a, shape: {type: sphere, radius: 1}, material: steel}", "no material 'steel'"),
        ("{name: a, shape: {type: sphere, radius: 1}, pose: {quat_wxyz: [1, 1, 0, 0]}}", "not a unit quaternion"),
        ("{name: a, shape: {type: sphere, radius: 1}, mas: 1}", "did you mean 'mass'"),
    ],
)
def test_what_is_wrong_is_named(bodies, fact):
    with pytest.raises(ConfigError, match=fact):
        decode(bodies)


def test_no_arm_no_cell():
    with pytest.raises(ConfigError, match="at least one arm"):
        config.decode(b"arms: []", Scene, "test")
    with pytest.raises(ConfigError, match="below high"):
        config.decode(b"{arms: [{model: ur5e}], regions: {r: {low: [0, 0, 0], high: [1, 0, 1]}}}", Scene, "test")


def test_an_unknown_cell_gets_the_nearest_name():
    with pytest.raises(UnknownName, match="did you mean 'ur5e-reach'"):
        load_scene("ur5-reach")


def decode(bodies):
    return config.decode(f"{{arms: [{{model: ur5e}}], bodies: [{bodies}]}}".encode(), Scene, "test")
