"""`robostral serve` and `robostral keys` as processes: ready, right, restartable, and gone when told."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
from serving_rig import SEALED

from robostral.cli import call
from robostral.contract import Sealed
from robostral.errors import ContractMismatch
from robostral.serving.client import PolicyClient
from robostral.serving.keys import KeyStore
from robostral.serving.remote import RemotePolicy

TINY = Sealed.seal(tiny_bundle.contract())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write(tmp_path_factory.mktemp("bundles") / "tiny-v1")


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    assert call(["keys", "new", str(tmp_path / "keys")]) == 0
    return KeyStore(tmp_path / "keys")


@contextmanager
def serving(bundle: Path, store: KeyStore, bind: str = "tcp://127.0.0.1:0") -> Iterator[tuple[subprocess.Popen, str]]:
    args = ["serve", str(bundle), "--keys", str(store.folder), "--bind", bind]
    process = subprocess.Popen(
        [sys.executable, "-m", "robostral", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline().split()
        yield process, line[1] if line[:1] == ["ready"] else ""
    finally:
        process.kill()
        process.communicate()


def observe(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, tiny_bundle.OBS_SIZE)).astype(np.float32)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_serves_a_bundle_and_stops_when_told(bundle: Path, store: KeyStore, sent: signal.Signals, code: int) -> None:
    with serving(bundle, store) as (process, endpoint):
        policy = RemotePolicy(endpoint, store.client(), TINY)
        for rows in (1, 8, 20):
            assert np.allclose(policy.infer(observe(rows)), tiny_bundle.expected(observe(rows)), atol=1e-6)
        policy.close()
        with pytest.raises(ContractMismatch, match="task"):
            PolicyClient(endpoint, store.client(), SEALED.raw, "cell").connect(5.0)
        process.send_signal(sent)
        out, err = process.communicate(timeout=5.0)
        assert process.returncode == code
        assert out == ""
        assert "stopped: 1 hello, 5 ok" in err
        assert "Traceback" not in err


def test_client_survives_the_death_of_the_server(bundle: Path, store: KeyStore) -> None:
    with serving(bundle, store) as (process, endpoint):
        policy = RemotePolicy(endpoint, store.client(), TINY, timeout_s=5.0)
        expected = policy.infer(observe(1))
        process.kill()
        process.wait()
        with serving(bundle, store, endpoint) as (_, again):
            assert again == endpoint
            start = time.monotonic()
            assert np.array_equal(policy.infer(observe(1)), expected)
            assert time.monotonic() - start < 0.5
        policy.close()


def test_bad_starts_are_one_line_and_exit_2(bundle: Path, store: KeyStore, capfd: pytest.CaptureFixture[str]) -> None:
    keys = ["--keys", str(store.folder)]
    with serving(bundle, store) as (_, endpoint):
        for args, fact in (
            ([str(bundle), *keys, "--bind", endpoint], "in use"),
            ([str(bundle), *keys, "--bind", "http://x"], "tcp://address:port"),
            ([str(bundle), "--keys", "/nowhere"], "robostral keys new"),
            (["no-such-bundle", *keys], "unknown bundle"),
            ([*keys], "bundle"),
        ):
            assert call(["serve", *args]) == 2
            out, err = capfd.readouterr()
            assert out == ""
            assert len(err.strip().splitlines()) == 1
            assert fact in err


def test_keys_by_command(store: KeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = KeyStore(tmp_path / "elsewhere")
    elsewhere.create("cell")
    folder = str(store.folder)
    assert call(["keys", "allow", folder, "cell", str(elsewhere.folder / "cell.pub"), "--robots", "left"]) == 0
    assert call(["keys", "new", folder, "--client", "viewer", "--role", "observe"]) == 0
    capsys.readouterr()
    assert call(["keys", "list", folder]) == 0
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:3] for line in listed] == [
        ["client", "act", "*"],
        ["cell", "act", "left"],
        ["viewer", "observe", "*"],
    ]
    assert listed[1][3].encode() == elsewhere.client("cell").public
    assert call(["keys", "revoke", folder, "client"]) == 0
    assert [grant.name for grant in store.grants()] == ["cell", "viewer"]
    for args in (["revoke", folder, "cel"], ["new", folder, "--client", "cell/"], ["allow", folder, "x", "y"]):
        assert call(["keys", *args]) == 2
