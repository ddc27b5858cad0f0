"""`robostral guard campaign | mutants`: the counts that the guard stands on, made anew."""

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


COMMANDS = {"campaign": campaign}
