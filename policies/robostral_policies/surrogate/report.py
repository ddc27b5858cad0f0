"""The command `robostral surrogate report`."""

from pathlib import Path


def report(
    name: str,
    /,
    *,
    evaluation: Path | None = None,
    speed: Path | None = None,
    improvement: Path | None = None,
    out: Path | None = None,
) -> None:
    """Write one HTML page of a learned simulator: errors, success, confidence, speed, break-even, where it fails.

    Args:
        name: Name or path of its bundle.
        evaluation: What `robostral surrogate eval` wrote; runs/surrogate/NAME.evaluation/evaluation.json by default.
        speed: What `robostral bench surrogate --json` wrote; without it speed and break-even are left out.
        improvement: What `robostral surrogate improve` wrote; without it what training in it saves is left out.
        out: The page; report.html beside the evaluation by default.
    """
    import msgspec

    from robostral import bundle as bundles
    from robostral.errors import ConfigError
    from robostral_policies.surrogate.evaluate import Evaluation
    from robostral_policies.surrogate.improve import Improvement
    from robostral_policies.surrogate.page import page

    source = evaluation or Path("runs/surrogate") / f"{Path(name).name}.evaluation" / "evaluation.json"
    bundle = bundles.load(bundles.find(name))
    try:
        found = msgspec.json.decode(source.read_bytes(), type=Evaluation)
        timed = msgspec.json.decode(speed.read_bytes()) if speed else None
        trained = msgspec.json.decode(improvement.read_bytes(), type=Improvement) if improvement else None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{error}; `robostral surrogate eval {name}` writes the evaluation") from error
    if found.digest != bundle.digest.hex():
        raise ConfigError(f"'{source}' judges another bundle: {found.label} {found.digest[:16]}")
    if timed is not None and "surrogate" not in timed:
        raise ConfigError(f"'{speed}' is not of `robostral bench surrogate`")
    target = out or source.parent / "report.html"
    target.write_text(page(bundle, found, timed, trained))
    print(f"page: {target}")
