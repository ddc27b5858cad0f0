"""How well the expert, random actions and no action do in every environment: what a policy is to be compared with."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from robostral.bundle import Success
from robostral.errors import ConfigError
from robostral_sims.catalogue import Entry
from robostral_sims.env import CellEnv
from robostral_sims.episodes import PILOTS, pilot_of, play

MARKS = "<!-- scores: made by robostral sim scores -->", "<!-- end of scores -->"
"""What the table in a README stands between."""


class Score(msgspec.Struct, frozen=True):
    """How one pilot did in one environment.

    Attributes:
        cell: Name of the cell.
        engine: Name of the engine.
        pilot: Who drove.
        success: Count, rate and 95 % Wilson interval.
        rewards: Mean sum of an episode's rewards.
        seconds: Mean length of an episode [s of simulated time].
        reasons: Why the failed episodes ended, with their number.
        failed: Seeds of the failed episodes, to play them again.
        stopped: Episodes that the guard stopped.
        limited: Set-points that the guard changed, in all episodes.
        steps_per_s: Policy steps per second of processor time, resets counted.
    """

    cell: str
    engine: str
    pilot: str
    success: Success
    rewards: float
    seconds: float
    reasons: dict[str, int]
    failed: tuple[int, ...]
    stopped: int
    limited: int
    steps_per_s: float


def score(
    entry: Entry, engine: str, pilot: str, episodes: int, seed: int = 0, told: Callable[[], None] = lambda: None
) -> Score:
    """Play fresh episodes with randomisation.

    Args:
        entry: The environment.
        engine: Name of the engine.
        pilot: Who drives, see `robostral_sims.episodes.pilot_of`.
        episodes: How many.
        seed: Of the first episode; each has the next one.
        told: Called after each episode, to show progress.

    Raises:
        UnknownName: No such engine or pilot.
        ConfigError: `episodes` is not positive.
    """
    if episodes < 1:
        raise ConfigError(f"{episodes} episodes: at least one")
    env = CellEnv(entry.task, entry.arm, engine, cell=entry.cell)
    try:
        act, begin, played = pilot_of(env, pilot, seed), time.process_time(), []
        for index in range(seed, seed + episodes):
            played.append(play(env, act, index))
            told()
        used_s = time.process_time() - begin
    finally:
        env.close()
    failed = [one.episode for one in played if not one.episode.success]
    return Score(
        entry.cell,
        engine,
        pilot,
        Success.of(episodes - len(failed), episodes),
        float(sum(one.rewards for one in played)) / episodes,
        float(sum(one.info["time_s"] for one in played)) / episodes,
        dict(Counter(episode.reason for episode in failed)),
        tuple(episode.seed for episode in failed),
        sum(one.episode.reason.startswith("guard") for one in played),
        sum(one.info["limited"] for one in played),
        sum(len(one.episode.actions) for one in played) / used_s,
    )


def markdown(entries: Sequence[Entry], scores: Sequence[Score]) -> str:
    """Write the scores as a table: environments and what they see and do, success in % with its interval."""
    lines = ["| cell | obs | action | engine | " + " | ".join(PILOTS) + " |", "|---" * (4 + len(PILOTS)) + "|"]
    for entry in entries:
        contract = CellEnv(entry.task, entry.arm, cell=entry.cell).contract
        horizon, n = contract.chunk_shape
        for engine in dict.fromkeys(score.engine for score in scores if score.cell == entry.cell):
            of = {one.pilot: one for one in scores if (one.cell, one.engine) == (entry.cell, engine)}
            cells = [_told(of[pilot]) if pilot in of else "" for pilot in PILOTS]
            lines.append(
                f"| `{entry.cell}` | {contract.obs_size} | {contract.action.kind}, {horizon} x {n} | {engine} | "
                + " | ".join(cells)
                + " |"
            )
    return "\n".join(lines)


def _told(score: Score) -> str:
    s = score.success
    return f"{100 * s.rate:.1f} [{100 * s.low:.1f}, {100 * s.high:.1f}], n = {s.n}; return {score.rewards:.1f}"


def write_table(path: Path, table: str) -> None:
    """Put a table in the place of the one between the marks of a file.

    Raises:
        ConfigError: The file is not there, or has no marks.
    """
    begin, end = MARKS
    try:
        text = path.read_text(encoding="utf-8")
        head, rest = text.split(begin)
        tail = rest.split(end)[1]
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(f"'{path}' is not there, or lacks the lines '{begin}' and '{end}'") from error
    path.write_text(f"{head}{begin}\n{table}\n{end}{tail}", encoding="utf-8")
