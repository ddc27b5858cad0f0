"""The card of a bundle: what it does, how well, how it was made. Every figure in it is the run's own."""

from robostral.bundle import Cost, Lineage, Parity
from robostral.contract import Sealed
from robostral_policies.config import TrainConfig
from robostral_policies.evaluate import Evaluation, Row

_CARD = """# {label}

A small neural network that moves the arm of the contract `{contract}` for the task `{task}`, learned in the
environment `{env}`. It takes raw observations in the contract's units and gives raw, bounded action
chunks; normaliser and bounds are inside the graph. It runs behind a command guard and is not a safety function.

## How well

Trained on {engine} alone; fresh episodes, no training episode is among them, and every row meets the same ones.

| pilot | engine | success | 95 % Wilson interval | mean cycle | p95 cycle |
|---|---|---|---|---|---|
{rows}
{force}
Greatest difference between the trained network and the exported model over {parity_n:,} observations, half of them
seen in rollouts and half random: {parity:.1e} in the action's unit. One action takes {us:.0f} µs on one thread.

## How it was made

    {command}

{recipe} Training alone took {seconds:.0f} s on {machine}.
{parameters:,} parameters, {bytes:,} bytes. Seed {seed}, revision `{revision}`.
The same command on the same machine gives the same weights, byte for byte.

## Limits

Goals outside the task's region and arms with other kinematics are out of distribution: contract and requirements in
`manifest.json` say what was trained for. It knows nothing of obstacles.

Licence of the weights: {licence}.
"""


def write_card(
    config: TrainConfig,
    sealed: Sealed,
    evaluation: Evaluation,
    lineage: Lineage,
    parity: Parity,
    cost: Cost,
    command: str,
) -> str:
    """Write the text of `CARD.md`."""
    return _CARD.format(
        **provenance(sealed, lineage, parity, cost),
        label=config.label,
        rows="\n".join(_line(row) for row in evaluation.rows),
        force=_force(evaluation),
        command=command,
        recipe=_recipe(config),
        licence=config.licence,
    )


def provenance(sealed: Sealed, lineage: Lineage, parity: Parity, cost: Cost) -> dict[str, str | int | float]:
    """Name the figures that every card states: contract, parity, cost and origin."""
    return {
        "contract": sealed.identity[:16],
        "task": sealed.contract.task,
        "env": lineage.environment,
        "engine": lineage.engine,
        "parity_n": parity.n,
        "parity": parity.max_abs_error,
        "us": cost.us_per_action,
        "seconds": cost.training_s,
        "machine": cost.machine,
        "parameters": cost.parameters,
        "bytes": cost.bytes,
        "seed": lineage.seed,
        "revision": lineage.git_revision,
    }


def _recipe(config: TrainConfig) -> str:
    dagger, rl = config.dagger, config.rl
    if config.method != "dagger":
        return f"{config.method.upper()} of Stable-Baselines3 from the environment's reward, {rl.steps:,} steps."
    return (
        f"Imitation of a scripted expert by DAgger, {dagger.rounds} rounds of {dagger.episodes} episodes: the expert\n"
        "labels every state, the network drives more and more of them, and "
        f"{dagger.noisy:.0%} of the episodes are disturbed."
    )


def _force(evaluation: Evaluation) -> str:
    rows = [row for row in evaluation.rows if row.pilot == "model" and row.force_n is not None]
    felt = ", ".join(f"{row.force_n:.1f} N on {row.engine}" for row in rows)
    return f"\nGreatest contact force of the model in any episode, also in failed ones: {felt}.\n" if felt else ""


def _line(row: Row) -> str:
    s = row.success
    cycle = "{:.2f} s | {:.2f} s".format(*row.cycle_s) if row.cycle_s else "- | -"
    interval = f"{100 * s.low:.2f} % to {100 * s.high:.2f} %"
    return f"| {row.pilot} | {row.engine} | {s.successes} of {s.n} | {interval} | {cycle} |"
