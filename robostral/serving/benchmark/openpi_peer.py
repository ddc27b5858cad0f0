"""openpi's own client, timed: run as a file by a Python that has `openpi-client`; arguments: address, observation size.

Each line of standard input is a number of round trips; each line of standard output holds their durations [s].
"""

import sys
import time

import numpy as np


def main() -> None:
    """Answer lines until standard input ends."""
    from openpi_client.websocket_client_policy import WebsocketClientPolicy

    policy = WebsocketClientPolicy(sys.argv[1])
    obs = {"state": np.zeros(int(sys.argv[2]), np.float32)}
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            policy.infer(obs)
            times.append(time.perf_counter() - start)
        print(*times, flush=True)


if __name__ == "__main__":
    main()
