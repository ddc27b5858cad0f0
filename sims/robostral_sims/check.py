"""`robostral sim check | agree`: environments held against their laws, and engines against each other."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from robostral_sims.catalogue import Entry

_POINTS = {"PegInsert": 5.0}
"""By how much the success of two engines may differ [points], by task; 2 for those that are not named."""


def check(
    env: Annotated[str | None, tyro.conf.Positional] = None,
    *,
    engine: str | None = None,
    all: bool = False,
    json: Path | None = None,
) -> int:
    """Hold environments against the rules of Gymnasium and Stable-Baselines3 and their own: same bits, nothing shared.

    Without arguments a few are taken, so that every task runs on every engine and every arm occurs. Exits 1 if one of
    them breaks a law.

    Args:
        env: Task, environment id or cell, for example Reach or ur5e-reach; none for the few.
        engine: Name of an engine; none for each.
        all: Every cell on every engine.
        json: File for the outcomes.
    """
    from robostral.bench import write
    from robostral_sims import conformance

    if env is None and not all:
        chosen = [pair for pair in conformance.pairwise() if engine in (None, pair[1])]
    else:
        chosen = _chosen(env, engine)
    rows: list[dict[str, Any]] = []
    for entry, name in chosen:
        for outcome in conformance.examine(conformance.options_of(entry, name)):
            word = f"broken: {outcome.fault}" if outcome.fault else "kept"
            print(f"{entry.cell:26} {name:9} {outcome.seconds:5.1f} s  {outcome.law}: {word}", flush=True)
            rows.append({"cell": entry.cell, "engine": name, "law": outcome.law, "fault": outcome.fault})
    broken = sum(bool(row["fault"]) for row in rows)
    print(f"{len(chosen)} environments, {len(rows)} laws held against them, {broken} broken")
    if json is not None:
        write("conformance", {"outcomes": rows}, json)
    return 1 if broken else 0


def agree(
    env: Annotated[str | None, tyro.conf.Positional] = None, *, n: int = 300, seed: int = 0, json: Path | None = None
) -> int:
    """Let the scripted expert do the same episodes on every engine. Exits 1 where success differs by more than it may.

    Args:
        env: Task, environment id or cell, for example Reach or ur5e-reach; none for every cell.
        n: Episodes on each engine.
        seed: Of the first episode.
        json: File for the figures.
    """
    from robostral.bench import write
    from robostral.errors import ConfigError

    if n < 1:
        raise ConfigError(f"--n {n}: at least one")
    rows = [_drive(entry, engine, n, seed) for entry, engine in _chosen(env, None)]
    apart = 0
    for cell in dict.fromkeys(row["cell"] for row in rows):
        rates = [100.0 * row["success"]["rate"] for row in rows if row["cell"] == cell]
        allowed = _POINTS.get(next(row["task"] for row in rows if row["cell"] == cell), 2.0)
        apart += (gap := max(rates) - min(rates)) > allowed
        print(f"{cell:26} {gap:.1f} points apart, {allowed:g} allowed")
    if json is not None:
        write("engines", {"rows": rows}, json)
    return 1 if apart else 0


def _chosen(env: str | None, engine: str | None) -> list[tuple["Entry", str]]:
    from robostral_sims import conformance
    from robostral_sims.catalogue import find

    cell = find(env).cell if env is not None else None
    return [pair for pair in conformance.pairs() if cell in (None, pair[0].cell) and engine in (None, pair[1])]


def _drive(entry: "Entry", engine: str, n: int, seed: int) -> dict[str, Any]:
    """Play `n` episodes with the expert, and say how they ended."""
    from collections import Counter

    import msgspec
    from rich.console import Console
    from rich.progress import track

    from robostral.bundle import Success
    from robostral_sims.env import CellEnv
    from robostral_sims.episodes import pilot_of, play

    env = CellEnv(entry.task, entry.arm, engine, cell=entry.cell)
    act, console = pilot_of(env, "expert", seed), Console(stderr=True)
    ends: Counter[str] = Counter()
    failed, limited, time_s = [], 0, 0.0
    try:
        seeds = range(seed, seed + n)
        for index in track(seeds, f"{entry.cell} {engine}", console=console, disable=not console.is_terminal):
            info = play(env, act, index).info
            ends[info["reason"]] += 1
            limited += info["limited"]
            time_s += info["time_s"] / n
            failed += [] if info["success"] else [index]
    finally:
        env.close()
    done = Success.of(ends["success"], n)
    told = ", ".join(f"{reason} {count}" for reason, count in sorted(ends.items()))
    print(f"{entry.cell:26} {engine:9} {100 * done.rate:5.1f} %  {time_s:5.2f} s an episode  {told}", flush=True)
    return {
        "cell": entry.cell,
        "task": entry.task,
        "engine": engine,
        "success": msgspec.to_builtins(done),
        "ends": dict(ends),
        "failed_seeds": failed,
        "set_points_changed_by_guard": limited,
        "mean_time_s": time_s,
    }


COMMANDS = {"check": check, "agree": agree}
