"""A recipe that learns the toy cell in about a second."""

import os
from pathlib import Path

import pytest
import torch
import toy_cell
from robostral_policies.config import ActorConfig, DaggerConfig, EvaluateConfig, FitConfig, NearConfig, TrainConfig

# Workers and commands started by these tests must find the toy cell as well.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy() -> TrainConfig:
    return TrainConfig(
        env=toy_cell.ID,
        name="toy",
        engine="none",
        actor=ActorConfig(hidden=(16, 16), near={"error": NearConfig(reach=0.5, fine=0.05)}),
        dagger=DaggerConfig(rounds=3, episodes=12),
        fit=FitConfig(steps=150, last_steps=300, batch=128, learning_rate=1e-2),
        evaluate=EvaluateConfig(episodes=40, baseline_episodes=10, parity=300),
    )
