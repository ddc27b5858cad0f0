"""Laws of the log: every bit comes back, and it opens wherever it was cut."""

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.records import ChunkIndex

from robostral.driver import PlantStatus
from robostral.errors import ConfigError
from robostral.guard.table import Reason
from robostral.process import Child
from robostral.runtime import log_commands, records, runlog
from robostral.runtime.child import Settings
from robostral.runtime.config import DriverConfig, RunConfig
from robostral.runtime.index import chunk_indices
from robostral.runtime.ladder import Cause, Mode
from robostral.runtime.mailbox import Mailbox, memory_bytes
from robostral.runtime.realtime import Bell, RealClock, shared_memory
from robostral.runtime.recorder import LogWriter, Recorder
from robostral.runtime.records import Sizes
from robostral.runtime.recover import rewrite
from robostral.runtime.status import StatusReader

SIZES = Sizes(n=6, obs=27, horizon=3, external=7, ring=1024)
CONFIG = RunConfig("ur5e", DriverConfig("sim"), "b", "tcp://127.0.0.9:1", "keys")


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Ticks with every bit of the mantissa in use, two sessions, and a stop in the middle."""
    rng = np.random.default_rng(seed)
    out = np.zeros(count, records.tick_dtype(SIZES))
    for name in ("q", "dq", "q_c"):
        out[name] = rng.normal(size=(count, SIZES.n))
    out["tick"] = np.arange(count)
    out["t_ns"] = 10_000_000_000 + 2_000_000 * np.arange(count)
    out["mode"], out["cause"], out["written"] = Mode.RUN, Cause.GOAL, 1
    out["session"] = 2**62 + (np.arange(count) >= count // 2)
    out["mode"][count // 3 : count // 2] = Mode.BRAKE
    out["cause"][count // 3 : count // 2] = Cause.CHUNK_STALE
    return out


def write(path: Path, count: int = 300, per_chunk: int = 25) -> np.ndarray:
    log, ticks = LogWriter(path, records.tick_dtype(SIZES), msgspec.to_builtins(CONFIG)), rows(count)
    for start in range(0, count, per_chunk):
        log.ticks(ticks[start : start + per_chunk])
        log.flush(sync=False)
    log.close()
    return ticks


def test_every_bit_of_a_tick_comes_back_in_order(tmp_path: Path) -> None:
    ticks = write(tmp_path / "log.mcap")
    log = runlog.read(tmp_path / "log.mcap")
    assert log.whole
    for name in ("t_ns", "tick", "session", "mode", "q", "dq", "q_c"):
        np.testing.assert_array_equal(log.ticks[name], ticks[name], strict=False)
    assert [len(part) for part in log.written()] == [150, 150]
    np.testing.assert_array_equal(np.concatenate(log.written()), ticks["q_c"])
    texts = [event.text for event in log.events if event.kind == "ladder"]
    assert texts == [
        "RUN because GOAL",
        "BRAKE because CHUNK_STALE",
        "RUN because GOAL",
    ]
    assert log.config["arm"] == "ur5e"


@pytest.mark.parametrize(
    ("cause", "guard", "plant", "text"),
    [
        (Cause.GUARD, Reason.WORKSPACE, 0, "GUARD (WORKSPACE)"),
        (Cause.PLANT, 0, PlantStatus.PROTECTIVE_STOP, "PLANT (plant: PROTECTIVE_STOP)"),
        (Cause.PLANT, 0, 99, "PLANT (plant: 99)"),
    ],
)
def test_a_stop_names_the_guards_reason_and_the_plants_answer(
    tmp_path: Path, cause: int, guard: int, plant: int, text: str
) -> None:
    ticks = rows(1)
    ticks["mode"], ticks["cause"], ticks["guard"], ticks["plant"] = Mode.BRAKE, cause, guard, plant
    log = LogWriter(tmp_path / "log.mcap", records.tick_dtype(SIZES), msgspec.to_builtins(CONFIG))
    log.ticks(ticks)
    log.close()
    assert [event.text for event in runlog.read(tmp_path / "log.mcap").events] == [f"BRAKE because {text}"]


def test_another_reader_opens_it_and_finds_schemas(tmp_path: Path) -> None:
    write(tmp_path / "log.mcap", 50)
    with (tmp_path / "log.mcap").open("rb") as file:
        found = [(schema, channel.topic) for schema, channel, _ in make_reader(file).iter_messages(topics=["/tick"])]
    assert len(found) == 50
    schema = found[0][0]
    assert schema is not None
    assert schema.encoding == "jsonschema"
    assert msgspec.json.decode(schema.data)["properties"]["q"] == {"type": "array", "items": {"type": "number"}}


def test_the_index_made_at_the_end_is_the_one_that_the_library_would_have_kept(tmp_path: Path) -> None:
    from mcap.stream_reader import StreamReader

    write(tmp_path / "log.mcap", 300)
    kept = chunk_indices(tmp_path / "log.mcap")
    rewrite(tmp_path / "log.mcap", tmp_path / "again.mcap")
    with (tmp_path / "again.mcap").open("rb") as file:
        theirs = [record for record in StreamReader(file).records if isinstance(record, ChunkIndex)]
    assert chunk_indices(tmp_path / "again.mcap") == theirs
    with (tmp_path / "log.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
        assert summary is not None
        assert summary.chunk_indexes == kept
        late = list(make_reader(file).iter_messages(topics=["/tick"], starting_at=kept[-1].message_start_time))
    assert len(kept) > 10
    assert 0 < len(late) <= 25


def test_a_log_cut_anywhere_opens_with_every_whole_chunk(tmp_path: Path) -> None:
    ticks = write(tmp_path / "log.mcap", 100)
    raw = (tmp_path / "log.mcap").read_bytes()
    cut, last = tmp_path / "cut.mcap", 0
    rng = np.random.default_rng(3)
    for size in [*range(40), *sorted(rng.integers(40, len(raw), 200).tolist()), len(raw) - 1]:
        cut.write_bytes(raw[:size])
        log = runlog.read(cut)
        count = len(log.ticks["tick"]) if log.ticks else 0
        assert not log.whole
        assert count >= last
        assert count % 25 == 0
        if count:
            np.testing.assert_array_equal(log.ticks["q_c"], ticks["q_c"][:count])
        last = count
    assert last == 100


def test_a_flipped_bit_costs_its_chunk_and_never_lies(tmp_path: Path) -> None:
    ticks = write(tmp_path / "log.mcap", 100)
    raw = bytearray((tmp_path / "log.mcap").read_bytes())
    rng = np.random.default_rng(4)
    for at in rng.integers(8, len(raw) // 2, 60):
        bad = bytearray(raw)
        bad[at] ^= 1 << int(rng.integers(8))
        (tmp_path / "bad.mcap").write_bytes(bad)
        log = runlog.read(tmp_path / "bad.mcap")
        if log.ticks:
            np.testing.assert_array_equal(log.ticks["q_c"], ticks["q_c"][: len(log.ticks["q_c"])])


def test_not_a_number_in_a_measurement_is_kept(tmp_path: Path) -> None:
    log, ticks = LogWriter(tmp_path / "log.mcap", records.tick_dtype(SIZES), {}), rows(3)
    ticks["q"][1, 2] = np.nan
    log.ticks(ticks)
    log.close()
    np.testing.assert_array_equal(runlog.read(tmp_path / "log.mcap").ticks["q"], ticks["q"])


def test_no_log_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no log at"):
        runlog.read(tmp_path / "none.mcap")


@pytest.fixture
def shared() -> Iterator[tuple[int, Bell]]:
    fd, bell = shared_memory(memory_bytes(SIZES)), Bell.make()
    yield fd, bell
    os.close(fd)
    bell.close()


def start(folder: Path, fd: int, bell: Bell) -> Child:
    settings = Settings("recorder", str(folder), CONFIG, SIZES, fd, (bell.read_fd, bell.write_fd))
    return Child(
        "recorder",
        [msgspec.json.encode(settings).decode()],
        folder / "recorder.log",
        module="robostral.runtime.child",
        pass_fds=(fd, *{bell.read_fd, bell.write_fd}),
    )


def feed(mailbox: Mailbox, seconds: float, first: int = 0) -> int:
    """Push ticks at 500 Hz of wall clock, as a loop does, the first one's number being `first`; return how many."""
    row = rows(1)
    clock = RealClock()
    begun, pushed = clock.now_ns(), 0
    while clock.now_ns() - begun < 1e9 * seconds:
        row["tick"], row["t_ns"] = first + pushed, clock.now_ns()
        mailbox.ticks.push(row[0])
        pushed += 1
        clock.wait_until(begun + 2_000_000 * pushed)
    return pushed


def test_a_killed_recorder_loses_nothing_because_the_next_one_goes_on(tmp_path: Path, shared: tuple[int, Bell]) -> None:
    mailbox, rng = Mailbox(SIZES, shared[0]), np.random.default_rng(0)
    pushed = feed(mailbox, 0.01)  # compile before the clock counts
    for kill in range(5):
        with start(tmp_path, *shared) as child:
            pushed += feed(mailbox, 0.3 + 0.2 * rng.random(), pushed)
            os.kill(child.pid, signal.SIGKILL)
        part = runlog.parts(tmp_path)[-1]
        assert part.name == ("log.mcap" if kill == 0 else f"log-{kill + 1}.mcap")
        log = runlog.read(part)
        assert not log.whole
        assert pushed - 1 - log.ticks["tick"][-1] >= 0
        rewrite(part, tmp_path / f"whole-{kill}.mcap")
        whole = runlog.read(tmp_path / f"whole-{kill}.mcap")
        assert whole.whole
        np.testing.assert_array_equal(whole.ticks["q_c"], log.ticks["q_c"])
    with start(tmp_path, *shared) as child:
        child.stop()
    assert runlog.read(tmp_path).ticks["tick"].tolist() == list(range(pushed))


def edges(raw: bytes) -> list[int]:
    """Return where each record of a file begins, and where the last one ends."""
    found, at = [], 8
    while at < len(raw) - 8:
        found.append(at)
        at += 9 + int.from_bytes(raw[at + 1 : at + 9], "little")
    return [*found, at]


def test_a_log_cut_at_every_record_edge_and_anywhere_opens(tmp_path: Path) -> None:
    ticks = write(tmp_path / "log.mcap", 100)
    raw, cut = (tmp_path / "log.mcap").read_bytes(), tmp_path / "cut.mcap"
    found = edges(raw)
    sizes = {edge + step for edge in found for step in (-1, 0, 1)}
    sizes |= set(np.random.default_rng(7).integers(0, len(raw), 500).tolist())
    chunks = [edge for edge in found if raw[edge] == 6]  # opcode of a chunk
    assert len(chunks) >= 5
    for size in sorted(sizes):
        cut.write_bytes(raw[:size])
        log = runlog.read(cut)
        ends = [edge + 9 + int.from_bytes(raw[edge + 1 : edge + 9], "little") for edge in chunks]
        whole = sum(end <= size for end in ends)
        count = len(log.ticks["tick"]) if log.ticks else 0
        assert count >= 25 * (whole - 1)  # the first chunk holds the configuration
        np.testing.assert_array_equal(log.ticks["q_c"] if count else [], ticks["q_c"][:count] if count else [])


def test_a_full_disk_costs_ticks_which_are_counted_and_then_another_file_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox = Mailbox(SIZES)
    recorder = Recorder(mailbox, tmp_path, msgspec.to_builtins(CONFIG))
    status, ticks = StatusReader(mailbox), rows(300)

    def record(begin: int) -> None:
        for row in ticks[begin : begin + 100]:
            mailbox.ticks.push(row)
        recorder.round()
        recorder._closed = 0.0  # the chunk's time is up
        recorder.round()

    record(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "log.mcap").stat().st_size + 100, hard))
    try:
        record(100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    recorder._retry_at = 0.0
    record(200)
    recorder._close()
    log = runlog.read(tmp_path)
    assert [part.name for part in runlog.parts(tmp_path)] == ["log.mcap", "log-2.mcap"]
    assert log.ticks["tick"].tolist() == [*range(100), *range(200, 300)]
    assert status.read().lost_rows == 100
    assert "100 ticks lost: they could not be written" in [event.text for event in log.events]


def test_what_the_operator_asked_is_in_the_log_with_its_answer(tmp_path: Path) -> None:
    log, ticks = LogWriter(tmp_path / "log.mcap", records.tick_dtype(SIZES), {}), rows(9)
    ticks["op"][3:5], ticks["answer"][4] = records.Op.MOVE_TO, records.Answer.BAD_VALUE
    ticks["op"][6] = records.Op.JOG  # many a second
    log.ticks(ticks)
    log.close()
    events = runlog.read(tmp_path).events
    assert [(e.tick, e.text) for e in events if e.kind == "operator"] == [
        (3, "MOVE_TO: DONE"),
        (4, "MOVE_TO: BAD_VALUE"),
    ]


def test_the_commands_show_plot_and_recover_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "log.mcap", 300)
    log_commands.show(tmp_path)
    assert "BRAKE because CHUNK_STALE" in capsys.readouterr().out
    log_commands.plot(tmp_path / "log.mcap", out=tmp_path / "page.html")
    assert "<svg" in (tmp_path / "page.html").read_text()
    (tmp_path / "cut.mcap").write_bytes((tmp_path / "log.mcap").read_bytes()[:-500])
    log_commands.recover(tmp_path / "cut.mcap")
    with (tmp_path / "cut.recovered.mcap").open("rb") as file:
        assert len(list(make_reader(file).iter_messages(topics=["/tick"]))) == 300
    with pytest.raises(ConfigError, match="exists"):
        log_commands.recover(tmp_path / "cut.mcap")


def test_a_recorder_asked_to_leave_waits_for_the_loop_to_leave(tmp_path: Path, shared: tuple[int, Bell]) -> None:
    mailbox = Mailbox(SIZES, shared[0])
    status = records.empty(mailbox.status.dtype)
    pushed = feed(mailbox, 0.01)  # compile before the clock counts
    with start(tmp_path, *shared) as child:
        os.kill(child.pid, signal.SIGTERM)
        pushed += feed(mailbox, 0.4, pushed)
        status["left"] = 1
        mailbox.status.publish(status)
        child.stop()
    log = runlog.read(tmp_path / "log.mcap")
    assert log.whole
    assert len(log.ticks["tick"]) == pushed
