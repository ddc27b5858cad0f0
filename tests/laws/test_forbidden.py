"""What may stand nowhere in shipped code: deserialisers that run code, evaluation of text, unsafe loads, shells."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for top in ("robostral", "sims", "policies", "drivers") for path in (ROOT / top).rglob("*.py")]
MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "msgpack_numpy"}
CALLS = {"eval", "exec", "compile", "recv_pyobj", "send_pyobj", "unsafe_load", "full_load"}


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def dotted(call: ast.Call) -> str:
    return ast.unparse(call.func)


def findings(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names} | {
                (getattr(node, "module", "") or "").split(".")[0]
            }
            found += [f"{node.lineno}: import {name}" for name in names & MODULES]
        if not isinstance(node, ast.Call):
            continue
        keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
        method = isinstance(node.func, ast.Attribute)
        if name_of(node) in CALLS and not (method and name_of(node) in {"compile", "eval"}):
            found.append(f"{node.lineno}: {dotted(node)}")
        if dotted(node) == "torch.load" and keywords.get("weights_only") != "True":
            found.append(f"{node.lineno}: torch.load without weights_only=True")
        if dotted(node) == "yaml.load" or keywords.get("allow_pickle") == "True" or keywords.get("shell") == "True":
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_code_holds_nothing_forbidden(path: Path) -> None:
    assert findings(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "bad",
    [
        "import pickle",
        "from marshal import loads",
        "eval('1')",
        "import torch\ntorch.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "socket.recv_pyobj()",
        "import subprocess\nsubprocess.run('x', shell=True)",
    ],
)
def test_the_gate_sees_what_it_must_see(bad: str) -> None:
    assert findings(bad)
