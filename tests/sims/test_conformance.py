"""Every task on every engine, and every arm, keeps the laws; an environment that breaks one is told so."""

import json

import pytest
from robostral_sims import conformance
from robostral_sims.catalogue import catalogue
from robostral_sims.check_commands import agree, check
from robostral_sims.engines import engine_names
from robostral_sims.env import CellEnv

CHOSEN = conformance.pairwise()
NAMES = [f"{entry.cell}-{engine}" for entry, engine in CHOSEN]


@pytest.mark.parametrize(("entry", "engine"), CHOSEN, ids=NAMES)
def test_an_environment_keeps_the_laws(entry, engine):
    options = conformance.options_of(entry, engine)
    conformance.keeps_gymnasiums_rules(options)
    conformance.keeps_sb3s_rules(options)
    conformance.survives_random_steps(options, 200)
    conformance.closes_twice(options)
    conformance.repeats_its_bits(options)
    conformance.shares_nothing(options)


def test_another_process_sees_the_same_bits():
    conformance.agrees_with_another_process(*(conformance.options_of(*pair) for pair in CHOSEN))


def test_the_few_hold_every_task_on_every_engine_and_every_arm():
    assert {(entry.task, engine) for entry, engine in CHOSEN} == {
        (entry.task, engine) for entry in catalogue() for engine in engine_names()
    }
    assert {entry.arm for entry, _ in CHOSEN} == {entry.arm for entry in catalogue()}
    assert len(CHOSEN) < len(conformance.pairs()) == len(catalogue()) * len(engine_names())


def test_what_breaks_a_law_is_named(monkeypatch, tmp_path, capsys):
    honest = CellEnv.reset

    def forgetful(self, **kwargs):
        obs, info = honest(self, **kwargs)
        self.seen = getattr(self, "seen", 0) + 1
        return obs + 1e-6 * self.seen, info

    monkeypatch.setattr(CellEnv, "reset", forgetful)
    monkeypatch.setattr(conformance, "LAWS", (conformance.repeats_its_bits, conformance.closes_twice))
    file = tmp_path / "laws.json"
    assert check("ur5e-reach", engine="mujoco", json=file) == 1
    assert "other bits after resets before anything has moved" in capsys.readouterr().out
    assert [bool(row["fault"]) for row in json.loads(file.read_text())["outcomes"]] == [True, True]


def test_engines_are_held_against_each_other(tmp_path, capsys):
    file = tmp_path / "engines.json"
    assert agree("panda-reach", n=2, json=file) == 0
    assert "panda-reach                0.0 points apart, 2 allowed" in capsys.readouterr().out
    rows = json.loads(file.read_text())["scores"]
    assert [row["engine"] for row in rows] == engine_names()
    assert all(row["success"]["successes"] == 2 for row in rows)
