"""The controller's side of one RTDE connection: versions, recipes, start and pause, data."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from robostral_drivers.ur import wire
from robostral_drivers.ur.wire import Kind

VERSION = (5, 12, 6, 1102099)
"""PolyScope version of the twin: major, minor, bugfix, build."""
RATE_HZ = 500.0
"""Output rate of an e-Series controller [Hz]."""
MAX_NAMES = 2048
"""Greatest length of a list of names [bytes]. Source: UR manual, software 10.10."""
TWIN_FIELD = "robostral_twin"
LOCKSTEP_FIELD = "robostral_lockstep"
"""Outputs that only a twin has: a real controller answers NOT_FOUND, so no real arm can pass for a twin."""


@dataclass
class Exchange:
    """What all RTDE connections of a controller share.

    Attributes:
        outputs, inputs: Fields to the client, fields from it.
        owners: Which connection holds an input.
        received: Called with the recipe after its values were stored.
    """

    received: Callable[[wire.Recipe], None]
    lockstep: bool = False
    outputs: wire.Memory = field(init=False)
    inputs: wire.Memory = field(default_factory=lambda: wire.Memory(wire.INPUTS))
    owners: dict[str, "Session"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = {TWIN_FIELD: "BOOL"} | ({LOCKSTEP_FIELD: "BOOL"} if self.lockstep else {})
        self.outputs = wire.Memory(wire.OUTPUTS | own)


class Session:
    """One client of port 30004."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._splitter = wire.Splitter()
        self._inputs: dict[int, wire.Recipe] = {}
        self._output: wire.Recipe | None = None
        self._divider = 1
        self.started = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the client and return the answer.

        Raises:
            BrokenFrame: The stream is no RTDE.
        """
        return b"".join(self._answer(kind, payload) for kind, payload in self._splitter.feed(data))

    def output(self, tick: int) -> bytes:
        """Return the data frame of this tick, or nothing."""
        if not self.started or self._output is None or tick % self._divider:
            return b""
        return self._output.pack()

    def close(self) -> None:
        """Give its inputs back."""
        owners = self._exchange.owners
        for name in [name for name, owner in owners.items() if owner is self]:
            del owners[name]

    def _answer(self, kind: int, payload: bytes) -> bytes:
        match kind:
            case Kind.DATA:
                return self._take(payload)
            case Kind.PROTOCOL_VERSION:
                return wire.frame(Kind.PROTOCOL_VERSION, bytes([payload == struct.pack(">H", wire.PROTOCOL_VERSION)]))
            case Kind.CONTROLLER_VERSION:
                return wire.frame(Kind.CONTROLLER_VERSION, struct.pack(">4I", *VERSION))
            case Kind.SETUP_OUTPUTS:
                return self._setup_outputs(payload)
            case Kind.SETUP_INPUTS:
                return self._setup_inputs(payload)
            case Kind.START:
                self.started = self._output is not None
                return wire.frame(Kind.START, bytes([self.started]))
            case Kind.PAUSE:
                self.started = False
                return wire.frame(Kind.PAUSE, b"\x01")
        return wire.text(f"unknown package type {kind}")

    def _take(self, payload: bytes) -> bytes:
        recipe = self._inputs.get(payload[0]) if payload else None
        if recipe is None or not recipe.unpack(payload):
            return wire.text("a data package that fits no input recipe was ignored")
        self._exchange.received(recipe)
        return b""

    def _setup_outputs(self, payload: bytes) -> bytes:
        names, memory = wire.split_names(payload[8:]), self._exchange.outputs
        types = [memory.types.get(name, wire.NOT_FOUND) for name in names]
        rate = struct.unpack_from(">d", payload)[0] if len(payload) >= 8 else 0.0
        valid = bool(names) and len(payload) <= MAX_NAMES and wire.NOT_FOUND not in types and 1.0 <= rate <= RATE_HZ
        self._output = wire.Recipe(memory, names, 1) if valid else None
        self._divider = round(RATE_HZ / rate) if valid else 1
        return _agreed(Kind.SETUP_OUTPUTS, 1 if valid else 0, types)

    def _setup_inputs(self, payload: bytes) -> bytes:
        names, memory, owners = wire.split_names(payload), self._exchange.inputs, self._exchange.owners
        types = [
            wire.IN_USE if owners.get(name, self) is not self else memory.types.get(name, wire.NOT_FOUND)
            for name in names
        ]
        if not names or len(payload) > MAX_NAMES or wire.NOT_FOUND in types or wire.IN_USE in types:
            return _agreed(Kind.SETUP_INPUTS, 0, types)
        recipe = wire.Recipe(memory, names, len(self._inputs) + 1)
        self._inputs[recipe.recipe_id] = recipe
        owners.update(dict.fromkeys(names, self))
        return _agreed(Kind.SETUP_INPUTS, recipe.recipe_id, types)


def _agreed(kind: Kind, recipe_id: int, types: Sequence[str]) -> bytes:
    return wire.frame(kind, bytes([recipe_id]) + ",".join(types).encode())
