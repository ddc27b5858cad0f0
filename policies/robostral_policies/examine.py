"""Examine a bundle in closed loop: on several engines, over figures of the plant, beside baselines."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Console

from robostral import bundle as bundles
from robostral.contract import check_same
from robostral.errors import ConfigError
from robostral.revision import revision
from robostral_policies.evaluate import Judge, Row, time_action
from robostral_policies.lineage import machine, packages
from robostral_policies.progress import bars
from robostral_policies.rollout import Plan, Rollouts, kept

Conditions = Sequence[dict[str, float]]


class Examination(msgspec.Struct, frozen=True):
    """What was found, and all that is needed to find it again; the file `evaluation.json`.

    Attributes:
        label: Name and version of the bundle.
        digest: SHA-256 of its manifest, in hex.
        rows: Per engine: the model, the baselines, then the model under each condition.
    """

    label: str
    digest: str
    environment: str
    kwargs: dict[str, Any]
    seed: int
    rows: tuple[Row, ...]
    us_per_action: float
    revision: str
    machine: str
    packages: dict[str, str]
    made: str
    format: Literal["robostral.examination/1"] = "robostral.examination/1"


def conditions(latency_ms: Iterable[float], sweep: Iterable[str]) -> list[dict[str, float]]:
    """List what is fixed in the plant, one condition a row.

    Args:
        latency_ms: From an observation to the use of its chunk [ms].
        sweep: Each ``figure=value,value,...``, a figure as `info["plant"]` names it.

    Raises:
        ConfigError: A sweep is not of that form.
    """
    found = [{"latency_s": value / 1e3} for value in latency_ms]
    for text in sweep:
        name, _, values = text.partition("=")
        try:
            found += [{name: float(value)} for value in values.split(",")]
        except ValueError as error:
            raise ConfigError(f"--sweep {text}: expected FIGURE=VALUE,VALUE, for example friction=0.2,0.5") from error
    return found


def examine(
    name: str,
    out: Path,
    *,
    engines: Sequence[str],
    episodes: int,
    baseline_episodes: int,
    fixed: Conditions,
    seed: int,
    workers: int,
    console: Console,
) -> Examination:
    """Play fresh episodes of a bundle's own environment; keep those that fail under `out`.

    Raises:
        ContractMismatch: The environment is no longer the one that the bundle was made for.
        BundleRefused: The bundle is broken.
        TrainingError: The environment or an engine is not there, or it showed a number that is not finite.
    """
    bundle = bundles.load(bundles.find(name))
    lineage, rows = bundle.manifest.lineage, []
    with bars(console) as progress, kept(out):
        for engine in engines or (lineage.engine,):
            other = {} if engine == lineage.engine else {"engine": engine}
            kwargs = {**lineage.environment_kwargs, **other}
            with Rollouts(lineage.environment, workers, kwargs) as rollouts:
                if rollouts.cell.sealed is not None:
                    check_same(rollouts.cell.sealed, bundle.sealed, "the environment", "the bundle")
                judge = Judge(rollouts, seed, progress, engine, out / "failures")
                rows.append(judge.row(Plan("model", bundle.model_bytes), episodes))
                rows += judge.baselines(baseline_episodes) if baseline_episodes else []
                plans = [Plan("model", bundle.model_bytes, options={"plant": condition}) for condition in fixed]
                rows += [judge.row(plan, episodes) for plan in plans]
    return Examination(
        f"{bundle.manifest.name}-v{bundle.manifest.version}",
        bundle.digest.hex(),
        lineage.environment,
        dict(lineage.environment_kwargs),
        seed,
        tuple(rows),
        time_action(bundle.model_bytes, bundle.sealed.contract.obs_size),
        revision(),
        machine(workers),
        packages(),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def swept(rows: Iterable[Row]) -> Mapping[str, list[Row]]:
    """Group the rows of each figure that was varied, in order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        for name in row.condition:
            found.setdefault(name, []).append(row)
    return found
