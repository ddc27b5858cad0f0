"""`robostral guard campaign | mutants`: the counts that the guard stands on, made anew.

Outside `robostral.guard`, whose import loads the kernels: a command's help must not wait for them.
"""

from pathlib import Path


def campaign(arm: str = "all", *, steps: float = 1e6, seed: int = 0, json: Path | None = None) -> int:
    """Attack the guard with hostile steps, swaps in motion and poisoned commands; exit 1 on the first count above 0.

    An oracle of plain numpy judges the commands as written: position, velocity, acceleration, jerk, torque and its
    rate, distances. Every 97th step the arm is stopped by way of trial, and every limit of the way to rest checked.

    Args:
        arm: Arm by name, or `all`.
        steps: Hostile steps per arm, and as many poisoned commands.
        seed: Of everything that is drawn.
        json: File to write the evidence to; printed if there is none.
    """
    from rich.progress import Progress

    from robostral.arm import arm_names
    from robostral.bench import write
    from robostral.errors import ConfigError
    from robostral.guard.campaign import attack_arm

    if not 1.0 <= steps <= 1e12:
        raise ConfigError(f"steps = {steps:g} is outside [1, 1e12]")
    names, found = arm_names() if arm == "all" else [arm], {}
    with Progress() as progress:
        for name in names:
            task = progress.add_task(name, total=int(steps))
            found[name] = attack_arm(name, int(steps), seed, lambda n, task=task: progress.advance(task, n))  # type: ignore[misc]
    failures = sum(figures["failures"] for figures in found.values())
    write("guard campaign", {"seed": seed, "steps_per_arm": int(steps), "failures": failures, "arms": found}, json)
    return 1 if failures else 0


def mutants(
    *, sample: int = 200, seed: int = 0, workers: int = 0, minutes: float = 0.0, json: Path | None = None
) -> int:
    """Change one thing in the guard's code at a time and see whether a test notices; exit 1 below 95 %.

    Cosmic Ray makes the changes: arithmetic, comparisons, logic, signs, loops, and every number one up and one down.
    Left out is what only flatters or repeats: bit operations on floats (fail at once in any test), `is` for `==` (the
    same between small numbers), decorators (nothing is compiled here), and what cannot be imported. Survivors that no
    test can tell from the code are listed with the reason, and do not count. A mutant has 40 s of processor time.
    Runs from a checkout, as the tests do, without compiled kernels; needs `pip install "robostral[mutants]"`.

    Args:
        sample: How many mutants, drawn evenly; 0 takes all, which are some thousands.
        seed: Of the sample.
        workers: How many at a time; 0 takes as many as there are processors.
        minutes: After so long no further mutant is begun, and the report is about those that were; 0 for no limit.
        json: File to write the report to; printed if there is none.
    """
    import os
    import subprocess
    import sys

    import msgspec

    from robostral.bench import write
    from robostral.errors import ConfigError
    from robostral.extras import require

    require("cosmic_ray", "mutants")
    root = Path(__file__).parents[1]
    if not (root / "tests" / "core").is_dir():
        raise ConfigError(f"no tests in '{root}': the mutation test runs from a checkout")
    words = [str(root), str(sample), str(seed), str(workers or os.cpu_count() or 1), str(minutes)]
    done = subprocess.run(
        [sys.executable, "-m", "robostral.guard.mutants", *words],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    figures = msgspec.json.decode(done.stdout)
    write("guard mutants", {"seed": seed} | figures, json)
    return 0 if figures["score"] >= 0.95 else 1


COMMANDS = {"campaign": campaign, "mutants": mutants}
