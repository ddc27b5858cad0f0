"""CSV logs: header `t,q1..qn,dq1..dqn,tau1..taun`, or `current1..currentn` in place of the torques."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robostral.arm.chain import FloatArray
from robostral_policies.identify.log import Log, LogRefused

if TYPE_CHECKING:
    from _csv import Reader


def read_csv(path: Path, joint_names: Sequence[str]) -> Log:
    """Read a CSV log; columns may come in any order.

    Raises:
        LogRefused: A column is missing or there twice, a row is ragged, or a value is no number.
    """
    n = len(joint_names)
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        header = [name.strip() for name in next(rows, [])]
        currents = "current1" in header
        names = column_names(n, currents)
        missing = [name for name in names if header.count(name) != 1]
        if missing:
            raise LogRefused(
                f"{path}: column '{missing[0]}' is there {header.count(missing[0])} times; an arm of {n} joints needs"
                f" the header {names[0]},q1..q{n},dq1..dq{n},tau1..tau{n} (or current1..current{n})"
            )
        table = _numbers(path, header, rows)
    columns = [table[:, header.index(name)] for name in names]
    t, rest = columns[0], np.stack(columns[1:], axis=1)
    return Log(str(path), t, rest[:, :n], rest[:, n : 2 * n], rest[:, 2 * n :], currents)


def column_names(n: int, currents: bool = False) -> list[str]:
    """Return the header for `n` joints."""
    last = "current" if currents else "tau"
    return ["t", *(f"{name}{i + 1}" for name in ("q", "dq", last) for i in range(n))]


def _numbers(path: Path, header: list[str], rows: "Reader") -> FloatArray:
    values = []
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise LogRefused(
                f"{path}: line {rows.line_num} has {len(row)} values, the header has {len(header)}; a cut last line"
                " may be deleted"
            )
        try:
            values.append([float(cell) for cell in row])
        except ValueError as error:
            raise LogRefused(f"{path}: line {rows.line_num}: {error}; write numbers with a decimal point") from error
    return np.array(values).reshape(len(values), len(header))


def write_csv(path: Path, log: Log) -> None:
    """Write a log as CSV."""
    table = np.concatenate([log.t[:, None], log.q, log.dq, log.tau], axis=1)
    header = ",".join(column_names(log.q.shape[1], log.currents))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, table, fmt="%.9g", delimiter=",", header=header, comments="")
