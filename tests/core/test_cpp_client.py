"""The C++ example: built by the compiler that is here, it gets the policy's own numbers from the real server."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
from serving_rig import served

import robostral.serving
from robostral.bundle import load
from robostral.contract import Sealed
from robostral.serving.hosted import Hosted

SOURCE = Path(robostral.serving.__file__).parent / "examples" / "client.cpp"
BUILD = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("g++") is None:
        pytest.skip("no g++ here")
    probe = ["g++", "-x", "c++", "-", "-fsyntax-only"]
    if subprocess.run(probe, input=b"#include <zmq.h>", capture_output=True, check=False).returncode:
        pytest.skip("no libzmq headers here (Debian: libzmq3-dev)")
    program = tmp_path_factory.mktemp("cpp") / "client"
    subprocess.run([*BUILD, SOURCE, "-o", program, "-lzmq"], check=True)
    return program


def run(client: Path, endpoint: str, keys: Path, bundle: Path, obs: np.ndarray) -> subprocess.CompletedProcess[str]:
    files = [keys / name for name in ("server.pub", "client.pub", "client.key")] + [bundle / "manifest.json"]
    identity = load(bundle).sealed.identity[:16]
    args = [client, endpoint, *files, identity, *(f"{number:.9g}" for number in obs)]
    return subprocess.run(args, capture_output=True, text=True, timeout=60, check=False)


def test_it_gets_the_policys_own_numbers(tmp_path: Path, client: Path) -> None:
    bundle = tiny_bundle.write(tmp_path / "tiny-v1")
    obs = np.linspace(-1, 1, tiny_bundle.OBS_SIZE, dtype=np.float32)
    with served(tmp_path, Hosted.from_bundle(load(bundle))) as (server, _):
        done = run(client, server.endpoint, tmp_path / "keys", bundle, obs)
        assert done.returncode == 0, done.stderr
        chunk = np.array(done.stdout.split(), np.float32)
        assert np.allclose(chunk, tiny_bundle.expected(obs[None]).ravel(), atol=1e-6)
        obs[2] = np.nan
        assert "bad_obs" in run(client, server.endpoint, tmp_path / "keys", bundle, obs).stderr
        other = tiny_bundle.write(tmp_path / "other", sealed=Sealed.seal(tiny_bundle.contract(task="other")))
        refused = run(client, server.endpoint, tmp_path / "keys", other, obs)
        assert (refused.returncode, "task" in refused.stderr) == (1, True)
        assert server.counts["ok"] == 1
