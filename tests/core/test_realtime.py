"""Laws of what the loop asks of the system: it gets it, or says in one line what it did not get."""

import subprocess
import sys

CODE = """
import os
from robostral.runtime import realtime
lines = realtime.enter() + realtime.enter()
fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
links = [os.readlink(fd) for fd in fds if os.path.exists(fd)]
print(links.count("/dev/cpu_dma_latency"), sum("sleep deeply" in line for line in lines))
"""


def test_processors_are_kept_awake_once_or_it_is_said() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() in (["1", "0"], ["0", "2"])
