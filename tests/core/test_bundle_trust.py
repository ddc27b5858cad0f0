"""Keys: private ones stay private, and only the owner decides which public ones count."""

import stat

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from robostral.bundle import trust
from robostral.errors import BundleRefused, ConfigError


def test_a_key_pair_signs_and_verifies(tmp_path):
    private, public = trust.generate("owner", tmp_path)
    key = trust.load_private(private)
    assert key.public_key().public_bytes_raw() == trust.load_public(public)
    signature = trust.sign_bytes(b"manifest", key)
    signer = trust.check(b"manifest", signature, trust.keyring(tmp_path), "real")
    assert signer is not None
    assert (signer.name, signer.key, signer.demo) == ("owner", trust.load_public(public), False)
    assert trust.fingerprint(signer.key) in str(signer)
    with pytest.raises(BundleRefused, match="does not fit"):
        trust.check(b"Manifest", signature, trust.keyring(tmp_path), "twin")


def test_only_the_owner_can_read_a_private_key(tmp_path):
    private, _ = trust.generate("owner", tmp_path)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    private.chmod(0o640)
    with pytest.raises(ConfigError, match=r"others may read the private key .*: chmod 600"):
        trust.load_private(private)


def test_keys_are_never_overwritten(tmp_path):
    private, _ = trust.generate("owner", tmp_path)
    raw = private.read_bytes()
    with pytest.raises(ConfigError, match="already there; keys are never overwritten"):
        trust.generate("owner", tmp_path)
    assert private.read_bytes() == raw
    private.unlink()
    with pytest.raises(ConfigError, match=r"owner.pub' is already there"):
        trust.generate("owner", tmp_path)
    assert not private.exists()


@pytest.mark.parametrize("name", ["", "../evil", ".hidden", "a b", "-flag"])
def test_a_key_name_is_a_plain_name(tmp_path, name):
    with pytest.raises(ConfigError, match="is not a plain name"):
        trust.generate(name, tmp_path)


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write a key into"):
        trust.generate("owner", tmp_path / "file")


@pytest.mark.parametrize("raw", [b"", b"junk", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_refused_by_name(tmp_path, raw):
    path = tmp_path / "broken.pub"
    path.write_bytes(raw)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"broken.pub' is not an Ed25519 public key"):
        trust.keyring(tmp_path)
    with pytest.raises(ConfigError, match="is not an Ed25519 private key"):
        trust.load_private(path)
    with pytest.raises(ConfigError, match="cannot read the key"):
        trust.load_private(tmp_path / "absent.key")


def test_keys_of_another_kind_are_refused(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    public, private = tmp_path / "p256.pub", tmp_path / "p256.key"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private.chmod(0o600)
    with pytest.raises(ConfigError, match="not an Ed25519 public key"):
        trust.load_public(public)
    with pytest.raises(ConfigError, match="not an Ed25519 private key"):
        trust.load_private(private)


def test_the_default_folder_is_the_user_s_and_need_not_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert trust.default_folder() == tmp_path / "robostral" / "trust"
    assert not [signer for signer in trust.keyring().values() if not signer.demo]
    _, public = trust.generate("owner", trust.default_folder())
    assert trust.load_public(public) in trust.keyring()
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(trust.default_folder()) == "/somewhere/.config/robostral/trust"


def test_a_named_folder_must_exist(tmp_path):
    with pytest.raises(ConfigError, match="no folder of trusted keys"):
        trust.keyring(tmp_path / "absent")


def test_keys_that_anyone_may_replace_prove_nothing(tmp_path):
    _, public = trust.generate("owner", tmp_path / "trust")
    for path in (public, public.parent):
        mode = path.stat().st_mode
        path.chmod(mode | stat.S_IWOTH)
        with pytest.raises(ConfigError, match="anyone may write to"):
            trust.keyring(public.parent)
        path.chmod(mode)
    assert trust.keyring(public.parent)


@pytest.mark.parametrize("line", [b"", b"\n", b"rsa 00 00\n", b"ed25519 " + b"0" * 64 + b" " + b"0" * 127 + b"\n"])
def test_a_signature_has_one_form(line):
    with pytest.raises(BundleRefused, match="is not one line"):
        trust.check(b"", line, {}, "twin")
    zero = b"ed25519 " + b"0" * 64 + b" " + b"0" * 128 + b"\n"
    with pytest.raises(BundleRefused, match="does not fit"):
        trust.check(b"", zero, {}, "twin")
