"""A wall clock that can be stepped for chosen processes only: a small library between them and the C library."""

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile long *offset;
static int (*real)(clockid_t, struct timespec *);
__attribute__((constructor)) static void begin(void) {
    real = dlsym(RTLD_NEXT, "clock_gettime");
    int fd = open(getenv("ROBOSTRAL_CHAOS_CLOCK"), O_RDONLY);
    if (fd >= 0) offset = mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
}
int clock_gettime(clockid_t id, struct timespec *t) {
    int code = real(id, t);
    if (id == CLOCK_REALTIME && offset && offset != MAP_FAILED) t->tv_sec += *offset;
    return code;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


class SteppedClock:
    """Makes CLOCK_REALTIME of every process that is started while it is entered jump on demand; the machine's stays.

    Args:
        folder: Where the library is built.

    Attributes:
        available: Whether there is a C compiler to build it with.
    """

    def __init__(self, folder: Path) -> None:
        self._library, self._cell = folder / "clock.so", folder / "clock"
        compiler = shutil.which("cc") or shutil.which("gcc")
        self.available = compiler is not None and os.name == "posix"
        if not self.available or compiler is None:
            return
        self._cell.write_bytes(bytes(8))
        command = [compiler, "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(self._library), "-ldl"]
        subprocess.run(command, input=_SOURCE.encode(), check=True, capture_output=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to live by this clock."""
        if not self.available:
            return {}
        return {"LD_PRELOAD": str(self._library), "ROBOSTRAL_CHAOS_CLOCK": str(self._cell)}

    def step(self, seconds: int) -> None:
        """Set how far their wall clock is ahead of the machine's [s]."""
        with self._cell.open("r+b") as file, mmap.mmap(file.fileno(), 8) as cell:
            cell[:8] = struct.pack("<q", seconds)
