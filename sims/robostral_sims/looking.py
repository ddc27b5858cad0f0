"""Pictures and animations of an environment, without a display."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.extras import require
from robostral_sims.env import CellEnv
from robostral_sims.episodes import pilot_of, play

Picture = NDArray[np.uint8]

COLOURS = 64
"""Of a saved picture: enough for a few primitives, and a tenth of the bytes."""


class Film:
    """Gathers a picture of every policy step; give it to `episodes.play` as `look`."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self._dt_s = 0.0

    def __call__(self, env: CellEnv) -> None:
        """Take one picture."""
        self._dt_s = env.contract.action.dt_s
        picture = env.render()
        if picture is not None:
            self.pictures.append(picture)

    def save(self, path: Path) -> None:
        """Write an animation that runs in real time and forever.

        Raises:
            MissingExtra: Pillow is not installed.
        """
        frames = [_image(picture) for picture in self.pictures]
        path.parent.mkdir(parents=True, exist_ok=True)
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=round(1e3 * self._dt_s), loop=0)


def save_picture(picture: Picture, path: Path) -> None:
    """Write one picture, shape (height, width, 3), in the format that the file's name says.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _image(picture).save(path, optimize=True)


def picture_of(env: CellEnv, share: float = 0.6, seed: int = 0) -> Picture:
    """Draw the cell when the expert has done this share of its work."""
    seen: list[Picture] = []
    steps = 0

    def count(_: CellEnv) -> None:
        nonlocal steps
        steps += 1

    play(env, pilot_of(env, "expert", seed), seed, look=count)
    wanted, steps = round(share * (steps - 1)), 0

    def draw(env: CellEnv) -> None:
        if steps == wanted and (picture := env.render()) is not None:
            seen.append(picture)
        count(env)

    play(env, pilot_of(env, "expert", seed), seed, look=draw)
    return seen[0]


def _image(picture: Picture) -> Any:
    image = require("PIL.Image", "view").fromarray(picture)
    return image.quantize(COLOURS, dither=0)
