"""What a user gets wrong is answered in one line with exit code 2, Ctrl-C with 130; nothing is left running."""

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from robostral.bundle import find
from robostral.config import root
from robostral.process import Child

ROBOSTRAL = [sys.executable, "-m", "robostral"]


def refused(folder: Path, *args: str) -> str:
    done = subprocess.run([*ROBOSTRAL, *args], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


def preset(folder: Path, old: str = "", new: str = "") -> str:
    path = folder / "cell.yaml"
    text = (root() / "run/ur5e-twin.yaml").read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return str(path)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    subprocess.run([*ROBOSTRAL, "keys", "new", str(tmp_path / "keys")], check=True, capture_output=True)
    return tmp_path


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["twin", "ur", "--arm", "ur5"], "unknown arm 'ur5'; did you mean 'ur5e'?"),
        (["bundle", "verify", "ur5e-reech-v1"], "unknown bundle 'ur5e-reech-v1'; did you mean 'ur5e-reach-v1'?"),
        (["run", "ur5e-twim"], "unknown run preset 'ur5e-twim'; did you mean 'ur5e-twin'?"),
        (["train", "ur5e-reech"], "did you mean 'ur5e-reach'?"),
        (["serv"], "unknown command 'serv'; did you mean 'serve'?"),
        (["serve", "ur5e-reach-v1", "--keys", "nowhere"], "robostral keys new"),
        (["ctl", "status"], "nothing runs"),
        (["demo", "--host", "10.0.0.1"], "10.0.0.1"),
    ],
)
def test_unknown_names_and_places(args: list[str], says: str, tmp_path: Path) -> None:
    assert says in refused(tmp_path, *args)


def test_an_unknown_yaml_key_is_answered_with_the_nearest(tmp_path: Path) -> None:
    assert "did you mean 'server'?" in refused(tmp_path, "run", preset(tmp_path, "server:", "sever:"))


def test_a_flipped_bit_is_named_and_not_served(keys: Path) -> None:
    broken = keys / "broken"
    shutil.copytree(find("ur5e-reach-v1"), broken)
    raw = bytearray((broken / "model.onnx").read_bytes())
    raw[len(raw) // 2] ^= 1
    (broken / "model.onnx").write_bytes(raw)
    assert "model.onnx" in refused(keys, "bundle", "verify", "broken")
    assert "model.onnx" in refused(keys, "serve", "broken", "--bind", "tcp://127.0.0.1:0")


def test_a_real_plant_takes_no_demo_signature(tmp_path: Path) -> None:
    assert "demo" in refused(tmp_path, "bundle", "verify", "ur5e-reach-v1", "--plant", "real")


def test_a_port_in_use_is_named(keys: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in refused(keys, "serve", "ur5e-reach-v1", "--bind", f"tcp://127.0.0.1:{port}")
    with socket.create_server(("127.0.0.91", 30004)):
        assert "127.0.0.91:30004" in refused(keys, "twin", "ur", "--host", "127.0.0.91")


def test_a_twin_that_is_not_there_is_named_and_the_run_folder_is_whole(keys: Path) -> None:
    with Child("server", ["serve", "ur5e-reach-v1", "--bind", "tcp://127.0.0.1:0"], keys / "log", cwd=keys) as server:
        text = Path(preset(keys, "host: 127.0.0.1", "host: 127.0.0.92")).read_text()
        (keys / "cell.yaml").write_text(text.replace("tcp://127.0.0.1:7400", server.ready))
        assert "127.0.0.92" in refused(keys, "run", "cell.yaml")
    (run,) = (keys / "runs").iterdir()
    assert (run / "config.json").is_file()
    assert not list(run.glob("*.sock"))


@pytest.mark.parametrize("after_s", [0.5, 3.0, 7.0])
def test_ctrl_c_at_any_moment_of_a_demo_leaves_nothing(after_s: float, tmp_path: Path) -> None:
    command = [*ROBOSTRAL, "demo", "--host", "127.0.0.93", "--runs", str(tmp_path / "runs")]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        demo.wait(after_s)
    demo.send_signal(signal.SIGINT)
    _, stderr = demo.communicate(timeout=30)
    # A shell says 130 for both: while some libraries are imported Python itself ends by the signal, after our line.
    assert demo.returncode in {130, -signal.SIGINT}, stderr
    assert "stopped by Ctrl-C" in stderr
    assert "Traceback" not in stderr
    assert not [line for line in processes() if "127.0.0.93" in line or str(tmp_path) in line]


def processes() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found
