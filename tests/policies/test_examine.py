"""An examination finds what a plant's figure does to a policy, and keeps what failed so that it can be seen again."""

from pathlib import Path

import msgspec
import pytest
from robostral_policies import card
from robostral_policies.commands import evaluate
from robostral_policies.config import TrainConfig
from robostral_policies.evaluate import Evaluation, Row
from robostral_policies.examine import Examination, conditions
from robostral_policies.train import train
from toy_cell import ToyCell

from robostral.bundle import Success
from robostral.episode import Episode
from robostral.errors import ConfigError


def test_what_breaks_a_policy_is_found_shown_and_kept(toy: TrainConfig, tmp_path: Path) -> None:
    train(toy, tmp_path / "toy-v1", command="")
    settings = {"episodes": 20, "baselines": 5, "workers": 1, "out": tmp_path / "eval"}
    assert evaluate(str(tmp_path / "toy-v1"), sweep=("drift=0,0.2",), **settings) == 1
    found = msgspec.json.decode((tmp_path / "eval/evaluation.json").read_bytes(), type=Examination)
    model = [row for row in found.rows if row.pilot == "model"]
    assert [row.condition for row in model] == [{}, {"drift": 0.0}, {"drift": 0.2}]
    assert model[0].success == model[1].success
    assert model[0].success.rate > 0.8
    assert model[2].success.rate < 0.2
    assert [row.pilot for row in found.rows[1:4]] == ["expert", "random", "nothing"]
    page = (tmp_path / "eval/evaluation.html").read_text()
    assert "success over drift" in page
    assert page.count("<svg") == page.count("</svg>") == 1
    assert len(list((tmp_path / "eval/failures").iterdir())) == sum(len(row.failures) for row in model)
    failed = Episode.load(next((tmp_path / "eval/failures").glob("*drift=0.2*")))
    env = ToyCell(**failed.kwargs)
    env.reset(seed=failed.seed, options=failed.options)
    ends = [env.step(action) for action in failed.steps]
    assert ends[-1][4] == {"success": False, "reason": failed.reason}


def test_a_sweep_is_read_or_refused() -> None:
    assert conditions([20.0], ["mu=0.2,0.5"]) == [{"latency_s": 0.02}, {"mu": 0.2}, {"mu": 0.5}]
    for wrong in ("mu", "mu=", "mu=high"):
        with pytest.raises(ConfigError, match=r"expected FIGURE=VALUE"):
            conditions([], [wrong])


def test_a_task_that_feels_says_its_greatest_force() -> None:
    row = Row("model", Success.of(1, 1), (1.0, 1.0), {}, (), "pybullet", {}, {"force_peak_n": (8.0, 9.0, 12.34)})
    assert "force at most 12.3 N" in str(row)
    assert "force" not in str(msgspec.structs.replace(row, figures={}))
    assert "12.3 N on pybullet" in card._force(Evaluation((row,), 0.05, 10.0))
