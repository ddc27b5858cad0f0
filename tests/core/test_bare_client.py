"""The client alone: numpy and pyzmq are all it needs, it is short, and its sizes come from the contract."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
from serving_rig import SEALED, Arithmetic, observe, served

import robostral.serving.client

BARE = """
import sys, importlib.abc
own = set(sys.stdlib_module_names) | {"numpy", "zmq", "robostral"}
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in own:
            raise ModuleNotFoundError(f"{name} is blocked here")
sys.meta_path.insert(0, Blocked())
import numpy as np
from robostral.serving.client import PolicyClient
from robostral.serving.wire import ClientKeys
endpoint, *keys, contract = sys.argv[1:]
client = PolicyClient(endpoint, ClientKeys(*map(str.encode, keys)), contract.encode(), "bare")
print(client.connect(5.0).bundle)
client.send(np.arange(9, dtype=np.float32), 1, 1, 0)
assert client.socket.poll(5000)
print(client.receive().chunk.ravel().tolist())
client.close()
"""


def test_it_talks_to_the_server_with_nothing_else_installed(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys):
        args = [server.endpoint, *(key.decode() for key in keys), SEALED.raw.decode()]
        done = subprocess.run([sys.executable, "-c", BARE, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    name, chunk = done.stdout.splitlines()
    assert name == "arithmetic-v1"
    expected = Arithmetic().infer(np.arange(9, dtype=np.float32)[None])
    assert ast.literal_eval(chunk) == expected.ravel().tolist()


def test_it_stays_short() -> None:
    assert len(Path(robostral.serving.client.__file__).read_text(encoding="utf-8").splitlines()) <= 200


def test_sizes_are_the_contracts_own() -> None:
    from robostral.serving.wire import Layout

    layout = Layout.of(SEALED.raw)
    assert (layout.prefix, layout.obs_size) == (SEALED.prefix, SEALED.contract.obs_size)
    assert (layout.horizon, layout.n) == SEALED.contract.chunk_shape
    assert observe().shape[1] == layout.obs_size
