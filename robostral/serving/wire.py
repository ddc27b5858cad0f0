"""The wire, version 1: sizes, hot frames and their checks, on numpy and the standard library alone.

Every byte is described in `WIRE.md` beside this file, with golden frames for clients in other languages.
"""

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robostral.errors import ServingError

MAGIC = b"RBST"
VERSION = 1
REQUEST, REPLY = 1, 2
NONE_CONSUMED = 0xFFFF

_CRC_FROM = 8
_REQUEST = struct.Struct("<4sIBBHIQQQ8sHH")
_REPLY = struct.Struct("<4sIBBHIQQQ8sHHII")
_CRC = struct.Struct("<I")
_F32 = np.dtype("<f4")

MIN_MESSAGE = 1 << 16
"""Both sides take messages of this size [bytes], and larger ones only where a frame of the contract is larger."""
HIGH_WATER = 8
"""Most messages that a socket holds. One or two would do, since age and order decide what is used, but then libzmq
signals between its threads at every message, which costs a fifth of the round trip."""

Role = Literal["observe", "act", "admin"]
Frame = bytes | bytearray | memoryview


class ClientKeys(NamedTuple):
    """What a client needs to dial, in Z85: the server's public CURVE key and its own pair."""

    server: bytes
    public: bytes
    secret: bytes


class Status(IntEnum):
    """What the server says about a request that it understood."""

    OK = 0
    LATE = 1
    """The budget could not be kept; the policy was not asked."""
    BAD_OBS = 2
    """The observation holds a number that is not finite."""
    FAULT = 3
    """The policy failed on a valid request."""


_STATUS = tuple(Status)


class Drop(StrEnum):
    """Why a message was dropped; the name under which it is counted."""

    KEY = "key"
    SIZE = "size"
    MAGIC = "magic"
    VERSION = "version"
    TYPE = "type"
    FLAGS = "flags"
    CHECKSUM = "checksum"
    CONTRACT = "contract"
    ROWS = "rows"
    ORDER = "order"
    PARTS = "parts"
    ROUTE = "route"
    SESSION = "session"
    REVOKED = "revoked"
    ROLE = "role"
    HELLO = "hello"
    SUPERSEDED = "superseded"
    UNSENT = "unsent"


class Request(NamedTuple):
    """A request frame that passed every check; `obs` holds the bytes of its rows * obs_size floats."""

    session: int
    seq: int
    t_obs_ns: int
    budget_us: int
    consumed: int
    rows: int
    obs: bytes | bytearray | memoryview


class Reply(NamedTuple):
    """A reply frame that passed every check; `chunk` is a view, shape (rows, horizon, n), rows = 0 unless OK."""

    status: Status
    session: int
    seq: int
    t_obs_ns: int
    bundle: bytes
    consumed: int
    total_us: int
    queue_us: int
    infer_us: int
    chunk: NDArray[np.float32]


def is_json(frame: Frame) -> bool:
    """Tell a handshake message from a hot frame."""
    return len(frame) > 0 and frame[0] == 0x7B


@dataclass(frozen=True)
class Layout:
    """Every size on the wire, derived from one contract."""

    prefix: bytes
    obs_size: int
    horizon: int
    n: int

    @classmethod
    def of(cls, contract: bytes) -> "Layout":
        """Derive the sizes of a contract's frames from its stored text.

        Raises:
            ServingError: The contract has parts that this version of the wire does not carry.
        """
        held = json.loads(contract)
        if held.get("state") or any(field.get("dtype", "f32") != "f32" for field in held["obs"]):
            raise ServingError(f"wire version {VERSION} carries f32 observations without recurrent state only")
        obs_size = sum(math.prod(field["shape"]) for field in held["obs"])
        prefix = hashlib.sha256(contract).digest()[:8]
        return cls(prefix, obs_size, held["action"]["horizon"], len(held["action"]["low"]))

    def request_size(self, rows: int) -> int:
        """Return the exact size of a request frame [bytes]."""
        return _REQUEST.size + 4 * rows * self.obs_size

    def reply_size(self, rows: int) -> int:
        """Return the exact size of a reply frame [bytes]."""
        return _REPLY.size + 4 * rows * self.horizon * self.n


class RequestFrame:
    """A preallocated request: fill `obs`, shape (max_rows, obs_size), then `seal` its first rows."""

    def __init__(self, layout: Layout, max_rows: int) -> None:
        self._prefix = layout.prefix
        view = memoryview(bytearray(layout.request_size(max_rows)))
        self.obs = np.frombuffer(view, _F32, offset=_REQUEST.size).reshape(max_rows, layout.obs_size)
        self._cuts = [_cut(view, layout.request_size(rows)) for rows in range(max_rows + 1)]

    def seal(
        self, token: int, session: int, seq: int, t_obs_ns: int, budget_us: int, *, consumed: int, rows: int
    ) -> memoryview:
        """Write header and checksum; return the frame, valid until the next call."""
        frame, body = self._cuts[rows]
        head = (MAGIC, 0, VERSION, REQUEST, 0, budget_us, session, seq, t_obs_ns)
        _REQUEST.pack_into(frame, 0, *head, self._prefix, rows, consumed)
        _CRC.pack_into(frame, 4, zlib.crc32(body, token))
        return frame


class ReplyFrame:
    """A preallocated reply: fill `chunk`, shape (max_rows, horizon, n), then `seal` its first rows."""

    def __init__(self, layout: Layout, max_rows: int, digest: bytes) -> None:
        self._bundle = digest[:8]
        view = memoryview(bytearray(layout.reply_size(max_rows)))
        shape = (max_rows, layout.horizon, layout.n)
        self.chunk = np.frombuffer(view, _F32, offset=_REPLY.size).reshape(shape)
        self._cuts = [_cut(view, layout.reply_size(rows)) for rows in range(max_rows + 1)]

    def seal(self, token: int, status: Status, request: Request, times_us: Sequence[int]) -> memoryview:
        """Write header and checksum; return the frame, valid until the next call.

        Args:
            token: Token of the connection.
            status: Anything but OK leaves the payload out.
            request: Whose session, seq, t_obs_ns and consumed are echoed.
            times_us: Stage times total, queue, infer [µs].
        """
        rows = request.rows if status == Status.OK else 0
        frame, body = self._cuts[rows]
        total, queue, infer = times_us
        head = (MAGIC, 0, VERSION, REPLY, status, total, request.session, request.seq, request.t_obs_ns)
        _REPLY.pack_into(frame, 0, *head, self._bundle, rows, request.consumed, queue, infer)
        _CRC.pack_into(frame, 4, zlib.crc32(body, token))
        return frame


def read_request(frame: Frame, layout: Layout, token: int, max_rows: int) -> Request | Drop:
    """Check a request frame completely before any of it is used."""
    head = _open(frame, _REQUEST, REQUEST, token)
    if isinstance(head, Drop):
        return head
    _, _, _, _, flags, budget_us, session, seq, t_obs_ns, prefix, rows, consumed = head
    if flags:
        return Drop.FLAGS
    if prefix != layout.prefix:
        return Drop.CONTRACT
    if not 1 <= rows <= max_rows:
        return Drop.ROWS
    if len(frame) != layout.request_size(rows):
        return Drop.SIZE
    return Request(session, seq, t_obs_ns, budget_us, consumed, rows, frame[_REQUEST.size :])


def read_reply(frame: Frame, layout: Layout, token: int, max_rows: int) -> Reply | Drop:
    """Check a reply frame completely before any of it is used."""
    head = _open(frame, _REPLY, REPLY, token)
    if isinstance(head, Drop):
        return head
    _, _, _, _, status, total, session, seq, t_obs_ns, bundle, rows, consumed, queue, infer = head
    if status >= len(_STATUS):
        return Drop.FLAGS
    if rows > max_rows or (rows > 0) != (status == Status.OK):
        return Drop.ROWS
    if len(frame) != layout.reply_size(rows):
        return Drop.SIZE
    chunk: NDArray[np.float32] = np.ndarray((rows, layout.horizon, layout.n), _F32, frame, _REPLY.size)
    return Reply(_STATUS[status], session, seq, t_obs_ns, bundle, consumed, total, queue, infer, chunk)


def _cut(view: memoryview, size: int) -> tuple[memoryview, memoryview]:
    """Return a frame of `size` bytes, and the part of it that the checksum covers."""
    return view[:size], view[_CRC_FROM:size]


def _open(frame: Frame, header: struct.Struct, kind: int, token: int) -> tuple[Any, ...] | Drop:
    if len(frame) < header.size:
        return Drop.SIZE
    head = header.unpack_from(frame)
    if head[0] != MAGIC:
        return Drop.MAGIC
    if head[2] != VERSION:
        return Drop.VERSION
    if head[3] != kind:
        return Drop.TYPE
    if zlib.crc32(frame[_CRC_FROM:], token) != head[1]:
        return Drop.CHECKSUM
    return head
