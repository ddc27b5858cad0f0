"""A learned simulator: watched, fitted, exported, signed, taken up again, served, and refused by arms."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import zmq
from robostral_policies.config import TrainingError
from robostral_policies.surrogate.config import SurrogateConfig
from robostral_policies.surrogate.evaluate import Evaluation
from robostral_policies.surrogate.improve import Improvement
from robostral_policies.surrogate.model import MOTION, Ensemble
from robostral_policies.surrogate.train import train
from robostral_policies.surrogate.watched import PILOTS, Pilots, Watched, watch
from robostral_sims.engines.surrogate import SurrogateWorld
from robostral_sims.scene import load_scene

from robostral import bundle
from robostral.arm import load_arm
from robostral.bundle import OnnxPolicy
from robostral.cli import call
from robostral.errors import ContractMismatch
from robostral.serving.client import PolicyClient
from robostral.serving.hosted import Hosted
from robostral.serving.keys import KeyStore
from robostral.serving.server import PolicyServer
from robostral.signals import Signals

CELL = "robostral_sims:Robostral/PickPlace-v0"
TINY = SurrogateConfig(
    CELL, "tiny", ({"arm": "ur5e"},), episodes=20, longest=30, members=2, hidden=(16,), steps=40, batch=64
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    folder = tmp_path_factory.mktemp("surrogate")
    train(TINY, folder / "tiny-v1", command="robostral surrogate train tiny")
    return bundle.load(folder / "tiny-v1")


def test_what_is_watched_depends_on_the_recipe_alone() -> None:
    few = msgspec.structs.replace(TINY, episodes=4, longest=10)
    once, again = (Watched.join(list(watch(few, workers))) for workers in (1, 2))
    np.testing.assert_array_equal(once.seen, again.seen)
    np.testing.assert_array_equal(once.told, again.told)
    assert len(np.unique(once.episode)) == 4


def test_every_pilot_moves_the_arm() -> None:
    pilots = Pilots(CELL, {"arm": "ur5e"})
    for pilot in PILOTS:
        for notes in pilots.fly(7, pilot, 20):
            seen, told = notes.after()
        assert np.isfinite(seen).all()
        assert np.isfinite(told).all()
        assert np.abs(pilots.env.truth.dq).max() > 1e-3, pilot


def test_the_bundle_says_what_it_is(made: bundle.Bundle) -> None:
    contract = made.sealed.contract
    assert contract.task == "jaw-part"
    assert made.manifest.parity.n >= 10_000
    assert made.manifest.parity.max_abs_error <= 1e-5
    assert "robostral surrogate train tiny" in (made.path / "CARD.md").read_text(encoding="utf-8")
    with pytest.raises(ContractMismatch, match="joint order \\[gap\\]"):
        Signals(contract, load_arm("ur5e").chain)


def test_far_from_what_was_watched_it_says_so(made: bundle.Bundle) -> None:
    watched = next(iter(watch(TINY, 1))).seen
    policy = OnnxPolicy(made)
    near, far = policy.infer(watched), policy.infer(watched + 5.0)
    assert np.median(near[:, 0, -1]) < 0.5
    assert far[:, 0, -1].min() > 0.5
    assert (near[:, 0, -2] > 0.0).all()
    policy.close()


def test_a_server_answers_rows(made: bundle.Bundle, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    store.create()
    rows = Watched.join(list(watch(TINY, 1))).seen[:32]
    policy = OnnxPolicy(made)
    server = PolicyServer([Hosted.from_bundle(made)], "tcp://127.0.0.1:0", store)
    with server.in_thread():
        client = PolicyClient(server.endpoint, store.client(), made.sealed.raw, "cell", max_rows=32)
        client.connect(5.0)
        assert client.socket.poll(5000, zmq.POLLOUT)
        assert client.send(rows, 1, 1, 11, 2, 5_000_000)
        assert client.socket.poll(5000)
        reply = client.receive()
        assert reply is not None
        np.testing.assert_allclose(reply.chunk, policy.infer(rows), atol=1e-6)
        client.close()


def test_it_is_an_engine_of_its_cells_and_of_no_other_jaw(made: bundle.Bundle) -> None:
    scene = load_scene("panda-pick_place")
    world = SurrogateWorld(scene, 0.004, str(made.path))
    start = world.capture()
    world.run(np.tile(start.q_c, (20, 1)))
    np.testing.assert_array_equal(world.capture().parts[:, :7], start.parts[:, :7])
    arm = scene.arms[0]
    other = msgspec.structs.replace(
        scene, arms=(msgspec.structs.replace(arm, tool=msgspec.structs.replace(arm.tool, opening=0.05)),)
    )
    with pytest.raises(ContractMismatch, match="jaw 50 mm"):
        SurrogateWorld(other, 0.004, str(made.path))


def test_an_interrupted_training_is_taken_up(tmp_path: Path) -> None:
    out = tmp_path / "tiny-v1"
    with pytest.raises(TrainingError, match="nothing to resume"):
        train(TINY, out, command="", resume=True)
    first = train(TINY, out, command="")
    assert train(TINY, out, command="", resume=True) == first
    with pytest.raises(TrainingError, match="other figures"):
        train(SurrogateConfig(CELL, "tiny", seed=5), out, command="", resume=True)


def test_the_command_refuses_what_cannot_be_watched(capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = ["--workers", "1", "--set", "env=robostral_sims:Robostral/Reach-v0"]
    assert call(["surrogate", "train", "jaw-part", *elsewhere]) != 0
    assert "a learned simulator knows one" in capsys.readouterr().err
    assert call(["surrogate", "train", "jaw-part", "--set", "episode=3"]) != 0
    assert "episodes" in capsys.readouterr().err


def test_it_is_judged_beside_the_engine(made: bundle.Bundle, tmp_path: Path) -> None:
    """Weights of forty steps: what nothing touches stays all the same, and the arm goes where it should."""
    arguments = ["--episodes", "1", "--closed-loop", "2", "--workers", "1", "--out", str(tmp_path)]
    assert call(["surrogate", "eval", str(made.path), "--policies", "ur5e-reach-v1", *arguments]) == 0
    found = msgspec.json.decode((tmp_path / "evaluation.json").read_bytes(), type=Evaluation)
    rows = {(row.pilot, row.what, row.steps): row for row in found.open_loop if row.arm == "all"}
    assert rows["all", "tcp", 50].mm[0] <= 2.0
    assert rows["all", "untouched", 10].mm[0] <= 0.01
    reach = next(row for row in found.success if row.pilot == "ur5e-reach-v1")
    assert reach.surrogate == reach.engine
    assert reach.surrogate.rate == 1.0
    assert found.calibration.flagged["tool tilted by half a rad"].rate == 1.0
    assert {row.arm for row in found.open_loop} == {
        "all", "ur5e", "ur5e, table 0.1 m higher", "engine itself, 0.1 mm aside",
    }  # fmt: skip
    assert all(bar.met for bar in found.bars)


def test_the_interval_holds_its_share() -> None:
    rng = np.random.default_rng(0)
    contract = Pilots(CELL, {"arm": "ur5e"}).sealed.contract
    seen = rng.normal(size=(4000, contract.obs_size)).astype(np.float32)
    told = np.zeros((4000, 14), np.float32)
    told[:, :MOTION] = 0.01 * rng.normal(size=(4000, MOTION))
    ensemble = Ensemble(TINY, contract, seen, told)
    ensemble.calibrate(seen[:2000], told[:2000], 0.9)
    said = ensemble(torch.from_numpy(seen[2000:])).detach().numpy()
    inside = np.linalg.norm(said[:, :MOTION] - told[2000:, :MOTION], axis=1) <= said[:, 14]
    assert 0.87 <= inside.mean() <= 0.93


def test_engine_steps_are_counted_on_both_sides(made: bundle.Bundle, tmp_path: Path) -> None:
    tiny = ["dagger.rounds=1", "dagger.episodes=2", "fit.steps=5", "fit.last_steps=5", "actor.hidden=[8]"]
    tiny += ["evaluate.episodes=2", "evaluate.baseline_episodes=1", "evaluate.parity=100", "evaluate.engines=[]"]
    arguments = ["--preset", "ur5e-pick_place", "--seeds", "3", "--workers", "1", "--out", str(tmp_path)]
    assert call(["surrogate", "improve", str(made.path), *arguments, "--set", *tiny]) == 0
    found = msgspec.json.decode((tmp_path / "improvement.json").read_bytes(), type=Improvement)
    learned, engine = found.runs
    assert (learned.trained_in, learned.engine_steps) == ("surrogate", 0)
    assert engine.engine_steps > 50
    assert found.surrogate_steps is not None
    assert found.pays_from is not None
    assert found.pays_from * engine.engine_steps >= 3 * found.surrogate_steps
    assert "trainings on" in found.verdict
