"""Laws of the operator's door: only the owner enters, every request is answered once, nothing senseless gets in."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from robostral.runtime.ctl import SOCKET, Call, Control, ControlError, Door, Request, newest_run
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.operator import Desk, explain
from robostral.runtime.records import Answer, Sizes
from robostral.runtime.status import Status, StatusReader

STATUS = StatusReader(Mailbox(Sizes(6, 27, 3, 7, 16))).read()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / ("a-run-folder-whose-name-is-longer-than-a-socket-address-may-be" * 2)
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def door(folder: Path) -> Iterator[Door]:
    door = Door(folder)
    yield door
    door.close()


def take(door: Door) -> Call:
    assert door.socket.poll(2000)
    call = door.take()
    assert call is not None
    return call


def test_a_request_is_answered_with_the_state(folder: Path, door: Door) -> None:
    answers: list[Status] = []
    with Control(folder) as control:
        asking = threading.Thread(target=lambda: answers.append(control.ask("goal", 0.1, 0.2, 0.3)))
        asking.start()
        call = take(door)
        assert call.request == Request("goal", (0.1, 0.2, 0.3))
        door.answer(call, STATUS)
        asking.join()
    assert answers == [STATUS]


def test_a_refusal_is_one_clear_line(folder: Path, door: Door) -> None:
    errors: list[str] = []

    def ask(control: Control) -> None:
        with pytest.raises(ControlError) as caught:
            control.ask("home")
        errors.append(str(caught.value))

    with Control(folder) as control:
        asking = threading.Thread(target=ask, args=(control,))
        asking.start()
        door.answer(take(door), STATUS, "no 'home' in HOLD (START); stop and rearm first")
        asking.join()
    assert errors == ["no 'home' in HOLD (START); stop and rearm first"]


def test_junk_is_passed_over(folder: Path, door: Door) -> None:
    with Control(folder) as control:
        for junk in (b"", b"\xff" * 100, b"{}", b'{"op": "fly"}', b'{"op": "stop", "x": 1}', b"[" * 5000):
            control._socket.send(junk)
        control._socket.send(b'{"op": "stop"}')
        assert take(door).request == Request("stop")
        assert door.take() is None


def test_a_run_that_is_over_or_silent_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="nothing runs in"):
        Control(folder)
    with pytest.raises(ControlError, match="nothing runs under"):
        newest_run(tmp_path)
    door = Door(folder)
    assert newest_run(tmp_path) == folder
    with Control(folder, timeout_s=0.05) as control, pytest.raises(ControlError, match="does not answer"):
        control.ask("status")
    door.close()
    door.close()
    assert not (folder / SOCKET).exists()


def test_the_socket_lives_in_the_folder_and_leaves_with_the_door(folder: Path, door: Door) -> None:
    assert (folder / SOCKET).is_socket()
    assert folder.stat().st_mode & 0o077 == 0
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        with Control(folder):
            pass
    assert len(os.listdir("/proc/self/fd")) <= before + 10  # the door's ends of the last ones close a moment later


def test_the_desk_hands_in_one_command_at_a_time_in_order() -> None:
    desk, calls = Desk(), [Call(b"a", Request("rearm")), Call(b"b", Request("home"))]
    for call in calls:
        desk.put(call)
    assert desk.next() == calls[0]
    assert desk.next() is None
    assert desk.handled(desk.serial - 1) is None
    assert desk.handled(desk.serial) == calls[0]
    assert desk.handled(desk.serial) is None
    assert desk.next() == calls[1]
    assert desk.serial == 2


def test_a_loop_that_does_not_answer_holds_up_nobody() -> None:
    desk, call = Desk(handled_s=0.0), Call(b"a", Request("rearm"))
    desk.put(call)
    assert desk.next() == call
    assert desk.handled(desk.serial - 1) == call


def test_every_answer_but_done_is_explained() -> None:
    for answer in Answer:
        assert bool(explain(Request("rearm"), answer, STATUS)) == (answer != Answer.DONE)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_turned_away_even_where_the_folder_lets_him_in() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        door = Door(folder, user=1234)
        (folder / SOCKET).chmod(0o777)
        code = (
            "import os, sys; from pathlib import Path; from robostral.runtime.ctl import Control; "
            "os.setuid(int(sys.argv[2])); Control(Path(sys.argv[1]), timeout_s=0.7).ask('stop')"
        )
        heard = {}
        for user in (1234, 65534):
            with subprocess.Popen([sys.executable, "-c", code, name, str(user)], stderr=subprocess.DEVNULL) as process:
                heard[user] = bool(door.socket.poll(5000 if user == 1234 else 2000)) and door.take() is not None
                process.wait()
        door.close()
        assert heard == {1234: True, 65534: False}
