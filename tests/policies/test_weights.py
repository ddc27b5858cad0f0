"""The open weights fit the environment that they were trained in, and do what their card says."""

import re
from math import inf

import numpy as np
import pytest
from robostral_policies.evaluate import FIRST_SEED
from robostral_policies.rollout import Cell, Plan
from robostral_policies.weights import ROOT

from robostral import bundle
from robostral.bundle import OnnxPolicy
from robostral.cli import call
from robostral.contract import check_same
from robostral.errors import BundleRefused

NAMES = sorted(path.parent.name for path in ROOT.glob("*/manifest.json") if path.parent.name != "jaw-part-v1")
"""Policies: what simulates is judged in `test_surrogate_weights.py`."""


BARS = {
    "reach": (2000, 0.995, 120.0, 0.99),
    "pick_place": (1000, 0.99, 240.0, 0.97),
    "peg_insert": (500, 0.98, 480.0, 0.90),
    "conveyor_pick": (500, 0.97, inf, 0.0),
    "polish": (500, 0.97, inf, 0.0),
    "wafer_transfer": (500, 0.97, inf, 0.0),
}
"""Per task: fresh episodes, success, training [s] on a crowded machine, success on an engine never trained on."""
EPISODES = 8


@pytest.fixture(scope="module", params=NAMES)
def shipped(request: pytest.FixtureRequest) -> bundle.Bundle:
    return bundle.verify(str(request.param))


@pytest.fixture(scope="module")
def cell(shipped: bundle.Bundle) -> Cell:
    lineage = shipped.manifest.lineage
    return Cell(lineage.environment, dict(lineage.environment_kwargs))


def test_there_are_weights() -> None:
    assert "ur5e-reach-v1" in NAMES


def test_they_are_signed_for_twins_only(shipped: bundle.Bundle) -> None:
    assert shipped.signer is not None
    assert shipped.signer.demo
    with pytest.raises(BundleRefused, match="twins only"):
        bundle.verify(shipped.path, plant="real")
    assert not list(ROOT.rglob("*.key"))


def test_they_keep_the_bars(shipped: bundle.Bundle) -> None:
    manifest = shipped.manifest
    episodes, rate, training_s, elsewhere = BARS[shipped.sealed.contract.task]
    assert manifest.metrics[manifest.lineage.engine].n >= episodes
    assert manifest.metrics[manifest.lineage.engine].rate >= rate
    assert "mujoco" not in manifest.metrics or manifest.metrics["mujoco"].rate >= elsewhere
    assert manifest.parity.n >= 10_000
    assert manifest.parity.max_abs_error <= 1e-5
    assert manifest.cost.training_s <= training_s
    assert manifest.cost.us_per_action <= 25.0
    assert len(shipped.model_bytes) <= 200_000


def test_their_contract_is_the_environments(shipped: bundle.Bundle, cell: Cell) -> None:
    """When this fails the environment has changed: `make weights` makes them anew."""
    check_same(cell.sealed, shipped.sealed, "the environment", "the weights")
    assert cell.requirements == shipped.requirements


def test_the_card_says_what_the_manifest_says(shipped: bundle.Bundle) -> None:
    card = (shipped.path / "CARD.md").read_text(encoding="utf-8")
    success = shipped.manifest.metrics[shipped.manifest.lineage.engine]
    assert f"{success.successes} of {success.n}" in card
    assert re.search(r"^    robostral train ", card, re.MULTILINE)
    assert shipped.manifest.lineage.git_revision in card


def test_they_succeed_in_fresh_episodes_through_onnxruntime(shipped: bundle.Bundle, cell: Cell) -> None:
    fresh = range(2 * FIRST_SEED, 2 * FIRST_SEED + EPISODES)
    episodes = [cell.play(seed, Plan("model", shipped.model_bytes)) for seed in fresh]
    assert sum(episode.success for episode in episodes) >= EPISODES - 1
    policy = OnnxPolicy(shipped)
    chunk = policy.infer(episodes[0].obs[:1])
    assert np.abs(chunk).max() <= max(shipped.sealed.contract.action.high)
    policy.close()


def test_the_command_trains_on_the_real_cell(tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("real") / "ur5e-reach-v1"
    tiny = ["dagger.rounds=2", "dagger.episodes=3", "fit.steps=20", "fit.last_steps=20", "actor.hidden=[8]"]
    tiny += ["evaluate.episodes=3", "evaluate.baseline_episodes=1", "evaluate.parity=100"]
    assert call(["train", "ur5e-reach", "--out", str(out), "--workers", "1", "--set", *tiny]) == 0
    made = bundle.load(out)
    assert made.sealed.identity == bundle.load("ur5e-reach-v1").sealed.identity
    assert made.manifest.metrics["pybullet"].n == 3
