"""The bytes of a bundle, from a folder or a zip of it: each file is read once, bounded, and never through a link."""

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from robostral.bundle.manifest import CARD, MANIFEST, MODEL, SIGNATURE
from robostral.errors import BundleRefused

LIMITS = {MANIFEST: 1 << 20, SIGNATURE: 1 << 10, MODEL: 64 << 20, CARD: 1 << 20}
"""Files that a bundle may hold, with the greatest size of each [bytes]."""

MAX_ZIP = 66 << 20
REQUIRED = frozenset({MANIFEST, MODEL, CARD})
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, OSError, IndexError, KeyError)


def read_files(path: Path, limits: Mapping[str, int] = LIMITS, required: frozenset[str] = REQUIRED) -> dict[str, bytes]:
    """Read every file of a bundle into memory, once.

    Args:
        path: A folder, or a zip of one.
        limits: Files that a bundle of this kind may hold, with the greatest size of each [bytes].
        required: Files that it must hold.

    Raises:
        BundleRefused: A file is missing, unlisted, too large, a link, or outside the bundle.
    """
    files = _read_folder(path, limits) if path.is_dir() else _read_zip(_read_regular(path, None, MAX_ZIP), limits)
    missing = sorted(required - files.keys())
    if missing:
        raise BundleRefused(f"no file {missing[0]!r}; a bundle holds {', '.join(sorted(required))}")
    return files


def _read_folder(path: Path, limits: Mapping[str, int]) -> dict[str, bytes]:
    try:
        # Entries are opened relative to this one descriptor: swapping the folder under us changes nothing.
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BundleRefused(f"cannot be opened: {error.strerror}") from error
    try:
        names = os.listdir(folder)
        for name in names:
            _check_name(name, limits)
        return {name: _read_regular(Path(name), folder, limits[name]) for name in sorted(names)}
    finally:
        os.close(folder)


def _read_regular(path: Path, folder: int | None, limit: int) -> bytes:
    # Inside a bundle no link is followed; the path of a zip itself is the caller's own and may be one.
    no_follow = os.O_NOFOLLOW if folder is not None else 0
    try:
        # O_NONBLOCK: opening a named pipe must not wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | no_follow, dir_fd=folder)
    except OSError as error:
        raise BundleRefused(f"file {path.name!r} is a link or cannot be opened: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleRefused(f"{path.name!r} is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return bounded(path.name, file.read(limit + 1), limit)
    finally:
        os.close(descriptor)


def _read_zip(raw: bytes, limits: Mapping[str, int]) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = [entry for entry in archive.infolist() if not _is_top_folder(entry)]
            return _read_entries(archive, entries, limits)
    except _BROKEN_ZIP as error:
        raise BundleRefused(f"neither a folder nor a sound zip: {error}") from error


def _read_entries(
    archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], limits: Mapping[str, int]
) -> dict[str, bytes]:
    parents = {PurePosixPath(entry.orig_filename).parent for entry in entries}
    if len(parents) > 1 or any(len(parent.parts) > 1 or ".." in parent.parts for parent in parents):
        raise BundleRefused("the zip's entries are not all in one folder")
    files: dict[str, bytes] = {}
    for entry in entries:
        name = PurePosixPath(entry.orig_filename).name
        _check_name(name, limits)
        if name in files:
            raise BundleRefused(f"file {name!r} occurs twice in the zip")
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            raise BundleRefused(f"{name!r} in the zip is a link or not a regular file")
        with archive.open(entry) as file:
            files[name] = bounded(name, file.read(limits[name] + 1), limits[name])
    return files


def _is_top_folder(entry: zipfile.ZipInfo) -> bool:
    return entry.is_dir() and entry.orig_filename.count("/") == 1 and not entry.orig_filename.startswith("/")


def _check_name(name: str, limits: Mapping[str, int]) -> None:
    if name not in limits:
        raise BundleRefused(f"holds {name!r}, which no bundle may hold (allowed: {', '.join(sorted(limits))})")


def bounded(name: str, raw: bytes, limit: int) -> bytes:
    """Return `raw` if it is not larger than `limit` [bytes].

    Raises:
        BundleRefused: It is.
    """
    if len(raw) > limit:
        raise BundleRefused(f"file {name!r} is larger than {limit} bytes")
    return raw
