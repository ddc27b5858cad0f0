"""The card of a learned simulator: what it stands in for, how well, how it was made, what it does not know."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from robostral.bundle import Cost, Lineage, Parity
from robostral.contract import Sealed
from robostral_policies.card import provenance
from robostral_policies.surrogate.config import SurrogateConfig

if TYPE_CHECKING:
    from robostral_policies.surrogate.train import OneStep

_CARD = """# {label}

{members} small networks that say what a parallel jaw and one part do in a policy step of {ms:g} ms, in place of an
engine's contacts; contract `{contract}`, task `{task}`. The arm is not learned: its position servos are
known. It runs as engine `surrogate` of the cells that it knows, and refuses others; it moves no arm and is no safety
function.

## How well

Steps of episodes that nothing was fitted to; position of the part after one step. The interval is to hold {level:.0%}
of all steps; it was stretched on other held-out episodes.

| part | steps | median [mm] | p95 [mm] | inside the stated interval |
|---|---|---|---|---|
{rows}

Many steps open loop, success of experts and policies beside the engine, and intervals on fresh episodes:
`robostral surrogate eval {label}`.

Greatest difference between the trained networks and the exported model over {parity_n:,} rows, half of them watched
and half random: {parity:.1e}. One row takes {us:.0f} µs on one thread.

## How it was made

    {command}

{episodes:,} episodes of `{env}` on {engine}, {steps:,} policy steps: {expert:.0%} flown by the scripted expert,
{disturbed:.0%} by a disturbed one, {pushing:.0%} push the part about, the rest tries what it can. Watching and fitting
took {seconds:.0f} s on {machine}. {parameters:,} parameters, {bytes:,} bytes. Seed {seed}, revision
`{revision}`.

## Limits

It knows this jaw and its lining, boxes and cylinders of about the sizes, masses and frictions watched, and a level
table of any height, which has no edge. What lies outside of what was watched is flagged in the last column that it
says, and refused by the engine. A part that is knocked over or thrown goes its own way, as it does in an engine that
starts a tenth of a millimetre elsewhere. Forces are not learned.

Licence of the weights: {licence}.
"""


def write_card(
    config: SurrogateConfig,
    sealed: Sealed,
    rows: "Sequence[OneStep]",
    steps: int,
    lineage: Lineage,
    parity: Parity,
    cost: Cost,
    command: str,
) -> str:
    """Write the text of `CARD.md`."""
    return _CARD.format(
        **provenance(sealed, lineage, parity, cost),
        label=config.label,
        members=config.members,
        ms=1e3 * sealed.contract.action.dt_s,
        level=config.level,
        rows="\n".join(f"| {r.what} | {r.n:,} | {r.mm[0]:.2f} | {r.mm[1]:.2f} | {r.held_by:.1%} |" for r in rows),
        command=command,
        episodes=config.episodes,
        steps=steps,
        expert=config.expert,
        disturbed=config.disturbed,
        pushing=config.pushing,
        licence=config.licence,
    )
