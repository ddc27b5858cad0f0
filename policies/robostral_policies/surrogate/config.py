"""How a learned simulator is made, as data: presets under `configs/surrogate`, changed figure by figure."""

from typing import Annotated, Any

import msgspec

from robostral_policies.config import MAX_SEED, Positive, Share, Size


class SurrogateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a learned simulator is made. Presets under `configs/surrogate` decode into this.

    Attributes:
        env: Gymnasium id of a cell with one jaw and one part.
        kwargs: One set of arguments for each cell; episodes take turns.
        name, version: What the bundle is called.
        licence: SPDX identifier of the weights.
        seed: Everything random follows from it.
        episodes: Episodes to watch.
        held_out: Share of them that is not fitted to: half sets the scale of the intervals, half tests it.
        expert, disturbed, pushing: Shares of episodes that the expert flies, undisturbed and disturbed, and in which
            the part is pushed about; the curious pilot has the rest.
        longest: Steps after which an episode is left.
        members, hidden: The ensemble.
        steps, batch, learning_rate: The fit of each member.
        floor: Share of a column's scale up to which errors count by their square, and beyond which by their size.
        quiet_m, quiet_rad: Corrections of a step below these are none.
        level: Share of motions that the stated interval is to hold.
    """

    env: str
    name: str
    kwargs: tuple[dict[str, Any], ...] = ({},)
    version: Positive = 1
    licence: str = "Apache-2.0"
    seed: Annotated[int, msgspec.Meta(ge=0, lt=MAX_SEED)] = 0
    episodes: Positive = 2000
    held_out: Share = 0.1
    expert: Share = 0.35
    disturbed: Share = 0.25
    pushing: Share = 0.2
    longest: Positive = 120
    members: Positive = 3
    hidden: tuple[Positive, ...] = (96, 96)
    steps: Positive = 12_000
    batch: Positive = 1024
    learning_rate: Size = 3e-3
    floor: Size = 0.05
    quiet_m: Size = 2e-5
    quiet_rad: Size = 2e-4
    level: Share = 0.9

    @property
    def label(self) -> str:
        """Name and version in one word, as the bundle's folder is called."""
        return f"{self.name}-v{self.version}"
