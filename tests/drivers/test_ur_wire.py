"""Frames and recipes: what is packed is what is unpacked, however the stream is cut."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robostral_drivers.ur import wire

KINDS = st.sampled_from(list(wire.Kind))
NUMBERS = {
    "BOOL": st.booleans(),
    "UINT8": st.integers(0, 2**8 - 1),
    "UINT32": st.integers(0, 2**32 - 1),
    "UINT64": st.integers(0, 2**64 - 1),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "DOUBLE": st.floats(allow_nan=False),
}


def values_of(kind: str) -> st.SearchStrategy[Any]:
    if kind.startswith("VECTOR"):
        size, single = int(kind[6]), {"D": "DOUBLE", "I": "INT32", "U": "UINT32"}[kind[7]]
        return st.lists(NUMBERS[single], min_size=size, max_size=size)
    return NUMBERS[kind]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(KINDS, st.binary(max_size=300)), max_size=6), st.data())
def test_a_stream_is_cut_into_its_frames(frames: list[tuple[wire.Kind, bytes]], data: st.DataObject) -> None:
    stream = b"".join(wire.frame(kind, payload) for kind, payload in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    splitter, found = wire.Splitter(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += splitter.feed(stream[begin:end])
    assert found == [(int(kind), payload) for kind, payload in frames]


def test_a_frame_shorter_than_its_header_ends_the_stream() -> None:
    with pytest.raises(wire.BrokenFrame):
        list(wire.Splitter().feed(b"\x00\x02U"))


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_a_recipe_unpacks_what_it_packed(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(wire.OUTPUTS)), min_size=1, max_size=12, unique=True))
    sent, received = wire.Memory(wire.OUTPUTS), wire.Memory(wire.OUTPUTS)
    for name in names:
        sent[name] = data.draw(values_of(wire.OUTPUTS[name]))
    package = wire.Recipe(sent, names, 7).pack()
    [(kind, payload)] = wire.Splitter().feed(package)
    assert (kind, payload[0]) == (wire.Kind.DATA, 7)
    assert wire.Recipe(received, names, 7).unpack(payload)
    assert received.values == sent.values
    assert not wire.Recipe(received, names, 7).unpack(payload[:-1])


def test_fields_lie_on_the_wire_as_the_guide_says() -> None:
    memory = wire.Memory(wire.OUTPUTS)
    memory["timestamp"], memory["actual_q"], memory["runtime_state"] = 1.5, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 2
    package = wire.Recipe(memory, ["timestamp", "actual_q", "runtime_state"], 1).pack()
    assert package == struct.pack(">HBB7dI", 64, ord("U"), 1, 1.5, *np.arange(6.0), 2)
