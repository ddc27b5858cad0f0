"""Laws of the whole arm's stop, tick by tick against plain numpy; walls and speeds that it must not miss on the way."""

import math

import numpy as np
import pytest
from hostile import ARM, limits_of
from numpy.typing import NDArray

from robostral.guard import Guard, Reason, Workspace
from robostral.guard import table as at
from robostral.guard.braking import FAST, HITS, STOPS, fastest, room_of, simulate_stop, stop_tick
from robostral.guard.braking import distance as apart
from robostral.guard.clearance import survey
from robostral.guard.kernels import stop_path
from robostral.guard.stop import landing, peak_bound, stop_bound
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.jacobian import jacobian

FloatArray = NDArray[np.float64]
HOME, N, DT = ARM.home, 6, 0.002


def guard_of(
    workspace: Workspace | None = None, tcp_speed: float = 1e3, jerk: float = 1.0, home: FloatArray = HOME
) -> Guard:
    figures = ARM.limits.array.copy()
    figures[4] *= jerk
    guard = Guard(ARM.chain, limits_of(figures, tcp_speed), DT, workspace)
    assert guard.reset(home) == Reason.PASSED
    return guard


def put(guard: Guard, w: FloatArray, b: FloatArray) -> None:
    """Make a candidate that goes on from the last command with velocity w and acceleration b, both per tick."""
    state, model = guard.state, ARM.chain.model
    state[at.NEXT_Q, :N], state[at.NEXT_W, :N], state[at.NEXT_B, :N] = state[at.Q, :N] + w, w, b
    for row, pose in ((at.Q, at.TCP), (at.NEXT_Q, at.TCP_NEXT)):
        tcp_kernel(model, state[row, :N].copy(), state[pose, :16].reshape((4, 4)))
    survey(model, guard.table, state)


def next_together(w: FloatArray, b: FloatArray, A: FloatArray, D: FloatArray) -> FloatArray:
    """Accelerations of the next tick of a stop on the straight path."""
    in_a, in_d = np.abs(w / A).max(), np.abs(w / D).max()
    if in_a == 0.0:
        beta = 0.0
    else:
        now = float((w / A) @ (b / A)) / float((w / A) @ (w / A))
        beta = max(min(now, 0.0) - 1.0 / in_d, -1.0 / in_a, -landing(1.0, 1.0 / in_d))
    return np.clip(np.clip(beta * w, -A, A), b - D, b + D)


def next_alone(w: FloatArray, b: FloatArray, A: FloatArray, D: FloatArray) -> FloatArray:
    most = [min(landing(abs(w[i]), D[i]), A[i]) for i in range(N)]
    return np.clip(np.where(w > 0.0, -1.0, 1.0) * most, b - D, b + D)


@pytest.mark.parametrize("path", [at.PATH_TOGETHER, at.PATH_ALONE])
@pytest.mark.parametrize("seed", range(6))
def test_each_tick_of_a_stop_is_the_law(seed: int, path: float) -> None:
    rng, guard = np.random.default_rng(seed), guard_of(jerk=(1.0, 0.1, 0.02)[seed % 3])
    A, D, V = (guard.table[row, :N] for row in (at.A, at.D, at.V))
    state = guard.state
    w, b = rng.uniform(-1, 1, N) * V, rng.uniform(-1, 1, N) * A
    w[0], b[1], w[2], b[2] = 0.0, 0.0, 0.0, 0.0  # one that only accelerates, one that only moves, one at rest
    b[0] *= (-1.0) ** seed
    state[at.Q, :N], state[at.W, :N], state[at.B, :N] = HOME, w, b
    q = HOME.copy()
    for ticks in range(3000):  # noqa: B007
        law = next_together if path == at.PATH_TOGETHER else next_alone
        x = np.where((w == 0.0) & (b == 0.0), 0.0, law(w, b, A, D))
        q_next = q + (w + x)
        at_rest = stop_tick(guard.table, state, N, at.Q, path)
        assert state[at.Q, :N] == pytest.approx(q_next, abs=1e-12)
        assert at_rest == (not x.any() and not w.any())
        q, w, b = (state[row, :N].copy() for row in (at.Q, at.W, at.B))
        if at_rest:
            break
    assert at_rest
    assert not w.any()
    assert ticks > 10


@pytest.mark.parametrize("jerk", [1.0, 0.05, 0.001])
@pytest.mark.parametrize("path", [at.PATH_TOGETHER, at.PATH_ALONE])
def test_a_stop_ends_however_slowly_its_acceleration_may_change(jerk: float, path: float) -> None:
    guard = guard_of(jerk=jerk)
    D, V = guard.table[at.D, :N], guard.table[at.V, :N]
    put(guard, 0.2 * V * np.array([1, -1, 1, 0, 1, -1]), np.minimum(guard.table[at.A, :N], np.sqrt(0.1 * V * D)))
    assert simulate_stop(ARM.chain.model, guard.table, guard.state, at.NEXT_Q, path, 0.0) == STOPS
    assert not guard.state[at.SIM_W, :N].any()


def stretched() -> FloatArray:
    """Return a pose far from the first axis, whose turn moves the tcp on a wide circle."""
    q = HOME.copy()
    q[1:4] = -0.4, 0.3, 0.0
    return q


def on_circle(angle: float) -> tuple[FloatArray, float]:
    """Return the pose whose tcp is `angle` [rad] before the circle's greatest x, and the circle's radius [m]."""
    q, T = stretched(), np.zeros((4, 4))
    tcp_kernel(ARM.chain.model, q, T)
    q[0] += -math.atan2(T[1, 3], T[0, 3]) - angle
    return q, math.hypot(T[0, 3], T[1, 3])


@pytest.mark.parametrize("path", [at.PATH_TOGETHER, at.PATH_ALONE])
@pytest.mark.parametrize(("beyond", "expected"), [(0.0035, HITS), (0.0, HITS), (-0.003, STOPS)])
def test_a_stop_that_only_passes_outside_a_wall_hits_it(path: float, beyond: float, expected: int) -> None:
    """It begins inside and ends inside; `beyond` is how far the wall's inner edge is exceeded in between [m]."""
    q, radius = on_circle(0.12)
    guard = guard_of(Workspace((-9.0, -9.0, -9.0), (radius - beyond + 0.002, 9.0, 9.0)), home=q)
    A = guard.table[at.A, 0]
    w = np.zeros(N)
    w[0] = math.sqrt(2.0 * A * 0.24)  # as long a way again on the other side
    put(guard, w, np.zeros(N))
    code = simulate_stop(ARM.chain.model, guard.table, guard.state, at.NEXT_Q, path, 0.0)
    assert abs(guard.state[at.SIM_Q, 0] - q[0] - 0.24) < 0.02 or code == HITS
    assert code == expected or (beyond == 0.0 and code == STOPS)
    assert code == STOPS or guard.state[at.META, at.CAUSE] == Reason.WORKSPACE


@pytest.mark.parametrize(
    ("share", "expected", "path"),
    [(0.9, FAST, at.PATH_ALONE), (1.1, STOPS, at.PATH_TOGETHER), (4.0, STOPS, at.PATH_UNKNOWN)],
)
def test_a_tcp_that_grows_too_fast_in_its_stop_is_found(share: float, expected: int, path: float) -> None:
    """The joint still accelerates: it is fastest a while after the stop has begun."""
    q, radius = on_circle(0.0)
    slow = guard_of(jerk=0.01, home=q)
    A, D = slow.table[at.A, 0], slow.table[at.D, 0]
    w, b = np.zeros(N), np.zeros(N)
    w[0], b[0] = 4.0 * A, 0.8 * A
    peak, x = w[0], b[0]
    while (x := x - D) > 0.0:
        peak += x
    guard = guard_of(jerk=0.01, tcp_speed=share * peak * radius / DT, home=q)
    put(guard, w, b)
    assert apart(guard.state[at.TCP], guard.state[at.TCP_NEXT]) < guard.table[at.FIGURE, at.TCP_STEP]
    for each in (at.PATH_TOGETHER, at.PATH_ALONE):
        assert simulate_stop(ARM.chain.model, guard.table, guard.state, at.NEXT_Q, each, w[0] * radius) == expected
        assert expected == STOPS or guard.state[at.META, at.CAUSE] == Reason.TCP_SPEED
    assert stop_path(ARM.chain.model, guard.table, guard.state, 0) == (expected, path)


def test_what_one_look_proves_is_not_simulated() -> None:
    q, radius = on_circle(0.0)
    w = np.zeros(N)
    w[0] = 10.0 * guard_of().table[at.A, 0]
    guard = guard_of(tcp_speed=1.2 * radius * w[0] / DT, home=q)
    assert guard.table[at.LEVER, 0] > 1.3 * radius, "the lever alone does not prove it"
    put(guard, w, np.zeros(N))
    assert stop_path(ARM.chain.model, guard.table, guard.state, 0) == (STOPS, at.PATH_UNKNOWN)


@pytest.mark.parametrize("seed", range(5))
def test_one_look_bounds_the_tcp_speed_of_joints_that_stop_alone(seed: int) -> None:
    rng, guard = np.random.default_rng(seed), guard_of()
    A, D = guard.table[at.A, :N], guard.table[at.D, :N]
    w, b = rng.uniform(-1, 1, N) * guard.table[at.V, :N], rng.uniform(-1, 1, N) * A
    put(guard, w, b)
    J = jacobian(ARM.chain, guard.state[at.NEXT_Q, :N].copy())[:3]
    peaks = np.array([peak_bound(w[i], b[i], D[i]) for i in range(N)])
    along, more = J * w, np.abs(J) * (peaks - np.abs(w))
    low, high = (np.minimum(along, 0.0) - more).sum(axis=1), (np.maximum(along, 0.0) + more).sum(axis=1)
    turn = sum(stop_bound(w[i], b[i], A[i], D[i]) for i in range(N))
    expected = np.linalg.norm(np.maximum(-low, high)) + turn * float(guard.table[at.LEVER, :N] @ peaks)
    assert fastest(ARM.chain.model, guard.table, guard.state) == pytest.approx(expected, rel=1e-9)


def test_room_is_the_distance_to_the_nearest_wall() -> None:
    table, T = guard_of(Workspace((-1.0, -2.0, -3.0), (2.0, 3.0, 4.0))).table, np.eye(4)
    for p in ((0.0, 0.0, 0.0), (1.9, 0.0, 0.0), (0.0, 2.8, 0.0), (0.0, 0.0, -2.99), (0.0, -1.9, 3.0), (2.5, 0.0, 0.0)):
        T[:3, 3] = p
        room = min(*(np.array(p) - table[at.BOX_LOW, :3]), *(table[at.BOX_HIGH, :3] - np.array(p)))
        assert room_of(table, T.ravel()) == room
        assert apart(np.eye(4).ravel(), T.ravel()) == pytest.approx(math.hypot(*p))
