"""The network and its export are the same bounded map; the normaliser is inside."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from robostral_policies.actor import Actor
from robostral_policies.config import ActorConfig, FineConfig, FitConfig, NearConfig, TrainingError
from robostral_policies.dagger import Samples, fit
from robostral_policies.export import OPSET, parity, probe, to_onnx
from robostral_policies.interface import Interface
from toy_cell import BOUND, ToyCell

from robostral.bundle.check import check_model
from robostral.bundle.model import read_model
from robostral.bundle.policy import open_session

CONTRACT = ToyCell().sealed.contract
INTERFACE = Interface.of_contract(CONTRACT)
FINE = FineConfig("q", (1,), scales=(0.01,), periods=(0.5,))
TURNED = FineConfig("error", (0, 1), scales=(0.01,), angle=("q", 0))
CONFIG = ActorConfig(hidden=(16, 16), near={"error": NearConfig(reach=0.5, fine=0.05)}, fine=(FINE, TURNED))


@pytest.fixture(scope="module")
def actor() -> Actor:
    made = Actor(INTERFACE, CONFIG, seed=3)
    made.normalise_by(np.random.default_rng(0).normal(3.0, 7.0, (100, 6)).astype(np.float32))
    return made


@pytest.fixture(scope="module")
def model(actor: Actor) -> bytes:
    return to_onnx(actor)


def test_the_export_is_the_network(actor: Actor, model: bytes) -> None:
    seen = np.random.default_rng(1).normal(3.0, 7.0, (200, 6)).astype(np.float32)
    obs = probe(seen, 10_000, seed=0)
    assert len(obs) == 10_000
    assert parity(actor, model, obs) <= 1e-6


def test_the_export_is_a_model_that_bundles_take(model: bytes) -> None:
    read = read_model(model)
    check_model(read, CONTRACT)
    assert read.opsets == {"": OPSET}
    assert b".py" not in model  # no source line of the machine that made it


def test_the_same_seed_gives_the_same_bytes_and_leaves_torch_alone(model: bytes) -> None:
    before = torch.random.get_rng_state()
    assert to_onnx(Actor(INTERFACE, CONFIG, seed=5)) == to_onnx(Actor(INTERFACE, CONFIG, seed=5)) != model
    assert torch.equal(before, torch.random.get_rng_state())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=6, max_size=6))
def test_no_observation_leads_out_of_bounds(model: bytes, obs: list[float]) -> None:
    chunk = open_session(model).run(["chunk"], {"obs": np.array([obs], np.float32)})[0]
    assert chunk.shape == (1, 3, 2)
    assert np.abs(chunk).max() <= np.float32(BOUND)


def test_a_constant_column_is_not_scaled(actor: Actor) -> None:
    other = Actor(INTERFACE, CONFIG)
    other.normalise_by(np.tile(np.array([1, 2, 3, 4, 5, 6], np.float32), (5, 1)))
    assert other.scale.tolist() == [1.0] * 4


def test_a_fit_weighs_small_labels_like_large_ones() -> None:
    """Labels that differ by a factor of 100 end with relative errors of the same order."""
    q, error = np.random.default_rng(0).uniform(-1, 1, (2, 2000, 2))
    error[::2] *= 0.01
    obs = np.concatenate([q, q + error, error], 1).astype(np.float32)
    labels = np.repeat(np.clip(0.5 * obs[:, None, 4:], -BOUND, BOUND), 3, axis=1)
    learner = Actor(INTERFACE, CONFIG)
    learner.normalise_by(obs)
    losses = fit(learner, Samples(obs, labels), FitConfig(floor=0.02, batch=256), 600, 0, lambda _: None)
    assert losses[-1] < 0.05 * losses[0]
    with torch.inference_mode():
        error = (learner(torch.from_numpy(obs)).numpy() - labels)[::2]
    assert np.abs(error).mean() < 0.1 * np.abs(labels[::2]).mean()


def test_an_error_that_turns_round_far_away_changes_nothing() -> None:
    """At half a turn an orientation error changes its sign while the robot has not moved."""
    made = Actor(INTERFACE, ActorConfig(hidden=(16,), near={"error": NearConfig(reach=0.5, fine=0.05)}))
    obs = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    obs[:, 4:] *= 3.0 / np.linalg.norm(obs[:, 4:], axis=1, keepdims=True)
    turned = obs * np.array([1, 1, 1, 1, -1, -1], np.float32)
    with torch.inference_mode():
        assert torch.equal(made(torch.from_numpy(obs)), made(torch.from_numpy(turned)))


def test_a_magnified_column_tells_slots_apart_that_look_alike_from_afar() -> None:
    """A saw tooth of 0.5 rad over 20 rad, and a switch of 0.01 rad at zero: nothing that a plain network learns."""
    rng, losses = np.random.default_rng(0), []
    obs = rng.uniform(-10.0, 10.0, (4000, 6)).astype(np.float32)
    obs[::2, 1] *= 0.003
    saw = np.sin(obs[:, 1] * (2.0 * np.pi / 0.5)) + np.tanh(obs[:, 1] / 0.01)
    labels = np.tile((0.4 * BOUND * saw)[:, None, None], (1, 3, 2)).astype(np.float32)
    for fine in ((), (FINE,)):
        learner = Actor(INTERFACE, ActorConfig(hidden=(16,), fine=fine))
        learner.normalise_by(obs)
        losses.append(fit(learner, Samples(obs, labels), FitConfig(batch=256), 300, 0, lambda _: None)[-1])
    assert losses[1] < 0.1 * losses[0]


def test_columns_that_an_angle_turns_are_seen_along_it_and_aside() -> None:
    made = Actor(INTERFACE, ActorConfig(hidden=(16,), fine=(FineConfig("error", (0, 1), (1.0,), (), ("q", 1)),)))
    along, aside, angle = 0.3, -0.2, np.array([0.0, 0.5, 2.0, -3.0])
    x, y = along * np.cos(angle) - aside * np.sin(angle), along * np.sin(angle) + aside * np.cos(angle)
    zero = np.zeros(4)
    obs = torch.from_numpy(np.stack([zero, angle, zero, zero, x, y], 1).astype(np.float32))
    np.testing.assert_allclose(made.fine[0](obs), np.tile(np.tanh([along, aside]), (4, 1)), atol=1e-6)


@pytest.mark.parametrize("fine", [FineConfig("nothing", (0,)), FineConfig("q", (2,))])
def test_a_magnified_column_that_is_not_there_is_named(fine: FineConfig) -> None:
    with pytest.raises(TrainingError, match=rf"'{fine.group}' in the contract \(q \(2\), goal \(2\), error \(2\)\)"):
        Actor(INTERFACE, ActorConfig(fine=(fine,)))


def test_an_angle_that_cannot_turn_columns_is_named() -> None:
    with pytest.raises(TrainingError, match="an angle turns 2 columns"):
        Actor(INTERFACE, ActorConfig(fine=(FineConfig("q", (1,), angle=("q", 0)),)))
    with pytest.raises(TrainingError, match=r"no columns \[2\] of 'q'"):
        Actor(INTERFACE, ActorConfig(fine=(FineConfig("error", (0, 1), angle=("q", 2)),)))
