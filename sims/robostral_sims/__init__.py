"""Simulated cells: scenes, engines, tasks and environments. Importing this package loads no engine.

Where Gymnasium is installed, the import registers the environments, so that
`gymnasium.make("robostral_sims:Robostral/Reach-v0")` works whatever was imported before.
"""

from importlib.util import find_spec

TASKS = {
    "Reach": "robostral_sims.tasks.reach:Reach",
    "PegInsert": "robostral_sims.tasks.peg_insert:PegInsert",
    "Polish": "robostral_sims.tasks.polish:Polish",
    "PickPlace": "robostral_sims.tasks.pick_place:PickPlace",
    "ConveyorPick": "robostral_sims.tasks.conveyor_pick:ConveyorPick",
    "WaferTransfer": "robostral_sims.tasks.wafer_transfer:WaferTransfer",
}
"""Every task by the name that its environment id carries."""

ARMS = {"PegInsert": "panda", "Polish": "panda", "PickPlace": "panda", "WaferTransfer": "wafer_rtz"}
"""The arm of an environment id, where it is not the ur5e."""


def register() -> None:
    """Register the environments with Gymnasium, `Robostral/Cell-v0` for any task; calling it again is harmless."""
    from gymnasium.envs import registration

    ids: dict[str, dict[str, str]] = {task: {"task": task, "arm": ARMS.get(task, "ur5e")} for task in TASKS}
    for name, chosen in (ids | {"Cell": {}}).items():
        if (env_id := f"Robostral/{name}-v0") not in registration.registry:
            registration.register(env_id, entry_point="robostral_sims.env:CellEnv", kwargs=chosen)


if find_spec("gymnasium") is not None:
    register()
