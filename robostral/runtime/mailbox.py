"""The mailbox: one piece of shared memory between the loop and its neighbours; newest wins, and nobody ever waits."""

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.jit import kernel
from robostral.runtime import records
from robostral.runtime.atomics import (
    fence_acquire,
    fence_release,
    load_acquire,
    load_relaxed,
    store_relaxed,
    store_release,
)
from robostral.runtime.records import Record, Sizes

_LINE = 8
"""Words of a cache line: each writer's words start on one of their own."""
_ATTEMPTS = 64
"""A reader gives up after this many torn reads: its writer died or was stopped in the middle; the old value stays."""


@kernel
def publish_kernel(slot: NDArray[np.int64], value: NDArray[np.int64]) -> None:
    """Write `value` (words,) into `slot` (1 + words,) behind its version; the version is odd while it is written.

    Note:
        Seqlock with explicit fences (Boehm, "Can seqlocks get along with programming language memory models?",
        MSPC 2012, figure 6). One writer per slot; one that took over from a killed writer continues its odd version.
    """
    version = load_relaxed(slot, 0) | 1
    store_relaxed(slot, 0, version)
    fence_release()
    for i in range(value.shape[0]):
        store_relaxed(slot, i + 1, value[i])
    store_release(slot, 0, version + 1)


@kernel
def consume_kernel(slot: NDArray[np.int64], seen: int, value: NDArray[np.int64], attempts: int) -> int:
    """Copy `slot` to `value` if its version is not `seen`; return the version now held.

    A torn read may leave `value` in pieces while the version returned is still `seen`, so `value` is a scratch record.
    """
    for _ in range(attempts):
        version = load_acquire(slot, 0)
        if version == seen:
            return seen
        if version & 1:
            continue
        for i in range(value.shape[0]):
            value[i] = load_relaxed(slot, i + 1)
        fence_acquire()
        if load_relaxed(slot, 0) == version:
            return int(version)
    return seen


@kernel
def push_kernel(ring: NDArray[np.int64], row: NDArray[np.int64], state: NDArray[np.int64]) -> None:
    """Append `row` to `ring` (rows, words), or count it as dropped when the reader is a whole ring behind.

    `state` = [written, .., read, .., dropped, ..], each on a cache line of its own.
    """
    head = load_relaxed(state, 0)
    if head - load_acquire(state, 8) >= ring.shape[0]:
        store_relaxed(state, 16, load_relaxed(state, 16) + 1)
        return
    for k in range(ring.shape[1]):
        ring[head % ring.shape[0], k] = row[k]
    store_release(state, 0, head + 1)


@kernel
def read_kernel(ring: NDArray[np.int64], rows: NDArray[np.int64], state: NDArray[np.int64], held: int) -> int:
    """Copy the oldest rows of `ring` behind the first `held` to `rows`, and return how many; they keep their places."""
    tail = load_relaxed(state, 8) + held
    count = min(load_acquire(state, 0) - tail, rows.shape[0])
    for i in range(count):
        for k in range(ring.shape[1]):
            rows[i, k] = ring[(tail + i) % ring.shape[0], k]
    return int(count)


@kernel
def release_kernel(state: NDArray[np.int64], held: int) -> None:
    """Give the places of the `held` oldest rows back to the writer."""
    store_release(state, 8, load_relaxed(state, 8) + held)


class Slot:
    """One record in shared memory: one writer, any number of readers, newest wins.

    Args:
        shared: Its words, shape (1 + words,), int64.
        dtype: What they hold.
    """

    def __init__(self, shared: NDArray[np.int64], dtype: np.dtype[np.void]) -> None:
        self.dtype = dtype
        self._shared = shared
        self._seen = 0
        self._scratch = records.empty(dtype)
        self._scratch_words = records.words(self._scratch)

    def publish(self, record: Record) -> None:
        """Replace what the slot holds."""
        publish_kernel(self._shared, records.words(record))

    def take(self) -> Record | None:
        """Return the record when it is newer than the last one taken here, else None; valid until the next call."""
        seen = consume_kernel(self._shared, self._seen, self._scratch_words, _ATTEMPTS)
        if seen == self._seen:
            return None
        self._seen = seen
        return self._scratch


class Ring:
    """Rows from one writer to one reader. The writer never waits: rows that find no room are counted.

    What was read keeps its place until it is released: a reader that takes over from a killed one reads it again.
    """

    def __init__(self, shared: NDArray[np.int64], dtype: np.dtype[np.void], rows: int) -> None:
        self.dtype = dtype
        self._state = shared[: 3 * _LINE]
        self._rows = shared[3 * _LINE :].reshape(rows, -1)
        self._out = np.zeros(rows, dtype)
        self._out_words = records.words(self._out)
        self._held = 0

    @property
    def dropped(self) -> int:
        """Count of rows that found no room."""
        return int(self._state[2 * _LINE])

    def push(self, row: Record) -> None:
        """Append one row, or count it as dropped."""
        push_kernel(self._rows, records.words(row), self._state)

    def read(self) -> NDArray[np.void]:
        """Return the unread rows, oldest first; valid until the next call."""
        count = read_kernel(self._rows, self._out_words, self._state, self._held)
        self._held += count
        return self._out[:count]

    def release(self) -> None:
        """Let go of all that was read."""
        release_kernel(self._state, self._held)
        self._held = 0

    def drain(self) -> NDArray[np.void]:
        """Read, and let go at once."""
        rows = self.read()
        self.release()
        return rows


class Mailbox:
    """All slots and the ring over one memory.

    Args:
        sizes: Numbers that fix every record; both sides must agree, and do, for both take them from one contract.
        fd: Descriptor of the shared memory; None keeps it inside this process.
        ring_bell: Wakes the transport: a tick before an observation comes, with it, and after an operator command.
    """

    def __init__(self, sizes: Sizes, fd: int | None = None, ring_bell: Callable[[], Any] = lambda: None) -> None:
        self.sizes, self.ring_bell = sizes, ring_bell
        dtypes = _slots(sizes)
        length = sum(_slot_words(dtype) for dtype in dtypes.values()) + _ring_words(sizes)
        self._memory = mmap.mmap(-1 if fd is None else fd, length * 8)
        shared = np.frombuffer(self._memory, np.int64)
        start, slots = 0, {}
        for name, dtype in dtypes.items():
            slots[name] = Slot(shared[start : start + 1 + dtype.itemsize // 8], dtype)
            start += _slot_words(dtype)
        self.obs, self.chunk, self.external = slots["obs"], slots["chunk"], slots["external"]
        self.operator, self.status, self.link = slots["operator"], slots["status"], slots["link"]
        self.log = slots["log"]
        self.ticks = Ring(shared[start:], records.tick_dtype(sizes), sizes.ring)


def warm_up() -> None:
    """Compile the kernels, or load them from their cache, before anybody waits for them."""
    mailbox = Mailbox(Sizes(n=1, obs=1, horizon=1, external=0, ring=1))
    mailbox.obs.publish(records.empty(mailbox.obs.dtype))
    mailbox.obs.take()
    mailbox.ticks.push(records.empty(mailbox.ticks.dtype))
    mailbox.ticks.drain()


def memory_bytes(sizes: Sizes) -> int:
    """Return how much shared memory a mailbox of these sizes needs [bytes]."""
    return 8 * (sum(_slot_words(dtype) for dtype in _slots(sizes).values()) + _ring_words(sizes))


def _slots(sizes: Sizes) -> dict[str, np.dtype[np.void]]:
    return {
        "obs": records.obs_dtype(sizes),
        "chunk": records.chunk_dtype(sizes),
        "external": records.external_dtype(sizes),
        "operator": records.operator_dtype(sizes),
        "status": records.status_dtype(sizes),
        "link": records.link_dtype(sizes),
        "log": records.log_dtype(sizes),
    }


def _slot_words(dtype: np.dtype[np.void]) -> int:
    return -(-(1 + dtype.itemsize // 8) // _LINE) * _LINE


def _ring_words(sizes: Sizes) -> int:
    return 3 * _LINE + sizes.ring * (records.tick_dtype(sizes).itemsize // 8)
