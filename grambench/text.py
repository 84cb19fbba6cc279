"""The only gate between data and a terminal.

Titles, model names, log lines and file names are untrusted: they may hold escape sequences, markup,
bidirectional overrides, ten thousand characters or a password. All of it passes through `safe_text`.
"""

import codecs
import json
import re
import unicodedata

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_REDACTED = "…"
_LOGIN = re.compile(r"""(:/{1,2})[^\s/?#"'\\]{1,2000}@""")
_SECRET = re.compile(
    r"""([?&;][\w.%-]{0,40}(?:token|key|secret|passw|pwd|sig|credential|auth)[\w.%-]{0,40}=)[^\s&#;"'\\`)]+""",
    re.IGNORECASE,
)
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_NOT_PRINTABLE = re.compile(r"[^ -~\n]")
_ASCII = {
    **dict.fromkeys("‐‑‒–—−─━", "-"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("•·●■▾", "*"),
    "×": "x",
    "±": "+-",
    "≥": ">=",
    "≤": "<=",
    "→": "->",
    "←": "<-",
    "…": "...",
    "Δ": "d",
    "║": "|",
    "│": "|",
    "ß": "ss",
}


def safe_text(value: object, limit: int = 200) -> str:
    """One printable line: no control characters, no direction overrides, at most `limit` characters.

    Markup is not escaped here: the result is to be passed as `rich.text.Text` or
    `textual.content.Content`, never as a markup string.

    Args:
        value: anything; converted by `str`.
        limit: longest result in characters, at least 1; a longer text ends in an ellipsis.

    Returns:
        Text in which every run of white space is one space and every other control, format,
        surrogate or private-use character is U+FFFD (direction controls are dropped), without secrets.
    """
    text = redacted(str(value))
    if len(text) <= limit and text.isascii() and text.isprintable():
        return " ".join(text.split())
    read = text[: 4 * limit + 64]
    line = " ".join("".join(_printable(character) for character in read).split())
    if len(line) <= limit and len(read) == len(text):
        return line
    return line[: max(limit - 1, 0)] + "…"


def safe_lines(text: str) -> str:
    """Text of several lines, each without control characters, direction overrides and secrets."""
    text = redacted(text)
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(character if character == "\n" else _printable(character) for character in text)


def safe_json(text: str, *, ascii_only: bool = False) -> str:
    """The same JSON document with every character that is not printable (or not ASCII) as an escape."""

    def escaped(match: re.Match[str]) -> str:
        character = match[0]
        return character if character.isprintable() and not ascii_only else json.dumps(character)[1:-1]

    return text if text.isascii() and text.isprintable() else _NOT_PRINTABLE.sub(escaped, text)


def redacted(text: str) -> str:
    """Text without secrets: user and password of URLs, tokens among their parameters, tokens of the hub."""
    if ":/" in text:
        text = _SECRET.sub(rf"\1{_REDACTED}", _LOGIN.sub(rf"\1{_REDACTED}@", text))
    return _HUB_TOKEN.sub(f"hf_{_REDACTED}", text) if "hf_" in text else text


def spelled(error: UnicodeError) -> tuple[str, int]:
    """For `codecs.register_error`: characters that an encoding lacks as ASCII, `×` as `x`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelled, error.object[error.start : error.end])), error.end


def _spelled(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _ASCII.get(character) or plain or "?"


codecs.register_error("grambench.spelled", spelled)


def _printable(character: str) -> str:
    if character.isspace():
        return " "
    if character in _BIDI_CONTROLS:
        return ""
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn"}:
        return "" if character in "\u200b\u200c\u200d\ufeff\u00ad" else _REPLACEMENT
    return character
