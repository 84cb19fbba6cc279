import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grambench.text import safe_text

MARK = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain words", "plain words"),
        ("", ""),
        ("  two \t\r\n lines\u2028and\u2029more\x0b\x85 ", "two lines and more"),
        ("\x1b[31mred\x1b]0;title\x07", f"{MARK}[31mred{MARK}]0;title{MARK}"),
        ("\x9b31m c1 \x90", f"{MARK}31m c1 {MARK}"),
        ("nul\x00 del\x7f back\x08", f"nul{MARK} del{MARK} back{MARK}"),
        ("a\u202eb\u2066c\u2069d\u200fe\u061cf", "abcdef"),
        ("zero\u200bwidth\u200d\ufeff\u00ad", "zerowidth"),
        ("lone \ud800 surrogate", f"lone {MARK} surrogate"),
        ("private \ue000 unassigned \u0378", f"private {MARK} unassigned {MARK}"),
        ("tag \U000e0041", f"tag {MARK}"),
        ("[VIDEO] [/b] stays", "[VIDEO] [/b] stays"),
        ("日本語 é ñ 👍", "日本語 é ñ 👍"),
    ],
)
def test_only_printable_characters_of_one_line_pass(text: str, safe: str) -> None:
    assert safe_text(text) == safe


def test_values_that_are_no_text_are_converted() -> None:
    assert safe_text(None) == "None"
    assert safe_text(3.5) == "3.5"
    assert safe_text(b"\x1b") == "b'\\x1b'"


def test_a_long_text_ends_in_an_ellipsis() -> None:
    assert safe_text("x" * 200) == "x" * 200
    assert safe_text("x" * 10_000) == "x" * 199 + "…"
    assert safe_text("x" * 10_000, limit=1) == "…"
    assert safe_text("abc", limit=3) == "abc"
    assert safe_text("abcd", limit=3) == "ab…"


def test_text_behind_a_sea_of_blanks_is_not_dropped_silently() -> None:
    assert safe_text("a" + " " * 10_000 + "b") == "a…"
    assert safe_text("\u202e" * 10_000 + "b") == "…"


@given(st.text(st.characters(), max_size=400), st.integers(1, 60))
def test_no_control_character_and_no_more_than_the_limit(text: str, limit: int) -> None:
    safe = safe_text(text, limit)
    assert len(safe) <= limit
    assert not {unicodedata.category(c) for c in safe} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert "\n" not in safe
    assert safe == safe.strip()
    assert safe_text(safe, limit) == safe
    safe.encode()


@given(st.integers(0, 0x9F).map(chr), st.text("ab", max_size=3))
def test_every_c0_and_c1_control_is_disarmed(control: str, text: str) -> None:
    safe = safe_text(text + control + text)
    assert all(c.isprintable() for c in safe)
