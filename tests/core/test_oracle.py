"""The oracle sees what it should see: every planted violation, and nothing in a clean log."""

import numpy as np
import pytest
from numpy.typing import NDArray

from robostral.oracle import count_violations

DT = 0.002
LIMITS = np.array([[-1.0, -2.0], [1.0, 2.0], [1.0, 1.0], [10.0, 10.0], [5000.0, 5000.0]])


def smooth(T: int = 2000) -> NDArray[np.float64]:
    t = DT * np.arange(T)[:, None]
    return np.array([0.4, -0.8]) * (1.0 - np.cos(1.1 * t))


def counts(log: NDArray[np.float64], starts: tuple[int, ...] = (0,)) -> dict[str, int]:
    return {name: finding["violations"] for name, finding in count_violations(log, DT, LIMITS, starts).items()}


def test_a_clean_log_is_clean() -> None:
    found = count_violations(smooth(), DT, LIMITS)
    assert {name: finding["violations"] for name, finding in found.items()} == {"q": 0, "dq": 0, "ddq": 0, "dddq": 0}
    assert found["q"]["max_ratio"] == pytest.approx(0.8, abs=1e-4)
    assert found["dq"]["max_ratio"] == pytest.approx(0.88, abs=1e-4)


def test_positions_are_judged_by_their_range() -> None:
    beyond = smooth()
    beyond[:, 0] *= 1.3
    assert counts(beyond)["q"] == (np.abs(beyond[:, 0]) > 1.0).sum() > 0
    assert counts(beyond)["ddq"] == 0


@pytest.mark.parametrize(("row", "name"), [(2, "dq"), (3, "ddq"), (4, "dddq")])
def test_a_limit_is_exact_to_a_billionth(row: int, name: str) -> None:
    log = np.cumsum(np.cumsum(np.cumsum(np.r_[np.zeros(5), 1.0, np.zeros(20)])))[:, None] * [1e-6, 0.0]
    value = np.abs(np.diff(np.r_[np.zeros((3, 2)), log], n=row - 1, axis=0)).max() / DT ** (row - 1)
    for factor, expected in ((1.0 + 1e-10, False), (1.0 - 1e-6, True)):
        limits = np.array([[-1e3] * 2, [1e3] * 2, [1e9] * 2, [1e9] * 2, [1e9] * 2])
        limits[row] = value * factor
        found = count_violations(log, DT, limits)
        assert (found[name]["violations"] > 0) is expected
        assert sum(finding["violations"] for finding in found.values()) == found[name]["violations"]


def test_a_log_begins_at_rest() -> None:
    moving = smooth()[300:]
    assert counts(moving)["dddq"] > 0


def test_a_jump_between_segments_counts_only_without_a_start() -> None:
    two = np.concatenate([np.zeros((10, 2)), np.full((10, 2), 0.5)])
    assert counts(two)["dq"] == 2
    assert counts(two, (0, 10)) == {"q": 0, "dq": 0, "ddq": 0, "dddq": 0}


def test_a_segment_must_end_at_rest_before_the_next() -> None:
    first = smooth()[:600]
    assert counts(first) == {"q": 0, "dq": 0, "ddq": 0, "dddq": 0}
    assert counts(np.concatenate([first, np.zeros((10, 2))]), (0, 600))["ddq"] > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_a_violation(bad: float) -> None:
    log = smooth()
    log[100, 1] = bad
    assert all(n > 0 for n in counts(log).values())


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        count_violations(np.zeros((5, 3)), DT, LIMITS)
    for starts in ((1,), (0, 5), (0, 3, 2), ()):
        with pytest.raises(ValueError, match="starts"):
            count_violations(np.zeros((5, 2)), DT, LIMITS, starts)


def test_nothing_is_judged_across_a_gap_and_everything_beside_it_is() -> None:
    limits = np.array([[-9.0], [9.0], [1.0], [10.0], [1e6]])
    ramp = np.concatenate([[0.0], np.cumsum(np.minimum(np.arange(1, 201) * 0.01, 0.5) * 0.001)])[:, None]
    holed = np.concatenate([ramp[:100], ramp[150:]])
    assert count_violations(holed, 0.001, limits)["dq"]["violations"] > 0
    for finding in count_violations(holed, 0.001, limits, gaps=[100]).values():
        assert finding["violations"] == 0
    holed[102] += 0.01
    assert count_violations(holed, 0.001, limits, gaps=[100])["dq"]["violations"] == 2
