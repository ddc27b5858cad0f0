"""Judgement of a learned simulator on episodes that it has never seen; the file `evaluation.json`.

open_loop    list of {arm, pilot, what, steps, n, refused, mm: [median, p95], deg: [median, p95]}
             pilot: expert | disturbed | pushing | curious, and `all` of one `what`; arm: a name, and `all`; and the
             second one, whose first link has the room, with a table 0.1 m higher; and the engine itself, put to the
             same state but for 0.1 mm in place of the learned cell; both are not among `all`
             what: tcp | untouched | pushed (upright or toppled) | upright | toppled | grasped (a part; its tcp is in
             `tcp`); steps: 1 | 10 | 50
success      list of {environment, arm, pilot, surrogate: {n, successes, rate, low, high}, engine: likewise,
             points, refused}; pilot: expert, or the name of a bundle; points = 100 (surrogate - engine)
calibration  {level, inside: {all | held | moved | lay: {n, successes, ...}}, flagged: {what: {n, successes, ...}}}
bars         list of {what, bar, found, met}
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from robostral import bundle as bundles
from robostral.bundle import Bundle, OnnxPolicy, Success
from robostral.revision import revision
from robostral_policies.config import MAX_SEED
from robostral_policies.evaluate import FIRST_SEED, Judge
from robostral_policies.lineage import machine
from robostral_policies.progress import bars, finish
from robostral_policies.rollout import Plan, Rollouts
from robostral_policies.surrogate.learn import touched
from robostral_policies.surrogate.model import MOTION, columns
from robostral_policies.surrogate.watched import PILOTS, Pilot, Pilots, Watched

HORIZONS = (1, 10, 50)
_KINDS = {"untouched": ("untouched",), "pushed": ("upright", "toppled"), "upright": ("upright",),
          "toppled": ("toppled",), "grasped": ("grasped",)}  # fmt: skip
_LONGEST = 170
_LATEST = 30
"""The first window of an episode begins at a random one of so many steps, so that windows begin anywhere."""
RAISED_M = 0.1
"""How much higher the table of a cell is that was not watched."""
ASIDE_M = 1e-4
"""How far aside a part is put to see what such a difference becomes."""
_UNTOUCHED_M, _FLAG = 2e-4, 0.5
"""A part that moves less than this in a window was not touched; from this on a step counts as outside, see
`robostral_sims.engines.surrogate.MAX_OUTSIDE`."""


class OpenLoop(msgspec.Struct, frozen=True):
    """How far the learned cell is from the real one after some steps; see this module."""

    arm: str
    pilot: str
    what: str
    steps: int
    n: int
    refused: int
    mm: tuple[float, float]
    deg: tuple[float, float]


class Beside(msgspec.Struct, frozen=True):
    """Success in the learned cell beside that in the engine, on the same seeds."""

    environment: str
    arm: str
    pilot: str
    surrogate: Success
    engine: Success
    points: float
    refused: int


class Calibration(msgspec.Struct, frozen=True):
    """Which share of motions the stated interval holds, and which share of steps is flagged as never seen."""

    level: float
    inside: dict[str, Success]
    flagged: dict[str, Success]


class Bar(msgspec.Struct, frozen=True):
    """What was asked, and what was found."""

    what: str
    bar: str
    found: str
    met: bool


class Evaluation(msgspec.Struct, frozen=True):
    """Everything that was found, and what is needed to find it again."""

    label: str
    digest: str
    environment: str
    seed: int
    open_loop: tuple[OpenLoop, ...]
    success: tuple[Beside, ...]
    calibration: Calibration
    bars: tuple[Bar, ...]
    revision: str
    machine: str
    made: str
    format: Literal["robostral.surrogate.evaluation/1"] = "robostral.surrogate.evaluation/1"


class Seen(NamedTuple):
    """One horizon of one window."""

    arm: str
    pilot: str
    steps: int
    what: str
    tcp: tuple[float, float]
    part: tuple[float, float]
    beyond: bool


@dataclass
class _Window:
    start: int
    at: NDArray[np.float64]
    far: float = 0.0
    held: bool = False
    toppled: bool = False


def evaluate(
    name: str,
    *,
    policies: Sequence[str],
    episodes: int,
    closed_loop: int,
    seed: int,
    workers: int,
    level: float,
    console: Console,
) -> Evaluation:
    """Judge a learned simulator on fresh episodes.

    Args:
        name: Name or path of its bundle.
        policies: Bundles whose success, and whose environment's expert's, is compared.
        episodes: Open-loop episodes of each arm and pilot.
        closed_loop: Episodes of each pilot in each engine.
        seed: Which fresh episodes.
        workers: Processes that play closed-loop episodes.
        level: Share of motions that the interval was made to hold.
        console: Where progress is shown.

    Raises:
        UnknownName: There is no bundle of one of these names.
        TrainingError: An environment is not there.
    """
    judged = bundles.load(bundles.find(name))
    lineage, found, steps = judged.manifest.lineage, [], []
    with bars(console) as progress:
        for kwargs in lineage.environment_kwargs["cells"]:
            bar = progress.add_task(f"{kwargs['arm']}: open loop", total=episodes * len(PILOTS))
            for one, watched in fly(judged, kwargs, episodes, seed):
                found += one
                steps.append(watched)
                progress.advance(bar)
            finish(progress, bar, f"{kwargs['arm']}: {episodes * len(PILOTS)} episodes open loop")
        found_too = list(_again(judged, episodes, seed, progress))
        found_too += _elsewhere(judged, lineage.environment_kwargs["cells"][:2][-1], episodes, seed, progress)
        success = [row for policy in policies for row in _beside(judged, policy, closed_loop, seed, workers, progress)]
    open_loop = (*tables(found), *(row for row in tables(found_too) if row.arm != "all"))
    return Evaluation(
        judged.manifest.label,
        judged.digest.hex(),
        lineage.environment,
        seed,
        open_loop,
        tuple(success),
        calibrate(judged, Watched.join(steps), level),
        tuple(_bars(open_loop, success)),
        revision(),
        machine(workers),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _again(judged: Bundle, episodes: int, seed: int, progress: Progress) -> Iterator[Seen]:
    """Let the engine itself follow from almost the same state: what nobody can foretell of a push."""
    lineage, arm = judged.manifest.lineage, f"engine itself, {1e3 * ASIDE_M:g} mm aside"
    cells = lineage.environment_kwargs["cells"]
    bar = progress.add_task(arm, total=episodes * len(cells))
    for kwargs in cells:
        for one, _ in fly(judged, kwargs, episodes, seed, lineage.engine, ("pushing",)):
            yield from (seen._replace(arm=arm) for seen in one)
            progress.advance(bar)
    finish(progress, bar, f"{arm}: {episodes * len(cells)} episodes open loop")


def _elsewhere(judged: Bundle, kwargs: dict[str, Any], episodes: int, seed: int, progress: Progress) -> list[Seen]:
    """Fly in a cell whose table is higher than any that was watched."""
    pilots = Pilots(judged.manifest.lineage.environment, kwargs)
    scene = pilots.env.scene
    pilots.env.close()
    arm, found = f"{kwargs['arm']}, table {RAISED_M:g} m higher", []
    bar = progress.add_task(arm, total=episodes * len(PILOTS))
    with TemporaryDirectory() as folder:
        cell = Path(folder) / "raised.yaml"
        cell.write_bytes(msgspec.yaml.encode(raised(scene)))
        for one, _ in fly(judged, {**kwargs, "cell": str(cell)}, episodes, seed):
            found += [seen._replace(arm=arm) for seen in one]
            progress.advance(bar)
    finish(progress, bar, f"{arm}: {episodes * len(PILOTS)} episodes open loop")
    return found


def raised(scene: Any) -> Any:
    """Return a scene whose bodies and regions, but not its arm, are higher by `RAISED_M`."""
    replace = msgspec.structs.replace

    def up(p: Sequence[float]) -> tuple[float, float, float]:
        return p[0], p[1], p[2] + RAISED_M

    bodies = tuple(replace(body, pose=replace(body.pose, p=up(body.pose.p))) for body in scene.bodies)
    regions = {name: replace(box, low=up(box.low), high=up(box.high)) for name, box in scene.regions.items()}
    return replace(scene, bodies=bodies, regions=regions)


def fly(
    judged: Bundle,
    kwargs: dict[str, Any],
    episodes: int,
    seed: int,
    engine: str | None = None,
    who: Sequence[Pilot] = PILOTS,
) -> Iterator[tuple[list[Seen], Watched]]:
    """Fly episodes of an engine with the learned cell beside; yield what is seen at each horizon, and every step.

    Args:
        judged: Bundle of the learned simulator.
        kwargs: What the environment is made with.
        episodes: How many for each pilot.
        seed: Which.
        engine: What goes on by itself; the learned simulator if None, and else another engine, `ASIDE_M` elsewhere.
        who: Pilots.

    Raises:
        TrainingError: The environment is not there, or no learned simulator knows it.
    """
    pilots = Pilots(judged.manifest.lineage.environment, kwargs)
    shadow, aside_m = pilots.env.shadow(engine or f"surrogate:{judged.path}"), ASIDE_M if engine else 0.0
    first = FIRST_SEED + seed * MAX_SEED
    for pilot in who:
        for number in range(first, first + episodes):
            found: list[Seen] = []
            rows: list[Any] = []
            window, begin = None, int(np.random.default_rng([number, 5]).integers(1, _LATEST))
            for step, notes in enumerate(pilots.fly(number, pilot, _LONGEST), 1):
                rows.append(notes.after())
                part = pilots.env.truth.parts[0, :3]
                if window is not None:
                    window.far = max(window.far, float(np.linalg.norm(part - window.at)))
                    window.held = window.held or notes.held
                    window.toppled = window.toppled or _leans(pilots.env.truth.parts[0, 3:7])
                    if step - window.start in HORIZONS:
                        found.append(_seen(kwargs["arm"], pilot, step, window, shadow.compare()))
                if step == begin or (window is not None and step - window.start == HORIZONS[-1]):
                    window = _Window(step, part.copy(), held=notes.held)
                    shadow.meet(aside_m)
            seen, told = (np.stack(column) for column in zip(*rows, strict=True))
            yield found, Watched(seen, told, np.full(len(seen), number))
    pilots.env.close()


def _seen(arm: str, pilot: Pilot, step: int, window: _Window, apart: Any) -> Seen:
    moved = "toppled" if window.toppled else "upright"
    what = "grasped" if window.held else "untouched" if window.far < _UNTOUCHED_M else moved
    tcp, part = (1e3 * apart.tcp_m, np.degrees(apart.tcp_rad)), (1e3 * apart.part_m, np.degrees(apart.part_rad))
    return Seen(arm, pilot, step - window.start, what, tcp, part, apart.beyond)


def _leans(quat_wxyz: NDArray[np.float64]) -> bool:
    """Return whether a part's z axis is nearer to the table than to the vertical."""
    _, x, y, _ = quat_wxyz.tolist()
    return bool(abs(1.0 - 2.0 * (x * x + y * y)) < math.sqrt(0.5))


def tables(found: list[Seen]) -> Iterator[OpenLoop]:
    """Count by arm and pilot, and over all of either."""
    for arm in ("all", *dict.fromkeys(one.arm for one in found)):
        for pilot in ("all", *PILOTS):
            of = [one for one in found if arm in ("all", one.arm) and pilot in ("all", one.pilot)]
            for steps in HORIZONS:
                here = [one for one in of if one.steps == steps]
                yield from _row(arm, pilot, "tcp", steps, here)
                for what, kinds in _KINDS.items():
                    yield from _row(arm, pilot, what, steps, [one for one in here if one.what in kinds])


def _row(arm: str, pilot: str, what: str, steps: int, of: list[Seen]) -> Iterator[OpenLoop]:
    kept = np.array([one.tcp if what == "tcp" else one.part for one in of if not one.beyond])
    if len(kept):
        (mm, deg), (mm95, deg95) = np.percentile(kept, (50, 95), axis=0).tolist()
        yield OpenLoop(arm, pilot, what, steps, len(kept), len(of) - len(kept), (mm, mm95), (deg, deg95))


def _beside(
    judged: Bundle, policy: str, episodes: int, seed: int, workers: int, progress: Progress
) -> Iterator[Beside]:
    """Count the success of a policy, and of its environment's expert, in both."""
    bundle = bundles.load(bundles.find(policy))
    lineage = bundle.manifest.lineage
    plans = {"expert": Plan("expert"), bundle.manifest.label: Plan("model", bundle.model_bytes)}
    rows: dict[str, Any] = {}
    for engine in (f"surrogate:{judged.path}", lineage.engine):
        kwargs = {**lineage.environment_kwargs, "engine": engine}
        with Rollouts(lineage.environment, workers, kwargs) as rollouts:
            judge = Judge(rollouts, seed, progress, engine.partition(":")[0])
            rows[engine] = {pilot: judge.row(plan, episodes) for pilot, plan in plans.items()}
    here, there = rows.values()
    for pilot in plans:
        refused = sum(n for reason, n in here[pilot].reasons.items() if "surrogate" in reason)
        points = 100.0 * (here[pilot].success.rate - there[pilot].success.rate)
        environment, arm = lineage.environment.partition("/")[2], str(lineage.environment_kwargs.get("arm", "ur5e"))
        yield Beside(environment, arm, pilot, here[pilot].success, there[pilot].success, points, refused)


def calibrate(judged: Bundle, watched: Watched, level: float) -> Calibration:
    """Count which steps lie inside the stated interval, and which are flagged: as they are, and made foreign."""
    contract = judged.sealed.contract
    policy, at = OnnxPolicy(judged), columns(contract)

    def say(seen: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = judged.requirements.max_batch
        blocks = [policy.infer(np.ascontiguousarray(seen[i : i + rows]))[:, 0] for i in range(0, len(seen), rows)]
        return np.concatenate(blocks)

    kept = watched.of(touched(contract, watched))
    said, told = say(kept.seen), kept.told
    off = np.linalg.norm(said[:, :MOTION] - told[:, :MOTION], axis=1)
    carried = kept.seen[:, at["carried_motion"] : at["carried_motion"] + MOTION]
    lay = np.linalg.norm(told[:, :MOTION], axis=1) < 1e-3
    held = ~lay & (np.linalg.norm(told[:, :MOTION] - carried, axis=1) < 1e-3)
    kinds = {"all": np.ones(len(off), bool), "held": held, "moved": ~lay & ~held, "lay": lay}
    inside = {what: _share(off[of] <= said[of, told.shape[1]]) for what, of in kinds.items() if of.any()}
    flagged = {"fresh episodes": _share(said[:, -1] > _FLAG)}
    for what, field, change in _FOREIGN:
        seen = kept.seen.copy()
        columns_of = slice(at[field], at[field] + next(f.size for f in contract.obs if f.name == field))
        seen[:, columns_of] = seen[:, columns_of] * change[0] + np.array(change[1])
        flagged[what] = _share(say(seen)[:, -1] > _FLAG)
    policy.close()
    return Calibration(level, inside, flagged)


_FOREIGN = (
    ("parts a fifth larger", "part_half", (1.2, 0.0)),
    ("parts three times as heavy", "part_mass", (3.0, 0.0)),
    ("friction five times as high", "friction", (5.0, 0.0)),
    ("another lining of the jaw", "friction_jaw", (1.2, 0.0)),
    ("tool tilted by half a rad", "tilt", (0.0, (0.48, 0.0))),
    ("tool and part 0.3 m higher above the table", "heights", (1.0, 0.3)),
    ("the part thrown at 3 m/s more", "part_velocities", (1.0, 3.0)),
)
"""Cells of another kind, by what is changed in what is seen of fresh episodes: factor and addend of a field."""


def _share(which: NDArray[np.bool_]) -> Success:
    return Success.of(int(which.sum()), len(which))


def _bars(open_loop: Sequence[OpenLoop], success: Sequence[Beside]) -> Iterator[Bar]:
    """Hold what was found after 50 steps against what was asked."""
    asked = (("tcp", "all", 2.0, 7.0), ("untouched", "all", 1.0, None), ("pushed", "pushing", 10.0, 40.0),
             ("grasped", "all", 5.0, None))  # fmt: skip
    for what, pilot, median, p95 in asked:
        rows = [r for r in open_loop if (r.arm, r.pilot, r.what, r.steps) == ("all", pilot, what, HORIZONS[-1])]
        for row in rows:
            met = row.mm[0] <= median and (p95 is None or row.mm[1] <= p95)
            bar = f"median <= {median:g} mm" + (f", p95 <= {p95:g} mm" if p95 else "")
            who = "" if pilot == "all" else f", pilot '{pilot}'"
            yield Bar(f"{what}, {HORIZONS[-1]} steps{who}", bar, f"{row.mm[0]:.2f} mm, p95 {row.mm[1]:.2f} mm", met)
    if success:
        worst = max(success, key=lambda row: abs(row.points))
        found = f"{worst.points:+.1f} points at worst ({worst.pilot}, {worst.arm})"
        yield Bar("success beside the engine", "within 5 points", found, abs(worst.points) <= 5.0)
