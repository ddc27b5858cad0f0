"""The page of the sims is executed: its files are written as they stand, its programs and commands run in order."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "sims/README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_block_runs_where_the_reader_is_told_to_put_it(tmp_path: Path) -> None:
    assert {kind for kind, _, _ in BLOCKS} == {"sh", "python", "xml", "yaml"}
    said = ""
    for kind, name, code in BLOCKS:
        if kind == "sh":
            for line in code.splitlines():
                said += run(shlex.split(line.split("  #")[0]), tmp_path)
            continue
        (tmp_path / (name or "program.py")).write_text(code)
        if kind == "python":
            said += run([sys.executable, name or "program.py"], tmp_path)
    assert "my_arm.urdf: 0 errors" in said
    assert "pybullet 10 of 10" in said
    assert "mujoco 10 of 10" in said
    assert (tmp_path / "it.gif").stat().st_size > 10_000


def test_every_task_has_its_picture_and_no_picture_is_large() -> None:
    from robostral_sims import TASKS
    from robostral_sims.catalogue import find

    for task in TASKS:
        picture = ROOT / f"sims/pictures/{find(task).cell}.png"
        assert f"![{task}](pictures/{picture.name})" in TEXT
        assert picture.stat().st_size <= 60_000
