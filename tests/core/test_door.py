"""Who gets in: only a key on the list, for what the list says, for as long as it says so; or nothing starts."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
from serving_rig import SEALED, ask, craft, dialled, host, observe, served
from zmq.utils.monitor import recv_monitor_message

from robostral.errors import ServingError
from robostral.serving.client import PolicyClient
from robostral.serving.dial import KeyRefused
from robostral.serving.keys import Grant, KeyStore
from robostral.serving.server import PolicyServer
from robostral.serving.wire import ClientKeys, Status

TRIALS = 20


def stranger(keys: ClientKeys) -> ClientKeys:
    return ClientKeys(keys.server, *zmq.curve_keypair())


def test_unknown_key_is_refused_and_told_so(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys):
        for _ in range(TRIALS):
            with pytest.raises(KeyRefused, match="does not allow our key"), dialled(server, stranger(keys)):
                pass
        assert server.counts["key"] >= TRIALS
        assert len(server.sessions) == 0


def _null(dealer: zmq.Socket[bytes], keys: ClientKeys) -> None:
    pass


def _plain(dealer: zmq.Socket[bytes], keys: ClientKeys) -> None:
    dealer.plain_username, dealer.plain_password = b"admin", b"admin"


def _wrong_server(dealer: zmq.Socket[bytes], keys: ClientKeys) -> None:
    dealer.curve_serverkey = zmq.curve_keypair()[0]
    dealer.curve_publickey, dealer.curve_secretkey = keys.public, keys.secret


@pytest.mark.parametrize("arm", [_null, _plain, _wrong_server])
def test_other_mechanisms_never_finish_their_handshake(
    tmp_path: Path, arm: Callable[[zmq.Socket[bytes], ClientKeys], None]
) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with served(tmp_path) as (server, keys):
        for _ in range(TRIALS):
            dealer = context.socket(zmq.DEALER)
            arm(dealer, keys)
            monitor = dealer.get_monitor_socket()
            dealer.connect(server.endpoint)
            dealer.send(b'{"type":"hello"}')
            seen: set[int] = set()
            while zmq.EVENT_DISCONNECTED not in seen and zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL not in seen:
                assert monitor.poll(5000)
                seen.add(recv_monitor_message(monitor)["event"])
            assert zmq.EVENT_HANDSHAKE_SUCCEEDED not in seen
            dealer.disable_monitor()
            monitor.close()
            dealer.close(linger=0)
        assert len(server.sessions) == 0
        assert set(server.counts) <= {"key"}
    context.destroy(linger=0)


def test_role_and_robot_come_from_the_list(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    store.create(robots=("left", "right"))
    store.create("viewer", "observe")
    with served(tmp_path) as (server, keys):
        with dialled(server, keys, "left") as client:
            assert ask(client, observe(), 1, 1).status == Status.OK
        for who, robot in ((keys, "other"), (store.client("viewer"), "left")):
            with pytest.raises(ServingError, match="may not act for robot"), dialled(server, who, robot):
                pass


@pytest.mark.parametrize("how", ["revoke", "corrupt", "delete", "demote", "other robot"])
def test_revocation_ends_a_live_session_within_a_second(tmp_path: Path, how: str) -> None:
    store = KeyStore(tmp_path / "keys")
    with served(tmp_path) as (server, keys), dialled(server, keys) as client:
        assert ask(client, observe(), 1, 1).status == Status.OK
        if how == "revoke":
            store.revoke("client")
        elif how == "corrupt":
            store.allowed_path.write_bytes(b"[")
        elif how == "delete":
            store.allowed_path.unlink()
        else:
            store.allow("client", keys.public, *(("observe",) if how == "demote" else ("act", ("other",))))
        start, seq = time.monotonic(), 1
        while not server.counts["revoked"] and not client.lost:
            seq += 1
            client.socket.poll(1000, zmq.POLLOUT)
            client.send(observe(), 1, seq, 0)
            client.socket.poll(5)
            client.receive()
            assert time.monotonic() - start < 1.0
        answered = server.counts["ok"]
        client.socket.send(craft(client, 1, seq + 1))
        with pytest.raises(ServingError, match=r"does not allow our key|may not act for robot"):
            client.redial(5.0)
        assert server.counts["ok"] == answered


def test_half_open_connections_and_junk_leave_a_robot_alone(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys), dialled(server, keys) as client:
        address = server.endpoint.removeprefix("tcp://").split(":")
        junk = [socket.create_connection((address[0], int(address[1]))) for _ in range(100)]
        for i, connection in enumerate(junk):
            connection.sendall(os.urandom(i))
        for seq in range(1, 101):
            assert ask(client, observe(), 1, seq).status == Status.OK
        for connection in junk:
            connection.close()
        assert server.counts["ok"] == 100


def test_list_that_changes_for_others_leaves_a_session_alone(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    with served(tmp_path) as (server, keys), dialled(server, keys) as client:
        store.create("second")
        with dialled(server, store.client("second"), "other") as second:
            assert ask(second, observe(), 1, 1).status == Status.OK
        assert ask(client, observe(), 1, 1).status == Status.OK


@pytest.mark.parametrize("broken", ["open to all", "closed to all"])
def test_server_whose_door_does_not_work_refuses_to_start(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robostral.serving.canary.TIMEOUT_S", 1.0)
    store = KeyStore(tmp_path / "keys")
    store.create()
    server = PolicyServer([host()], "tcp://127.0.0.1:0", store)
    answer = Grant("anybody", "key") if broken == "open to all" else None
    monkeypatch.setattr(server.roster, "grant", lambda key: answer)
    said: list[str] = []
    with pytest.raises(ServingError, match="refusing to start"):
        server.run(said.append)
    assert said == []


def test_canary_leaves_no_key_behind(tmp_path: Path) -> None:
    with served(tmp_path) as (server, _):
        assert server.roster.guest is None
        assert len(server.sessions) == 0


def test_giant_message_costs_the_sender_its_connection(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys), dialled(server, keys) as client, dialled(server, keys, "b") as other:
        client.socket.send(os.urandom(1 << 21))
        assert ask(other, observe(), 1, 1).status == Status.OK
        client.connect(5.0)
        assert ask(client, observe(), 1, 1).status == Status.OK


def test_wrong_port_and_wrong_server_key_are_told_apart(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys):
        with pytest.raises(ServingError, match="no policy server with the key"):
            PolicyClient(server.endpoint, keys._replace(server=zmq.curve_keypair()[0]), SEALED.raw, "r").connect(0.3)
        with pytest.raises(ServingError, match="start one with"):
            PolicyClient(f"ipc://{tmp_path}/nobody", keys, SEALED.raw, "r").connect(0.1)
        for endpoint in ("tcp://127.0.0.1", "gopher://x", ""):
            with pytest.raises(ServingError, match="cannot dial"):
                PolicyClient(endpoint, keys, SEALED.raw, "r").connect(0.1)
