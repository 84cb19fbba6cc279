"""Conditions on a report's numbers: a small language that never evaluates anything else."""

from typing import Any

import pytest

from grambench.analysis.conditions import evaluate, known_names, parse
from grambench.errors import ConfigError

REPORT: dict[str, Any] = {
    "speedup": {"gram-1e": 4.2, "gram-1.5e": 2.0, "gram-10s": None},
    "quality": {"gram-1e": {"difference_auc": -0.003}},
    "kept": 17,
    "quiet": True,
    "title": "demo",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("speedup.gram-1e < 5", True),
        ("speedup.gram-1e<4.2", False),
        ("speedup.gram-1e <= 4.2", True),
        ("speedup.gram-1.5e == 2", True),
        ("speedup.gram-1.5e != 2", False),
        ("speedup.gram-1.5e>1e0", True),
        ("quality.gram-1e.difference_auc < -.002", True),
        ("quality.gram-1e.difference_auc < −.002", True),
        ("kept >= 17 and speedup.gram-1e > 5", False),
        ("kept >= 17 or speedup.gram-1e > 5", True),
        ("kept < 1 and kept < 2 or kept > 3", True),
        ("kept < 1 and (kept < 2 or kept > 3)", False),
        ("(kept > 1) and ((kept > 2))", True),
    ],
)
def test_conditions_are_true_or_false_of_a_report(text: str, expected: bool) -> None:
    assert evaluate(parse(text), REPORT).holds is expected


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("", "a name at the end"),
        ("kept", "one of <= >= == != < > at the end"),
        ("kept <", "a number at the end"),
        ("kept < five", "a number instead of 'five'"),
        ("kept < nan", "a number instead of 'nan'"),
        ("kept = 5", "instead of '='"),
        ("< 5", "a name instead of '<'"),
        ("kept < 5 and", "a name at the end"),
        ("and < 5", "a name instead of 'and'"),
        ("kept < 5 kept > 3", "and, or or the end instead of 'kept'"),
        ("(kept < 5", "a closing parenthesis at the end"),
        ("kept < 5)", "and, or or the end instead of ')'"),
        ("__import__('os').system('true') < 1", "one of <= >= == != < > instead of '('"),
        ("(" * 100_000, "50 parentheses within each other"),
    ],
)
def test_what_is_no_condition_is_refused_with_its_place(text: str, needs: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert needs in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_numbers_that_decided_are_told() -> None:
    condition = parse("kept < 1 or speedup.gram-1e < 5 or kept > 30")
    assert evaluate(condition, REPORT).values == {"kept": 17.0, "speedup.gram-1e": 4.2}


def test_a_missing_value_is_an_error_even_where_another_part_decides() -> None:
    with pytest.raises(ConfigError, match=r"^speedup\.gram-10s has no value: it diverged\.$"):
        evaluate(parse("kept > 1 or speedup.gram-10s < 5"), REPORT, {"speedup.gram-10s": "it diverged"})
    with pytest.raises(ConfigError, match="it was not measured"):
        evaluate(parse("speedup.gram-10s < 5"), REPORT)


@pytest.mark.parametrize("name", ["speedup.gram1e", "speedup", "quiet", "title", "kept.x"])
def test_an_unknown_name_is_an_error_that_names_others(name: str) -> None:
    with pytest.raises(ConfigError, match=f"Unknown name {name} in the condition") as caught:
        evaluate(parse(f"{name} < 5"), REPORT)
    assert any(known in caught.value.message + caught.value.fix for known in known_names(REPORT))


def test_all_problems_come_in_one_error() -> None:
    with pytest.raises(ConfigError) as caught:
        evaluate(parse("speedup.gram1e < 5 and speedup.gram-10s < 5"), REPORT)
    assert "speedup.gram-1e" in str(caught.value)
    assert "speedup.gram-10s has no value" in str(caught.value)


def test_keys_may_hold_dots() -> None:
    assert list(known_names({"a.b": {"c": 1, "d": None}, "a": {"b.c": 2}})) == ["a.b.c", "a.b.d", "a.b.c"]
    assert evaluate(parse("a.b.c == 1"), {"a.b": {"c": 1}}).holds
    assert evaluate(parse("a.b.c == 2"), {"a": {"b.c": 2}}).holds
