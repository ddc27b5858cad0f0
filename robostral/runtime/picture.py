"""The picture of the state machine, made from the ladder's own table, as SVG and as text; `ladder.svg` here is one."""

from collections import defaultdict
from html import escape

from robostral.runtime.ladder import TABLE, Event, Mode

PLACES = {
    Mode.IDLE: (110, 290), Mode.MOVING: (420, 110), Mode.RUN: (420, 290), Mode.JOG: (420, 490),
    Mode.COAST: (760, 110), Mode.BRAKE: (990, 330), Mode.HOLD: (330, 640), Mode.FAULT: (110, 640),
}  # fmt: skip
"""Where each mode is drawn."""
WIDTH, HEIGHT, W, H = 1100, 710, 120, 46
_HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"
 font-family="sans-serif" font-size="13">
<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0L8 4L0 8z"/></marker></defs>
<style>.t{{paint-order:stroke;stroke:white;stroke-width:5}}</style>
<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>
"""


def steps() -> dict[tuple[Mode, Mode], list[Event]]:
    """Return the events that lead from one mode to another one, or keep it where it is."""
    found: dict[tuple[Mode, Mode], list[Event]] = defaultdict(list)
    for (mode, event), target in sorted(TABLE.items()):
        found[mode, target].append(event)
    return dict(found)


def as_text() -> str:
    """Write the table: one line for each step, then what happens in every mode."""
    lines = [
        f"{mode.name} -> {target.name}: {_names(events)}"
        for (mode, target), events in steps().items()
        if target != Mode.FAULT or mode == Mode.FAULT
    ]
    return "\n".join([*lines, f"any -> FAULT: {_names(_everywhere())}", ""])


def as_svg() -> str:
    """Draw it: boxes for modes, arrows for steps; what happens in every mode is said once at the bottom."""
    parts = [_arrow(mode, target, events) for (mode, target), events in steps().items() if target != Mode.FAULT]
    parts += [_box(mode) for mode in Mode]
    note = f"any -> FAULT: {_names(_everywhere())}. What is not drawn does not happen."
    return _HEAD + "".join(parts) + _text(WIDTH // 2, HEIGHT - 16, note) + "</svg>\n"


def _everywhere() -> list[Event]:
    return [event for event in Event if all(TABLE.get((mode, event)) == Mode.FAULT for mode in Mode)]


def _names(events: list[Event]) -> str:
    return ", ".join(event.name for event in events)


def _box(mode: Mode) -> str:
    x, y = PLACES[mode]
    colour = {Mode.FAULT: "#f6d5d1", Mode.HOLD: "#eceff1", Mode.BRAKE: "#fbe9c6", Mode.COAST: "#fbe9c6"}
    fill = colour.get(mode, "#dcebf7")
    return (
        f'<rect x="{x - W // 2}" y="{y - H // 2}" width="{W}" height="{H}" rx="8" fill="{fill}" stroke="black"/>\n'
        + f'<text x="{x}" y="{y + 5}" text-anchor="middle" font-weight="bold">{mode.name}</text>\n'
    )


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" class="t">{escape(text)}</text>\n'


def _arrow(mode: Mode, target: Mode, events: list[Event]) -> str:
    x, y = PLACES[mode]
    if mode == target:
        path = f"M{x - 20} {y - H // 2}C{x - 40} {y - 62},{x + 40} {y - 62},{x + 20} {y - H // 2}"
        return _line(path) + _text(x, y - 56, _names(events))
    u, v = PLACES[target]
    length = ((u - x) ** 2 + (v - y) ** 2) ** 0.5
    side = (y - v) / length, (u - x) / length
    # Each way has its own lane, so that two arrows between the same boxes do not cover each other.
    x, y, u, v = (c + 9 * s for c, s in zip((x, y, u, v), (*side, *side), strict=True))
    begin, end = _edge(u - x, v - y), _edge(x - u, y - v)
    path = f"M{x + begin[0]:.0f} {y + begin[1]:.0f}L{u + end[0]:.0f} {v + end[1]:.0f}"
    return _line(path) + _text(x + 0.45 * (u - x), y + 0.45 * (v - y) + 4, _names(events))


def _edge(dx: float, dy: float) -> tuple[float, float]:
    """Return where a line from the middle of a box leaves it."""
    scale = min(W / 2 / max(abs(dx), 1e-9), H / 2 / max(abs(dy), 1e-9))
    return dx * scale, dy * scale


def _line(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="black" marker-end="url(#a)"/>\n'
