"""The commands `robostral identify`, `robostral excite` and `robostral planted`."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from robostral.arm import Arm
    from robostral_policies.identify.pipeline import Identification

_NEEDS = {"scipy": "train", "rosbags": "train", "torch": "train", "onnx": "train", "matplotlib": "view"}
Logs = Annotated[tuple[Path, ...], tyro.conf.Positional]


def identify(
    logs: Logs,
    /,
    *,
    arm: str | None = None,
    out: Path | None = None,
    test: tuple[Path, ...] = (),
    test_from: float | None = None,
    version: int = 1,
    key: Path | None = None,
    seed: int = 0,
) -> None:
    """Identify inertias and friction of the arm you really have from its logs, and write an arm bundle.

    Logs are ROS 2 bags (.db3, .mcap), run logs of ours (.mcap), or CSV with the header
    t,q1..qn,dq1..dqn,tau1..taun (current1..currentn for motor currents). No figure is chosen per log: friction
    families, radii and thresholds are fixed, and cross-validation over runs or time blocks decides. What cannot be
    identified is refused, with what to record instead; `robostral excite` designs such a motion.

    Args:
        logs: Logs to fit.
        arm: Name of the arm, or a .urdf or .yaml file: its kinematics, limits and published inertias.
        out: Folder of the bundle, runs/identify/ARM-vVERSION by default; OUT.report beside it holds the report.
        test: Logs to hold out.
        test_from: Hold out what each log holds from this time on [s].
        version: Version of the bundle.
        key: Private Ed25519 key that signs the bundle (see `robostral bundle keygen`).
        seed: Of the learned residual's weights.
    """
    from robostral.errors import ConfigError
    from robostral.extras import require

    if not logs:
        raise ConfigError("no log is given; see 'robostral identify --help'")
    for module, extra in _NEEDS.items():
        require(module, extra)
    known = _load(arm)
    folder = out or Path("runs/identify") / f"{known.name}-v{version}"
    found = _identify(known, folder, logs, test, test_from, seed)
    words = [
        "robostral",
        "identify",
        *map(str, logs),
        "--arm",
        str(arm),
        *(["--test", *map(str, test)] if test else []),
    ]
    words += [] if test_from is None else ["--test-from", f"{test_from:g}"]
    _write(found, folder, known.name, [*logs, *test], shlex.join(words), version, key, seed)
    _print(found, folder, key)


def _identify(
    known: "Arm", folder: Path, logs: tuple[Path, ...], test: tuple[Path, ...], test_from: float | None, seed: int
) -> "Identification":
    from rich.console import Console

    from robostral.bundle.write import check_folder
    from robostral.identified.bundle import FILES
    from robostral_policies.identify.engines import compare_engines
    from robostral_policies.identify.pipeline import identify as run
    from robostral_policies.identify.pipeline import read_logs

    check_folder(folder, FILES)
    console = Console(stderr=True)
    with console.status("identifying"):
        found = run(
            known,
            read_logs(known, logs),
            read_logs(known, test),
            test_from=test_from,
            seed=seed,
            note=lambda text: console.print(text, soft_wrap=True, highlight=False),
        )
    if found.trace is not None:
        found.report["engines"] = compare_engines(known, found)
    return found


def _load(arm: str | None) -> "Arm":
    from robostral.arm import arm_names, load_arm
    from robostral.errors import ConfigError

    if arm is None:
        raise ConfigError(f"which arm? --arm NAME (arms: {', '.join(arm_names())}; or a .urdf or .yaml file)")
    return load_arm(arm)


def _write(
    found: "Identification",
    folder: Path,
    name: str,
    logs: list[Path],
    command: str,
    version: int,
    key: Path | None,
    seed: int,
) -> None:
    import hashlib

    import numpy as np

    from robostral.bench import machine, write
    from robostral.identified import ArmLineage, write_arm
    from robostral.revision import revision
    from robostral_policies.identify.page import card, page
    from robostral_policies.identify.pictures import friction, torques

    files = [
        path for log in logs for path in (sorted(p for p in log.iterdir() if p.is_file()) if log.is_dir() else [log])
    ]
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    report = found.report | {"command": command, "git_revision": revision(), "machine": machine()}
    write_arm(
        folder,
        found.found,
        name=f"{name}-identified",
        version=version,
        lineage=ArmLineage(published=name, logs=digests, git_revision=revision(), seed=seed),
        nmse={score.joint: score.nmse for score in found.scores},
        card=card(report, command),
        private_key=key,
    )
    beside = folder.with_name(f"{folder.name}.report")
    write("identify", report, beside / "report.json")
    joints, parameters = found.found.arm.chain.joint_names, found.found.parameters
    speed = np.max(np.abs(np.array(parameters.ranges.dq)), axis=0)
    load = np.array(found.report["typical_load"])
    pictures = [("Friction at steady motion", friction(found.model, joints, speed, load))]
    if found.trace is not None:
        pictures.insert(0, ("Held-out torques", torques(found.trace, joints, parameters.interval)))
    (beside / "report.html").write_text(page(report, pictures), encoding="utf-8")


def _print(found: "Identification", folder: Path, key: Path | None) -> None:
    for doubt in found.report["doubts"]:
        print(f"doubt: {doubt}")
    for score in found.scores:
        print(
            f"{score.joint:22} {score.family:16} nMSE {score.nmse:.4f}  least squares {score.nmse_least_squares:.4f}"
            f"  in interval {100 * score.coverage:.0f} %"
        )
    if found.scores:
        held_out = found.report["held_out"]
        print(f"mean nMSE {held_out['mean_nmse']:.4f}, least squares {held_out['mean_nmse_least_squares']:.4f}")
        for engine, row in found.report["engines"].items():
            print(f"{engine}: mean nMSE {row['identified']:.4f} identified, {row['published']:.4f} as published")
    print(f"report: {folder}.report{os.sep}report.html")
    print(f"arm bundle: {folder} ({'signed' if key else 'not signed, for twins only'})")


def excite(
    *,
    arm: str | None = None,
    out: Path | None = None,
    seconds: float = 20.0,
    rate_hz: float = 125.0,
    floor: float | None = None,
    steps: int = 300,
    seed: int = 0,
) -> None:
    """Design a motion that shows every inertial parameter, inside the arm's limits, and write it as CSV and picture.

    The motion begins and ends at rest in the arm's home. It keeps clear of the arm itself and of the floor; every
    command is run through the guard, and the oracle counts what is beyond a limit: nothing, or there is no file.

    Args:
        arm: Name of the arm, or a .urdf or .yaml file.
        out: CSV to write, columns t, q1..qn, dq1..dqn, ddq1..ddqn, runs/excite/ARM.csv by default; the picture and
            its figures lie beside it.
        seconds: Length of the motion [s].
        rate_hz: Rows per second, the control rate to play it at.
        floor: Height in base that no part of the arm goes below [m]; no floor if not given.
        steps: Steps of the search.
        seed: Everything random follows from it.
    """
    import numpy as np
    from rich.console import Console

    from robostral.bench import write
    from robostral_policies.identify.excite import NoMotion, design, judge
    from robostral_policies.identify.pictures import motion as draw
    from robostral_policies.progress import bars

    known = _load(arm)
    out = out or Path("runs/excite") / f"{known.name}.csv"
    with bars(Console(stderr=True)) as progress:
        bar = progress.add_task("searching", total=steps)
        found = design(known, seconds=seconds, floor=floor, steps=steps, seed=seed, tick=lambda: progress.advance(bar))
    changed, violations = judge(known, found.motion, rate_hz)
    if changed or violations:
        raise NoMotion(f"the guard would change {changed} of its commands, {violations} values are beyond a limit")
    t = np.arange(0.0, seconds, 1.0 / rate_hz)
    n = known.chain.n
    header = ",".join(["t", *(f"{name}{i + 1}" for name in ("q", "dq", "ddq") for i in range(n))])
    out.parent.mkdir(parents=True, exist_ok=True)
    table = np.concatenate([t[:, None], *found.motion.at(t)[:3]], axis=1)
    np.savetxt(out, table, fmt="%.9g", delimiter=",", header=header, comments="")
    out.with_suffix(".svg").write_text(draw(found.motion, known.chain.joint_names), encoding="utf-8")
    figures = {"arm": known.name, "condition": found.condition, "condition_first": found.first, "seed": seed,
               "guard_changed": changed, "violations": violations}  # fmt: skip
    write("excite", figures, out.with_suffix(".json"))
    print(
        f"condition number {found.condition:.2f} (the first motion tried: {found.first:.2f}); no command beyond a limit"
    )
    print(f"motion: {out}, picture: {out.with_suffix('.svg')}")


def planted_write(*, arm: str = "ur10", out: Path = Path("runs/planted"), seed: int = 0, runs: int = 3) -> None:
    """Write logs of a planted arm as CSV: exciting runs, one of point-to-point motion, and the truth as JSON.

    Args:
        arm: Name of the arm to start from; its links, rotors and friction are changed.
        out: Folder for the files.
        seed: Of the planted figures, the motions and the noise.
        runs: Exciting runs.
    """
    from robostral.bench import write
    from robostral_policies.identify.campaign import planted_logs
    from robostral_policies.identify.read_csv import write_csv

    truth, recorder, logs, test, _ = planted_logs(_load(arm), seed, runs, 20.0, 30)
    for log in [*logs, test]:
        write_csv(out / f"{log.name}.csv", log)
    figures = {
        "arm": arm,
        "seed": seed,
        "rate_hz": recorder.rate_hz,
        "friction": list(truth.kinds),
        "coulomb": truth.size.tolist(),
        "rotor": truth.rotor.tolist(),
        "links": [joint.link for joint in truth.arm.table.joints],
    }
    write("planted", figures, out / "truth.json")


def planted_judge(
    *,
    arms: tuple[str, ...] = ("ur10", "ur5e", "panda"),
    seeds: int = 2,
    minutes: float = 20.0,
    json: Path | None = None,
) -> None:
    """Identify planted arms and compare with the truth: parameters, friction, families, intervals, contacts.

    Args:
        arms: Arms to start from.
        seeds: Planted arms of each.
        minutes: Free motion of each, in which alarms are false.
        json: File to write the report to; printed if there is none.
    """
    from robostral.bench import write
    from robostral_policies.identify.campaign import judge, judge_contact

    rows = []
    for name in arms:
        arm = _load(name)
        for seed in range(seeds):
            figures, planted = judge(arm, seed)
            contact = judge_contact(planted, arm, minutes=minutes, steps=40 * arm.chain.n, seed=seed)
            rows.append(figures | {"contact": contact})
            print(
                f"{name} {seed}: {figures['ratio_to_least_squares']:.3f} x least squares, friction within"
                f" {100 * figures['friction_error']:.1f} %, families {100 * figures['families_right']:.0f} %, certain"
                f" parameters within {100 * figures['worst_certain_parameter']:.2f} %, coverage"
                f" {figures['coverage_in_distribution']:.3f}, steps seen moving"
                f" {contact['steps']['moving']['seen']:.3f}, at rest {contact['steps']['at_rest']['seen']:.3f}, false"
                f" alarms per 10 min {contact['false_alarms_per_10_min']:.2f}"
            )
    write("planted", {"arms": rows}, json)


PLANTED = {"write": planted_write, "judge": planted_judge}
