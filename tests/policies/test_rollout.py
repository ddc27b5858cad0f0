"""An episode depends on its seed and plan alone, and seeds of trainings and evaluations never meet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.progress import Progress
from robostral_policies import dagger
from robostral_policies.config import MAX_SEED, TrainConfig
from robostral_policies.evaluate import FIRST_SEED, Judge
from robostral_policies.rollout import BadEpisode, Cell, Episode, Plan, Rollouts
from toy_cell import ToyCell


def same(a: Episode, b: Episode) -> bool:
    return (
        np.array_equal(a.obs, b.obs)
        and np.array_equal(a.labels, b.labels)
        and (a.success, a.reason, a.clean) == (b.success, b.reason, b.clean)
    )


def test_an_episode_follows_from_its_seed(toy: TrainConfig) -> None:
    plan = Plan("expert", label=True, noisy=0.5, noise=0.5)
    cell = Cell(toy.env)
    first = [cell.play(seed, plan) for seed in range(20)]
    again = [cell.play(seed, plan) for seed in reversed(range(20))]
    assert all(same(a, b) for a, b in zip(first, reversed(again), strict=True))
    assert {episode.clean for episode in first} == {True, False}


def test_workers_yield_episodes_in_the_order_of_seeds(toy: TrainConfig) -> None:
    plan = Plan("random")
    with Rollouts(toy.env, 2) as many, Rollouts(toy.env, 1) as one:
        pairs = zip(many.play(range(40), plan), one.play(range(40), plan), strict=True)
        assert all(same(a, b) and a.seed == b.seed for a, b in pairs)


def test_labels_are_the_experts_and_undisturbed(toy: TrainConfig) -> None:
    cell = Cell(toy.env)
    episode = cell.play(1, Plan("nothing", label=True, noisy=1.0, noise=1.0))
    assert np.allclose(episode.labels, np.stack([ToyCell().expert(obs) for obs in episode.obs]))


def test_turns_show_a_beginner_how_a_task_goes_on(toy: TrainConfig) -> None:
    """Who drives is drawn anew for each turn: one who does nothing still gets to the goal, and the way is not clean."""
    cell = Cell(toy.env)
    episodes = [cell.play(seed, Plan("nothing", label=True, beta=0.5, turn=4)) for seed in range(20)]
    assert sum(episode.success for episode in episodes) >= 15
    assert not any(episode.clean for episode in episodes if episode.success)
    moved = [np.abs(np.diff(episode.obs[:, :2], axis=0)).max(1) > 0.0 for episode in episodes]
    turns = [move[start : start + 4] for move in moved for start in range(0, len(move) - 4, 4)]
    assert all(turn.all() or not turn.any() for turn in turns)


def test_a_number_that_is_none_leaves_a_record_of_the_way_there(toy: TrainConfig) -> None:
    with Rollouts(toy.env, 2, {"nan_after": 3}) as rollouts, pytest.raises(BadEpisode, match="seed 5, step 3") as bad:
        list(rollouts.play([5], Plan("random")))
    record = bad.value.record
    assert (record.env, record.kwargs, record.seed, len(record.steps)) == (toy.env, {"nan_after": 3}, 5, 3)
    env = ToyCell(**record.kwargs)
    env.reset(seed=record.seed)
    assert [bool(np.isnan(env.step(action)[1])) for action in record.steps] == [False, False, True]


def test_rows_count_what_happened(toy: TrainConfig) -> None:
    with Rollouts(toy.env, 1) as rollouts:
        judge = Judge(rollouts, toy.seed, Progress(disable=True))
        expert, nothing = judge.row(Plan("expert"), 10), judge.row(Plan("nothing"), 10)
    assert (expert.success.successes, expert.failures, expert.reasons) == (10, (), {})
    assert nothing.success.successes + len(nothing.failures) == 10
    assert nothing.reasons == {"time limit": len(nothing.failures)}


@given(st.integers(0, MAX_SEED - 1), st.integers(0, MAX_SEED - 1), st.integers(1, 50), st.integers(1, 1000))
def test_no_two_trainings_and_no_evaluation_share_an_episode(a: int, b: int, rounds: int, episodes: int) -> None:
    def seeds(seed: int) -> list[int]:
        recipe = TrainConfig(env="x", name="x", seed=seed)
        recipe = replace(recipe, dagger=replace(recipe.dagger, rounds=rounds, episodes=episodes))
        ends = (dagger.episode_seeds(recipe, round_) for round_ in (0, rounds - 1))
        return [seed for end in ends for seed in (end[0], end[-1])]

    assert seeds(a)[0] >= 0
    assert seeds(a)[-1] < FIRST_SEED
    if a < b:
        assert seeds(a)[-1] < seeds(b)[0]
