"""Laws of the wire: what is packed comes back; what is broken anywhere is refused everywhere, with its reason."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_rig import DIGEST, SEALED, make_contract, observe

from robostral.contract import ObsField, Sealed, StateTensor
from robostral.errors import ServingError
from robostral.serving import client, handshake, wire
from robostral.serving.wire import Drop, Layout, Reply, ReplyFrame, Request, RequestFrame, Status

LAYOUT = Layout.of(SEALED.raw)
TOKEN = 0x12345678
U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
U16 = st.integers(0, 2**16 - 1)


def a_request(token: int = TOKEN, rows: int = 1, session: int = 7, seq: int = 8) -> bytes:
    frame = RequestFrame(LAYOUT, rows)
    frame.obs[:] = observe(rows)
    return bytes(frame.seal(token, session, seq, 9, 20_000, consumed=2, rows=rows))


def a_reply(token: int = TOKEN, status: Status = Status.OK) -> bytes:
    request = wire.read_request(a_request(), LAYOUT, TOKEN, 1)
    assert isinstance(request, Request)
    frame = ReplyFrame(LAYOUT, 1, DIGEST)
    frame.chunk[:] = 0.25
    return bytes(frame.seal(token, status, request, (30, 10, 15)))


@given(token=U32, session=U64, seq=U64, t_obs=U64, budget=U32, consumed=U16, rows=st.integers(1, 5))
def test_request_round_trip(
    token: int, session: int, seq: int, t_obs: int, budget: int, consumed: int, rows: int
) -> None:
    frame = RequestFrame(LAYOUT, 5)
    frame.obs[:] = observe(5)
    raw = frame.seal(token, session, seq, t_obs, budget, consumed=consumed, rows=rows)
    request = wire.read_request(bytes(raw), LAYOUT, token, 5)
    assert isinstance(request, Request)
    assert request[:-1] == (session, seq, t_obs, budget, consumed, rows)
    assert bytes(request.obs) == observe(5)[:rows].tobytes()


@given(status=st.sampled_from(Status), times=st.tuples(U32, U32, U32))
def test_reply_round_trip(status: Status, times: tuple[int, int, int]) -> None:
    request = wire.read_request(a_request(rows=2), LAYOUT, TOKEN, 2)
    assert isinstance(request, Request)
    frame = ReplyFrame(LAYOUT, 4, DIGEST)
    frame.chunk[:] = np.arange(4 * 3 * 6).reshape(4, 3, 6)
    reply = wire.read_reply(bytes(frame.seal(TOKEN, status, request, times)), LAYOUT, TOKEN, 4)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.session, reply.seq, reply.t_obs_ns, reply.consumed) == (status, 7, 8, 9, 2)
    assert reply.bundle == DIGEST[:8]
    assert (reply.total_us, reply.queue_us, reply.infer_us) == times
    expected = frame.chunk[:2] if status == Status.OK else np.zeros((0, 3, 6))
    assert np.array_equal(reply.chunk, expected)


GOLDEN = Layout(bytes(range(0, 0x88, 0x11)), obs_size=3, horizon=2, n=2)
GOLDEN_DIGEST = bytes(range(0xA0, 0xC0))


def golden() -> dict[str, bytes]:
    """Read the frames that `WIRE.md` prints for clients in other languages."""
    text = (Path(wire.__file__).parent / "WIRE.md").read_text(encoding="utf-8")
    found = re.findall(r"^`([a-z ]+)`[^`]*```hex\n([0-9a-f \n]+)```", text, re.MULTILINE)
    return {name: bytes.fromhex(dump) for name, dump in found}


def test_golden_frames_are_made_and_read_as_documented() -> None:
    frames = golden()
    assert list(frames) == ["request", "request of two rows", "reply", "late"]
    frame = RequestFrame(GOLDEN, 2)
    frame.obs[:] = (1, -2, 0.5), (0.25, 0, -1)
    assert frame.seal(TOKEN, 1, 2, 3, 4000, consumed=5, rows=1) == frames["request"]
    assert frame.seal(TOKEN, 7, 8, 9, 20_000, consumed=wire.NONE_CONSUMED, rows=2) == frames["request of two rows"]
    request = wire.read_request(frames["request"], GOLDEN, TOKEN, 1)
    assert isinstance(request, Request)
    reply = ReplyFrame(GOLDEN, 1, GOLDEN_DIGEST)
    reply.chunk[:] = (1, 2), (3, 4)
    assert reply.seal(TOKEN, Status.OK, request, (30, 10, 15)) == frames["reply"]
    assert reply.seal(TOKEN, Status.LATE, request, (31, 11, 0)) == frames["late"]
    for raw in frames.values():
        # CRC-32 of IEEE 802.3, bit by bit, started from the token.
        assert int.from_bytes(raw[4:8], "little") == _crc32(raw[8:], TOKEN)


def _crc32(data: bytes, token: int) -> int:
    crc = ~token & 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


FRAMES = {
    "request": (a_request(), lambda raw: wire.read_request(raw, LAYOUT, TOKEN, 1)),
    "reply": (a_reply(), lambda raw: wire.read_reply(raw, LAYOUT, TOKEN, 1)),
    "late": (a_reply(status=Status.LATE), lambda raw: wire.read_reply(raw, LAYOUT, TOKEN, 1)),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_every_truncation_and_bit_flip_is_refused(kind: str) -> None:
    raw, read = FRAMES[kind]
    assert not isinstance(read(raw), Drop)
    for size in range(len(raw)):
        assert isinstance(read(raw[:size]), Drop)
    assert isinstance(read(raw + b"\0"), Drop)
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << (bit % 8)
        assert isinstance(read(bytes(flipped)), Drop), f"bit {bit} of byte {bit // 8}"


def test_random_bytes_are_refused() -> None:
    rng = np.random.default_rng(1)
    good = a_request()
    for i in range(30_000):
        raw = rng.bytes(int(rng.integers(0, 200)))
        if i % 2:  # a valid header with another tail
            raw = good[: int(rng.integers(0, 60))] + raw
        assert isinstance(wire.read_request(raw, LAYOUT, TOKEN, 1), Drop)
        assert isinstance(wire.read_reply(raw, LAYOUT, TOKEN, 1), Drop)


def _sealed_by_hand(**fields: int) -> bytes:
    """A request with a valid checksum around a field that is wrong."""
    import zlib

    raw = bytearray(a_request())
    for name, value in fields.items():
        offset = {"version": 8, "type": 9, "flags": 10, "prefix": 40, "rows": 48}[name]
        raw[offset] = value
    raw[4:8] = zlib.crc32(raw[8:], TOKEN).to_bytes(4, "little")
    return bytes(raw)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"version": 2}, Drop.VERSION),
        ({"type": 2}, Drop.TYPE),
        ({"flags": 1}, Drop.FLAGS),
        ({"prefix": SEALED.prefix[0] ^ 1}, Drop.CONTRACT),
        ({"rows": 0}, Drop.ROWS),
        ({"rows": 2}, Drop.SIZE),
        ({"rows": 9}, Drop.ROWS),
    ],
)
def test_wrong_field_under_a_valid_checksum_is_named(fields: dict[str, int], reason: Drop) -> None:
    assert wire.read_request(_sealed_by_hand(**fields), LAYOUT, TOKEN, 8) == reason


@given(token=U32)
def test_frame_of_another_connection_is_refused(token: int) -> None:
    read = wire.read_request(a_request(), LAYOUT, token, 1)
    assert (read == Drop.CHECKSUM) == (token != TOKEN)


@given(st.binary(max_size=200))
def test_handshake_reader_takes_any_bytes(raw: bytes) -> None:
    assert handshake.decode_hello(raw) is None
    assert client._read_answer(raw) is None
    assert client._read_answer(b"{" + raw) is None
    assert handshake.decode_hello(b"{" + raw) is None


@pytest.mark.parametrize(
    "message",
    [handshake.Hello("cell/left-arm", "act", SEALED.raw.decode()), handshake.Hello("r", "observe", "", "bundle-v1", 2)],
)
def test_hello_round_trip(message: handshake.Hello) -> None:
    raw = handshake.encode(message)
    assert wire.is_json(raw)
    assert handshake.decode_hello(raw) == message
    for size in range(len(raw)):
        assert handshake.decode_hello(raw[:size]) is None


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "naïve", "a\n"])
def test_odd_robot_names_are_refused(name: str) -> None:
    assert handshake.decode_hello(handshake.encode(handshake.Hello(name, "act", ""))) is None


def test_contract_that_the_wire_cannot_carry_is_refused() -> None:
    image = ObsField("image", (8,), "1", "base", "external", dtype="u8")
    base = make_contract()
    for contract in (
        msgspec.structs.replace(base, obs=(*base.obs, image)),
        msgspec.structs.replace(base, state=(StateTensor("h", (4,)),)),
    ):
        with pytest.raises(ServingError, match="f32"):
            Layout.of(Sealed.seal(contract).raw)
