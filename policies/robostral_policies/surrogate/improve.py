"""Does training in a learned cell pay? The same recipe in the engine and in its stand-in, both judged in the engine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console

from robostral import bundle as bundles
from robostral.bundle import Success
from robostral.revision import revision
from robostral_policies.checkpoint import Checkpoint
from robostral_policies.config import TrainConfig, override, working_folder
from robostral_policies.lineage import machine
from robostral_policies.surrogate.train import STATE, WATCHED
from robostral_policies.train import train

_LEARNED = "surrogate"


class Run(msgspec.Struct, frozen=True):
    """One training.

    Attributes:
        trained_in: `surrogate`, or the engine.
        seed: Of the training.
        engine_steps: Policy steps of the engine that it took to train; those of the judgement are not among them.
        seconds: Time of the rounds [s].
        success: In the engine, on fresh episodes.
    """

    trained_in: str
    seed: int
    engine_steps: int
    seconds: float
    success: Success


class Improvement(msgspec.Struct, frozen=True):
    """What was found; the file `improvement.json`.

    Attributes:
        label: The learned simulator.
        surrogate_steps: Engine steps that making it took; None where what was watched is not beside its bundle.
        runs: One per seed and place.
        points: Mean success trained in the surrogate less that trained in the engine [points].
        pays_from: Trainings from which on it has cost a third of the engine steps; None if never, or not known.
    """

    label: str
    preset: str
    settings: tuple[str, ...]
    surrogate_steps: int | None
    runs: tuple[Run, ...]
    points: float
    pays_from: int | None
    revision: str
    machine: str
    format: Literal["robostral.surrogate.improvement/1"] = "robostral.surrogate.improvement/1"

    @property
    def verdict(self) -> str:
        """Say in a sentence whether it pays."""
        mean = sum(run.engine_steps for run in self.runs if run.trained_in != _LEARNED) / (len(self.runs) / 2)
        if self.surrogate_steps is None:
            return (
                f"a training in the engine takes {mean:,.0f} of its steps, one in the surrogate none; how many making"
                " that one took stands in its card"
            )
        once = f"the surrogate took {self.surrogate_steps:,} engine steps once, a training in the engine {mean:,.0f}"
        when = f"a third of the engine steps from {self.pays_from} trainings on" if self.pays_from else "never pays"
        return f"{once}: {'for one policy it does not pay, ' if self.surrogate_steps > mean / 3 else ''}{when}"


def improve(
    name: str,
    preset: TrainConfig,
    label: str,
    settings: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    *,
    workers: int,
    console: Console,
) -> Improvement:
    """Train with each seed in the engine and in the learned cell; judge both in the engine.

    Args:
        name: Name or path of the learned simulator's bundle.
        preset: The recipe; its engine is the one that counts.
        label: What the recipe is called.
        settings: What was changed in it, for the record.
        seeds: Seeds of the trainings.
        out: Folder of the trainings; what is there of another one is refused.
        workers: Processes that play episodes.
        console: Where progress is shown.

    Raises:
        TrainingError: A training cannot go on, or its folder holds an unfinished one.
    """
    path = bundles.find(name)
    runs = []
    for seed in seeds:
        for engine in (f"{_LEARNED}:{path}", preset.engine):
            where = engine.partition(":")[0]
            judged = [] if where == preset.engine else [preset.engine]
            changes = [f"seed={seed}", f"engine={engine}", f"kwargs.engine={engine}", f"evaluate.engines={judged}"]
            config, folder = override(preset, changes), out / f"{preset.name}-{where}-{seed}"
            evaluation = train(config, folder, command="", workers=workers, console=console)
            state = Checkpoint(working_folder(folder)).read()
            assert state is not None
            success = next(r.success for r in evaluation.rows if (r.pilot, r.engine) == ("model", preset.engine))
            steps = state.rounds[-1].samples if where == preset.engine else 0
            runs.append(Run(where, seed, steps, sum(log.seconds for log in state.rounds), success))
    own = _steps_of(path)
    mean = sum(run.engine_steps for run in runs) / len(seeds)
    rate = {
        learned: sum(run.success.rate for run in runs if (run.trained_in == _LEARNED) is learned) / len(seeds)
        for learned in (True, False)
    }
    return Improvement(
        bundles.load(path).manifest.label,
        label,
        tuple(settings),
        own,
        tuple(runs),
        100.0 * (rate[True] - rate[False]),
        None if own is None or not mean else max(1, -int(-own * 3 // mean)),
        revision(),
        machine(workers),
    )


def _steps_of(path: Path) -> int | None:
    """Return how many policy steps of an engine a learned simulator was made from."""
    folder = working_folder(path)
    if not (folder / STATE).is_file():
        return None
    sha = bundles.load(path).manifest.lineage.data[WATCHED]
    return len(Checkpoint(folder).get_arrays(WATCHED, sha)["episode"])
