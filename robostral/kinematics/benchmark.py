"""The figures of the kinematics: time of every kernel and face, ratios to the peers in the same run, and accuracy."""

import os
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np

from robostral.arm import Arm, arm_names, load_arm
from robostral.arm.chain import FloatArray
from robostral.arm.limits import Q_MAX, Q_MIN
from robostral.kinematics import aba, condition, crba, distance, fk, gravity, jacobian, regressor, rnea, workspace
from robostral.kinematics.codes import OK
from robostral.kinematics.lm import ik_workspace, lm_kernel
from robostral.kinematics.peers import Bullet, Pinocchio, Toolbox, find
from robostral.kinematics.se3 import quat_from_matrix_kernel, rotvec_kernel
from robostral.kinematics.ur import is_ur, ur_ik_kernel

ARMS = ("panda", "ur5e")
ROUNDS = 21
BATCH = 10_000
CLOCK = time.process_time
"""Time of this process alone, so that other work on the machine does not count."""
Report = dict[str, Any]


def run(poses: int, states: int) -> Report:
    """Measure everything; `poses` for inverse kinematics, `states` for accuracy."""
    report: Report = {"peers": versions(), "arms": {}}
    for name in ARMS:
        arm = load_arm(name)
        report["arms"][name] = measure_kernels(arm) | {"ik": measure_ik(arm, poses), "distance": measure_distance(arm)}
    report["accuracy"] = {name: measure_accuracy(load_arm(name), states) for name in arm_names()}
    report["compile"] = measure_compilation(ARMS[0])
    return report | worst_of(report["arms"])


def versions() -> dict[str, str]:
    """Return the version of each peer, or `absent`."""
    found = {}
    for label, module in (("pinocchio", "pinocchio"), ("roboticstoolbox", "roboticstoolbox"), ("pybullet", "pybullet")):
        peer = find(module)
        found[label] = "absent" if peer is None else str(getattr(peer, "__version__", "installed"))
    return found


def worst_of(arms: dict[str, Report]) -> Report:
    """Collect, for every figure that has a bar, the worse one of the arms."""
    worst: Report = {}
    for key in ("fk_jacobian", "rnea", "crba", "aba", "ik", "distance"):
        rows = [arm[key] for arm in arms.values()]
        names = [name for name in rows[0] if all(isinstance(row.get(name), (int, float)) for row in rows)]
        better_high = ("ratio", "success", "n")
        worst[key] = {
            name: (min if any(word in name for word in better_high) else max)(row[name] for row in rows)
            for name in names
        }
    return worst


def _time_us(statement: str | Callable[[], object], names: dict[str, Any] | None, number: int) -> float:
    return timeit.timeit(statement, number=number, globals=names, timer=CLOCK) / number * 1e6


def random_states(arm: Arm, count: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw positions inside the limits, velocities in +-1 rad/s and accelerations (or torques) in +-5."""
    rng = np.random.default_rng(seed)
    q = rng.uniform(arm.limits.array[Q_MIN], arm.limits.array[Q_MAX], (count, arm.chain.n))
    return q, rng.uniform(-1, 1, q.shape), rng.uniform(-5, 5, q.shape)


def measure_kernels(arm: Arm) -> Report:
    """Time kernels per call, faces per call and batches per configuration, in rounds that alternate with Pinocchio."""
    chain, n = arm.chain, arm.chain.n
    model, work = chain.model, workspace(chain)
    Q, DQ, X = random_states(arm, BATCH, 0)
    outputs: dict[str, tuple[int, ...]] = {
        "T": (4, 4), "F": (n + 2, 4, 4), "J": (6, n), "tau": (n,), "M": (n, n), "ddq": (n,), "Y": (n, 10 * n),
        "s": (8,),
    }  # fmt: skip
    batch: dict[str, Any] = {name: np.zeros((BATCH, *shape)) for name, shape in outputs.items()}
    one: dict[str, Any] = {name: array[0].copy() for name, array in batch.items()}
    shared = {"m": model, "w": work, "K": np.zeros((6, n)), "chain": chain}
    batch |= {"q": Q, "dq": DQ, "x": X}
    one |= {"q": Q[0].copy(), "dq": DQ[0].copy(), "x": X[0].copy()}
    suite: dict[str, tuple[Any, Any, str, Any, str]] = {
        "fk": (fk.tcp_kernel, fk.tcp_batch_kernel, "m, q, T", fk.tcp, "chain, q"),
        "frames": (fk.frames_kernel, fk.frames_batch_kernel, "m, q, F", fk.frames, "chain, q"),
        "jacobian": (
            jacobian.jacobian_kernel, jacobian.jacobian_batch_kernel, "m, q, J", jacobian.jacobian, "chain, q",
        ),
        "fk_jacobian": (jacobian.fk_jacobian_kernel, jacobian.fk_jacobian_batch_kernel, "m, q, T, J", None, ""),
        "rnea": (rnea.rnea_kernel, rnea.rnea_batch_kernel, "m, q, dq, x, w, tau", rnea.rnea, "chain, q, dq, x"),
        "gravity": (gravity.gravity_kernel, gravity.gravity_batch_kernel, "m, q, w, tau", gravity.gravity, "chain, q"),
        "crba": (crba.crba_kernel, crba.crba_batch_kernel, "m, q, w, M", crba.crba, "chain, q"),
        "aba": (aba.aba_kernel, aba.aba_batch_kernel, "m, q, dq, x, w, ddq", aba.aba, "chain, q, dq, x"),
        "regressor": (
            regressor.regressor_kernel, regressor.regressor_batch_kernel, "m, q, dq, x, w, Y",
            regressor.regressor, "chain, q, dq, x",
        ),
        "condition": (
            condition.condition_kernel, condition.condition_batch_kernel, "m, q, K, s", condition.condition, "chain, q",
        ),
    }  # fmt: skip
    pin = find("pinocchio")
    peer = Pinocchio(pin, arm) if pin else None
    return {key: _measure_one(entry, shared, one, batch, peer, key) for key, entry in suite.items()}


def _measure_one(
    entry: tuple[Any, Any, str, Any, str],
    shared: dict[str, Any],
    one: dict[str, Any],
    batch: dict[str, Any],
    peer: Pinocchio | None,
    key: str,
) -> Report:
    kernel, batch_kernel, arguments, face, face_arguments = entry
    statements: dict[str, tuple[str, dict[str, Any], int, int]] = {
        "call_us": (f"f({arguments})", shared | one | {"f": kernel}, 2000, 1),
        "batch_us": (f"f({arguments})", shared | batch | {"f": batch_kernel}, 1, BATCH),
    }
    if face is not None:
        statements["face_us"] = (f"f({face_arguments})", shared | one | {"f": face}, 500, 1)
    if peer is not None:
        states = (one["q"], one["dq"], one["x"])
        theirs = peer.statements(*states).get(key)
        if theirs is not None:
            statements["pinocchio_us"] = (theirs, peer.names(*states), 2000, 1)
    for text, names, _, _ in statements.values():
        timeit.timeit(text, number=2, globals=names)
    times: dict[str, list[float]] = {label: [] for label in statements}
    for _ in range(ROUNDS):
        for label, (text, names, number, share) in statements.items():
            times[label].append(_time_us(text, names, number) / share)
    report: Report = {label: float(np.median(values)) for label, values in times.items()}
    if "pinocchio_us" in report:
        report["batch_ratio_vs_pinocchio"] = report["pinocchio_us"] / report["batch_us"]
        report["call_ratio_vs_pinocchio"] = report["pinocchio_us"] / report["call_us"]
    return report


def measure_ik(arm: Arm, poses: int) -> Report:
    """Solve random reachable poses from home; count a solution only where forward kinematics confirms it."""
    chain, limits, home = arm.chain, arm.limits.array, arm.home
    Q, _, _ = random_states(arm, poses, 1)
    T, q, work = fk.tcp(chain, Q), np.zeros(chain.n), ik_workspace(chain)
    closed = is_ur(chain)
    R, branches = np.zeros((3, 3)), np.zeros((8, 6))

    def solve(pose: FloatArray) -> int:
        if closed:
            return ur_ik_kernel(chain.model, limits, pose, home, R, branches, q)
        return lm_kernel(chain.model, limits, pose, home, 200, 0, work, q)

    solve(T[0])
    times, solved = [], 0
    for pose in T:
        start = CLOCK()
        code = solve(pose)
        times.append(CLOCK() - start)
        solved += code == OK and _confirmed(arm, pose, q)
    report: Report = {
        "n": poses,
        "success": solved / poses,
        "method": "closed form" if closed else "damped least squares",
    }
    report |= {"median_us": float(np.median(times)) * 1e6, "p99_us": float(np.quantile(times, 0.99)) * 1e6}
    report["max_us"] = max(times) * 1e6
    return report | _peers_ik(arm, T[: min(poses, 1000)], report["median_us"])


def _confirmed(arm: Arm, pose: FloatArray, q: FloatArray) -> bool:
    inside = bool(((arm.limits.array[Q_MIN] <= q) & (q <= arm.limits.array[Q_MAX])).all())
    T, rotvec = fk.tcp(arm.chain, q), np.empty(3)
    rotvec_kernel(np.ascontiguousarray(pose[:3, :3] @ T[:3, :3].T), rotvec)
    return inside and bool(np.linalg.norm(T[:3, 3] - pose[:3, 3]) <= 1e-6 and np.linalg.norm(rotvec) <= 1e-6)


def _peers_ik(arm: Arm, T: FloatArray, ours_us: float) -> Report:
    report: Report = {}
    rtb, pybullet = find("roboticstoolbox"), find("pybullet")
    if rtb is not None:
        toolbox = Toolbox(rtb, arm)
        report |= _time_peer("rtb", arm, T, lambda pose: toolbox.solve(pose, arm.home)[0])
        report["median_ratio_vs_rtb"] = report["rtb_median_us"] / ours_us
    if pybullet is not None:
        bullet, quat = Bullet(pybullet, arm), np.empty(4)

        def solve(pose: FloatArray) -> FloatArray:
            quat_from_matrix_kernel(pose[:3, :3].copy(), quat)
            return bullet.solve(pose, quat, arm.home)

        report |= _time_peer("pybullet", arm, T, solve)
    return report


def _time_peer(label: str, arm: Arm, T: FloatArray, solve: Callable[[FloatArray], FloatArray]) -> Report:
    times, solved = [], 0
    for pose in T:
        start = CLOCK()
        q = solve(pose)
        times.append(CLOCK() - start)
        solved += _confirmed(arm, pose, np.ascontiguousarray(q, dtype=np.float64))
    median, p99 = np.quantile(times, [0.5, 0.99]) * 1e6
    return {
        f"{label}_n": len(T),
        f"{label}_success": solved / len(T),
        f"{label}_median_us": float(median),
        f"{label}_p99_us": float(p99),
    }


def measure_distance(arm: Arm) -> Report:
    """Time all self pairs and 10 shapes: a plane, 2 spheres, 3 capsules, 4 boxes."""
    T = np.eye(4)
    shapes = [distance.plane((0, 0, 1), -0.1)]
    shapes += [distance.sphere((0.6, y, 0.4), 0.1) for y in (-0.5, 0.5)]
    shapes += [distance.capsule((x, 0.6, 0.0), (x, 0.6, 1.0), 0.05) for x in (-0.4, 0.0, 0.4)]
    for x, y in ((0.7, 0.2), (0.7, -0.2), (-0.7, 0.2), (-0.7, -0.2)):
        T[:2, 3] = x, y
        shapes.append(distance.box(T, (0.2, 0.2, 0.4)))
    distances = distance.Distances(arm, shapes)
    Q, _, _ = random_states(arm, 200, 2)
    fixed = (arm.chain.model, distances.links, distances.capsules, distances.checks, distances.shapes)
    out = (distances.T, distances.ends, distances.results)
    distances.compute(Q[0])
    rounds = [
        _time_us(lambda: [distance.distance_kernel(*fixed, q, *out) for q in Q], None, 1) / len(Q)
        for _ in range(ROUNDS)
    ]
    return {"us": float(np.median(rounds)), "checks": len(distances.checks), "shapes": len(shapes)}


def measure_accuracy(arm: Arm, states: int) -> Report:
    """Compare with Pinocchio: absolute for poses [m] and Jacobians, relative to the largest element for dynamics."""
    pin = find("pinocchio")
    if pin is None:
        return {"states": 0}
    chain, worst = arm.chain, dict.fromkeys(("fk", "jacobian", "rnea", "crba", "aba"), 0.0)
    peer = Pinocchio(pin, arm)
    for start in range(0, states, BATCH):
        q, dq, x = random_states(arm, min(BATCH, states - start), 100 + start)
        J = np.empty((len(q), 6, chain.n))
        jacobian.jacobian_batch_kernel(chain.model, q, J)
        ours = {"fk": fk.tcp(chain, q), "jacobian": J, "rnea": rnea.rnea(chain, q, dq, x), "crba": crba.crba(chain, q)}
        ours["aba"] = aba.aba(chain, q, dq, x)
        for key, reference in peer.reference(q, dq, x).items():
            axes = tuple(range(1, reference.ndim))
            error = np.abs(ours[key] - reference).max(axis=axes)
            if key not in ("fk", "jacobian"):
                error /= np.abs(reference).max(axis=axes)
            worst[key] = max(worst[key], float(error.max()))
    return {"states": states} | worst


def measure_compilation(name: str) -> Report:
    """Time all kernels of an arm in a process with an empty cache, then in one that finds it full."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "robostral.kinematics.warmup", name], env=environment, check=True)
            seconds.append(time.perf_counter() - start)
    return {"first_s": seconds[0], "later_s": seconds[1]}
