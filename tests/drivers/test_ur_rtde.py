"""The controller's side of one connection: agreements, refusals, and what the vendor's client really sends."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robostral_drivers.ur import wire
from robostral_drivers.ur.rtde import LOCKSTEP_FIELD, MAX_NAMES, TWIN_FIELD, VERSION, Exchange, Session
from robostral_drivers.ur.wire import Kind

GOLDEN = Path(__file__).parent / "golden" / "ur_rtde-1.6.5.txt"


def golden(interface: str) -> list[bytes]:
    rows = [line.split() for line in GOLDEN.read_text(encoding="ascii").splitlines() if not line.startswith("#")]
    return [bytes.fromhex(row[1]) for row in rows if row[0] == interface]


def talk(session: Session, kind: Kind, payload: bytes = b"") -> bytes:
    [(answered, answer)] = wire.Splitter().feed(session.feed(wire.frame(kind, payload)))
    assert answered == kind
    return answer


def outputs(names: str, rate_hz: float = 500.0) -> bytes:
    return struct.pack(">d", rate_hz) + names.encode()


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(lambda recipe: None)


@pytest.mark.parametrize(("version", "accepted"), [(2, 1), (1, 0), (3, 0), (0, 0)])
def test_only_protocol_version_2_is_accepted(exchange: Exchange, version: int, accepted: int) -> None:
    assert talk(Session(exchange), Kind.PROTOCOL_VERSION, struct.pack(">H", version)) == bytes([accepted])


def test_unknown_names_and_rates_make_no_recipe(exchange: Exchange) -> None:
    session = Session(exchange)
    assert talk(session, Kind.SETUP_OUTPUTS, outputs("timestamp,no_such_field")) == b"\x00DOUBLE,NOT_FOUND"
    assert talk(session, Kind.SETUP_OUTPUTS, outputs("timestamp", 501.0))[:1] == b"\x00"
    assert talk(session, Kind.SETUP_OUTPUTS, outputs("timestamp," * (MAX_NAMES // 10 + 1)))[:1] == b"\x00"
    assert talk(session, Kind.START) == b"\x00"
    assert session.output(0) == b""


def test_an_input_belongs_to_one_connection_until_it_leaves(exchange: Exchange) -> None:
    first, second = Session(exchange), Session(exchange)
    name = b"input_int_register_0"
    assert talk(first, Kind.SETUP_INPUTS, name) == b"\x01INT32"
    assert talk(first, Kind.SETUP_INPUTS, name + b",input_double_register_0,") == b"\x02INT32,DOUBLE"
    assert talk(second, Kind.SETUP_INPUTS, name) == b"\x00IN_USE"
    first.close()
    assert talk(second, Kind.SETUP_INPUTS, name) == b"\x01INT32"


def test_a_slower_client_gets_every_fourth_package(exchange: Exchange) -> None:
    session = Session(exchange)
    talk(session, Kind.SETUP_OUTPUTS, outputs("timestamp", 125.0))
    talk(session, Kind.START)
    assert [bool(session.output(tick)) for tick in range(8)] == [True, False, False, False] * 2
    talk(session, Kind.PAUSE)
    assert not session.output(8)


def test_only_a_twin_knows_the_twins_field() -> None:
    """What the driver asks: this one must never be a name of UR's own."""
    assert TWIN_FIELD not in wire.OUTPUTS
    plain, lockstep = Exchange(lambda recipe: None), Exchange(lambda recipe: None, lockstep=True)
    assert talk(Session(plain), Kind.SETUP_OUTPUTS, outputs(TWIN_FIELD)) == b"\x01BOOL"
    assert talk(Session(plain), Kind.SETUP_OUTPUTS, outputs(LOCKSTEP_FIELD)) == b"\x00NOT_FOUND"
    assert talk(Session(lockstep), Kind.SETUP_OUTPUTS, outputs(LOCKSTEP_FIELD)) == b"\x01BOOL"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_of_a_client_break_the_controller(data: bytes) -> None:
    session = Session(Exchange(lambda recipe: None))
    try:
        answer = session.feed(data)
    except wire.BrokenFrame:
        return
    assert all(kind in set(Kind) for kind, _ in wire.Splitter().feed(answer))


def test_the_clients_own_bytes_receive() -> None:
    exchange = Exchange(lambda recipe: None)
    session = Session(exchange)
    answers = [next(wire.Splitter().feed(session.feed(frame))) for frame in golden("receive")]
    assert [kind for kind, _ in answers] == [
        Kind.PROTOCOL_VERSION,
        *2 * [Kind.CONTROLLER_VERSION],
        Kind.SETUP_OUTPUTS,
        Kind.START,
    ]
    assert struct.unpack(">4I", answers[1][1]) == VERSION
    agreed = answers[3][1]
    assert agreed[0] == 1
    assert len(agreed[1:].split(b",")) == 58
    assert len(session.output(0)) == 1180


def test_the_clients_own_bytes_control() -> None:
    heard: list[tuple[int, list[float]]] = []

    def note(recipe: wire.Recipe) -> None:
        numbers = [exchange.inputs[name] for name in recipe.names]
        heard.append((numbers[0], numbers[1:]))

    exchange = Exchange(note)
    session, recipes = Session(exchange), 0
    for frame in golden("control"):
        for kind, payload in wire.Splitter().feed(session.feed(frame)):
            if kind == Kind.SETUP_INPUTS:
                recipes += 1
                assert payload[0] == recipes
    q = [0.25, -1.5, 1.5, -1.5, -1.5, 0.125]
    assert recipes == 23
    assert [code for code, _ in heard if code] == [1, 35, 11, 11, 11, 16, 17, 44, 255]
    assert heard[1] == (1, [*q, 3.0, 20.0, 0])
    assert [numbers for code, numbers in heard if code == 35] == [[10.0]]
    streamed = [numbers for code, numbers in heard if code == 11]
    assert streamed == [[0.25 + 0.001 * k, *q[1:], 0.0, 0.0, 0.002, 0.03, 2000.0] for k in (1, 2, 3)]


def test_the_clients_own_bytes_io() -> None:
    last: list[str] = []
    exchange = Exchange(lambda recipe: last.append(recipe.names[-1]))
    session = Session(exchange)
    for frame in golden("io"):
        session.feed(frame)
    assert last == ["standard_digital_output", "speed_slider_fraction", "standard_analog_output_1"]
    assert (exchange.inputs["standard_digital_output_mask"], exchange.inputs["speed_slider_fraction"]) == (8, 0.5)
