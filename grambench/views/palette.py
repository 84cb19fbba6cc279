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
    "e2e": ((("#E69F00", "#B36B00"),), "●○◉◐◎◑◒◓"),
    "e2e-unique": ((("#C2703D", "#8F4514"),), "○◎◉"),
    "e2e-like": ((("#F2CF8D", "#7A5200"), ("#E2725B", "#A33B22")), "◐◑◒◓"),
    "single": ((("#56B4E9", "#1579B5"),), "■□▣◧◨◩◪"),
    "steps": ((("#009E73", "#007355"), ("#4FC9A4", "#2E8F72"), ("#8FDCC4", "#469A80")), "▲△◭◮"),
    "epochs": ((("#CC79A7", "#A8427B"), ("#E3AECB", "#BF6C9A"), ("#A85C8C", "#7D2F5C")), "◆◇◈⬖⬗"),
    "auto": ((("#F0E442", "#857C00"),), "▼▽"),
    "baseline": ((("#D55E00", "#B34700"), ("#A7B0B8", "#6B757E"), ("#E58A52", "#8C3A00")), "✚✖★☆"),
}
MARKERS = "".join(dict.fromkeys("".join(markers for _, markers in _FAMILIES.values())))
"""Every marker once: a label whose family has none left gets one of another family's."""
SOLID = "●■▲▼◆★✚✖"
"""Markers that can be drawn hollow without looking like another one."""

_AGAIN = ((0.0, 0.0), (0.55, 0.45), (-0.3, -0.18), (0.8, 0.7), (0.28, 0.22))
"""How far a shade that is used again moves to the colour of the text, or, below 0, of the ground: on a
dark screen and on a light one, where 0.18 leaves a family's first colour a contrast above 3."""
_GROUNDS = ("#0f1419", "#fbfcfd")


def looks(strategies: Mapping[str, str], dark: bool = True) -> dict[str, Look]:
    """The look of each label: markers are unique, and tell labels apart without colour.

    Hue and shape are the family's. Each strategy's first label has the look that it has alone, and
    `gram-1e` its family's first; further labels have other fills and shades. There are 30 markers; after
    that they repeat.

    Args:
        strategies: label -> strategy.
        dark: the screen.
    """
    look_of: dict[str, Look] = {}
    taken: dict[Colours, int] = {}
    for label in _firsts_first(strategies):
        row = builtin_row(strategies[label])
        family: Colours = row.colours if row is not None else "baseline"
        shades, markers = _FAMILIES[family]
        index = taken.get(family, 0)
        taken[family] = index + 1
        used = {look.marker for look in look_of.values()}
        marker = next((each for each in markers + MARKERS if each not in used), markers[index % len(markers)])
        look_of[label] = Look(_shade(shades, index, dark), marker)
    return {label: look_of[label] for label in strategies}


def _firsts_first(strategies: Mapping[str, str]) -> list[str]:
    """The labels, first those that are their strategy's first; `gram-1e` before all."""
    first = {strategy: label for label, strategy in reversed([*strategies.items()])}
    return sorted(strategies, key=lambda label: (label != "gram-1e", first[strategies[label]] != label))


def _shade(shades: tuple[tuple[str, str], ...], index: int, dark: bool) -> str:
    """The colour of the member `index` of a family."""
    side = 0 if dark else 1
    share = _AGAIN[index // len(shades) % len(_AGAIN)][side]
    end = (DARK if dark else LIGHT).text if share > 0 else _GROUNDS[side]
    return _nearer(shades[index % len(shades)][side], end, abs(share))


def _nearer(colour: str, other: str, share: float) -> str:
    """A colour moved towards another one; 0: unchanged."""
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + bytes(round(a + share * (b - a)) for a, b in pairs).hex().upper()
