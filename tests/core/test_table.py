"""What the guard compares with and keeps, against plain numpy: rows, widths, what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from robostral.arm import load_arm
from robostral.arm.chain import KIND, POS
from robostral.errors import ConfigError
from robostral.guard import SINGULAR, Guard, Workspace
from robostral.guard import table as at
from robostral.guard.braking import FAST, HITS, STOPS
from robostral.kinematics.jacobian import jacobian

DT = 0.004


def test_the_table_holds_what_its_rows_say() -> None:
    arm = load_arm("fr3")
    figures, taper = arm.limits.array, arm.limits.taper
    assert taper is not None
    box = Workspace((-0.8, -0.7, -0.1), (0.9, 0.6, 1.2))
    guard = Guard(
        arm.chain, arm.limits, DT, box, capsules=arm.capsules, conditioning=(5.0, 9.0), energy=3.0,
        start_tolerance=0.03, tracking_tolerance=0.4,
    )  # fmt: skip
    table = guard.table[:, :7]
    for row, expected in (
        (at.LOW, figures[0] + 1e-8), (at.HIGH, figures[1] - 1e-8), (at.V, figures[2] * DT), (at.A, figures[3] * DT**2),
        (at.D, figures[4] * DT**3), (at.PER_A, DT**-2 / figures[3]), (at.PER_D, DT**-3 / figures[4]),
        (at.TORQUE, figures[5]), (at.TORQUE_STEP, figures[6] * DT), (at.JUMP, 10.0 * figures[2] * DT),
        (at.TAPER_OFFSET, taper[0] * DT + 0.5 * taper[1] * DT**2), (at.TAPER_PER, 0.5 / (taper[1] * DT**2)),
    ):  # fmt: skip
        assert table[row] == pytest.approx(expected, rel=2e-6)
    for row, most in (
        (at.V, figures[2] * DT),
        (at.A, figures[3] * DT**2),
        (at.TORQUE, figures[5]),
        (at.TORQUE_STEP, figures[6] * DT),
    ):
        assert (table[row] < most).all(), "rounding never brings a command beyond the figure"
    assert guard.table[at.BOX_LOW, :3] == pytest.approx(np.add(box.low, 0.002))
    assert guard.table[at.BOX_HIGH, :3] == pytest.approx(np.subtract(box.high, 0.002))
    speed = arm.limits.tcp_speed * DT
    assert guard.table[at.FIGURE, :9] == pytest.approx(
        [DT, speed, 0.03, 0.4, 5.0, 9.0, 10 * DT, 0.005 * DT, 3.0], rel=2e-6
    )
    assert guard.table[at.FIGURE, at.TCP_STEP] < speed
    assert not guard.table.flags.writeable
    bare = Guard(arm.chain, arm.limits, DT).table
    assert len(bare) == at.CHECKS
    assert (bare[at.BOX_LOW, :3] == -math.inf).all()
    assert (bare[at.BOX_HIGH, :3] == math.inf).all()
    assert bare[at.FIGURE, at.ENERGY] == bare[at.FIGURE, at.CONDITION_STOP] == math.inf


def test_a_figure_at_its_very_bound_is_refused() -> None:
    arm = load_arm("ur5e")
    for axis in range(3):
        high = np.ones(3)
        high[axis] = 2.0 * at.BOX_MARGIN
        with pytest.raises(ConfigError, match="no inside"):
            Workspace((0.0, 0.0, 0.0), tuple(high.tolist()))
        high[axis] *= 1.001
        assert Workspace((0.0, 0.0, 0.0), tuple(high.tolist())).high[axis] == high[axis]
    for factor, which in ((0.0, 0), (0.0, 1), (0.0, 2), (-1.0, 0), (-1.0, 1), (-1.0, 2), (math.nan, 2)):
        figures = [DT, 1.0, 1.0]
        figures[which] *= factor
        with pytest.raises(ConfigError, match="not positive"):
            Guard(arm.chain, replace(arm.limits, tcp_speed=figures[1]), figures[0], energy=figures[2])
    for slow, stop in ((1.0, 5.0), (0.5, 5.0), (5.0, 4.999), (5.0, 0.5)):
        with pytest.raises(ConfigError, match="needs 1 < slow <= stop"):
            Guard(arm.chain, arm.limits, DT, conditioning=(slow, stop))
    assert Guard(arm.chain, arm.limits, DT, conditioning=(5.0, 5.0)).table[at.FIGURE, at.CONDITION_STOP] == 5.0
    assert Guard(arm.chain, arm.limits, DT, conditioning=(1.5, 5.0)).table[at.FIGURE, at.CONDITION_SLOW] == 1.5


@pytest.mark.parametrize("name", ["ur5e", "panda", "wafer_rtz"])
def test_levers_and_swings_bound_the_jacobian(name: str) -> None:
    arm, rng = load_arm(name), np.random.default_rng(1)
    tool = np.eye(4)
    tool[:3, 3] = 0.05, 0.0, 0.2
    chain = arm.chain.with_tcp(tool)
    n, table = chain.n, Guard(chain, arm.limits, DT).table
    low, high = np.maximum(arm.limits.array[0], -3.0), np.minimum(arm.limits.array[1], 3.0)
    for _ in range(60):
        q = rng.uniform(low, high)
        J = jacobian(chain, q)
        columns = np.linalg.norm(J[:3], axis=0)
        assert (columns <= table[at.LEVER, :n] + 1e-12).all()
        for i in range(n):
            h = np.zeros(n)
            h[i] = 1e-5
            assert np.linalg.norm(jacobian(chain, q + h) - J, 2) / 1e-5 <= table[at.SWING, i] + 1e-3
    links = np.linalg.norm(chain.model[:, POS : POS + 3], axis=1)
    slides = chain.model[:n, KIND] != 0.0
    links[:n] += np.where(slides, np.abs(arm.limits.array[:2]).max(axis=0), 0.0)
    lever = table[at.LEVER, :n]
    after = np.array([links[i + 1 : n].sum() + links[n + 1] for i in range(n)])
    assert lever == pytest.approx(np.maximum(after, 1.0) if slides.any() else after)
    swings = [math.sqrt((i + 1) * lever[i] ** 2 + (lever[i + 1 :] ** 2 + 1).sum()) for i in range(n)]
    assert table[at.SWING, :n] == pytest.approx(swings)


@pytest.mark.parametrize("row", [0, 1])
def test_a_joint_that_slides_counts_as_far_as_it_goes_to_either_side(row: int) -> None:
    arm = load_arm("wafer_rtz")
    array = arm.limits.array.copy()
    array[row, 2] = (-3.0, 3.0)[row]
    assert at.levers(arm.chain, replace(arm.limits, array=array))[1] >= 3.0


def test_tables_are_as_wide_as_their_widest_row() -> None:
    """In the state a Jacobian of 6 n, a pose of 16 or a number for each check; in the limits a check."""
    for n, checks, width in ((6, 0, 36), (6, 50, 50), (2, 0, 16), (2, 20, 20)):
        assert at.new_state(n, checks).shape == (at.FRAMES + n, width)
    arm = load_arm("ur5e")
    assert Guard(arm.chain, arm.limits, DT).table.shape == (at.CHECKS, 29 + 6)
    assert Guard(arm.chain, arm.limits, DT, capsules=arm.capsules).table.shape[1] == 29 + 6


def test_the_figures_of_others_are_theirs() -> None:
    """MoveIt Servo's parameters `lower_singularity_threshold` and `hard_stop_singularity_threshold`."""
    assert SINGULAR == (17.0, 30.0)


def test_names_of_different_things_differ() -> None:
    assert len({at.PATH_UNKNOWN, at.PATH_TOGETHER, at.PATH_ALONE}) == 3
    assert len({STOPS, HITS, FAST}) == 3
