"""A policy behind a websocket, in the form that openpi's client speaks: msgpack maps, arrays as raw bytes."""

import asyncio
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from robostral.bundle import OnnxPolicy, load
from robostral.extras import require
from robostral.runtime.realtime import precede


def serve_websocket(bundle: str, pipe: Connection) -> None:
    """Serve a bundle without encryption at a free port of this computer; send the address into `pipe`; never return.

    Note:
        A message of metadata at the start; then {"state": array} answered by {"actions": array, "server_timing": map}.
    """
    precede()
    asyncio.run(_serve(OnnxPolicy(load(bundle)), pipe))


async def _serve(policy: OnnxPolicy, pipe: Connection) -> None:
    server = require("websockets.asyncio.server", "bench")
    msgpack = require("msgpack", "bench")

    async def answer(socket: Any) -> None:
        packer = msgpack.Packer(default=_pack)
        await socket.send(packer.pack({}))
        async for message in socket:
            start = time.monotonic()
            obs = msgpack.unpackb(message, object_hook=_unpack)
            chunk = policy.infer(obs["state"][None])
            timing = {"infer_ms": 1e3 * (time.monotonic() - start)}
            await socket.send(packer.pack({"actions": chunk[0], "server_timing": timing}))

    async with server.serve(answer, "127.0.0.1", 0, compression=None, max_size=None) as listening:
        host, port = listening.sockets[0].getsockname()
        pipe.send(f"ws://{host}:{port}")
        await asyncio.get_running_loop().create_future()


def _pack(array: Any) -> dict[bytes, Any]:
    return {b"__ndarray__": True, b"data": array.tobytes(), b"dtype": array.dtype.str, b"shape": array.shape}


def _unpack(found: dict[Any, Any]) -> Any:
    if b"__ndarray__" not in found:
        return found
    return np.frombuffer(found[b"data"], np.float32).reshape(found[b"shape"])
