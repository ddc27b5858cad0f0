"""Scores count what was played, the table goes where it belongs, and the bench measures what it says."""

import json

import pytest
from robostral_sims.catalogue import find
from robostral_sims.scores import MARKS, markdown, score, write_table

from robostral.cli import call
from robostral.errors import ConfigError

REACH = find("Reach")


def test_a_score_counts_its_episodes_and_a_table_shows_them(tmp_path):
    told = []
    expert = score(REACH, "pybullet", "expert", 3, told=lambda: told.append(1))
    random = score(REACH, "pybullet", "random", 2)
    assert (expert.success.successes, len(told)) == (3, 3)
    assert expert.stopped == expert.limited == 0
    assert (random.failed, sum(random.reasons.values())) == ((0, 1), 2)
    assert expert.rewards > random.rewards
    table = markdown([REACH], [expert, random])
    assert "| `ur5e-reach` | 27 | joint_position_delta, 3 x 6 | pybullet | 100.0 [43.9, 100.0], n = 3" in table
    page = tmp_path / "README.md"
    page.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    write_table(page, table)
    assert page.read_text() == f"before\n{MARKS[0]}\n{table}\n{MARKS[1]}\nafter\n"


def test_nothing_to_count_and_a_page_without_marks_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least one"):
        score(REACH, "pybullet", "expert", 0)
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(ConfigError, match="lacks the lines"):
        write_table(tmp_path / "README.md", "")


def test_the_bench_measures_speed_resets_and_scaling_and_says_that_its_peer_is_absent(tmp_path, monkeypatch):
    monkeypatch.setattr("robostral_sims.env_bench.catalogue", lambda: [REACH])
    report = tmp_path / "env.json"
    command = ["bench", "env", "--cell", "ur5e-reach", "--steps", "64", "--rounds", "1", "--episodes", "1"]
    assert call([*command, "--json", str(report)]) == 0
    found = json.loads(report.read_text())
    speed = found["env"]["reach"]
    assert found["machine"]["revision"]
    assert 0.0 < speed["step_share"] < 1.0
    assert speed["reset_bit_exact"]
    assert speed["sim_seconds_per_s"] == pytest.approx(0.04 * speed["random_steps_per_s"])
    assert speed["panda_gym"].startswith("absent")
    assert found["env"]["vector_scaling_2"] > 0.0
    assert found["env"]["vector_scaling_2_floor"] > 0.0
    assert [row["success"]["successes"] for row in found["env"]["experts"]] == [1, 1]


def test_a_peer_that_cannot_run_is_named(capsys):
    assert call(["bench", "env", "--steps", "8", "--rounds", "1", "--peer-python", "/bin/false"]) == 2
    assert "/bin/false does not run panda-gym" in capsys.readouterr().err
