"""A recorded episode comes back as it was written, or is refused by name."""

from pathlib import Path

import numpy as np
import pytest

from robostral.episode import Episode
from robostral.errors import ConfigError


def test_actions_survive_bit_for_bit(tmp_path: Path) -> None:
    actions = np.random.default_rng(0).normal(size=(7, 3, 6)).astype(np.float32)
    episode = Episode("module:Id-v0", {"arm": "ur5e"}, 3, actions.tolist(), success=False, reason="time limit")
    again = Episode.load(episode.save(tmp_path / "deep/failed.json"))
    assert again == episode
    np.testing.assert_array_equal(again.steps, actions)


def test_what_is_no_episode_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"env": "x"}')
    with pytest.raises(ConfigError, match=r"a\.json is no recorded episode"):
        Episode.load(tmp_path / "a.json")
    with pytest.raises(ConfigError, match="cannot read"):
        Episode.load(tmp_path / "none.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        Episode("x", {}, 0, [], success=False, reason="").save(tmp_path / "file/a.json")
