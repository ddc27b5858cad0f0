"""`robostral twin ur` as a user meets it: ready line, refusals in one line with code 2, clean ends."""

import signal
import subprocess
import sys

import pytest
from ur_rig import Twin, fresh_host

from robostral.cli import call


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]):
    def run(*args: str) -> str:
        assert call(["twin", "ur", *args]) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        return str(line)

    return run


def test_a_port_in_use_is_one_line(twin: Twin, refusal) -> None:
    line = refusal("--host", twin.host)
    assert f"{twin.host}:30004 (Address already in use)" in line
    assert "--host 127.0.0.2" in line


def test_an_address_that_others_reach_is_refused(refusal) -> None:
    assert "no password; if they may: `robostral twin ur --allow-remote`" in refusal("--host", "0.0.0.0")
    assert "'robot' is not an IP address" in refusal("--host", "robot")
    assert "cannot serve a UR controller on 192.0.2.1" in refusal("--host", "192.0.2.1", "--allow-remote")


def test_an_unknown_arm_is_answered_with_the_nearest(refusal) -> None:
    assert "did you mean 'ur5e'?" in refusal("--arm", "ur5", "--host", fresh_host())


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_cleanly(sign: signal.Signals, code: int) -> None:
    host = fresh_host()
    command = [sys.executable, "-m", "robostral", "twin", "ur", "--host", host]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as twin:
        assert twin.stdout is not None
        assert any(line == f"ready {host}:30004 ur5e 500 Hz\n" for line in iter(twin.stdout.readline, ""))
        twin.send_signal(sign)
        _, errors = twin.communicate(timeout=10.0)
    assert twin.returncode == code
    assert "Traceback" not in errors
