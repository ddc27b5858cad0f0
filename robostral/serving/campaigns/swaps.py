"""Swaps under load: robots ask without pause while versions come and go; every question has exactly one answer."""

import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from robostral.bundle import load
from robostral.bundle.files import read_files
from robostral.bundle.manifest import MANIFEST, MODEL, SIGNATURE, decode, encode
from robostral.bundle.store import find
from robostral.errors import RobostralError, ServingError
from robostral.serving.admin import Admin
from robostral.serving.campaigns.rig import Rig, ask, bound_95, serving
from robostral.serving.wire import Status

ROBOTS = 4


def run(bundle: str, n: int) -> dict[str, Any]:
    """Swap `n` times under load, and fail to `n // 10` times.

    Args:
        bundle: What is served.
        n: How many swaps.
    """
    with serving(bundle, "--admin", "ipc://{folder}/admin") as rig:
        paths = [_version(rig.folder, bundle, add) for add in (1, 2)]
        damaged = _damage(_version(rig.folder, bundle, 3))
        digests = {load(path).digest[:8] for path in (find(bundle), *paths)}
        admin, load_ = Admin(f"ipc://{rig.folder}/admin", rig.keys.client("admin")), _Load(rig, digests)
        refused, times = 0, list[float]()
        with load_:
            for i in range(n):
                start = time.perf_counter()
                admin.swap(str(paths[i % 2]), older=True)
                times.append(1e3 * (time.perf_counter() - start))
                if i % 10 == 9:
                    refused += _is_refused(admin, damaged)
    failures = load_.lost + load_.wrong + (n // 10 - refused)
    return {
        "n": n,
        "failing_swaps": n // 10,
        "refused": refused,
        "replies": load_.replies,
        "lost_or_doubled": load_.lost,
        "wrong": load_.wrong,
        "failures": failures,
        "bound_95": bound_95(failures, n),
        "swap_ms": {f"p{q}": float(np.percentile(times, q)) for q in (50, 95, 99)},
        "reply_us": {f"p{q}": float(np.percentile(load_.times_us, q)) for q in (50, 95, 99, 99.9)},
        "reply_us_max": max(load_.times_us),
    }


class _Load:
    """Robots in threads; each waits for its answer and asks again."""

    def __init__(self, rig: Rig, digests: set[bytes]) -> None:
        self._rig, self._digests, self._stop = rig, digests, threading.Event()
        self.replies = self.lost = self.wrong = 0
        self.times_us: list[float] = []
        self._threads = [threading.Thread(target=self._drive, args=(f"robot-{i}",)) for i in range(ROBOTS)]

    def __enter__(self) -> "_Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _drive(self, name: str) -> None:
        client = self._rig.robot(name)
        obs, seq = np.zeros(client._layout.obs_size, np.float32), 0
        while not self._stop.is_set():
            seq += 1
            start = time.perf_counter()
            try:
                reply = ask(client, obs, seq)
            except ServingError:
                self.lost += 1
                break
            self.times_us.append(1e6 * (time.perf_counter() - start))
            self.replies += 1
            self.wrong += reply.status != Status.OK or reply.bundle not in self._digests
        self.lost += sum(client.drops.values())  # a second answer to a question is dropped by its order
        client.close()


def _version(folder: Path, bundle: str, add: int) -> Path:
    """Write a bundle anew as a later version, unsigned, as a twin may have it."""
    files = read_files(find(bundle))
    manifest = decode(files[MANIFEST])
    files[MANIFEST] = encode(msgspec.structs.replace(manifest, version=manifest.version + add))
    files.pop(SIGNATURE, None)
    path = folder / f"version-{add}"
    path.mkdir()
    for name, raw in files.items():
        (path / name).write_bytes(raw)
    return path


def _damage(path: Path) -> Path:
    raw = bytearray((path / MODEL).read_bytes())
    raw[len(raw) // 2] ^= 1
    (path / MODEL).write_bytes(raw)
    return path


def _is_refused(admin: Admin, path: Path) -> bool:
    try:
        admin.swap(str(path))
    except RobostralError:
        return True
    return False
