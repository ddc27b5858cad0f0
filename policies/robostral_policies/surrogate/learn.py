"""The fit of an ensemble to what was watched."""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from robostral.contract import Contract
from robostral_policies.config import TrainingError
from robostral_policies.surrogate.config import SurrogateConfig
from robostral_policies.surrogate.model import BOXES, MOTION, Ensemble, columns
from robostral_policies.surrogate.watched import Watched

_JUMP_M = 0.08
"""A part that moves further in a step was thrown: engines disagree about it too, and nobody learns from it."""
AT_REST, CLEAR_M = 1e-3, 2e-3
"""A part slower than this [m/s; rad/s at 0.1 m] and further from the hand than that [m] stays where it is, whatever is
said; see `robostral_sims.learned`, which takes half of the second."""
_SCALE = np.array([0.005] * 3 + [0.05] * 3 + [0.2] * 3 + [2.0] * 3 + [0.005, 0.1], np.float32)
"""What counts as one of each column that is told."""
_WEIGHT = np.array([3.0] * 3 + [2.0] * 3 + [1.0] * 8, np.float32)
"""Where it is weighs more than how fast it moves there."""
_ARROW, _TURN, _FLAT, _PLAIN = "arrow", "turn", "flat", "plain"
_KINDS = {
    "part_position": (_ARROW,), "part_axes": (_ARROW, _ARROW), "part_velocities": (_ARROW, _TURN),
    "carried_motion": (_ARROW, _TURN), "carried_velocities": (_ARROW, _TURN),
    "tilt": (_FLAT,), **dict.fromkeys(BOXES, (_PLAIN, _ARROW)),
}  # fmt: skip
"""What a mirror does to the fields of what is seen; it leaves others as they are."""
_TOLD = (_ARROW, _TURN, _ARROW, _TURN, _PLAIN, _PLAIN)


def touched(contract: Contract, watched: Watched) -> NDArray[np.bool_]:
    """Say of which steps a learned simulator is asked at all: the part is in reach of the hand, or moves."""
    at, seen = columns(contract), watched.seen
    clear = np.minimum.reduce([seen[:, at[name]] for name in BOXES])
    speed = np.abs(seen[:, at["part_velocities"] : at["part_velocities"] + 6] * ([1.0] * 3 + [0.1] * 3)).max(1)
    found: NDArray[np.bool_] = (clear <= CLEAR_M) | (speed >= AT_REST)
    return found


class Mirror(NamedTuple):
    """One image of a step: which column of what is seen comes where, and its sign; signs of what is told."""

    order: NDArray[np.int64]
    seen: NDArray[np.float32]
    told: NDArray[np.float32]


def mirrors(contract: Contract) -> list[Mirror]:
    """Return the images of a step that are steps as well, itself first.

    A jaw is its own image in the plane between its fingers and in the one across, a part's axes may point either way:
    what happens to the image is the image of what happens.
    """
    at, images = columns(contract), []
    for x, y, u, v in product((1.0, -1.0), repeat=4):
        signs = {_ARROW: (x, y, 1.0), _TURN: (y, x, x * y), _FLAT: (x, y), _PLAIN: (1.0,)}
        seen = np.ones(contract.obs_size, np.float32)
        for name, kinds in _KINDS.items():
            row = np.concatenate([signs[kind] for kind in kinds])
            seen[at[name] : at[name] + len(row)] = row
        axes, order = at["part_axes"], np.arange(contract.obs_size)
        seen[axes : axes + 3] *= u
        seen[axes + 3 : axes + 6] *= v
        if y < 0.0:
            one, other = (np.arange(at[name], at[name] + 4) for name in BOXES[:2])
            order[one], order[other] = other, one
        images.append(Mirror(order, seen, np.concatenate([signs[kind] for kind in _TOLD]).astype(np.float32)))
    return images


def fit(config: SurrogateConfig, contract: Contract, watched: Watched, advance: Callable[[int], None]) -> Ensemble:
    """Fit an ensemble to what was watched and its images; each member draws its own batches.

    Args:
        config: The recipe.
        contract: What is seen and said.
        watched: What to fit to.
        advance: Called with the number of gradient steps that were just done.

    Raises:
        TrainingError: The loss is not finite.
    """
    rows = touched(contract, watched) & (np.abs(watched.told[:, :MOTION]).max(1) < _JUMP_M)
    seen, told = watched.seen[rows], watched.told[rows]
    images = mirrors(contract)
    spread = np.concatenate([seen[i :: len(images), image.order] * image.seen for i, image in enumerate(images)])
    ensemble = Ensemble(config, contract, spread, told)
    turns = [tuple(map(torch.from_numpy, image)) for image in images]
    inputs, targets = torch.from_numpy(seen), torch.from_numpy(told)
    weights = torch.from_numpy(_WEIGHT / (_SCALE * config.floor))
    for index, network in enumerate(ensemble.members):
        draw = torch.Generator().manual_seed(config.seed * 100 + index)
        optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        rate = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, config.learning_rate, total_steps=config.steps + 1, pct_start=0.1
        )
        for step in range(config.steps):
            batch = torch.randint(len(inputs), (config.batch,), generator=draw)
            order, ours, theirs = turns[step % len(turns)]
            said = ensemble.member(index, inputs[batch][:, order] * ours)
            error = (said - targets[batch] * theirs) * weights
            loss = nn.functional.huber_loss(error, torch.zeros_like(error))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            rate.step()
            advance(1)
        if not loss.isfinite():
            raise TrainingError(f"the loss of member {index} is not finite; lower learning_rate")
    return ensemble
