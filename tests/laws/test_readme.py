"""README blocks are run as they stand: a reader may paste any of them."""

import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from robostral.process import Child

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
PYTHON = [code for kind, code in BLOCKS if kind == "python"]
SHELL = [[line.split("  #")[0].strip() for line in code.splitlines()] for kind, code in BLOCKS if kind == "sh"]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_every_block_is_of_a_kind_that_is_run() -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}


@pytest.mark.parametrize("code", [code for code in PYTHON if "def test_" not in code])
def test_a_program_runs(code: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(code)
    assert "mm from the goal" in run([sys.executable, "program.py"], tmp_path).stdout


@pytest.mark.parametrize("code", [code for code in PYTHON if "def test_" in code])
def test_a_test_file_passes(code: str, tmp_path: Path) -> None:
    (tmp_path / "test_my_cell.py").write_text(code)
    assert f"{code.count('def test_')} passed" in run([sys.executable, "-m", "pytest", "-q"], tmp_path).stdout


@pytest.mark.parametrize("lines", SHELL, ids=lambda lines: lines[0])
def test_commands_run_in_order(lines: list[str], tmp_path: Path) -> None:
    if any(line.startswith("robostral twin") for line in lines) and not (port_is_free(30004) and port_is_free(7400)):
        pytest.skip("something listens on the ports that the README names: 127.0.0.1:30004 or :7400")
    with ExitStack() as stack:
        for line in lines:
            words = shlex.split(line)
            if words[0] == "make":
                assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text()
            elif words[-1] == "&":
                log = tmp_path / f"{words[1]}.log"
                stack.enter_context(Child(words[1], words[1:-1], log, cwd=tmp_path))
            else:
                run(words, tmp_path)


def test_every_command_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`robostral (\w+)", TEXT)) | {
        w[1] for lines in SHELL for w in map(str.split, lines) if w[0] == "robostral"
    }
    for name in named:
        run(["robostral", name, "--help"], ROOT)
