"""Metrics and health: a scraper reads the server's own counts, by status and by reason; a stuck server is ill."""

import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny_bundle
from prometheus_client.parser import text_string_to_metric_families
from serving_rig import ask, craft, dialled, observe, served

from robostral.errors import ConfigError
from robostral.process import Child, ChildFailed
from robostral.serving import metrics as module
from robostral.serving.keys import KeyStore
from robostral.serving.metrics import Metrics
from robostral.serving.server import PolicyServer
from robostral.serving.wire import ClientKeys, Status


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scrape(metrics: Metrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(get(f"{metrics.url}/metrics")[1])
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@contextmanager
def watched(folder: Path) -> Iterator[tuple[PolicyServer, ClientKeys, Metrics]]:
    with Metrics("127.0.0.1:0") as metrics:
        assert get(f"{metrics.url}/healthz")[0] == 503
        with served(folder) as (server, keys):
            server.metrics = metrics
            yield server, keys, metrics


def test_counts_come_out_by_status_and_by_reason(tmp_path: Path) -> None:
    with watched(tmp_path) as (server, keys, metrics), dialled(server, keys) as client:
        for seq in range(1, 6):
            ask(client, observe(), 1, seq)
        ask(client, observe(), 1, 6, budget_us=0)
        for frame in (craft(client, 1, 1), craft(client, 1, 9, token=1), b"junk"):
            client.socket.send(frame)
        ask(client, observe(), 1, 10)
        found: dict[tuple[str, ...], float] = {}
        while found.get(("robostral_requests_total", "ok")) != 6:  # the next snapshot comes within 0.35 s
            found = scrape(metrics)
        assert found["robostral_requests_total", "late"] == 1
        for reason in ("order", "checksum", "size"):
            assert found["robostral_dropped_total", reason] == 1
        assert found["robostral_sessions",] == 1
        assert found["robostral_reply_seconds_count", "arithmetic-v1"] == 7
        assert found["robostral_reply_seconds_bucket", "arithmetic-v1", "+Inf"] == 7
        assert 0 < found["robostral_reply_seconds_sum", "arithmetic-v1"] < 7
        assert get(f"{metrics.url}/healthz") == (200, "serving\n")
        assert get(f"{metrics.url}/etc")[0] == 404


def test_health_says_when_the_loop_stopped_going_round(tmp_path: Path) -> None:
    with watched(tmp_path) as (_, _, metrics):
        while get(f"{metrics.url}/healthz")[0] != 200:
            pass
    collector = module._Collector()
    assert not collector.healthy
    collector.newest, collector.since = module.Snapshot({}, 0, 0, []), time.monotonic()
    assert collector.healthy
    collector.since -= module.STALE_S
    assert not collector.healthy


def test_command_opens_them(tmp_path: Path) -> None:
    tiny_bundle.write(tmp_path / "tiny-v1")
    KeyStore(tmp_path / "keys").create()
    args = ["serve", str(tmp_path / "tiny-v1"), "--keys", str(tmp_path / "keys"), "--bind", "tcp://127.0.0.1:0"]
    with Child("policy server", [*args, "--metrics", "127.0.0.1:0"], tmp_path / "log") as server:
        found = re.search(r"metrics (http://\S+)", (tmp_path / "log").read_text())
        assert server.ready.startswith("tcp://")
        assert found is not None
        while "tiny-v1" not in get(found[1])[1]:
            assert server.alive


def test_scraper_that_is_gone_costs_the_server_nothing(tmp_path: Path) -> None:
    with watched(tmp_path) as (server, keys, metrics), dialled(server, keys) as client:
        metrics._child.kill()
        for _ in range(1000):
            metrics.tell(server.snapshot())
        assert ask(client, observe(), 1, 1).status == Status.OK


@pytest.mark.parametrize("address", ["0.0.0.0:9400", "9400", "127.0.0.1:x", "127.0.0.1:99999", "example.org:1", ""])
def test_address_of_the_whole_world_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="proxy"):
        Metrics(address)


def test_port_in_use_is_one_line() -> None:
    with Metrics("127.0.0.1:0") as metrics, pytest.raises(ChildFailed, match="cannot listen"):
        Metrics(metrics.url.removeprefix("http://"))
