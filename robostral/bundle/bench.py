"""`robostral bench mutants`: broken, forged, linked, swapped and outdated copies of a bundle; none may load."""

import contextlib
import hashlib
import os
import random
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from robostral.bundle.files import read_files
from robostral.bundle.manifest import CARD, MANIFEST, MODEL, SIGNATURE, FileEntry, Manifest, decode, encode
from robostral.bundle.read import Bundle, assemble, load_with
from robostral.bundle.store import find
from robostral.bundle.trust import generate, keyring, load_private, sign_bytes
from robostral.errors import BundleRefused


def run(bundle: str, n: int) -> dict[str, Any]:
    """Load `n` broken copies of a bundle as a real driver would; see `attack`.

    Args:
        bundle: Name or path of the bundle.
        n: How many copies.
    """
    with tempfile.TemporaryDirectory() as folder:
        return {"bundle": bundle, "mutants": attack(Path(folder), read_files(find(bundle)), n)}


def attack(folder: Path, files: dict[str, bytes], n: int, seed: int = 0) -> dict[str, Any]:
    """Load `n` mutants of a bundle, all kinds in turn, in an empty folder of the caller's.

    Returns:
        How many were tried and loaded, in all and by kind; the 95 % upper bound of the rate (3/n at 0 loaded);
        time of a load [ms].
    """
    rig = _Rig(folder, files, random.Random(seed))  # noqa: S311 - not for secrets
    rig.write(rig.files)
    if load_with(rig.known, rig.folder, "real", rig.version).model_bytes != files[MODEL]:
        raise BundleRefused("the bundle that is to be attacked is not read as it is")
    tried, loaded, times = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0), []
    for kind, _ in zip(cycle(KINDS), range(n), strict=False):
        rig.write(rig.files)
        with KINDS[kind](rig) as path:
            start = time.perf_counter()
            found = _load(rig, path)
            times.append(time.perf_counter() - start)
        tried[kind] += 1
        loaded[kind] += found is not None and not (kind in _HARMLESS and rig.signed(found))
    total = sum(loaded.values())
    return {
        "n": n,
        "loaded": total,
        "bound_95": 3.0 / n if total == 0 else None,
        "by_kind": {kind: {"n": tried[kind], "loaded": loaded[kind]} for kind in KINDS},
        "load_ms": {"p50": float(np.percentile(times, 50)) * 1e3, "max": max(times) * 1e3},
    }


class _Rig:
    """A bundle signed by an owner's fresh key, version 2 of it and version 1, and a stranger's key."""

    def __init__(self, home: Path, files: dict[str, bytes], rng: random.Random) -> None:
        self.home, self.folder, self.rng = home, home / "bundle", rng
        private, public = generate("owner", home / "keys")
        self.owner, self.stranger = load_private(private), load_private(generate("stranger", home / "keys")[0])
        (home / "trust").mkdir()
        shutil.copy(public, home / "trust")
        self.known = keyring(home / "trust")
        manifest = decode(files[MANIFEST])
        self.version = manifest.version + 1
        self.older = self._sign(files, manifest)
        self.files = self._sign(files, msgspec.structs.replace(manifest, version=self.version))

    def write(self, files: dict[str, bytes]) -> None:
        """Make the bundle's folder anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for name, raw in files.items():
            (self.folder / name).write_bytes(raw)

    def pick(self) -> Path:
        """Choose one of the files."""
        return self.folder / self.rng.choice(sorted(self.files))

    def flip(self, raw: bytes) -> bytes:
        """Turn one bit over."""
        at = self.rng.randrange(8 * len(raw))
        return raw[: at // 8] + bytes([raw[at // 8] ^ 1 << at % 8]) + raw[at // 8 + 1 :]

    def forged(self) -> dict[str, bytes]:
        """Change a bit of the model, and the manifest with it, so that nothing but the signature is wrong."""
        manifest = decode(self.files[MANIFEST])
        while True:
            model = self.flip(self.files[MODEL])
            entry = FileEntry(hashlib.sha256(model).hexdigest(), len(model))
            listed = msgspec.structs.replace(manifest.files, model=entry)
            raw = encode(msgspec.structs.replace(manifest, files=listed))
            files = {**self.files, MODEL: model, MANIFEST: raw}
            with contextlib.suppress(BundleRefused):
                assemble(self.folder, files, None)
                return files

    def signed(self, found: Bundle) -> bool:
        """Tell whether these are the very bytes that the owner signed."""
        good = self.files
        return (found.manifest_bytes, found.signature, found.model_bytes) == (
            good[MANIFEST],
            good[SIGNATURE],
            good[MODEL],
        )

    def _sign(self, files: dict[str, bytes], manifest: Manifest) -> dict[str, bytes]:
        raw = encode(manifest)
        return {**files, MANIFEST: raw, SIGNATURE: sign_bytes(raw, self.owner)}


def _load(rig: _Rig, path: Path) -> Bundle | None:
    try:
        return load_with(rig.known, path, "real", rig.version)
    except BundleRefused:
        return None


@contextmanager
def _flip(rig: _Rig) -> Iterator[Path]:
    path = rig.pick()
    path.write_bytes(rig.flip(path.read_bytes()))
    yield rig.folder


@contextmanager
def _truncate(rig: _Rig) -> Iterator[Path]:
    path = rig.pick()
    os.truncate(path, rig.rng.randrange(path.stat().st_size))
    yield rig.folder


@contextmanager
def _splice(rig: _Rig) -> Iterator[Path]:
    path = rig.pick()
    raw, at = path.read_bytes(), rig.rng.randrange(path.stat().st_size)
    path.write_bytes(rig.rng.choice([raw[:at] + raw[at + 1 :], raw[:at] + raw[at : at + 1] + raw[at:], raw + b"\n"]))
    yield rig.folder


@contextmanager
def _path(rig: _Rig) -> Iterator[Path]:
    """Misplace a file: away, renamed, in a sub-folder, beside a foreign one, or outside of a zip's folder."""
    path, turn = rig.pick(), rig.rng.randrange(5)
    if turn == 0:
        path.unlink()
    elif turn == 1:
        path.rename(path.with_name(rig.rng.choice([f"{path.name}.bak", f".{path.name}", path.name.swapcase()])))
    elif turn == 2:
        raw = path.read_bytes()
        path.unlink()
        path.mkdir()
        (path / path.name).write_bytes(raw)
    elif turn == 3:
        (rig.folder / rig.rng.choice(["model.onnx.data", "hook.py", "lib.so", "\u202emodel.onnx"])).write_bytes(b"x")
    else:
        raw = path.read_bytes()
        path.unlink()
        prefix = rig.rng.choice(["../", "/", "a/b/", "./../bundle/", "..\\"])
        yield _zip(rig, {prefix + path.name: raw})
        return
    yield rig.folder


@contextmanager
def _symlink(rig: _Rig) -> Iterator[Path]:
    """Put a link in place of a file; what it points to has the right bytes."""
    path = rig.pick()
    shutil.move(path, rig.home / "elsewhere")
    path.symlink_to(rig.home / "elsewhere")
    yield rig.folder


@contextmanager
def _hardlink(rig: _Rig) -> Iterator[Path]:
    """Give a file a second name, and change it through that."""
    path, other = rig.pick(), rig.home / "elsewhere"
    other.unlink(missing_ok=True)
    os.link(path, other)
    other.write_bytes(rig.flip(path.read_bytes()))
    yield rig.folder


@contextmanager
def _forge(rig: _Rig) -> Iterator[Path]:
    """Make a consistent bundle that the owner did not sign: by a stranger, under the old signature, or by nobody."""
    files = rig.forged()
    turn = rig.rng.randrange(3)
    if turn == 0:
        files[SIGNATURE] = sign_bytes(files[MANIFEST], rig.stranger)
    elif turn == 1:
        del files[SIGNATURE]
    rig.write(files)
    yield rig.folder


@contextmanager
def _older(rig: _Rig) -> Iterator[Path]:
    """Offer an older version that the owner signed, whole or in part."""
    names = rig.rng.choice([(*rig.files,), (MANIFEST, SIGNATURE), (MANIFEST,), (SIGNATURE,)])
    rig.write(rig.files | {name: rig.older[name] for name in names})
    yield rig.folder


@contextmanager
def _zipped(rig: _Rig) -> Iterator[Path]:
    """Break a zip of the bundle; a bit that only a time stamp holds may leave the files whole."""
    path = _zip(rig, {})
    raw = path.read_bytes()
    path.write_bytes(rig.flip(raw) if rig.rng.random() < 0.7 else raw[: rig.rng.randrange(len(raw))])
    yield path


@contextmanager
def _swap(rig: _Rig) -> Iterator[Path]:
    """Exchange files for forged ones and back, again and again, while the bundle is being read."""
    forged, stop = rig.forged(), threading.Event()
    names = rig.rng.sample([CARD, MANIFEST, MODEL], rig.rng.randint(1, 3))

    def exchange() -> None:
        for files in cycle([forged, rig.files]):
            for name in names:
                (rig.home / "next").write_bytes(files[name])
                (rig.home / "next").replace(rig.folder / name)
            if stop.is_set():
                return

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        yield rig.folder
    finally:
        stop.set()
        thread.join()


def _zip(rig: _Rig, more: dict[str, bytes]) -> Path:
    path = rig.home / "bundle.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in sorted(os.listdir(rig.folder)):
            archive.write(rig.folder / name, name)
        for name, raw in more.items():
            archive.writestr(zipfile.ZipInfo(name), raw)
    return path


KINDS: dict[str, Callable[[_Rig], AbstractContextManager[Path]]] = {
    "flip": _flip,
    "truncate": _truncate,
    "splice": _splice,
    "path": _path,
    "symlink": _symlink,
    "hardlink": _hardlink,
    "forge": _forge,
    "older": _older,
    "zip": _zipped,
    "swap": _swap,
}
"""How a bundle is attacked, by name."""

_HARMLESS = {"zip", "swap"}
"""Kinds after which the signed bytes may still be there; anything else that loads is a failure."""
