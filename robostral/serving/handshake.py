"""The JSON messages of the wire as the server reads and writes them, strictly; a client needs no more than `json`."""

from typing import Annotated, Literal

import msgspec

from robostral.serving.wire import VERSION, Frame, Role

Name = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._/-]{1,64}\Z")]


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="hello"):
    """The first message of a client: who asks, for what, and the contract's stored text."""

    robot: Name
    role: Role
    contract: str
    bundle: str = ""
    """Name of the wanted bundle; empty takes the first one with this contract."""
    wire: int = VERSION


class Accepted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="accepted"):
    """The server's yes: the token of this connection, and which bundle answers.

    It comes again, with the same token, when another version of the bundle answers from the next reply on. A robot
    that trusts its own keys only checks `manifest` against `signature` before it uses that reply.
    """

    token: int
    bundle: str
    digest: str
    max_batch: int
    manifest: str = ""
    signature: str = ""


class Refused(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="refused"):
    """The server's no; `fields` has one line for each field that differs."""

    reason: Literal["hello", "wire", "role", "bundle", "contract", "session"]
    fields: tuple[str, ...] = ()


_hello = msgspec.json.Decoder(Hello)


def encode(message: Hello | Accepted | Refused) -> bytes:
    """Serialise a message."""
    return msgspec.json.encode(message)


def decode_hello(frame: Frame) -> Hello | None:
    """Read a client's first message; None where it is anything else."""
    try:
        hello: Hello = _hello.decode(frame)
        return hello
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
