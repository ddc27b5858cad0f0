"""What to expect of a fit, from folds that it did not see: errors, intervals, thresholds of contact.

Note:
    Intervals by split conformal prediction over whole blocks: Vovk, Gammerman, Shafer, "Algorithmic learning in a
    random world" (2005). Thresholds by peaks over a level with an exponential tail.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.identified import IdentifiedArm
from robostral_policies.identify.fit import Block, Model, fit_model
from robostral_policies.identify.result import make_parameters

COVERAGE = 0.9
FALSE_ALARMS_PER_HOUR = 2.0
"""What thresholds are set for, all joints together."""
WINDOW_S = 0.25
"""The greatest value of such a window counts once."""
TAIL = 0.25
"""Share of windows that the tail is fitted to."""
SAFETY = 2.0
"""Thresholds are this much higher: moves with rests and reversals ask for more than the motion one identifies from."""
SETTLE_S = 0.6
"""Filters and friction states know nothing before a log begins."""


@dataclass(frozen=True, eq=False)
class Fold:
    """A fit on all other folds, and this fold's own rows.

    Attributes:
        model: The fit.
        blocks: Indices of the blocks that it did not see.
        errors: Its errors there [N·m], shape (k, n), rows that may be fitted only.
    """

    model: Model
    blocks: Sequence[int]
    errors: FloatArray


def cross_fit(
    arm: Arm,
    blocks: Sequence[Block],
    folds: Sequence[Sequence[int]],
    families: Sequence[str],
    tick: Callable[[], None] = lambda: None,
) -> list[Fold]:
    """Fit the arm once without each fold."""
    found = []
    for fold in folds:
        model = fit_model(arm, [block for k, block in enumerate(blocks) if k not in fold], families)
        errors = [(b.motion.tau - model.predict(b))[b.keep] for b in (blocks[k] for k in fold)]
        found.append(Fold(model, fold, np.concatenate(errors)))
        tick()
    return found


def standard_errors(model: Model, cross: Sequence[Fold]) -> FloatArray:
    """Return standard errors of the base parameters that hold for what the model does not know too, shape (b,).

    The greater of the residual's own and the jackknife over folds, which sees what varies between stretches.
    """
    beta = np.stack([fold.model.fit.beta for fold in cross])
    k = len(cross)
    jackknife = np.sqrt((k - 1) / k * ((beta - beta.mean(axis=0)) ** 2).sum(axis=0))
    found: FloatArray = np.maximum(model.errors, jackknife)
    return found


def interval(errors: FloatArray) -> FloatArray:
    """Return the half width that holds `COVERAGE` of errors (k, n), shape (n,)."""
    m = len(errors)
    level = min(1.0, np.ceil((m + 1) * COVERAGE) / m)
    found: FloatArray = np.quantile(np.abs(errors), level, axis=0, method="higher")
    return found


def contact_thresholds(arm: Arm, blocks: Sequence[Block], folds: Sequence[Fold], lag: float) -> FloatArray:
    """Set the thresholds of contact from the external torque that is estimated where there is none, shape (n,)."""
    n = arm.chain.n
    peaks: list[FloatArray] = []
    for fold in folds:
        one = np.ones(n)
        model = make_parameters(
            arm, fold.model, blocks, rms=one, interval=one, contact=one, false_alarms_per_hour=1.0, lag=lag
        )
        for block in (blocks[k] for k in fold.blocks):
            motion = block.motion
            found, _ = IdentifiedArm(model).external(motion.dt, *motion.raw)
            found = np.abs(found[round(SETTLE_S / motion.dt) :])
            windows = max(1, round(len(found) * motion.dt / WINDOW_S))
            peaks += [part.max(axis=0) for part in np.array_split(found, windows) if len(part)]
    return SAFETY * np.array([tail(column) for column in np.stack(peaks, axis=1)])


def tail(peaks: FloatArray) -> float:
    """Return the level that windows' greatest values pass `FALSE_ALARMS_PER_HOUR` per hour and joint count."""
    level = float(np.quantile(peaks, 1.0 - TAIL))
    beyond = peaks[peaks > level] - level
    rate = FALSE_ALARMS_PER_HOUR / 3600.0 * WINDOW_S / 7.0
    return level + float(beyond.mean() if len(beyond) else 0.05 * level) * float(np.log(TAIL / rate))
