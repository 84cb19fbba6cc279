"""One colour and one marker per label (Okabe-Ito), and the neutral tones: on screens and in figures."""

from collections.abc import Mapping
from dataclasses import dataclass

from grambench.config.strategies import Colours, builtin_row


@dataclass(frozen=True, slots=True)
class Tones:
    """Colours of everything that is not a strategy."""

    text: str
    muted: str
    """Labels and the numbers of axes."""
    faint: str
    """Frames, axes, the empty part of a bar."""
    good: str
    warn: str
    bad: str
    accent: str


@dataclass(frozen=True, slots=True)
class Look:
    """How a strategy is drawn everywhere."""

    colour: str
    marker: str


DARK = Tones("#d6dde4", "#8391a0", "#3a4551", "#6fbf8b", "#e0b04a", "#f0745a", "#9db8d2")
LIGHT = Tones("#1f2933", "#5f6c7a", "#c3ccd5", "#1f7a4d", "#8a6100", "#b3371f", "#35618c")

# Per family: (dark screen, light screen) of its first, second, … member, and their markers.
_FAMILIES: dict[Colours, tuple[tuple[tuple[str, str], ...], str]] = {
    "e2e": ((("#E69F00", "#B36B00"),), "●"),
    "e2e-unique": ((("#C2703D", "#8F4514"),), "○"),
    "e2e-like": ((("#F2CF8D", "#7A5200"), ("#E2725B", "#A33B22")), "◐◑"),
    "single": ((("#56B4E9", "#1579B5"),), "■"),
    "steps": ((("#009E73", "#007355"), ("#4FC9A4", "#2E8F72"), ("#8FDCC4", "#51A68B")), "▲△"),
    "epochs": ((("#CC79A7", "#A8427B"), ("#E3AECB", "#BF6C9A"), ("#A85C8C", "#7D2F5C")), "◆◇"),
    "auto": ((("#F0E442", "#857C00"),), "▼"),
    "baseline": ((("#D55E00", "#B34700"), ("#A7B0B8", "#6B757E"), ("#E58A52", "#8C3A00")), "✚✖"),
}


_AGAIN = 0.65
"""Weight of a shade that is reused, mixed with the colour of the text."""


def looks(strategies: Mapping[str, str], dark: bool = True) -> dict[str, Look]:
    """The look of each label; members of a family differ in shade and marker.

    `gram-1e` is the family's first shade whenever it runs, so that it looks the same in every run.

    Args:
        strategies: label -> strategy.
        dark: the screen.
    """
    look_of: dict[str, Look] = {}
    taken: dict[Colours, int] = {}
    for label in sorted(strategies, key=lambda name: name != "gram-1e"):
        row = builtin_row(strategies[label])
        family: Colours = row.colours if row is not None else "baseline"
        shades, markers = _FAMILIES[family]
        index = taken.get(family, 0)
        taken[family] = index + 1
        shade = shades[index % len(shades)][0 if dark else 1]
        colour = _nearer(shade, DARK.text if dark else LIGHT.text, 1 - _AGAIN ** (index // len(shades)))
        look_of[label] = Look(colour, markers[index % len(markers)])
    return look_of


def _nearer(colour: str, other: str, share: float) -> str:
    """A colour moved towards another one; 0: unchanged."""
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + bytes(round(a + share * (b - a)) for a, b in pairs).hex().upper()
