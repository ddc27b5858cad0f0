"""A served policy that looks like a local one."""

import os
import time

import numpy as np
from numpy.typing import NDArray

from robostral.contract import Sealed
from robostral.errors import RobostralError, ServingError
from robostral.serving.client import PolicyClient
from robostral.serving.wire import ClientKeys, Status

MAX_ROWS = 64
"""Most rows that go into one request."""


class RemotePolicy:
    """A served policy that looks like a local one: blocks until the chunk is there or `timeout_s` has passed."""

    def __init__(
        self, endpoint: str, keys: ClientKeys, sealed: Sealed, *, robot: str = "", timeout_s: float = 1.0
    ) -> None:
        self.sealed, self._timeout_s, self._seq = sealed, timeout_s, 0
        self._client = PolicyClient(endpoint, keys, sealed.raw, robot or f"remote-{os.getpid()}", max_rows=MAX_ROWS)
        try:
            self._max_rows = min(MAX_ROWS, self._client.connect(timeout_s).max_batch)
        except RobostralError:
            self.close()
            raise

    def infer(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map observations, shape (rows, obs_size), to chunks, shape (rows, horizon, n), in as many requests as needed.

        Raises:
            ServingError: No usable reply within the deadline, also after dialling again.
        """
        parts = [self._ask(obs[i : i + self._max_rows]) for i in range(0, len(obs), self._max_rows)]
        return np.concatenate(parts)

    def close(self) -> None:
        """Leave; calling it twice is harmless."""
        self._client.close()

    def _ask(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        client, deadline = self._client, time.monotonic() + self._timeout_s
        while (left := deadline - time.monotonic()) > 0:
            self._seq += 1
            if client.lost or not client.send(obs, 0, self._seq, time.monotonic_ns(), budget_us=int(1e6 * left)):
                client.redial(left)
            elif client.socket.poll(1 + int(1000 * left)) and (reply := client.receive()) is not None:
                if reply.status == Status.OK:
                    return reply.chunk
                raise ServingError(f"policy server at {client.endpoint} answers {reply.status.name}")
        raise ServingError(f"policy server at {client.endpoint} gave no chunk within {self._timeout_s} s")
