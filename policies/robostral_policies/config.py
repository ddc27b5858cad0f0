"""What a training is made of, as data: presets under `configs/train`, changed figure by figure on the command line."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from robostral import config
from robostral.errors import ConfigError, RobostralError

T = TypeVar("T", bound=msgspec.Struct)

Positive = Annotated[int, msgspec.Meta(ge=1)]
Size = Annotated[float, msgspec.Meta(gt=0.0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]

MAX_SEED = 1 << 20
"""Seeds lie below this, so that no two trainings, and no training and its evaluation, share an episode."""


class TrainingError(RobostralError):
    """A training cannot go on as it stands."""


class NearConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scales of an observation group that is heard near zero only, in the group's own unit.

    Attributes:
        reach: Norm of the group at which its features have faded to 1 / e.
        fine: Size of an entry at which its fine feature saturates.
    """

    reach: Size
    fine: Size


class FineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Columns of an observation group that the network also sees magnified, in the group's own unit.

    Attributes:
        group: The group's name.
        columns: Which of its columns, from 0.
        scales: Sizes at which an entry saturates, one feature each: where a task asks for a ten-thousandth of a range.
        periods: Lengths after which all looks alike again, two features each: slots of a rack.
        angle: Group and column of an angle [rad] by which two columns, x and y, are first turned back: to how far it is
            along an arm and aside of it, which a network would have to multiply out as exactly as the smallest scale.
    """

    group: str
    columns: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    scales: tuple[Size, ...] = ()
    periods: tuple[Size, ...] = ()
    angle: tuple[str, Annotated[int, msgspec.Meta(ge=0)]] | None = None


class ActorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shape of the network.

    Attributes:
        hidden: Width of each hidden layer.
        near: Observation groups that are heard near zero only, by name.
        fine: Columns that are seen magnified, beside being heard as ever.
    """

    hidden: tuple[Positive, ...] = (128, 128, 128)
    near: dict[str, NearConfig] = {}
    fine: tuple[FineConfig, ...] = ()


class DaggerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How states are gathered.

    Attributes:
        rounds: Rounds of gathering and fitting; the expert drives the first alone.
        episodes: Episodes in each round.
        beta: The expert drives a turn of round r with probability beta ** r.
        turn: Policy steps of a turn; 0 for whole episodes. With turns a beginner sees how a long task goes on.
        noisy: Share of episodes in which the driven action is disturbed; labels never are.
        noise: Standard deviation of that disturbance, as a share of the action's half range.
    """

    rounds: Positive = 6
    episodes: Positive = 120
    beta: Share = 0.5
    turn: Annotated[int, msgspec.Meta(ge=0)] = 0
    noisy: Share = 0.7
    noise: Annotated[float, msgspec.Meta(ge=0.0)] = 0.5


class FitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the network is fitted to the labels of all rounds so far.

    Attributes:
        steps: Gradient steps per round.
        last_steps: Gradient steps in the last round.
        batch: Observations per step.
        learning_rate: Peak of the one-cycle schedule.
        floor: Errors count relative to the label's largest entry plus this share of the half range, so that the small
            deltas near a goal weigh as much as the large ones far away.
    """

    steps: Positive = 1000
    last_steps: Positive = 3000
    batch: Positive = 2048
    learning_rate: Size = 3e-3
    floor: Size = 0.05


class RlConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a network learns from reward, by the implementations of Stable-Baselines3; any Gymnasium environment will do.

    Attributes:
        steps: Environment steps in all.
        segment: Steps between two checkpoints; a multiple of `rollout` for `ppo`.
        hidden: Width of each hidden layer of actor and critic.
        learning_rate, gamma, batch: As everywhere.
        rollout: Steps per update of `ppo`.
        buffer: Transitions that `sac` and `tqc` remember.
        warm_up: Random steps before `sac` and `tqc` learn.
        relabel: Goals per transition that hindsight replay puts in place of the real one, for environments with goals.
    """

    steps: Positive = 100_000
    segment: Positive = 5_000
    hidden: tuple[Positive, ...] = (64, 64)
    learning_rate: Size = 1e-3
    gamma: Share = 0.95
    batch: Positive = 256
    rollout: Positive = 1000
    buffer: Positive = 200_000
    warm_up: Annotated[int, msgspec.Meta(ge=0)] = 1000
    relabel: Annotated[int, msgspec.Meta(ge=0)] = 0


class EvaluateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the exported model is judged.

    Attributes:
        episodes: Fresh episodes of the exported model.
        baseline_episodes: Fresh episodes of each row beside it: expert, random, do-nothing.
        parity: Observations on which the exported model must equal the network.
        engines: Further engines that the exported model is judged on, none of which it was trained on.
    """

    episodes: Positive = 2000
    baseline_episodes: Positive = 200
    parity: Positive = 10_000
    engines: tuple[str, ...] = ()


class TrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole training. Presets under `configs/train` decode into this.

    Attributes:
        env: Gymnasium id of an environment; `dagger` needs one that has a contract and an expert.
        name, version: What the bundle is called.
        method: `dagger` learns from the environment's expert, the others from its reward.
        kwargs: What the environment is made with.
        engine: Physics that the environment runs on, for the manifest.
        licence: SPDX identifier of the weights.
        seed: Everything random follows from it; below `MAX_SEED`.
    """

    env: str
    name: str
    version: Positive = 1
    method: Literal["dagger", "ppo", "sac", "tqc"] = "dagger"
    kwargs: dict[str, Any] = {}
    engine: str = "pybullet"
    licence: str = "Apache-2.0"
    seed: Annotated[int, msgspec.Meta(ge=0, lt=MAX_SEED)] = 0
    actor: ActorConfig = ActorConfig()
    dagger: DaggerConfig = DaggerConfig()
    fit: FitConfig = FitConfig()
    rl: RlConfig = RlConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def __post_init__(self) -> None:
        if self.kwargs.get("engine", self.engine) != self.engine:  # the manifest says what it was trained on
            raise ValueError(f"engine '{self.engine}' and kwargs.engine '{self.kwargs['engine']}' differ")
        if self.method == "ppo" and self.rl.segment % self.rl.rollout:
            raise ValueError(f"rl.segment {self.rl.segment} is no multiple of rl.rollout {self.rl.rollout}")

    @property
    def label(self) -> str:
        """Name and version in one word, as the bundle's folder is called."""
        return f"{self.name}-v{self.version}"

    @property
    def planned_rounds(self) -> int:
        """How many rounds, or segments, the whole training has."""
        return self.dagger.rounds if self.method == "dagger" else -(-self.rl.steps // self.rl.segment)

    @property
    def digest(self) -> str:
        """SHA-256 of all figures, in hex."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


def working_folder(out: Path) -> Path:
    """Return the folder beside the bundle `out` that holds checkpoints, the training curve and the evaluation."""
    return out.with_name(f"{out.name}.training")


def override(preset: T, settings: Iterable[str]) -> T:
    """Change figures of a preset.

    Args:
        preset: Where to start from.
        settings: Each ``dotted.key=value``, the value in YAML, for example ``dagger.rounds=3``.

    Raises:
        ConfigError: Not of that form, an unknown key (the nearest is suggested), or a wrong value.
    """
    tree: dict[str, Any] = msgspec.to_builtins(preset)
    for setting in settings:
        path, separator, value = setting.partition("=")
        if not separator:
            raise ConfigError(f"--set {setting}: expected KEY=VALUE, for example dagger.rounds=3")
        *parents, key = path.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise ConfigError(f"--set {setting}: '{parent}' is a figure, it has no '{key}'")
        branch[key] = config.decode(value.encode(), object, f"--set {setting}")
    return config.decode(msgspec.yaml.encode(tree), type(preset), "--set")
