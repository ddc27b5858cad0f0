"""`robostral sim` lists, shows, plays and plays again; what it is told wrong it answers in one line."""

import numpy as np
import pytest
from PIL import Image

from robostral.cli import call


def test_the_list_names_every_environment_and_its_contract(capsys):
    assert call(["sim", "list"]) == 0
    out = capsys.readouterr().out
    assert "Robostral/Reach-v0           ur5e-reach                   27   3 x 6  25 Hz" in out
    assert "engines: pybullet" in out


def test_show_tells_what_is_done_seen_and_there_and_draws_it(capsys, tmp_path):
    assert call(["sim", "show", "ur5e-reach", "--png", str(tmp_path / "new/cell.png")]) == 0
    out = capsys.readouterr().out
    for word in ("Reach a 6-DoF pose", "goal_rot6d", "body    table: box, fixture", "region  workspace"):
        assert word in out
    picture = np.asarray(Image.open(tmp_path / "new/cell.png").convert("RGB"), dtype=float)
    assert picture.shape == (240, 320, 3)
    assert picture.std() > 10.0


def test_a_failed_episode_is_kept_and_played_again(capsys, tmp_path):
    command = ["sim", "play", "Robostral/Reach-v0", "--policy", "random", "--save-failures", str(tmp_path)]
    assert call(command) == 1
    assert "random: 0 of 1" in capsys.readouterr().out
    (kept,) = tmp_path.glob("*.json")
    assert call(["sim", "replay", str(kept), "--gif", str(tmp_path / "it.gif")]) == 0
    assert "the same, to the bit" in capsys.readouterr().out
    with Image.open(tmp_path / "it.gif") as film:
        assert film.n_frames > 5
        assert film.info["duration"] == 40


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["play", "Reech"], "did you mean 'Reach'?"),
        (["play", "Reach", "--engine", "bullet"], "did you mean 'pybullet'?"),
        (["play", "Reach", "--policy", "ur5e-reech-v1"], "did you mean 'ur5e-reach-v1'?"),
        (["play", "Reach", "--episodes", "0"], "at least one"),
        (["replay", "nowhere.json"], "cannot read nowhere.json"),
    ],
)
def test_what_is_told_wrong_is_answered_in_one_line(args, says, capsys):
    assert call(["sim", *args]) == 2
    assert says in capsys.readouterr().err
