"""The only gate between data and a terminal.

Titles, model names, log lines and file names are untrusted: they may hold escape sequences, markup,
bidirectional overrides or ten thousand characters. All of it passes through `safe_text`.
"""

import unicodedata

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def safe_text(value: object, limit: int = 200) -> str:
    """One printable line: no control characters, no direction overrides, at most `limit` characters.

    Markup is not escaped here: the result is to be passed as `rich.text.Text` or
    `textual.content.Content`, never as a markup string.

    Args:
        value: anything; converted by `str`.
        limit: longest result in characters, at least 1; a longer text ends in an ellipsis.

    Returns:
        Text in which every run of white space is one space and every other control, format,
        surrogate or private-use character is U+FFFD (direction controls are dropped).
    """
    text = str(value)
    if len(text) <= limit and text.isascii() and text.isprintable():
        return " ".join(text.split())
    read = text[: 4 * limit + 64]
    line = " ".join("".join(_printable(character) for character in read).split())
    if len(line) <= limit and len(read) == len(text):
        return line
    return line[: max(limit - 1, 0)] + "…"


def _printable(character: str) -> str:
    if character.isspace():
        return " "
    if character in _BIDI_CONTROLS:
        return ""
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn"}:
        return "" if character in "\u200b\u200c\u200d\ufeff\u00ad" else _REPLACEMENT
    return character
