"""Closed-loop judgement of an exported model on episodes that no training has seen, beside three rows to compare."""

import time
from collections import Counter
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from robostral.bundle import Success
from robostral.bundle.policy import open_session
from robostral_policies.config import MAX_SEED, TrainConfig
from robostral_policies.progress import finish
from robostral_policies.rollout import Episode, Pilot, Plan, Rollouts

FIRST_SEED = 1 << 40
"""Seeds of evaluation start here; those of training end below."""

_TIMED = 2000


class Row(msgspec.Struct, frozen=True):
    """How one pilot did.

    Attributes:
        pilot: Who drove.
        success: Count, rate and 95 % Wilson interval.
        cycle_s: Mean and 95th percentile of the time to success [s], over the successes; None without any.
        reasons: Why the other episodes ended, in the environment's word, with their number.
        failures: Seeds of the episodes that failed, to play them again.
    """

    pilot: str
    success: Success
    cycle_s: tuple[float, float] | None
    reasons: dict[str, int]
    failures: tuple[int, ...]

    def __str__(self) -> str:
        s = self.success
        cycle = f"{self.cycle_s[0]:.2f} s (p95 {self.cycle_s[1]:.2f} s)" if self.cycle_s else "never"
        return f"{s.successes} of {s.n} = {100 * s.rate:.2f} % [{100 * s.low:.2f}, {100 * s.high:.2f}], cycle {cycle}"


class Evaluation(msgspec.Struct, frozen=True):
    """The judgement of a model: its row first, then expert, random and do-nothing."""

    rows: tuple[Row, ...]
    step_s: float
    us_per_action: float


@dataclass(frozen=True)
class Judge:
    """Plays fresh episodes; every pilot meets the same ones.

    Attributes:
        rollouts: Where episodes are played.
        config: How many, and the seed they follow from.
        progress: Shows a bar for each pilot.
    """

    rollouts: Rollouts
    config: TrainConfig
    progress: Progress

    def evaluate(self, model: bytes) -> Evaluation:
        """Judge an exported model."""
        figures = self.config.evaluate
        rows = [self.row(Plan("model", model), figures.episodes)]
        pilots: list[Pilot] = ["expert"] if self.rollouts.cell.expert else []
        rows += [self.row(Plan(pilot), figures.baseline_episodes) for pilot in (*pilots, "random", "nothing")]
        return Evaluation(tuple(rows), self._step_s, time_action(model, self.rollouts.cell.interface.obs_size))

    def row(self, plan: Plan, episodes: int) -> Row:
        """Play `episodes` fresh episodes and count."""
        first = FIRST_SEED + self.config.seed * MAX_SEED
        bar = self.progress.add_task(f"{plan.pilot}: fresh episodes", total=episodes)
        played: list[Episode] = []
        for episode in self.rollouts.play(range(first, first + episodes), plan):
            played.append(episode)
            self.progress.advance(bar)
        row = self._count(plan.pilot, played)
        finish(self.progress, bar, f"{plan.pilot}: {row.success.successes} of {episodes} fresh episodes")
        return row

    def _count(self, pilot: str, episodes: list[Episode]) -> Row:
        cycles = np.array([episode.steps * self._step_s for episode in episodes if episode.success])
        failed = [episode for episode in episodes if not episode.success]
        return Row(
            pilot,
            Success.of(len(cycles), len(episodes)),
            (float(cycles.mean()), float(np.percentile(cycles, 95))) if len(cycles) else None,
            dict(Counter(episode.reason for episode in failed)),
            tuple(episode.seed for episode in failed),
        )

    @property
    def _step_s(self) -> float:
        return self.rollouts.cell.interface.step_s


def time_action(model: bytes, obs_size: int) -> float:
    """Measure the median time of one action in onnxruntime on one thread [µs]."""
    session, obs = open_session(model), np.zeros((1, obs_size), np.float32)
    times: NDArray[np.int64] = np.zeros(_TIMED, np.int64)
    for index in range(_TIMED):
        start = time.perf_counter_ns()
        session.run(["chunk"], {"obs": obs})
        times[index] = time.perf_counter_ns() - start
    median: float = np.median(times).item()
    return median / 1e3
