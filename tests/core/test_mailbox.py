"""Laws of the mailbox: never torn, newest wins, nobody waits, nothing lost without being counted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robostral.runtime import records
from robostral.runtime.mailbox import Mailbox, memory_bytes
from robostral.runtime.realtime import Bell, shared_memory
from robostral.runtime.records import Sizes

SIZES = Sizes(n=6, obs=27, horizon=3, external=7, ring=64)
HAMMER = """
import select, sys
from robostral.runtime import records
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.records import Sizes
mailbox = Mailbox(Sizes(6, 27, 3, 7, 64), int(sys.argv[1]))
record = records.empty(mailbox.obs.dtype)
words = records.words(record)
print("ready", flush=True)
last = 0
while not select.select([sys.stdin], [], [], 0.0)[0]:
    for last in range(last + 1, last + 1001):
        words[:] = last
        mailbox.obs.publish(record)
print(last, flush=True)
"""


def test_a_reader_in_another_process_never_sees_half_a_record() -> None:
    fd = shared_memory(memory_bytes(SIZES))
    mailbox = Mailbox(SIZES, fd)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    writer = subprocess.Popen([sys.executable, "-c", HAMMER, str(fd)], pass_fds=[fd], **pipes)
    assert writer.stdin is not None
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    last, reads = 0, 0
    while reads < 300:
        record = mailbox.obs.take()
        if record is not None:
            words = records.words(record)
            assert (words == words[0]).all()
            assert words[0] > last
            last, reads = int(words[0]), reads + 1
    writer.stdin.close()
    told = int(writer.stdout.readline())
    final = mailbox.obs.take()
    assert (last if final is None else int(records.words(final)[0])) == told
    assert writer.wait() == 0
    writer.stdout.close()
    os.close(fd)


def test_newest_wins_and_is_taken_once() -> None:
    mailbox = Mailbox(SIZES)
    assert mailbox.chunk.take() is None
    record = records.empty(mailbox.chunk.dtype)
    for seq in (1, 2, 3):
        record["seq"] = seq
        mailbox.chunk.publish(record)
    taken = mailbox.chunk.take()
    assert taken is not None
    assert taken["seq"] == 3
    assert mailbox.chunk.take() is None


def test_a_writer_that_died_in_the_middle_harms_no_reader_and_its_successor_goes_on() -> None:
    mailbox = Mailbox(SIZES)
    record = records.empty(mailbox.obs.dtype)
    record["seq"] = 7
    mailbox.obs.publish(record)
    mailbox.obs._shared[0] += 1  # the version stays odd for ever: killed between the two stores
    assert mailbox.obs.take() is None
    record["seq"] = 8
    mailbox.obs.publish(record)
    taken = mailbox.obs.take()
    assert taken is not None
    assert taken["seq"] == 8


@pytest.mark.parametrize("obs", [27, 28])
def test_every_field_survives_the_journey(obs: int) -> None:
    mailbox = Mailbox(Sizes(n=6, obs=obs, horizon=3, external=7, ring=8))
    rng = np.random.default_rng(1)
    for slot in (mailbox.obs, mailbox.chunk, mailbox.external, mailbox.operator, mailbox.status):
        record = records.empty(slot.dtype)
        records.words(record)[:] = rng.integers(-(2**62), 2**62, records.words(record).shape)
        slot.publish(record)
        taken = slot.take()
        assert taken is not None
        assert taken.tobytes() == record.tobytes()


def test_the_ring_keeps_order_and_counts_what_found_no_room() -> None:
    mailbox = Mailbox(SIZES)
    row = records.empty(mailbox.ticks.dtype)
    expected, seen = [], []
    for tick in range(1, 301):
        row["tick"] = tick
        dropped = mailbox.ticks.dropped
        mailbox.ticks.push(row)
        expected += [tick] if mailbox.ticks.dropped == dropped else []
        if tick % 50 == 0 or tick > 200:
            seen += mailbox.ticks.drain()["tick"].tolist()
    assert seen == expected == list(range(1, 301))
    for _ in range(SIZES.ring + 5):
        mailbox.ticks.push(row)
    assert mailbox.ticks.dropped == 5
    assert len(mailbox.ticks.drain()) == SIZES.ring


def test_what_was_read_and_not_released_is_read_again_by_the_next_reader() -> None:
    fd = shared_memory(memory_bytes(SIZES))
    writer, first, second = (Mailbox(SIZES, fd).ticks for _ in range(3))
    row = records.empty(writer.dtype)
    for tick in range(SIZES.ring):
        row["tick"] = tick
        writer.push(row)
        if tick == 9:
            assert first.read()["tick"].tolist() == list(range(10))
            first.release()
        if tick in (19, 29):
            assert first.read()["tick"].tolist() == list(range(tick - 9, tick + 1))
    for extra in range(12):
        row["tick"] = SIZES.ring + extra
        writer.push(row)
    assert writer.dropped == 2, "what is held keeps its place"
    assert second.read()["tick"].tolist() == list(range(10, SIZES.ring + 10))
    os.close(fd)


def test_the_bell_wakes_and_forgets() -> None:
    import select

    bell = Bell.make()
    assert select.select([bell.read_fd], [], [], 0)[0] == []
    bell.ring()
    bell.ring()
    assert select.select([bell.read_fd], [], [], 0)[0] == [bell.read_fd]
    bell.clear()
    assert select.select([bell.read_fd], [], [], 0)[0] == []
    bell.close()


def test_memory_has_no_name_and_is_as_large_as_said() -> None:
    fd = shared_memory(memory_bytes(SIZES))
    assert os.fstat(fd).st_size == memory_bytes(SIZES)
    assert os.fstat(fd).st_nlink == 0
    assert not list(Path("/dev/shm").glob("robostral*"))
    os.close(fd)
