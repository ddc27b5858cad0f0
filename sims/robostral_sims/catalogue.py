"""Which environments there are: every task with every cell preset that is called after it."""

import re
from dataclasses import dataclass

from robostral import config
from robostral.errors import UnknownName
from robostral_sims import ARMS, TASKS


@dataclass(frozen=True)
class Entry:
    """One environment: a task, and a cell preset `<arm>-<task in snake case>`."""

    task: str
    arm: str
    cell: str

    @property
    def env_id(self) -> str:
        """Gymnasium's id of the task."""
        return f"Robostral/{self.task}-v0"


def snake_case(task: str) -> str:
    """Write a task's name as file names have it: `PickPlace` is `pick_place`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", task).lower()


def catalogue() -> list[Entry]:
    """List every task with every cell that is there for it, tasks in their registered order."""
    cells = [cell.rpartition("-") for cell in config.names("cells")]
    return [Entry(task, arm, f"{arm}-{name}") for task in TASKS for arm, _, name in cells if name == snake_case(task)]


def find(name: str) -> Entry:
    """Find an environment by its cell, or by its task or id: then with the arm that the id stands for.

    A cell may be another one for the same task and arm, called `<arm>-<task>_<what is other>`.

    Raises:
        UnknownName: No environment is called so; the nearest name is suggested.
    """
    entries = catalogue()
    short = re.sub(r"^(robostral_sims:)?Robostral/|-v0$", "", name)
    for entry in entries:
        if name == entry.cell or (short == entry.task and entry.arm == ARMS.get(short, "ur5e")):
            return entry
    for entry in entries:
        if name.startswith(f"{entry.cell}_") and name in config.names("cells"):
            return Entry(entry.task, entry.arm, name)
    raise UnknownName("environment", name, [*TASKS, *(entry.cell for entry in entries)])
