"""Laws of the picture: the committed one is the table that the loop runs by."""

import re
from pathlib import Path

from robostral.runtime import picture
from robostral.runtime.ladder import TABLE, Event, Mode


def test_the_committed_picture_is_the_table() -> None:
    path = Path(picture.__file__).with_name("ladder.svg")
    assert path.read_text() == picture.as_svg(), "run `robostral ctl picture > robostral/runtime/ladder.svg`"


def test_every_step_of_the_table_is_written_once() -> None:
    lines = picture.as_text().splitlines()
    found = {}
    for line in lines:
        mode, target, events = re.fullmatch(r"(\w+) -> (\w+): ([\w, ]+)", line).groups()  # type: ignore[union-attr]
        for start in Mode if mode == "any" else [Mode[mode]]:
            found |= {(start, Event[name]): Mode[target] for name in events.split(", ")}
    assert found == TABLE


def test_every_mode_and_every_event_is_drawn() -> None:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture.as_svg())
    for mode in Mode:
        assert mode.name in texts
    drawn = {word for text in texts for word in re.findall(r"\w+", text)}
    assert {event.name for event in Event} <= drawn
