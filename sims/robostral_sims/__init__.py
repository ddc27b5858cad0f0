"""Simulated cells: scenes, engines, tasks and environments. Importing this package loads no engine."""


def register() -> None:
    """Register the environments with Gymnasium; its entry-point group calls this, and calling it again is harmless."""
    import gymnasium

    from robostral_sims.tasks import TASKS

    for task in TASKS:
        if (name := f"Robostral/{task}-v0") not in gymnasium.registry:
            gymnasium.register(name, entry_point="robostral_sims.env:CellEnv", kwargs={"task": task})
