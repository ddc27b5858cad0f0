"""Key files: private ones stay private, names stay inside the folder, a list that cannot be read allows nobody."""

import os
from pathlib import Path

import pytest
import zmq

from robostral.errors import ServingError, UnknownName
from robostral.serving.commands import KEYS
from robostral.serving.keys import Grant, KeyStore, Roster


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path / "keys")
    store.create()
    return store


def test_one_call_makes_both_pairs(store: KeyStore) -> None:
    server, client = store.server(), store.client()
    assert client.server == server.public
    assert zmq.curve_public(client.secret) == client.public
    assert [(grant.name, grant.role, grant.key.encode()) for grant in store.grants()] == [
        ("client", "act", client.public)
    ]


def test_secrets_are_readable_by_the_owner_only(store: KeyStore) -> None:
    assert store.folder.stat().st_mode & 0o077 == 0
    for name in ("server.key", "client.key", "allowed.json"):
        assert (store.folder / name).stat().st_mode & 0o077 == 0
    (store.folder / "server.key").chmod(0o640)
    with pytest.raises(ServingError, match="chmod 600"):
        store.server()


def test_second_client_leaves_the_server_and_the_first_alone(store: KeyStore) -> None:
    before = store.server(), store.client()
    store.create("second", "observe", ("cell",))
    assert (store.server(), store.client()) == before
    assert [grant.name for grant in store.grants()] == ["client", "second"]
    for taken in ("client", "server"):
        with pytest.raises(ServingError, match="exists"):
            store.create(taken)


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".", "x" * 65, "a\n"])
def test_names_that_leave_the_folder_are_refused(store: KeyStore, name: str) -> None:
    with pytest.raises(ServingError, match="letters"):
        store.create(name)
    with pytest.raises(ServingError, match="letters"):
        store.allow(name, store.client().public)


@pytest.mark.parametrize("key", [b"", b"short", b"\xff" * 40, b"~" * 40, b"%" * 39, b"#" * 40])
def test_keys_that_are_none_are_refused(store: KeyStore, key: bytes) -> None:
    with pytest.raises(ServingError, match="not a CURVE key"):
        store.allow("other", key)
    (store.folder / "client.key").write_bytes(key)
    with pytest.raises(ServingError, match="not a CURVE key"):
        store.client()


def test_list_that_others_may_write_is_no_list(store: KeyStore) -> None:
    store.allowed_path.chmod(0o660)
    with pytest.raises(ServingError, match="others may write"):
        store.grants()
    assert Roster(store).grant(store.client().public.decode()) is None


def test_missing_keys_say_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="robostral keys new"):
        KeyStore(tmp_path).server()


@pytest.mark.parametrize("words", [("list", "nowhere"), ("revoke", "nowhere", "client")])
def test_a_folder_that_is_not_there_is_not_an_empty_list(words: tuple[str, ...]) -> None:
    command, *arguments = words
    with pytest.raises(ServingError, match="robostral keys new nowhere"):
        KEYS[command](*map(Path, arguments))


def test_revoke_names_the_nearest_client(store: KeyStore) -> None:
    with pytest.raises(UnknownName, match="did you mean 'client'"):
        store.revoke("clint")
    store.revoke("client")
    assert store.grants() == ()


def test_roles_are_ordered_and_bound_to_robots() -> None:
    grant = Grant("c", "k", "act", ("left", "right"))
    assert grant.covers("observe", "left")
    assert grant.covers("act", "right")
    assert not grant.covers("admin", "left")
    assert not grant.covers("act", "other")


def test_roster_follows_the_file_and_fails_closed(store: KeyStore) -> None:
    roster = Roster(store)
    key = store.client().public.decode()
    assert roster.grant(key) is not None
    assert not roster.refresh()
    gone = store.revoke("client")
    assert roster.refresh()
    assert roster.grant(key) is None
    store.allow(gone.name, gone.key.encode())
    assert roster.refresh()
    assert roster.grant(key) is not None
    for broken in (b"", b"[", b'[{"name": "x"}]', b'{"a": 1}', b"\xff"):
        store.allowed_path.write_bytes(broken)
        os.utime(store.allowed_path, ns=(0, len(broken)))
        assert roster.refresh()
        assert roster.grant(key) is None
    store.allowed_path.unlink()
    assert roster.refresh()
    assert roster.grant(key) is None
