"""Signals from outside as the loop remembers them: goal, part and belt, and how old each of them is."""

import numpy as np
from numpy.typing import NDArray

from robostral.contract import Contract
from robostral.runtime.records import Record

SIZES = {"goal": 7, "part": 7, "belt": 1}
"""Numbers of each signal, in the order of the vector: p [m] and quat_wxyz in `base` of a pose, a belt's speed [m/s]."""
NAMES = tuple(SIZES)
_FIELDS = {"goal": ("goal_", "part_to_goal"), "part": ("part_",), "belt": ("belt",)}
"""How the fields of an observation begin that are made from a signal."""
_NEVER = -(1 << 62)


def layout(contract: Contract) -> dict[str, slice]:
    """Return where each signal that a contract needs lies in the vector of external signals."""
    places: dict[str, slice] = {}
    start = 0
    for name, size in SIZES.items():
        if any(field.name.startswith(_FIELDS[name]) for field in contract.obs):
            places[name] = slice(start, start + size)
            start += size
    return places


class External:
    """The newest value of every signal, and since when it is known.

    Args:
        contract: Says which signals there are, and how old each may grow.

    Attributes:
        places: Where each signal lies in `value`.
        value: All of them, shape (size,), at least 1.
    """

    def __init__(self, contract: Contract) -> None:
        self.places = layout(contract)
        self.value: NDArray[np.float64] = np.zeros(max([1, *(place.stop for place in self.places.values())]))
        self._index = {name: NAMES.index(name) for name in self.places}
        self._since_ns = [_NEVER] * len(NAMES)
        self._limit_ns = {name: _max_age_ns(contract, name) for name in self.places}
        self._taken_ns = _NEVER

    def hear(self, record: Record) -> None:
        """Take over what came through the mailbox; age counts from local receipt plus what the sender stated."""
        for name, i in self._index.items():
            receipt_ns = int(record["t_receipt_ns"][i])
            if receipt_ns:
                self.value[self.places[name]] = record["value"][self.places[name]]
                self._since_ns[i] = receipt_ns - int(record["age_ns"][i])

    def late_ns(self, now_ns: int) -> int:
        """Return for how long the oldest signal has been older than it may be [ns]; negative if none is."""
        late = -1
        for name, i in self._index.items():
            limit = self._limit_ns[name]
            if limit:
                late = max(late, now_ns - self._since_ns[i] - limit)
        return late

    def all_known(self, now_ns: int) -> bool:
        """Tell whether every signal has come, and none is too old."""
        return all(self._since_ns[i] != _NEVER for i in self._index.values()) and self.late_ns(now_ns) < 0

    def take_goal(self) -> bool:
        """Tell whether a goal has come since the last one was taken, and take it."""
        i = self._index.get("goal")
        if i is None or self._since_ns[i] == self._taken_ns:
            return False
        self._taken_ns = self._since_ns[i]
        return True

    def stand_in(self, pose: NDArray[np.float64], goal_set: bool) -> None:
        """Put the tcp's own pose where no goal is set and no part was seen: a policy asked at rest stays there."""
        for name in ("goal", "part"):
            if name in self.places and (not goal_set if name == "goal" else self._since_ns[1] == _NEVER):
                self.value[self.places[name]] = pose


def _max_age_ns(contract: Contract, name: str) -> int:
    """Return the least `max_age_s` of the fields made from a signal [ns], 0 for none."""
    ages = [f.max_age_s for f in contract.obs if f.name.startswith(_FIELDS[name]) and f.max_age_s is not None]
    return round(1e9 * min(ages)) if ages else 0
