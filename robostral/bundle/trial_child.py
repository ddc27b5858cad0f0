"""The child of `robostral.bundle.trial`, run as a file: it imports nothing of this package, so that it starts quickly.

Standard input holds the probe and the model, standard output takes the answers (exit code 0) or a reason (exit code 3).
"""

import math
import os
import sys
import time
from typing import Any


def main() -> None:
    """Open the model under limits and answer the probe with every number of rows."""
    # Imported here, before the limits: afterwards no file can be opened.
    import numpy as np
    import onnxruntime as ort

    probes, obs_size, horizon, n, max_batch, memory, cpu_s = map(int, sys.argv[1:8])
    tolerance = float(sys.argv[8])
    probe = np.frombuffer(sys.stdin.buffer.read(probes * obs_size * 4), np.float32).reshape(probes, obs_size)
    model = sys.stdin.buffer.read()
    _limit(memory, cpu_s, max(probes * horizon * n * 4, 1 << 10))
    try:
        session = _open(ort, model, [("obs", "tensor(float)", [obs_size]), ("chunk", "tensor(float)", [horizon, n])])
        alone = np.concatenate([_run(session, probe[i : i + 1], (horizon, n)) for i in range(probes)])
        for rows in range(1, max_batch + 1):
            chunk = _run(session, np.resize(probe, (rows, obs_size)), (horizon, n))
            expected = np.resize(alone, chunk.shape)
            if (np.abs(chunk - expected) > tolerance * np.maximum(1.0, np.abs(expected))).any():
                raise ValueError(f"answers a row differently when it is one of {rows}")
        code, report = 0, alone.tobytes()
    except Exception as error:  # onnxruntime's errors share no base class of their own
        code, report = 3, (str(error).strip() or "out of memory").splitlines()[0].encode()[:1000]
    sys.stdout.buffer.write(report)
    sys.stdout.buffer.flush()
    os._exit(code)  # no clean-up of a runtime that a hostile model may have damaged


def _limit(memory: int, cpu_s: int, output: int) -> None:
    if hasattr(os, "sched_setscheduler"):  # whoever asked may be a real-time process; a trial is ordinary work
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    try:
        import resource
    except ImportError:  # Windows: only the parent's clock is left
        return
    bounds = {
        resource.RLIMIT_CPU: math.ceil(time.process_time()) + cpu_s,
        resource.RLIMIT_FSIZE: output,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            bounds[resource.RLIMIT_AS] = int(file.read().split()[0]) * resource.getpagesize() + memory
    for kind, bound in bounds.items():
        hard = resource.getrlimit(kind)[1]
        least = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (least, least))


def _open(ort: Any, model: bytes, wanted: list[tuple[str, str, list[int]]]) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ValueError(f"onnxruntime refuses it: {error}") from error
    found = [(v.name, v.type, list(v.shape[1:])) for v in (*session.get_inputs(), *session.get_outputs())]
    if found != wanted:
        raise ValueError(f"onnxruntime sees {found}, the contract says {wanted}")
    return session


def _run(session: Any, obs: Any, shape: tuple[int, int]) -> Any:
    try:
        chunk = session.run(["chunk"], {"obs": obs})[0]
    except Exception as error:
        raise ValueError(f"cannot be run with {len(obs)} rows: {error}") from error
    if chunk.shape != (len(obs), *shape):
        raise ValueError(f"answers {len(obs)} rows with {chunk.shape}")
    return chunk


if __name__ == "__main__":
    main()
