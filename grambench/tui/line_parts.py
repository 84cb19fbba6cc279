"""Building blocks of lines: pairs that never wrap, bars, big digits."""

from textual.content import Content
from textual.renderables.digits import DIGITS, DIGITS3X3_BOLD

Parts = list[tuple[int, Content]]
"""Texts of one line with how important each is."""


def styled(text: str, style: str = "") -> Content:
    """Plain text in one style; never markup."""
    return Content.assemble((text, style)) if style else Content(text)


def pair(left: Content, right: Content, width: int) -> Content:
    """`left` at the left edge, `right` at the right one, exactly `width` cells.

    If both do not fit, the left side is cut with an ellipsis; if that would leave it less than four cells,
    the right side is dropped.
    """
    room = width - right.cell_length - 1
    if room < 4 and left.cell_length > room:
        return left.truncate(width, ellipsis=True, pad=True)
    left = left.truncate(width - right.cell_length - (1 if right.cell_length else 0), ellipsis=True)
    gap = width - left.cell_length - right.cell_length
    return Content.assemble(left, " " * max(0, gap), right)


def fill(parts: Parts, width: int, gap: str = "  ") -> Content:
    """Join parts in order; while they are too long, the one with the lowest number is dropped."""
    kept = list(parts)
    while len(kept) > 1 and _length(kept, gap) > width:
        kept.remove(min(kept, key=lambda part: part[0]))
    return Content(gap).join([part for _, part in kept]).truncate(width, ellipsis=True)


def ends(left: Parts, right: Parts, width: int, gap: str = " ") -> Content:
    """Parts at the left and the right edge, as in `pair`; while they are too long, the one with the lowest
    number is dropped, so that none is cut."""
    left, right = list(left), list(right)
    while _length([*left, *right], gap) + len(gap) > width and len(left) + len(right) > 1:
        least = min((*left, *right), key=lambda part: part[0])
        (left if least in left else right).remove(least)
    joined = [Content(gap).join([part for _, part in parts]) for parts in (left, right)]
    return pair(joined[0], joined[1], width)


def _length(parts: Parts, gap: str) -> int:
    return sum(part.cell_length for _, part in parts) + len(gap) * (len(parts) - 1)


def shortened(text: str, width: int) -> str:
    """`text` in `width` cells: cut between words, with an ellipsis, if it is longer."""
    rows = Content(text).wrap(max(1, width))
    return text if len(rows) < 2 else f"{Content(text).wrap(max(1, width - 2))[0].plain.rstrip()} …"


def bar(share: float | None, width: int, colour: str, faint: str) -> Content:
    """A thin bar, readable without colour: heavy for the filled part, light for the rest."""
    width = max(0, width)
    filled = 0 if share is None else round(max(0.0, min(1.0, share)) * width)
    return Content.assemble(("━" * filled, colour), ("─" * (width - filled), faint))


def big_digits(text: str) -> list[str]:
    """Three lines of digits; characters without a big form are on the lowest line."""
    rows = ["", "", ""]
    for character in text:
        if character == "–":
            glyph = ("   ", "╺━╸", "   ")
        elif character in DIGITS:
            start = DIGITS.index(character) * 3
            glyph = tuple(line.ljust(3) for line in DIGITS3X3_BOLD[start : start + 3])  # type: ignore[assignment]
        else:
            glyph = (" ", " ", character)
        rows = [row + piece for row, piece in zip(rows, glyph, strict=True)]
    return rows
