"""What must hold of every picture of a screen, and its SVG as small as a snapshot should be."""

import re
from collections.abc import Iterator
from itertools import combinations

from textual.app import App
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from grambench.tui.app import Dashboard
from grambench.tui.layout import plan
from grambench.tui.widgets.card import Card

_CHROME = re.compile(r"<circle [^>]*/>")
_UNSTYLED = "#c5c8c6"  # Rich's export paints cells that have no colour with it
_COLOUR = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})\b", re.IGNORECASE)


CUT = re.compile(r"[^ ]…")


def normal(svg: str) -> str:
    """Looks the same, in half the bytes and without the prefix that Rich makes from the content."""
    svg = re.sub(r"terminal-\d+", "terminal", svg)
    svg = re.sub(r"\s*@font-face \{.*?\n    \}", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<clipPath id="terminal-line-\d+">.*?</clipPath>\s*', "", svg, flags=re.DOTALL)
    svg = re.sub(r' clip-path="url\(#terminal-line-\d+\)"| shape-rendering="crispEdges"', "", svg)
    svg = svg.replace("    </style>", "    rect { shape-rendering: crispEdges }\n    </style>", 1)
    svg = re.sub(r"<text [^>]*>\n</text>", "\n", svg)
    svg = re.sub(r"\bterminal-r(\d+)\b", r"r\1", svg)
    return svg.replace("&#160;", "\N{NO-BREAK SPACE}")


def colours(svg: str) -> set[str]:
    """Colours that are no greys; the buttons of the drawn window do not count."""
    found = _COLOUR.finditer(_CHROME.sub("", svg).replace(_UNSTYLED, ""))
    return {colour.group() for colour in found if len({part.lower() for part in colour.groups()}) > 1}


def faults(app: App[str | None]) -> list[str]:
    """Widgets of the screen that are cut off where nothing scrolls, and siblings that overlap."""
    found = list(_cut_off(app.screen))
    for parent in (app.screen, *app.screen.query("*")):
        siblings = [child for child in parent.children if _is_flowing(child)]
        for one, other in combinations(siblings, 2):
            if one.region.overlaps(other.region):
                found.append(f"{one} and {other} overlap")
    found += _crowded_keys(app.screen)
    found += _cut_words(app.screen)
    if isinstance(app, Dashboard) and len(app.screen_stack) == 1:
        body = app.screen.query_one("#body")
        lines = app.screen.query_one("#banner")
        banner = lines.region.height if lines.display else 0
        layout = plan(app.size.width, app.size.height, len(app.state.trials), banner)
        if body.max_scroll_y > 0 and not layout.scrolls:
            found.append(f"the body scrolls by {body.max_scroll_y} rows, its layout does not")
    return found


def _cut_off(parent: Widget) -> Iterator[str]:
    for child in parent.children:
        if not _is_flowing(child):
            continue
        room = parent.screen.region if isinstance(parent, Screen) else parent.region
        if not room.contains_region(child.region):
            yield f"{child} at {child.region} leaves {parent} at {room}"
        if not (child.max_scroll_x or child.max_scroll_y):
            yield from _cut_off(child)


def _cut_words(screen: Screen[object]) -> Iterator[str]:
    """Lines of cards that end within a word; an ellipsis after a blank follows a whole one."""
    for card in screen.query(Card):
        yield from (
            f"{card} cuts a word: {line}" for line in card.render().plain.split("\n") if CUT.search(line)
        )


def _crowded_keys(screen: Screen[object]) -> Iterator[str]:
    """Keys of the footer that do not fit its line."""
    for footer in screen.query(Footer):
        keys = [key for key in footer.children if key.display and key.region.area]
        for one, other in combinations(keys, 2):
            if one.region.overlaps(other.region):
                yield f"{one} and {other} overlap"
        if footer.max_scroll_x:
            yield f"the keys need {footer.max_scroll_x} columns more"


def _is_flowing(widget: Widget) -> bool:
    """Seen, and put where it stands by the layout: no toast, nothing docked."""
    placed = widget.styles.dock != "none" or widget.has_class("-textual-system")
    return widget.display and widget.region.area > 0 and not placed
