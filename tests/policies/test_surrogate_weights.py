"""The shipped learned simulator: signed, small, exact in what is known, good in what is not, an engine of its cells."""

import re
from pathlib import Path
from typing import Any

import gymnasium
import msgspec
import numpy as np
import pytest
from robostral_policies.examine import Examination
from robostral_policies.surrogate.evaluate import calibrate, fly, tables
from robostral_policies.surrogate.watched import Pilots, Watched

from robostral import bundle
from robostral.cli import call
from robostral.contract import check_same
from robostral.errors import BundleRefused

NAME = "jaw-part-v1"
CELL = "robostral_sims:Robostral/PickPlace-v0"


@pytest.fixture(scope="module")
def shipped() -> bundle.Bundle:
    return bundle.verify(NAME)


def test_it_is_signed_small_and_the_graph_is_the_network(shipped: bundle.Bundle) -> None:
    assert shipped.signer is not None
    assert shipped.signer.demo
    with pytest.raises(BundleRefused, match="twins only"):
        bundle.verify(shipped.path, plant="real")
    assert len(shipped.model_bytes) <= 200_000
    assert shipped.manifest.parity.n >= 10_000
    assert shipped.manifest.parity.max_abs_error <= 1e-5
    card = (shipped.path / "CARD.md").read_text(encoding="utf-8")
    assert re.search(r"^    robostral surrogate train jaw-part", card, re.MULTILINE)
    assert shipped.manifest.lineage.git_revision in card


@pytest.mark.parametrize("arm", ["ur5e", "panda", "iiwa14"])
def test_its_contract_is_the_cells(shipped: bundle.Bundle, arm: str) -> None:
    """When this fails the jaw, or what is seen, has changed: `robostral surrogate train jaw-part` makes it anew."""
    check_same(Pilots(CELL, {"arm": arm}).sealed, shipped.sealed, "the cell", "the bundle")


def test_two_seconds_open_loop(shipped: bundle.Bundle) -> None:
    """The bars, on a few episodes: tcp, a part that nothing touches, that is pushed, that is grasped."""
    flown = list(fly(shipped, {"arm": "panda"}, 3, 7))
    found = [one for seen, _ in flown for one in seen]
    rows = {(row.pilot, row.what): row for row in tables(found) if row.steps == 50 and row.arm == "all"}
    assert rows["all", "tcp"].mm[0] <= 2.0
    assert rows["all", "tcp"].mm[1] <= 7.0
    assert rows["all", "untouched"].mm[0] <= 1.0
    assert rows["expert", "grasped"].mm[0] <= 5.0
    assert rows["pushing", "pushed"].mm[0] <= 20.0
    flagged = calibrate(shipped, Watched.join([watched for _, watched in flown]), 0.9).flagged
    assert flagged.pop("fresh episodes").rate < 0.02
    assert min(share.rate for share in flagged.values()) > 0.99, flagged


def test_a_policy_succeeds_in_it(tmp_path: Path) -> None:
    few = ["--episodes", "12", "--baselines", "0", "--workers", "1", "--out", str(tmp_path)]
    assert call(["eval", "ur5e-pick_place-v1", "--engine", "surrogate", *few]) == 0
    found = msgspec.json.decode((tmp_path / "evaluation.json").read_bytes(), type=Examination)
    assert found.rows[0].success.successes >= 11


@pytest.mark.parametrize("figure", [{"part_size": 1.3}, {"part_mass": 2.5}, {"friction": 2.0}])
def test_outside_of_what_was_watched_an_episode_ends_with_the_reason(figure: dict[str, float]) -> None:
    env = gymnasium.make(CELL, arm="panda", engine="surrogate", disable_env_checker=True)
    cell: Any = env.unwrapped
    obs, _ = env.reset(seed=0, options={"plant": {**figure, "latency_s": 0.0}})
    over = False
    while not over:
        obs, _, terminated, truncated, info = env.step(cell.to_action(cell.expert(obs)))
        over = terminated or truncated
    assert truncated
    assert not info["success"]
    assert "never shown anything like this" in info["reason"]
    env.close()


def test_an_episode_repeats_itself_to_the_bit() -> None:
    env = gymnasium.make(CELL, arm="iiwa14", engine="surrogate", disable_env_checker=True)
    cell: Any = env.unwrapped
    runs = []
    for _ in range(2):
        obs, _ = env.reset(seed=4)
        seen = [obs]
        for _ in range(60):
            obs, _, terminated, truncated, _ = env.step(cell.to_action(cell.expert(obs)))
            seen.append(obs)
            if terminated or truncated:
                break
        runs.append(np.stack(seen))
    np.testing.assert_array_equal(*runs)
    env.close()
