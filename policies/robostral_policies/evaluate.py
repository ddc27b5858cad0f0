"""Closed-loop judgement of an exported model on episodes that no training has seen, beside three rows to compare."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from robostral.bundle import Success
from robostral.bundle.policy import open_session
from robostral_policies.config import MAX_SEED
from robostral_policies.progress import finish
from robostral_policies.rollout import Episode, Pilot, Plan, Rollouts

FIRST_SEED = 1 << 40
"""Seeds of evaluation start here; those of training end below."""

_TIMED = 2000


class Row(msgspec.Struct, frozen=True):
    """How one pilot did under one condition.

    Attributes:
        pilot: Who drove.
        engine: Physics that the environment ran on.
        condition: What was fixed in every episode's plant, by name; what is not named here was drawn.
        success: Count, rate and 95 % Wilson interval.
        cycle_s: Mean and 95th percentile of the time to success [s], over the successes; None without any.
        figures: Mean, 95th percentile and maximum over all episodes of each number of the last `info`.
        reasons: Why the other episodes ended, in the environment's word, with their number.
        failures: Seeds of the episodes that failed, to play them again.
    """

    pilot: str
    success: Success
    cycle_s: tuple[float, float] | None
    reasons: dict[str, int]
    failures: tuple[int, ...]
    engine: str = ""
    condition: dict[str, float] = {}
    figures: dict[str, tuple[float, float, float]] = {}

    def __str__(self) -> str:
        s = self.success
        cycle = f"{self.cycle_s[0]:.2f} s (p95 {self.cycle_s[1]:.2f} s)" if self.cycle_s else "never"
        force = f", force at most {self.force_n:.1f} N" if self.force_n is not None else ""
        interval = f"[{100 * s.low:.2f}, {100 * s.high:.2f}]"
        return f"{s.successes} of {s.n} = {100 * s.rate:.2f} % {interval}, cycle {cycle}{force}"

    @property
    def force_n(self) -> float | None:
        """Greatest contact force of any episode, failed ones too, by the task's filter [N]; None if there is none."""
        force = self.figures.get("force_peak_n")
        return force[2] if force else None


class Evaluation(msgspec.Struct, frozen=True):
    """The judgement of a model: its row first, then expert, random and do-nothing, then the model on other engines."""

    rows: tuple[Row, ...]
    step_s: float
    us_per_action: float


@dataclass(frozen=True)
class Judge:
    """Plays fresh episodes; every pilot meets the same ones under every condition.

    Attributes:
        rollouts: Where episodes are played.
        seed: Which episodes; those of a training with the same seed are not among them.
        progress: Shows a bar for each row.
        engine: What `rollouts` runs on, for the record.
        failures: Where episodes that failed are kept for replay; nowhere if None.
    """

    rollouts: Rollouts
    seed: int
    progress: Progress
    engine: str = ""
    failures: Path | None = None

    def baselines(self, episodes: int) -> list[Row]:
        """Judge those who know nothing, and the expert where there is one."""
        pilots: list[Pilot] = ["expert"] if self.rollouts.cell.expert else []
        return [self.row(Plan(pilot), episodes) for pilot in (*pilots, "random", "nothing")]

    def row(self, plan: Plan, episodes: int) -> Row:
        """Play `episodes` fresh episodes and count."""
        first = FIRST_SEED + self.seed * MAX_SEED
        condition: dict[str, float] = (plan.options or {}).get("plant", {})
        name = " ".join([self.engine, plan.pilot, *(f"{key}={value:g}" for key, value in condition.items())]).strip()
        bar = self.progress.add_task(f"{name}: fresh episodes", total=episodes)
        played: list[Episode] = []
        for episode in self.rollouts.play(range(first, first + episodes), plan):
            played.append(episode)
            self.progress.advance(bar)
            if self.failures is not None and episode.record is not None:
                episode.record.save(self.failures / f"{name.replace(' ', '-')}-{episode.seed - first}.json")
        row = self._count(plan.pilot, condition, played)
        finish(self.progress, bar, f"{name}: {row.success.successes} of {episodes} fresh episodes")
        return row

    def _count(self, pilot: str, condition: dict[str, float], episodes: list[Episode]) -> Row:
        step_s = self.rollouts.cell.interface.step_s
        cycles = np.array([episode.steps * step_s for episode in episodes if episode.success])
        failed = [episode for episode in episodes if not episode.success]
        names = sorted(set.intersection(*(set(episode.figures) for episode in episodes)))
        figures = {name: np.array([episode.figures[name] for episode in episodes]) for name in names}
        return Row(
            pilot,
            Success.of(len(cycles), len(episodes)),
            (float(cycles.mean()), float(np.percentile(cycles, 95))) if len(cycles) else None,
            dict(Counter(episode.reason for episode in failed)),
            tuple(episode.seed for episode in failed),
            self.engine,
            condition,
            {name: (float(v.mean()), float(np.percentile(v, 95)), float(v.max())) for name, v in figures.items()},
        )


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
