"""Versions of the served bundles: load another one beside the running one, put it in its place, take it back."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from robostral.bundle import load
from robostral.bundle.successor import check_place
from robostral.bundle.trust import Plant
from robostral.errors import BundleRefused, ServingError, UnknownName
from robostral.serving.hosted import Hosted

SWAP_S = 5.0
"""How long the serving loop may take to come to the edge between two batches [s]."""


class Host(Protocol):
    """What versions need of a server: what it serves, and a way to do something between two of its batches."""

    @property
    def hosted(self) -> list[Hosted]:
        """What is served now."""
        ...

    def replace(self, old: Hosted, new: Hosted) -> None:
        """Let `new` answer for `old` from the next batch on; called between batches only."""
        ...

    def between_batches(self, change: Callable[[], None]) -> None:
        """Hand over something that the serving loop calls when no batch runs."""
        ...


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version of a bundle on a server."""

    label: str
    digest: str
    serving: bool


class Versions:
    """Changes what a server serves. Everything slow is done here, on the caller's thread, beside the serving loop.

    Args:
        server: The server.
        plant: A real plant takes only bundles signed by a trusted key.
        trust: Folder of trusted public keys; the user's own if None.
    """

    def __init__(self, server: Host, plant: Plant = "twin", trust: Path | None = None) -> None:
        self._server, self._plant, self._trust = server, plant, trust
        self._before: dict[str, Hosted] = {}

    def all(self) -> tuple[Version, ...]:
        """List what is served, each followed by the version that a rollback would bring back."""
        found = []
        for hosted in self._server.hosted:
            found.append(Version(hosted.name, hosted.digest.hex(), serving=True))
            if hosted.family in self._before:
                before = self._before[hosted.family]
                found.append(Version(before.name, before.digest.hex(), serving=False))
        return tuple(found)

    def swap(self, source: str, *, older: bool = False) -> Version:
        """Load, verify, try and warm up a bundle, then let it answer for the version of the same name.

        Args:
            source: Name or path of the bundle, as this computer sees it.
            older: Whether a lower version than the running one will do.

        Raises:
            BundleRefused: A check failed, or its version is lower.
            ContractMismatch: Contract or requirements are not those of the running version; robots rely on both.
            UnknownName: No bundle of this name is served, or none is found.
            ServingError: The serving loop has ended.
        """
        bundle = load(source, plant=self._plant, trusted_keys=self._trust)
        old = self._find(bundle.manifest.name)
        running = old.bundle
        assert running is not None
        check_place(running, bundle.manifest)
        if bundle.manifest.version < running.manifest.version and not older:
            raise BundleRefused(
                f"'{bundle.manifest.label}' is older than the running '{old.name}'; ask for it with --older"
            )
        new = old.version(bundle)
        new.warm_up()
        self._exchange(old, new)
        return Version(new.name, new.digest.hex(), serving=True)

    def rollback(self, name: str = "") -> Version:
        """Let the version that answered before the last change answer again; it is still loaded.

        Args:
            name: The bundle's name without its version; may be left out where one can be rolled back.

        Raises:
            UnknownName: This bundle was never changed here.
            ServingError: The serving loop has ended.
        """
        names = [name] if name else list(self._before)
        if len(names) != 1 or names[0] not in self._before:
            raise UnknownName("changed bundle", name, self._before)
        new = self._before[names[0]]
        self._exchange(self._find(names[0]), new)
        return Version(new.name, new.digest.hex(), serving=True)

    def _find(self, family: str) -> Hosted:
        served = {hosted.family: hosted for hosted in self._server.hosted if hosted.bundle}
        if family not in served:
            raise UnknownName("served bundle", family, served)
        return served[family]

    def _exchange(self, old: Hosted, new: Hosted) -> None:
        done, claim = threading.Event(), threading.Lock()

        def change() -> None:
            if claim.acquire(blocking=False):
                self._server.replace(old, new)
                done.set()

        self._server.between_batches(change)
        if not done.wait(SWAP_S) and claim.acquire(blocking=False):
            raise ServingError(f"the serving loop did not come to a batch's edge within {SWAP_S:g} s; nothing changed")
        forgotten = self._before.get(new.family)
        self._before[new.family] = old
        if forgotten not in {None, new, old}:
            forgotten.policy.close()
