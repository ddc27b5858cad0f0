"""Swaps under load: nobody waits, nothing is lost or doubled, and every chunk is of the version that it names."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tiny_bundle
import zmq
from onnx import numpy_helper

from robostral.bundle import load
from robostral.cli import call
from robostral.contract import Rate, Sealed
from robostral.errors import ServingError
from robostral.serving.admin import Admin
from robostral.serving.client import PolicyClient
from robostral.serving.dial import KeyRefused
from robostral.serving.hosted import Hosted
from robostral.serving.keys import KeyStore
from robostral.serving.ledger import Ledger, read
from robostral.serving.server import CHANGES, PolicyServer
from robostral.serving.wire import Status

TINY = Sealed.seal(tiny_bundle.contract())
SCALE = {1: 0.05, 2: 0.04, 3: 0.03}


def write(folder: Path, version: int, **changes: object) -> Path:
    """Write a version whose chunks are `SCALE[version] / 0.05` times those of version 1."""
    model = tiny_bundle.model_proto()
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == "scale")
    scale.CopyFrom(numpy_helper.from_array(np.asarray(np.float32(SCALE[version])), "scale"))
    arguments = {"model": model.SerializeToString(), "version": version} | changes
    return tiny_bundle.write(folder / f"tiny-v{version}-{len(list(folder.iterdir()))}", **arguments)


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = {version: write(folder, version) for version in SCALE}
        self.store = KeyStore(folder / "keys")
        self.store.create()
        self.store.create("admin", "admin")
        self.server = PolicyServer([Hosted.from_bundle(load(self.paths[1]))], "tcp://127.0.0.1:0", self.store)
        self.admin_endpoint = self.server.open_admin(f"ipc://{folder}/admin")
        self.admin = Admin(self.admin_endpoint, self.store.client("admin"), 30.0)
        self.digests = {load(path).digest[:8]: version for version, path in self.paths.items()}

    def labels(self) -> list[tuple[str, bool]]:
        return [(version.label, version.serving) for version in self.admin.list()]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    with rig.server.in_thread():
        yield rig


@contextmanager
def robot(rig: Rig, name: str = "cell") -> Iterator[PolicyClient]:
    client = PolicyClient(rig.server.endpoint, rig.store.client(), TINY.raw, name, bundle="tiny-v1")
    client.connect(5.0)
    yield client
    client.close()


def ask(rig: Rig, client: PolicyClient, seq: int) -> int:
    """Ask once; check that exactly one answer comes, by the version that it names; return that version."""
    obs = np.random.default_rng(seq).normal(size=(1, tiny_bundle.OBS_SIZE)).astype(np.float32)
    assert client.socket.poll(5000, zmq.POLLOUT)
    assert client.send(obs, 1, seq, seq, budget_us=5_000_000)
    while (reply := client.receive()) is None:
        assert client.socket.poll(5000), f"request {seq} was lost"
    assert (reply.status, reply.seq) == (Status.OK, seq)
    version = rig.digests[reply.bundle]
    assert np.allclose(reply.chunk, tiny_bundle.expected(obs) * SCALE[version] / 0.05, atol=1e-6)
    assert client.receive() is None
    return version


def test_swap_goes_on_with_the_same_session_and_names_itself(rig: Rig) -> None:
    with robot(rig) as client:
        assert ask(rig, client, 1) == 1
        rig.admin.swap(str(rig.paths[2]))
        assert ask(rig, client, 2) == 2
        assert not client.lost
        assert client.server is not None
        assert client.server.bundle == "tiny-v2"
        bundle = load(rig.paths[2])
        assert client.server.digest == bundle.digest.hex()
        assert client.server.manifest.encode() == bundle.manifest_bytes
        client.redial(5.0)  # still under the name that the robot was configured with
        assert ask(rig, client, 3) == 2
        assert rig.labels() == [("tiny-v2", True), ("tiny-v1", False)]
        rig.admin.rollback()
        assert ask(rig, client, 4) == 1
        rig.admin.rollback("tiny")
        assert ask(rig, client, 5) == 2


def test_swaps_under_load_lose_and_double_nothing(rig: Rig) -> None:
    stop, seen, failed = threading.Event(), set(), []

    def drive(name: str) -> None:
        try:
            with robot(rig, name) as client:
                seq = 0
                while not stop.is_set():
                    seq += 1
                    seen.add(ask(rig, client, seq))
                assert not client.drops
        except BaseException as error:
            failed.append(error)

    robots = [threading.Thread(target=drive, args=(f"robot-{i}",)) for i in range(3)]
    for thread in robots:
        thread.start()
    try:
        for i in range(20):
            rig.admin.swap(str(rig.paths[2 + i % 2]), older=True)
            with pytest.raises(ServingError):
                rig.admin.swap(str(rig.folder / "nothing-here"))
    finally:
        stop.set()
        for thread in robots:
            thread.join()
    assert not failed, failed
    assert seen == {1, 2, 3} or seen == {2, 3}
    assert rig.server.counts["late"] == rig.server.counts["superseded"] == 0


@pytest.mark.parametrize("what", ["older", "contract", "requirements", "model", "name", "nothing"])
def test_swap_that_fails_a_check_leaves_the_old_one_serving(rig: Rig, what: str) -> None:
    rig.admin.swap(str(rig.paths[2]))
    needs = tiny_bundle.requirements()
    other = Sealed.seal(tiny_bundle.contract(rate=Rate(20.0, 0.02)))
    source, said = {
        "older": lambda: (rig.paths[1], "older than the running"),
        "contract": lambda: (write(rig.folder, 3, sealed=other), "rate.policy_hz: 25 != 20"),
        "requirements": lambda: (
            write(rig.folder, 3, requirements=msgspec.structs.replace(needs, max_latency_s=0.5)),
            "requirements.max_latency_s",
        ),
        "model": lambda: (damaged(rig.paths[3]), "not the one that the manifest lists"),
        "name": lambda: (write(rig.folder, 3, name="other"), "unknown served bundle 'other'"),
        "nothing": lambda: (rig.folder / "no-such", "no bundle at"),
    }[what]()
    with robot(rig) as client:
        assert ask(rig, client, 1) == 2
        with pytest.raises(ServingError, match=said):
            rig.admin.swap(str(source))
        assert ask(rig, client, 2) == 2
    assert rig.labels() == [("tiny-v2", True), ("tiny-v1", False)]
    assert said in read(rig.store.folder / CHANGES)[-1].outcome


def damaged(path: Path) -> Path:
    raw = bytearray((path / "model.onnx").read_bytes())
    raw[len(raw) // 2] ^= 1
    (path / "model.onnx").write_bytes(raw)
    return path


def test_admin_port_takes_admins_only_and_only_as_long_as_they_are(rig: Rig) -> None:
    rig.store.create("half", "admin", ("cell",))
    for who in ("client", "half"):
        with pytest.raises(KeyRefused):
            Admin(rig.admin_endpoint, rig.store.client(who), 2.0).list()
    rig.store.revoke("admin")
    with pytest.raises(KeyRefused):
        Admin(rig.admin_endpoint, rig.store.client("admin"), 2.0).list()
    with robot(rig) as client:
        assert ask(rig, client, 1) == 1


@pytest.mark.parametrize("junk", [b"{", b"{}", b'{"op":"stop"}', b'{"op":"swap","bundle":1}', b"\xff" * 9, b"["])
def test_admin_port_answers_junk_with_a_line(rig: Rig, junk: bytes) -> None:
    from robostral.serving.dial import ask as ask_raw
    from robostral.serving.dial import open_socket

    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    answer = ask_raw(open_socket(context, rig.store.client("admin"), 0), rig.admin_endpoint, junk, 5.0)
    context.destroy(linger=0)
    assert b"not an order that this server knows" in answer


def test_commands_swap_list_roll_back_and_tell_the_history(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--admin", rig.admin_endpoint, "--keys", str(rig.store.folder)]
    assert call(["serve-admin", "swap", str(rig.paths[2]), *where]) == 0
    assert call(["serve-admin", "rollback", *where]) == 0
    assert call(["serve-admin", "list", *where]) == 0
    printed = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert printed[-2:] == [["serving", "tiny-v1"], ["previous", "tiny-v2"]]
    assert call(["serve-admin", "swap", "no-such-bundle", *where]) == 2
    assert "unknown bundle 'no-such-bundle'" in capsys.readouterr().err
    assert call(["serve-admin", "history", str(rig.store.folder)]) == 0
    told = [line.split()[1:3] for line in capsys.readouterr().out.splitlines()]
    assert told == [["server", "start"], ["admin", "swap"], ["admin", "rollback"], ["admin", "swap"]]


def test_ledger_names_every_line_that_was_changed_moved_or_removed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    ledger = Ledger(path)
    for i in range(20):
        ledger.append("admin", "swap", f"b-v{i}", "done")
    ledger.close()
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(read(path)) == 20
    for i in range(19):
        for forged in (
            [*lines[:i], *lines[i + 1 :]],
            [*lines[:i], lines[i + 1], lines[i], *lines[i + 2 :]],
            [*lines[:i], lines[i].replace(b"swap", b"sWap"), *lines[i + 1 :]],
            [*lines[:i], lines[i], *lines[i:]],
        ):
            path.write_bytes(b"".join(forged))
            with pytest.raises(ServingError, match="line"):
                Ledger(path)
    path.write_bytes(b"".join(lines) + lines[0][:30])  # a power cut in the middle of a line
    again = Ledger(path)
    again.append("admin", "swap", "b-v20", "done")
    again.close()
    assert [entry.bundle for entry in read(path)][-2:] == ["b-v19", "b-v20"]
