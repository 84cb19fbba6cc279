"""Why a value is refused, in words for people: pydantic's own name Python types and regular expressions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MUST_BE = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "tuple_type": 'a list in brackets, such as ["a", "b"]',
    "dict_type": "a table of settings",
    "model_type": "a table of settings, each given as TABLE.KEY=VALUE",
    "greater_than": "greater than {gt:,.10g}",
    "greater_than_equal": "at least {ge:,.10g}",
    "less_than": "less than {lt:,.10g}",
    "less_than_equal": "at most {le:,.10g}",
    "missing": "given",
}
"""Type of pydantic's error -> what the value must be."""


def refusal(problems: Sequence["ErrorDetails"]) -> str:
    """What a value must be, and what it is.

    `problems`: pydantic's, one for each type that the value may have and does not.
    """
    own = next((each["msg"] for each in problems if each["type"] not in _MUST_BE), "")
    if own:
        words = own.removeprefix("Value error, ")
        return words[:1].lower() + words[1:]
    *kinds, last = dict.fromkeys(_needed(each) for each in problems)
    needed = f"{', '.join(kinds)}{', ' if ' or ' in last else ' or '}{last}" if kinds else last
    first = problems[0]
    return f"must be {needed}" + (f", not {_shown(first['input'])}" if first["type"] != "missing" else "")


def _needed(problem: "ErrorDetails") -> str:
    return _MUST_BE[problem["type"]].format(**problem.get("ctx", {}))


def _shown(value: Any) -> str:
    """A value as it would be typed."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(list(value) if isinstance(value, tuple) else value)[:80]
