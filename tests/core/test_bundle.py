"""Bundles: what is written loads again with the same bytes; anything else is refused, and the reason is said."""

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tiny_bundle
from fake_dist import install
from tiny_bundle import contract, model_proto

from robostral import bundle
from robostral.bundle import trust
from robostral.bundle.manifest import Success
from robostral.contract import Sealed
from robostral.errors import BundleRefused, ConfigError, UnknownName

Paths = tuple[Path, Path, Path]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """The user's configuration lies in the test's own folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def key(home) -> Path:
    """A private key whose public half lies in the trust folder `home/trust`."""
    private, public = trust.generate("owner", home / "keys")
    (home / "trust").mkdir()
    shutil.copy(public, home / "trust")
    return private


@pytest.fixture
def folder(home, key) -> Path:
    return tiny_bundle.write(home / "tiny-v1", key)


def load(path: Path, plant: trust.Plant = "real", **options: int) -> bundle.Bundle:
    return bundle.load(path, plant=plant, trusted_keys=path.parent / "trust", **options)


def zipped(folder: Path, prefix: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, prefix + file.name)
    return path


def rewrite(folder: Path, change: dict[str, object], key: Path | None = None) -> None:
    """Change top-level fields of the manifest; sign again with `key`."""
    path = folder / "manifest.json"
    raw = json.dumps(json.loads(path.read_bytes()) | change).encode()
    path.write_bytes(raw)
    if key is not None:
        (folder / "signature").write_bytes(trust.sign_bytes(raw, trust.load_private(key)))


def test_what_is_written_loads_again(folder):
    found, sealed = load(folder), Sealed.seal(contract())
    assert found.sealed == sealed
    assert found.model_bytes == model_proto().SerializeToString()
    assert found.requirements == tiny_bundle.requirements()
    assert found.manifest.label == "tiny-v1"
    assert found.manifest.opset == 17
    assert found.manifest.cost.bytes == len(found.model_bytes)
    assert found.digest == hashlib.sha256((folder / "manifest.json").read_bytes()).digest()
    assert found.signer is not None
    assert (found.signer.name, found.signer.demo) == ("owner", False)
    assert sorted(file.name for file in folder.iterdir()) == ["CARD.md", "manifest.json", "model.onnx", "signature"]


@pytest.mark.parametrize("prefix", ["", "tiny-v1/"])
def test_a_zip_of_it_is_the_same_bundle(folder, prefix):
    found, packed = load(folder), load(zipped(folder, prefix))
    assert (packed.digest, packed.model_bytes, packed.sealed) == (found.digest, found.model_bytes, found.sealed)


def test_writing_again_replaces_it_and_leaves_nothing_behind(folder, key):
    tiny_bundle.write(folder, key, version=2)
    assert load(folder).manifest.version == 2
    assert sorted(path.name for path in folder.parent.iterdir() if "tiny" in path.name) == ["tiny-v1"]


def test_what_could_not_be_loaded_is_never_written(home):
    broken = model_proto(obs_size=7).SerializeToString()
    with pytest.raises(BundleRefused, match=r"input 'obs'"):
        tiny_bundle.write(home / "bad-v1", model=broken)
    with pytest.raises(BundleRefused, match="name"):
        tiny_bundle.write(home / "bad-v1", name="../evil")
    assert not (home / "bad-v1").exists()


def test_writing_never_replaces_other_things(home):
    (home / "thesis").mkdir()
    (home / "thesis" / "chapter.tex").write_text("years")
    with pytest.raises(ConfigError, match=r"holds 'chapter.tex', which is no part of a bundle"):
        tiny_bundle.write(home / "thesis")
    assert (home / "thesis" / "chapter.tex").read_text() == "years"


def test_a_twin_takes_an_unsigned_bundle_and_a_real_driver_does_not(folder):
    (folder / "signature").unlink()
    assert load(folder, plant="twin").signer is None
    with pytest.raises(BundleRefused, match="not signed; a real driver needs"):
        load(folder)
    with pytest.raises(BundleRefused, match="it is not signed"):
        bundle.verify(folder)


def test_a_stranger_s_signature_opens_nothing(folder, home):
    stranger, _ = trust.generate("stranger", home / "keys")
    bundle.sign(folder, stranger)
    for plant in ("twin", "real"):
        with pytest.raises(BundleRefused, match=r"key \w{16}, which is not trusted here \(trusted: .*'owner'"):
            load(folder, plant=plant)


def test_a_signature_of_another_manifest_is_invalid(folder, home, key):
    other = tiny_bundle.write(home / "tiny-v2", key, version=2)
    shutil.copy(other / "signature", folder)
    for plant in ("twin", "real"):
        with pytest.raises(BundleRefused, match="does not fit the manifest"):
            load(folder, plant=plant)


def test_the_demo_key_opens_twins_only(folder, home, monkeypatch):
    store = home / "store"
    private, public = trust.generate("demo", home / "keys")
    bundle.sign(folder, private)
    store.mkdir()
    shutil.copy(public, store / "demo.pub")
    source = f"from pathlib import Path\nROOT = Path({str(store)!r})\n"
    install(monkeypatch, home / "site", "robostral.bundles", {"test": "fake_store:ROOT"}, {"fake_store": source})
    signer = load(folder, plant="twin").signer
    assert signer is not None
    assert signer.demo
    shutil.copy(public, home / "trust")  # trusting it does not help
    with pytest.raises(BundleRefused, match="demo key, which opens twins only"):
        load(folder)


def test_bundles_are_found_by_name(folder, home, monkeypatch):
    source = f"from pathlib import Path\nROOT = Path({str(home)!r})\n"
    entries = {"test": "fake_store:ROOT", "broken": "no_such_module:ROOT"}
    install(monkeypatch, home / "site", "robostral.bundles", entries, {"fake_store": source})
    monkeypatch.chdir("/")
    assert bundle.find("tiny-v1") == folder
    with pytest.raises(UnknownName, match="unknown bundle 'tiny-v2'; did you mean 'tiny-v1'"):
        bundle.find("tiny-v2")
    for path in ("./tiny-v1", "other.zip", home / "nothing"):
        with pytest.raises(BundleRefused, match="no bundle at"):
            bundle.find(path)


def test_a_lower_version_needs_an_explicit_wish(folder):
    assert load(folder, at_least=1).manifest.version == 1
    with pytest.raises(BundleRefused, match="version 1 is lower than 2; ask for the older version explicitly"):
        load(folder, at_least=2)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"format": "robostral.bundle/9"}, "unknown format 'robostral.bundle/9'; this release reads"),
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"name": "../../etc"}, "name"),
        ({"version": 0}, "version"),
        ({"files": {"model.onnx": {"sha256": "0" * 64, "size": 1}}}, "CARD.md"),
        ({"opset": 16}, "operator set 16, the model has 17"),
        ({"contract": "{}"}, "not a contract"),
        ({"contract": "\ud800"}, "manifest.json"),
    ],
)
def test_a_signed_manifest_must_still_make_sense(folder, key, change, fact):
    rewrite(folder, change, key)
    with pytest.raises(BundleRefused, match=fact):
        load(folder)


@pytest.mark.parametrize("rows", [0, 1025, 1 << 40])
def test_a_batch_that_would_take_all_memory_is_refused_though_signed(folder, key, rows):
    requirements = json.loads((folder / "manifest.json").read_bytes())["requirements"]
    rewrite(folder, {"requirements": requirements | {"max_batch": rows}}, key)
    with pytest.raises(BundleRefused, match=rf"max_batch {rows} outside \[1, 1024\]"):
        load(folder)


def test_a_model_that_contradicts_the_contract_is_refused_though_signed(folder, key):
    other = Sealed.seal(msgspec.structs.replace(contract(), obs=contract().obs[:2]))
    rewrite(folder, {"contract": other.raw.decode()}, key)
    with pytest.raises(
        BundleRefused, match=r"input 'obs' is float32 \('rows', 6\), the contract says float32 \(rows, 4\)"
    ):
        load(folder)


@pytest.mark.parametrize("name", ["code.py", "model.onnx.data", ".hidden", "signature.bak"])
def test_an_unlisted_file_is_refused(folder, name):
    (folder / name).write_text("x")
    with pytest.raises(BundleRefused, match=f"holds '{name}', which no bundle may hold"):
        load(folder)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "CARD.md"])
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleRefused, match=f"no file '{name}'"):
        load(folder)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "CARD.md", "signature"])
def test_links_and_special_files_are_refused(folder, home, name):
    shutil.move(folder / name, home / "elsewhere")
    (folder / name).symlink_to(home / "elsewhere")
    with pytest.raises(BundleRefused, match=f"'{name}' is a link"):
        load(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(BundleRefused, match=f"'{name}' is not a regular file"):
        load(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(BundleRefused, match=f"'{name}' is not a regular file"):
        load(folder)


def test_a_file_beyond_its_limit_is_refused(folder):
    with (folder / "CARD.md").open("wb") as file:
        file.truncate(1 << 40)  # sparse: takes no disk, would take all memory
    with pytest.raises(BundleRefused, match=r"'CARD.md' is larger than 1048576 bytes"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("../model.onnx", "not all in one folder"),
        ("/model.onnx", "not all in one folder"),
        ("a/b/model.onnx", "not all in one folder"),
        ("model.onnx", "occurs twice"),
        ("payload.so", "holds 'payload.so'"),
        ("C:\\model.onnx", "which no bundle may hold"),
        ("model.onnx\0.txt", "which no bundle may hold"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_entries_cannot_escape(folder, name, fact):
    path = zipped(folder)
    entry = zipfile.ZipInfo("x")
    entry.filename = name
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, b"x")
    with pytest.raises(BundleRefused, match=fact):
        load(path)


def test_zip_bombs_and_zipped_links_are_refused(folder):
    card = (folder / "CARD.md").read_bytes()
    (folder / "CARD.md").write_bytes(b"\0" * (2 << 20))
    with pytest.raises(BundleRefused, match=r"'CARD.md' is larger"):
        load(zipped(folder))
    (folder / "CARD.md").write_bytes(card)
    path = zipped(folder)
    link = zipfile.ZipInfo("signature")
    link.external_attr = 0o120777 << 16
    (folder / "signature").unlink()
    with zipfile.ZipFile(zipped(folder), "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BundleRefused, match="'signature' in the zip is a link"):
        load(path)


def test_no_bit_of_the_signature_is_free(folder):
    manifest, raw = (folder / "manifest.json").read_bytes(), (folder / "signature").read_bytes()
    known = trust.keyring(folder.parent / "trust")
    for bit in range(8 * len(raw)):
        changed = raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :]
        with pytest.raises(BundleRefused):
            trust.check(manifest, changed, known, "twin")


def test_every_refusal_names_the_bundle(folder):
    (folder / "model.onnx").write_bytes(b"")
    with pytest.raises(BundleRefused, match=f"^bundle '{folder}' refused: file 'model.onnx' is not the one"):
        load(folder)


def test_signing_needs_a_sound_folder(folder, key):
    path = zipped(folder)
    with pytest.raises(BundleRefused, match="sign the folder, then zip it"):
        bundle.sign(path, key)
    (folder / "CARD.md").write_text("changed")
    with pytest.raises(BundleRefused, match=r"'CARD.md' is not the one"):
        bundle.sign(folder, key)


def test_wilson_interval():
    # Agresti and Coull, The American Statistician 52 (1998): 9 of 10.
    found = Success.of(9, 10)
    np.testing.assert_allclose([found.rate, found.low, found.high], [0.9, 0.5958, 0.9821], atol=1e-4)
    assert Success.of(10, 10).high == 1.0
    assert Success.of(0, 10).low == 0.0
