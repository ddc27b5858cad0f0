"""The figures of `robostral bench surrogate`: a learned simulator beside the environment and the engine behind it."""

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from rich.progress import Progress

from robostral.errors import ConfigError
from robostral_sims.catalogue import find
from robostral_sims.env_bench import CLOCK, random_steps_per_s, stepping_s
from robostral_sims.surrogate_vector import SurrogateVecEnv

BATCHES = (1, 64, 1024, 4096)
BARS = {"one member, batch 1": 5.0, "one member, batch 1024": 200.0, "ensemble, batch 1024": 60.0}
"""How many times the environment's policy steps per second are asked for."""
WHOLE_GUARD = 1024
"""Batch at which the whole guard is timed, too."""

_KINDS = 61
"""Different random actions; with no divisor in common with an episode's steps."""


def run(cell: str, ensemble: str, one: str | None, steps: int, rounds: int) -> dict[str, Any]:
    """Measure in turn, so that whatever the machine does besides happens to all; medians of the rounds.

    Raises:
        ConfigError: A count is not positive.
    """
    if min(steps, rounds) < 1:
        raise ConfigError(f"{steps} steps, {rounds} rounds: at least one of each")
    entry = find(cell)
    options: dict[str, Any] = {"task": entry.task, "arm": entry.arm, "cell": entry.cell}
    bundles = {"ensemble": ensemble} | ({"one member": one} if one else {})
    jobs: dict[str, Callable[[], float]] = {
        "environment": lambda: random_steps_per_s(options, steps),
        "engine": lambda: engine_steps_per_s(options, steps),
    }
    many = {
        f"{kind}, batch {n}": _Timed(n, bundle, options, "steps", steps)
        for kind, bundle in bundles.items()
        for n in BATCHES
    }
    many["ensemble behind the whole guard"] = _Timed(WHOLE_GUARD, ensemble, options, "ticks", steps)
    jobs |= {name: timed.steps_per_s for name, timed in many.items()}
    found: dict[str, list[float]] = {name: [] for name in jobs}
    with Progress(transient=True) as progress:
        bar = progress.add_task("timing", total=rounds * len(jobs))
        for _ in range(rounds):
            for name, job in jobs.items():
                found[name].append(job())
                progress.advance(bar)
    rates = {name: statistics.median(values) for name, values in found.items()}
    shares = {name: timed.shares() for name, timed in many.items()}
    for timed in many.values():
        timed.close()
    return {"surrogate": report(rates, shares) | {"cell": entry.cell, "bundles": bundles, "rounds": rounds}}


def report(rates: dict[str, float], shares: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Put policy steps per second beside the environment's and the engine's, and against the bars."""
    environment, engine = rates["environment"], rates["engine"]
    rows = [
        {
            "what": name,
            "steps_per_s": rate,
            "us_per_step": 1e6 / rate,
            "times_environment": rate / environment,
            "times_engine": rate / engine,
            "us_of": shares.get(name, {}),
        }
        for name, rate in rates.items()
    ]
    bars = [
        {"what": name, "asked": bar, "found": rates[name] / environment, "reached": rates[name] >= bar * environment}
        for name, bar in BARS.items()
        if name in rates
    ]
    return {"rows": rows, "bars": bars}


def engine_steps_per_s(options: dict[str, Any], steps: int) -> float:
    """Time PyBullet's own stepping of the same cell alone, in policy steps per second: nothing else could be faster."""
    with stepping_s(CLOCK) as inside_s:
        random_steps_per_s(options, steps)
    return steps / inside_s[0]


class _Timed:
    """Cells that step with random actions, resets counted."""

    def __init__(
        self, n: int, bundle: str, options: dict[str, Any], guard: Literal["steps", "ticks"], steps: int
    ) -> None:
        self._env = SurrogateVecEnv(n, bundle=bundle, guard=guard, **options)
        shape = (_KINDS, n, *self._env.sealed.contract.chunk_shape)
        self._actions = np.random.default_rng(0).uniform(-1.0, 1.0, shape).astype(np.float32)
        self._env.reset(seed=0)
        self._n, self._steps, self._at = n, max(3, steps // n + steps // 100), 0
        self._run(3)

    def steps_per_s(self) -> float:
        begin = CLOCK()
        self._run(self._steps)
        return self._n * self._steps / (CLOCK() - begin)

    def shares(self) -> dict[str, float]:
        """Return what of a cell's step each stage takes [µs]; what is missing is resets and Gymnasium's own form."""
        stages, inside_s = dict(self._env.stages), dict.fromkeys(self._env.stages, 0.0)

        def timed(name: str) -> None:
            begin = CLOCK()
            stages[name]()
            inside_s[name] += CLOCK() - begin

        self._env.stages |= {name: partial(timed, name) for name in stages}
        self._run(self._steps)
        self._env.stages |= stages
        return {name: 1e6 * seconds / (self._n * self._steps) for name, seconds in inside_s.items()}

    def close(self) -> None:
        self._env.close()

    def _run(self, steps: int) -> None:
        for _ in range(steps):
            self._env.step(self._actions[self._at % _KINDS])
            self._at += 1
