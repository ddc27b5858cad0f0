"""Learning from reward: any environment, the same result after interruptions, a model that is what was learned."""

from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from rich.progress import Progress
from robostral_policies.checkpoint import Checkpoint
from robostral_policies.config import RlConfig, TrainConfig, TrainingError, working_folder
from robostral_policies.export import parity, to_onnx
from robostral_policies.rl import Learner
from robostral_policies.rollout import Rollouts
from robostral_policies.train import train

from robostral import bundle
from robostral.episode import Episode

SHORT = RlConfig(steps=240, segment=80, hidden=(16,), batch=40, warm_up=40, rollout=40)


def foreign(method: str, **figures: int) -> TrainConfig:
    made = TrainConfig(env="toy_cell:Foreign-v0", name="foreign", engine="none")
    rl = replace(SHORT, **figures)
    return replace(
        made, method=method, rl=rl, evaluate=replace(made.evaluate, episodes=5, baseline_episodes=5, parity=50)
    )


@pytest.mark.parametrize(("method", "figures"), [("ppo", {}), ("sac", {"relabel": 2}), ("tqc", {"relabel": 2})])
def test_an_interrupted_training_ends_with_the_same_bits(method: str, figures: dict[str, int], tmp_path: Path) -> None:
    recipe = foreign(method, **figures)
    train(recipe, tmp_path / "unbroken", command="")
    out = tmp_path / "broken"
    for _ in range(2):
        with Rollouts(recipe.env, 1) as rollouts, Progress(disable=True) as progress:
            checkpoint = Checkpoint(working_folder(out))
            Learner(recipe, checkpoint, rollouts, resume=checkpoint.read() is not None).play_round(progress)
    train(recipe, out, command="", resume=True)
    assert (out / "model.onnx").read_bytes() == (tmp_path / "unbroken/model.onnx").read_bytes()


@pytest.mark.parametrize("method", ["ppo", "sac"])
def test_the_model_does_what_the_learner_would_do(method: str, tmp_path: Path) -> None:
    recipe = foreign(method)
    with Rollouts(recipe.env, 1) as rollouts, Progress(disable=True) as progress:
        learner = Learner(recipe, Checkpoint(tmp_path), rollouts, resume=False)
        learner.play_round(progress)
        obs, actor = learner.observations(), learner.actor
        assert parity(actor, to_onnx(actor), obs) <= 1e-5
        groups = {"achieved_goal": obs[:, :2], "desired_goal": obs[:, 2:4], "observation": obs[:, 4:]}
        theirs = learner._model.predict(groups, deterministic=True)[0] * 0.5
        with torch.inference_mode():
            assert np.allclose(actor(torch.from_numpy(obs)).numpy()[:, 0], theirs, atol=1e-5)


def test_an_environment_with_a_contract_ends_in_a_bundle(toy: TrainConfig, tmp_path: Path) -> None:
    train(replace(toy, method="sac", rl=SHORT), tmp_path / "toy-v1", command="robostral train toy")
    assert "SAC of Stable-Baselines3" in (tmp_path / "toy-v1/CARD.md").read_text()
    assert bundle.load(tmp_path / "toy-v1").manifest.parity.max_abs_error <= 1e-5


def test_a_reward_that_is_no_number_stops_the_training_and_leaves_the_episode(toy: TrainConfig, tmp_path: Path) -> None:
    recipe = replace(toy, method="sac", rl=SHORT, kwargs={"nan_after": 7})
    with pytest.raises(TrainingError, match=r"a number that is not finite .* robostral sim replay .*bad-episode"):
        train(recipe, tmp_path / "toy-v1", command="")
    (left,) = working_folder(tmp_path / "toy-v1").glob("bad-episode-*.json")
    assert len(Episode.load(left).steps) == 7


def test_goals_of_another_place_need_goals(toy: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"rl\.relabel needs an environment with goals"):
        train(replace(toy, method="tqc", rl=replace(SHORT, relabel=4)), tmp_path / "a", command="")
