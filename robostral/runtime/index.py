"""The chunk index of an MCAP file, read from the file itself: a recorder that runs for days need not remember it."""

import struct
from pathlib import Path

from mcap.opcode import Opcode
from mcap.records import ChunkIndex

_HEAD = struct.Struct("<BQ")
_CHUNK = struct.Struct("<QQQII")


def chunk_indices(path: Path) -> list[ChunkIndex]:
    """Walk over the records of a file, without their contents, and index its chunks.

    Note:
        MCAP specification 1: a chunk begins with the times of its first and last message, its uncompressed size, a CRC
        and the name of its compression; the message indexes that follow it begin with their channel.
    """
    found: list[ChunkIndex] = []
    with path.open("rb") as file:
        at = file.seek(8)
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            kind, length = _HEAD.unpack(head)
            if kind == Opcode.CHUNK:
                start, end, size, _, letters = _CHUNK.unpack(file.read(_CHUNK.size))
                compression = file.read(letters).decode()
                (compressed,) = struct.unpack("<Q", file.read(8))
                found.append(ChunkIndex(9 + length, at, compression, compressed, end, 0, {}, start, size))
            elif kind == Opcode.MESSAGE_INDEX:
                (channel,) = struct.unpack("<H", file.read(2))
                found[-1].message_index_offsets[channel] = at
                found[-1].message_index_length += 9 + length
            elif kind == Opcode.DATA_END:
                break
            at = file.seek(at + 9 + length)
    return found
