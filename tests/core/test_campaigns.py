"""The campaigns, small: nothing gets through, and a server that lets something through would be found out."""

from importlib import import_module
from pathlib import Path

import msgspec
import pytest
import tiny_bundle
from serving_rig import LAYOUT, SEALED

from robostral.serving.campaigns import flood, frames, handshakes, replay, swaps
from robostral.serving.wire import Request


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bundle.write(tmp_path_factory.mktemp("bundles") / "tiny-v1"))


def test_broken_frames_are_taken_by_no_reader() -> None:
    figures = import_module("robostral.serving.campaigns.frames").attack(LAYOUT, SEALED.raw.decode(), 100_000, seed=1)
    assert figures["taken"] == 0
    assert set(figures["by_kind"]) == {"request", "reply", "late", "hello", "accepted"}
    assert figures["grown_mb"] <= 5.0


def test_a_reader_that_checks_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    attack_module = import_module("robostral.serving.campaigns.frames")
    monkeypatch.setattr(attack_module, "read_request", lambda *_: Request(1, 1, 1, 1, 1, 1, b""))
    assert attack_module.attack(LAYOUT, SEALED.raw.decode(), 100, seed=1)["taken"] >= 19


@pytest.mark.parametrize(
    ("campaign", "size"),
    [(frames, {"n": 3000}), (replay, {"n": 200}), (handshakes, {"n": 100}), (swaps, {"n": 10})],
)
def test_small_campaign_finds_nothing(bundle: str, tmp_path: Path, campaign, size: dict[str, int]) -> None:
    assert campaign(bundle=bundle, json=tmp_path / "evidence.json", **size) == 0
    assert b'"bound_95"' in (tmp_path / "evidence.json").read_bytes()


def test_flood_leaves_the_server_alive_and_flat(bundle: str, tmp_path: Path) -> None:
    """Its figures depend on the machine; that everything is answered and memory stays does not."""
    flood(bundle=bundle, seconds=2.0, json=tmp_path / "evidence.json")
    figures = msgspec.json.decode((tmp_path / "evidence.json").read_bytes())
    assert figures["flooded"]["n"] > 0
    assert figures["grown_mb"] <= 10.0  # a thousand connections
