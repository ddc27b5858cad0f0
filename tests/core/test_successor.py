"""A version takes a running one's place only with its contract, its requirements and a key that is as good."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tiny_bundle

from robostral.bundle import load
from robostral.bundle.successor import check_successor
from robostral.bundle.trust import generate, keyring
from robostral.contract import Rate, Sealed
from robostral.errors import BundleRefused, ContractMismatch
from robostral.runtime import records
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.records import Sizes
from robostral.runtime.transport import Link
from robostral.serving.admin import Admin
from robostral.serving.client import PolicyClient
from robostral.serving.hosted import Hosted
from robostral.serving.keys import KeyStore
from robostral.serving.server import PolicyServer


class Owner:
    """An owner's key and trust folder, and a stranger's key."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.trust = folder, folder / "trust"
        self.key, public = generate("owner", folder / "keys")
        self.stranger, _ = generate("stranger", folder / "keys")
        self.trust.mkdir()
        (self.trust / "owner.pub").write_bytes(public.read_bytes())
        self.known = keyring(self.trust)

    def write(self, version: int, key: Path | None, **changes: object) -> Path:
        path = self.folder / f"tiny-v{version}-{len(list(self.folder.iterdir()))}"
        return tiny_bundle.write(path, key, version=version, **changes)


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


def judge(owner: Owner, running: Path, path: Path) -> None:
    manifest, signature = (path / "manifest.json").read_bytes(), path / "signature"
    found = signature.read_bytes() if signature.exists() else b""
    check_successor(load(running, trusted_keys=owner.trust), manifest, found, owner.known)


def test_signature_never_gets_worse(owner: Owner) -> None:
    signed, unsigned = owner.write(1, owner.key), owner.write(1, None)
    judge(owner, signed, owner.write(2, owner.key))
    judge(owner, unsigned, owner.write(2, owner.key))
    judge(owner, unsigned, owner.write(2, None))
    for key in (None, owner.stranger):
        with pytest.raises(BundleRefused, match="sign"):
            judge(owner, signed, owner.write(2, key))


def test_contract_and_requirements_stay(owner: Owner) -> None:
    running, needs = owner.write(1, owner.key), tiny_bundle.requirements()
    other = Sealed.seal(tiny_bundle.contract(rate=Rate(20.0, 0.02)))
    with pytest.raises(ContractMismatch, match=r"rate\.policy_hz"):
        judge(owner, running, owner.write(2, owner.key, sealed=other))
    with pytest.raises(ContractMismatch, match=r"requirements\.max_latency_s"):
        judge(owner, running, owner.write(2, owner.key, requirements=msgspec.structs.replace(needs, max_latency_s=9.0)))


def test_robot_follows_a_swap_that_it_can_verify_and_no_other(owner: Owner) -> None:
    """The server trusts everything here, as a careless one would; the robot's own keys decide."""
    running, good, bad = owner.write(1, owner.key), owner.write(2, owner.key), owner.write(3, None)
    store = KeyStore(owner.folder / "keyring")
    store.create()
    store.create("admin", "admin")
    bundle = load(running, trusted_keys=owner.trust)
    server = PolicyServer([Hosted.from_bundle(bundle)], "tcp://127.0.0.1:0", store)
    admin = Admin(server.open_admin(f"ipc://{owner.folder}/admin", trust=owner.trust), store.client("admin"), 30.0)
    n, horizon = len(tiny_bundle.JOINTS), tiny_bundle.HORIZON
    mailbox = Mailbox(Sizes(n=n, obs=tiny_bundle.OBS_SIZE, horizon=horizon, external=0))
    client = PolicyClient(server.endpoint, store.client(), bundle.sealed.raw, "cell", bundle="tiny-v1")
    link = Link(client, bundle, mailbox, owner.known)
    obs = records.empty(mailbox.obs.dtype)
    obs["session"], obs["budget_us"] = 1, 5_000_000

    def ask(seq: int) -> bool:
        obs["seq"] = seq
        link.send(obs)
        while not link.receive():
            assert link.socket.poll(5000)
        chunk = mailbox.chunk.take()
        assert chunk is None or int(chunk["bundle"]) == int.from_bytes(bundle.digest[:8], "little")
        return chunk is not None and int(chunk["seq"]) == seq

    def note() -> bytes:
        link_record = mailbox.link.take()
        return b"" if link_record is None else bytes(np.asarray(link_record["note"]).item())

    with server.in_thread():
        link.dial(5.0)
        assert ask(1)
        admin.swap(str(good))
        assert ask(2)
        digest = hashlib.sha256((good / "manifest.json").read_bytes()).hexdigest()
        assert f"tiny-v2 {digest[:16]}".encode() in note()
        link.dial(5.0)
        assert ask(3)
        admin.swap(str(bad))
        assert not ask(4)
        assert b"refused here" in note()
        with pytest.raises(BundleRefused):
            link.dial(5.0)
        admin.rollback()
        link.dial(5.0)
        assert ask(5)
    link.close()
