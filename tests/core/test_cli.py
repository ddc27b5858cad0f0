"""The console script: exit codes 0, 1, 2 and 130, one line per error, and help that works with half an installation."""

import os
import signal
import subprocess
import sys
import time

import pytest
from fake_dist import install

from robostral import __version__
from robostral.cli import call
from robostral.dispatch import GROUP

SOURCE = '''
import signal, sys
from robostral.errors import ConfigError, MissingExtra

def well(name: str, times: int = 1, loud: bool = False) -> None:
    """Say a word.

    Args:
        name: The word.
    """
    print(name * times, loud)

def short() -> int:
    """Fall short."""
    return 1

def refuse() -> None:
    """Refuse."""
    raise ConfigError("no such thing; choose another")

def extra() -> None:
    """Need more."""
    raise MissingExtra("torch", "train")

def wait() -> None:
    """Wait for Ctrl-C."""
    print("ready", flush=True)
    signal.pause()

def late() -> None:
    """Print once more after the reader is gone."""
    print("first", flush=True)
    sys.stdin.readline()
    print("second")

def flood() -> None:
    """Print without end."""
    while True:
        print("x" * 1000)

BOTH = {"well": well, "short": short}
'''
ENTRIES = {name: f"fake_commands:{name}" for name in ("well", "short", "refuse", "extra", "wait", "late", "flood")}
ENTRIES |= {"both": "fake_commands:BOTH", "lost": "fake_commands:lost", "half": "half_installed:command"}
HALF = "import no_such_module\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    install(monkeypatch, tmp_path, GROUP, ENTRIES, {"fake_commands": SOURCE, "half_installed": HALF})
    return tmp_path


def start(site, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "robostral", *args],
        env=os.environ | {"PYTHONPATH": str(site)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["help"]])
def test_overview_lists_every_command_even_one_that_cannot_load(site, capsys, args):
    assert call(args) == 0
    out, err = capsys.readouterr()
    rows = dict(line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  "))
    assert rows["well"] == "Say a word."
    assert rows["both"] == "well | short"
    assert rows["half"] == "not available here: No module named 'no_such_module'"
    assert rows["lost"].startswith("not available here: ")
    assert "bundle" in rows
    assert err == ""


def test_version(capsys):
    assert call(["--version"]) == 0
    assert capsys.readouterr().out == f"robostral {__version__}\n"


def test_arguments_come_from_the_signature(site, capsys):
    assert call(["well", "ho", "--times", "2", "--loud"]) == 0
    assert call(["both", "well", "hi"]) == 0
    assert call(["well", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("hoho True\nhi False\n")
    assert "The word." in out


@pytest.mark.parametrize(
    ("args", "code", "fact"),
    [
        (["refuse"], 2, "robostral: no such thing; choose another"),
        (["extra"], 2, "robostral: needs the module 'torch': pip install \"robostral[train]\""),
        (["wel"], 2, "robostral: unknown command 'wel'; did you mean 'well'?"),
        (["half"], 2, "robostral: command 'half' cannot be loaded: No module named 'no_such_module'"),
        (["lost"], 2, "robostral: command 'lost' cannot be loaded: "),
        (["both", "shrt"], 2, "robostral: unknown both command 'shrt'; did you mean 'short'?"),
        (["well"], 2, "robostral: Missing from robostral well: NAME; see 'robostral well --help'"),
        (["well", "a", "b"], 2, "robostral: Unrecognized options: b"),
        (["well", "a", "--tmes", "2"], 2, "--times"),
        (["well", "a", "--times", "two"], 2, "two"),
        (["--hlep"], 2, "robostral: unknown command '--hlep'"),
    ],
)
def test_an_error_is_one_line(site, capsys, args, code, fact):
    assert call(args) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert fact in err


def test_a_command_that_falls_short_is_code_1(site, capsys):
    assert call(["short"]) == 1
    assert call(["both", "short"]) == 1
    assert capsys.readouterr().err == ""


def test_ctrl_c_is_code_130_and_one_line(site):
    process = start(site, "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "robostral: stopped by Ctrl-C\n")


def test_ctrl_c_before_anything_is_imported_is_answered_too():
    program = """
import sys
from importlib.abc import MetaPathFinder

class CtrlC(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in {"robostral", "robostral.cli"}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
from robostral.cli import main
main(["--help"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "robostral: stopped by Ctrl-C\n")


@pytest.mark.parametrize("args", [["flood"], ["late"]])
def test_a_reader_that_goes_away_is_no_error(site, args):
    with start(site, *args) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        process.stdin.close()  # lets `late` go on
        assert (process.stderr.read(), process.wait(timeout=10)) == ("", 0)


def test_help_is_light_and_quick():
    program = (
        "import sys; from robostral.cli import call; code = call(['--help'])\n"
        "heavy = {'torch', 'pybullet', 'onnxruntime', 'mujoco', 'matplotlib', 'onnx'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - started < 20.0


def test_entry_points_of_this_project_are_listed(capsys):
    assert call([]) == 0
    out = capsys.readouterr().out
    for name in ("arm", "bench", "bundle", "ctl", "demo", "keys", "run", "serve", "train", "twin"):
        assert f"\n  {name}" in out
