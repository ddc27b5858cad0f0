"""`robostral sim check | agree`: environments held against their laws, and engines against each other."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from robostral_sims.catalogue import Entry
    from robostral_sims.scores import Score

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
    from rich.progress import Progress

    from robostral.bench import write
    from robostral_sims.scores import score

    chosen = _chosen(env, None)
    rows: list[Score] = []
    apart = 0
    with Progress(transient=True) as progress:
        bar = progress.add_task("episodes", total=len(chosen) * n)
        for cell, pairs in groupby(chosen, lambda pair: pair[0]):
            progress.update(bar, description=cell.cell)
            scores = [score(cell, engine, "expert", n, seed, lambda: progress.advance(bar)) for _, engine in pairs]
            apart += _report(scores, cell.task)
            rows += scores
    if json is not None:
        write("engines", {"scores": rows}, json)
    return 1 if apart else 0


def _chosen(env: str | None, engine: str | None) -> list[tuple["Entry", str]]:
    from robostral_sims import conformance
    from robostral_sims.catalogue import find

    cell = find(env).cell if env is not None else None
    return [pair for pair in conformance.pairs() if cell in (None, pair[0].cell) and engine in (None, pair[1])]


def _report(scores: "list[Score]", task: str) -> bool:
    """Print how the expert did in one cell on each engine; return whether they are too far apart."""
    for one in scores:
        ends = "".join(f", {reason}: {count}" for reason, count in sorted(one.reasons.items()))
        rate = f"{100.0 * one.success.rate:5.1f} %  {one.seconds:5.2f} s an episode"
        print(f"{one.cell:26} {one.engine:9} {rate}{ends}", flush=True)
    rates = [100.0 * one.success.rate for one in scores]
    gap, allowed = max(rates) - min(rates), _POINTS.get(task, 2.0)
    print(f"{scores[0].cell:26} {gap:.1f} points apart, {allowed:g} allowed")
    return gap > allowed


COMMANDS = {"check": check, "agree": agree}
