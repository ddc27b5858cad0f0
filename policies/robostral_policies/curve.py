"""The training curve, loss over steps and success over rounds: as a picture, and for TensorBoard."""

from pathlib import Path

from robostral.errors import MissingExtra
from robostral.extras import require
from robostral_policies.checkpoint import State
from robostral_policies.evaluate import Evaluation


def draw_curve(state: State, evaluation: Evaluation, path: Path) -> bool:
    """Draw the curve as SVG; False, and no file, where matplotlib is not installed."""
    try:
        figure_module = require("matplotlib.figure", "view")
    except MissingExtra:
        return False
    figure = figure_module.Figure(figsize=(9, 3.4), layout="constrained")
    loss, success = figure.subplots(1, 2)
    rounds = len(state.rounds)
    for number, log in enumerate(state.rounds):
        marks = [number + (index + 1) / len(log.losses) for index in range(len(log.losses))]
        loss.plot(marks, log.losses, color="tab:blue")
    loss.set(yscale="log", xlabel="round", ylabel="weighted squared error", title=f"{state.config.label}: fit")
    played = [(n, log) for n, log in enumerate(state.rounds) if n and log.clean_episodes]
    rates = [100 * log.clean_successes / log.clean_episodes for _, log in played]
    success.plot([n for n, _ in played], rates, "o-", label="undisturbed episodes of each round")
    final = evaluation.rows[0].success
    error = [[100 * (final.rate - final.low)], [100 * (final.high - final.rate)]]
    success.errorbar([rounds], [100 * final.rate], error, fmt="s", label=f"{final.n} fresh episodes")
    success.set(xlabel="rounds of training", ylabel="success [%]", title="closed loop")
    success.legend(loc="lower right")
    figure.savefig(path, format="svg", metadata={"Date": None})
    return True


def write_scalars(state: State, folder: Path) -> None:
    """Write the figures of the last round for TensorBoard.

    Raises:
        MissingExtra: tensorboard is not installed.
    """
    writer = require("torch.utils.tensorboard", "train").SummaryWriter(str(folder))
    number, log = len(state.rounds), state.rounds[-1]
    writer.add_scalar("round/samples", log.samples, number)
    writer.add_scalar("round/seconds", log.seconds, number)
    if log.clean_episodes:
        writer.add_scalar("round/success", log.clean_successes / log.clean_episodes, number)
    marks = len(log.losses)
    for index, loss in enumerate(log.losses):
        writer.add_scalar("fit/loss", loss, (number - 1) * marks + index + 1)
    writer.close()
