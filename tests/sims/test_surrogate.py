"""The learned World: the servo arm as Bullet has it, and clear refusals of what it does not know."""

import gymnasium
import msgspec
import numpy as np
import pytest
from robostral_sims.engines import EngineError, WorldState, load_engine
from robostral_sims.scene import load_scene
from robostral_sims.watch import part_of

from robostral.errors import ConfigError


def test_the_known_arm_moves_as_in_bullet() -> None:
    """Reach has no part: nothing is learned, and 50 policy steps end where Bullet's end."""
    here, there = (
        gymnasium.make("robostral_sims:Robostral/Reach-v0", engine=engine, disable_env_checker=True).unwrapped
        for engine in ("surrogate", "pybullet")
    )
    for seed in range(3):
        obs, _ = here.reset(seed=seed)
        there.reset(seed=seed)
        for _ in range(50):
            action = here.to_action(here.expert(obs))
            obs, _, over, _, _ = here.step(action)
            over = there.step(action)[2] or over
            if over:
                break
        np.testing.assert_allclose(here.truth.q, there.truth.q, atol=1e-4)
    here.close()
    there.close()


@pytest.mark.parametrize(
    ("cell", "fact"),
    [
        ("ur5e-conveyor_pick", "conveyor 'belt'"),
        ("panda-peg_insert", "force/torque sensor"),
        ("wafer_rtz-wafer_transfer", "one arm, with a Jaw"),
    ],
)
def test_a_cell_that_it_does_not_know_is_refused(cell: str, fact: str) -> None:
    with pytest.raises(ConfigError, match=fact):
        load_engine("surrogate")(load_scene(cell), 0.004)


def test_a_cell_without_a_level_table_is_refused() -> None:
    scene = load_scene("panda-pick_place")
    table, part = scene.bodies
    leaning = msgspec.structs.replace(table, pose=msgspec.structs.replace(table.pose, quat_wxyz=(0.6, 0.8, 0.0, 0.0)))
    for bodies, fact in (((leaning, part), "level boxes; 'table' is none"), ((part,), "no fixture")):
        with pytest.raises(ConfigError, match=fact):
            load_engine("surrogate")(msgspec.structs.replace(scene, bodies=bodies), 0.004)


def test_a_higher_table_is_known_by_its_height() -> None:
    """What is known of table and part changes in the height alone, from which `see_kernel` tells heights."""
    scene = load_scene("panda-pick_place")
    bodies = tuple(
        msgspec.structs.replace(
            body, pose=msgspec.structs.replace(body.pose, p=(*body.pose.p[:2], body.pose.p[2] + 0.1))
        )
        for body in scene.bodies
    )
    low, high = part_of(scene), part_of(msgspec.structs.replace(scene, bodies=bodies))
    np.testing.assert_allclose(high[:-1], low[:-1])
    assert high[-1] - low[-1] == pytest.approx(0.1)


def test_torques_and_odd_rates_are_refused() -> None:
    scene = load_scene("ur5e-reach")
    with pytest.raises(EngineError, match="position servos only"):
        load_engine("surrogate")(scene, 0.004).run_torque(np.zeros(6))
    with pytest.raises(ConfigError, match="no whole number of ticks"):
        load_engine("surrogate")(scene, 0.003)


def test_what_is_captured_goes_on_alike() -> None:
    world, other = (load_engine("surrogate")(load_scene("ur5e-reach"), 0.004) for _ in range(2))
    way = world.capture().q + np.linspace(0.0, 0.1, 20)[:, None]
    world.run(way[:10])
    state = world.capture()
    assert isinstance(state, WorldState)
    other.reset(state)
    for one in (world, other):
        one.run(way[10:])
    np.testing.assert_array_equal(world.capture().q, other.capture().q)
