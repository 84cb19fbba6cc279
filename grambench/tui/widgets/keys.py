"""The footer: as many keys as fit, the most important first."""

from textual.app import ComposeResult
from textual.events import Resize
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

from grambench.tui.layout import NARROW_BELOW

_PALETTE = 13
"""Columns of the palette's key."""
_ORDER = (
    *(
        "dismiss",
        "leave",
        "help",
        "play",
        "scrub",
        "speed",
        "pause",
        "resume",
        "verdict",
        "strategy",
        "system",
        "jump",
    ),
    *("axis", "target", "maximise", "log", "events", "skip", "stop", "detach", "logarithmic", "smooth"),
    *("export", "mark", "theme"),
)


class Keys(Footer):
    """Keys that can be pressed on this screen."""

    def __init__(self) -> None:
        super().__init__(compact=True)

    def compose(self) -> ComposeResult:
        """Those that fit, in the order of their importance."""
        keys = [key for key in super().compose() if isinstance(key, FooterKey)]
        palette = [key for key in keys if key.has_class("-command-palette")]
        narrow = self.app.size.width < NARROW_BELOW
        room = self.app.size.width - 2 - (0 if narrow else _PALETTE)
        for key in sorted((key for key in keys if key not in palette), key=_rank):
            room -= len(key.key_display) + len(key.description) + 2
            if room < -1:
                break
            yield key
        yield from palette

    def on_resize(self, _: Resize) -> None:
        """Offer what fits the new width."""
        self.call_after_refresh(self.recompose)


def _rank(key: FooterKey) -> int:
    name = action_name(key.action)
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def action_name(action: str) -> str:
    """`scrub` of `app.scrub(-1)`."""
    return action.partition("(")[0].rpartition(".")[2]
