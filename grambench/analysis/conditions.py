"""Conditions on the numbers of a report, such as `speedup.gram-1e < 5 and quality.gram-1e < -.002`.

    condition  = all_of {"or" all_of}
    all_of     = term {"and" term}
    term       = "(" condition ")" | NAME OPERATOR NUMBER

A name is anything without spaces, parentheses and the signs of the operators `<`, `<=`, `>`, `>=`, `==` and
`!=`; its dots lead into nested mappings. Nothing is evaluated but these comparisons.
"""

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from grambench.errors import ConfigError

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_TOKEN = re.compile(r"\s*([()]|[<>=!]+|[^\s()<>=!]+)")
_EXAMPLE = "Write conditions as NAME < NUMBER, joined by and, or and parentheses."
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Threshold:
    """NAME OPERATOR NUMBER."""

    name: str
    operator: str
    number: float

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether it is true of the values."""
        return OPERATORS[self.operator](values[self.name], self.number)

    def names(self) -> list[str]:
        """The names that occur in it."""
        return [self.name]


@dataclass(frozen=True, slots=True)
class Joined:
    """Two or more conditions, all or any of which must hold."""

    every: bool
    parts: tuple["Condition", ...]

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether it is true of the values."""
        return (all if self.every else any)(part.holds(values) for part in self.parts)

    def names(self) -> list[str]:
        """The names that occur in it, each once."""
        return list(dict.fromkeys(name for part in self.parts for name in part.names()))


Condition = Threshold | Joined


def parse(text: str) -> Condition:
    """The condition that a text states.

    Raises:
        ConfigError: it is not a condition; says where and how one is written.
    """
    return _Parser(text).parse()


class Evaluation(NamedTuple):
    """The outcome of a condition, and the numbers that decided it."""

    holds: bool
    values: dict[str, float]


def evaluate(
    condition: Condition, report: Mapping[str, Any], reasons: Mapping[str, str] | None = None
) -> Evaluation:
    """Whether a condition is true of a report.

    All names are looked up before anything is compared: a condition that could not be checked never passes.

    Args:
        condition: from `parse`.
        report: numbers by name, nested as one likes; None: missing.
        reasons: name -> why it is missing, for messages.

    Raises:
        ConfigError: names are unknown or have no value; one sentence for each, with near names.
    """
    values, problems = {}, []
    for name in condition.names():
        try:
            values[name] = _number(name, report, reasons or {})
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(" ".join(problems))
    return Evaluation(condition.holds(values), values)


def require_known(condition: Condition, report: Mapping[str, Any]) -> None:
    """Refuse names that a report will not have, before there is one.

    Raises:
        ConfigError: names the first such name, and near ones.
    """
    for name in condition.names():
        _found(name, report)


def known_names(report: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """All names of a report that lead to a number or to a missing one."""
    for key, value in report.items():
        if isinstance(value, Mapping):
            yield from known_names(value, f"{prefix}{key}.")
        elif value is None or _is_number(value):
            yield f"{prefix}{key}"


def _number(name: str, report: Mapping[str, Any], reasons: Mapping[str, str]) -> float:
    value = _found(name, report)
    if value is None:
        raise ConfigError(f"{name} has no value: {reasons.get(name, 'it was not measured')}.")
    return float(value)


def _found(name: str, report: Mapping[str, Any]) -> float | None:
    found = [value for value in _lookups(name, report) if value is None or _is_number(value)]
    if not found:
        raise ConfigError(f"Unknown name {name} in the condition.", _near(name, list(known_names(report))))
    value: float | None = found[0]
    return value


def _lookups(name: str, report: Mapping[str, Any]) -> Iterator[Any]:
    """What a name can mean: keys may contain dots themselves."""
    for key, value in report.items():
        if key == name:
            yield value
        elif isinstance(value, Mapping) and name.startswith(f"{key}."):
            yield from _lookups(name[len(key) + 1 :], value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Known names are {', '.join(names[:20])}." if names else "The report has no numbers."


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.findall(text)
        self._at = self._depth = 0

    def parse(self) -> Condition:
        condition = self._joined(every=False)
        if self._peek():
            raise self._error("and, or or the end")
        return condition

    def _joined(self, *, every: bool) -> Condition:
        word = "and" if every else "or"
        parts = [self._part(every)]
        while self._peek() == word:
            self._at += 1
            parts.append(self._part(every))
        return Joined(every, tuple(parts)) if len(parts) > 1 else parts[0]

    def _part(self, every: bool) -> Condition:
        return self._term() if every else self._joined(every=True)

    def _term(self) -> Condition:
        return self._parentheses() if self._peek() == "(" else self._comparison()

    def _parentheses(self) -> Condition:
        self._at, self._depth = self._at + 1, self._depth + 1
        if self._depth > _DEEPEST:
            raise ConfigError(f"A condition has more than {_DEEPEST} parentheses within each other.")
        condition = self._joined(every=False)
        if self._next() != ")":
            raise self._error("a closing parenthesis", back=True)
        self._depth -= 1
        return condition

    def _comparison(self) -> Threshold:
        name = self._next()
        if not name or name[0] in "()<>=!" or name in ("and", "or"):
            raise self._error("a name", back=True)
        sign = self._next()
        if sign not in OPERATORS:
            raise self._error(f"one of {' '.join(OPERATORS)}", back=True)
        try:
            number = float(self._next().replace("−", "-"))
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self._error("a number", back=True)
        return Threshold(name, sign, number)

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _error(self, expected: str, *, back: bool = False) -> ConfigError:
        self._at -= back
        place = f"instead of {self._peek()!r}" if self._peek() else "at the end"
        return ConfigError(f"The condition {self._text!r} needs {expected} {place}.", _EXAMPLE)
