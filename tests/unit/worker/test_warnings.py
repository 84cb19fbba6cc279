from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from grambench.config.presets import load_preset
from grambench.worker.warnings import data_warnings, spec_warnings


def codes(*assignments: str) -> Sequence[str]:
    warnings = list(spec_warnings(load_preset("demo", assignments)))
    assert all(warning.message for warning in warnings)
    return [warning.code for warning in warnings]


def test_the_demo_warns_of_nothing() -> None:
    assert codes() == []


@pytest.mark.parametrize(
    ("assignment", "code"),
    [
        ("encoder.dropout=0.1", "encoder-dropout"),
        ("data.protocol=paper", "paper-protocol"),
        ("evaluation.max_impressions=10", "sampled-evaluation"),
        ("training.max_steps=5", "bounded"),
    ],
)
def test_choices_that_make_numbers_less_comparable_are_named(assignment: str, code: str) -> None:
    assert codes(assignment) == [code]


def test_every_choice_is_named() -> None:
    assert len(codes("encoder.dropout=0.1", "data.protocol=paper", "training.max_steps=5")) == 3


def manifest(policy: str, unknown: int = 0, other_text: int = 0) -> SimpleNamespace:
    items = SimpleNamespace(unknown_ids=unknown, repeated_ids_other_text=other_text)
    sources = {"train/behaviors.tsv", "dev/behaviors.tsv"}
    return SimpleNamespace(
        domain="news",
        items=items,
        unknown_items=policy,
        left_out={},
        repeats=None,
        repeated_answers="keep",
        sources=sources,
        parts={},
    )


@pytest.mark.parametrize("policy", ["error", "drop", "blank"])
def test_whole_data_warn_of_nothing(policy: str) -> None:
    assert list(data_warnings(manifest(policy))) == []


@pytest.mark.parametrize(
    ("policy", "done"), [("drop", "were left out"), ("blank", "were kept without a text")]
)
def test_unknown_ids_are_counted_with_what_was_done(policy: str, done: str) -> None:
    (warning,) = data_warnings(manifest(policy, unknown=1234))
    assert warning.code == "unknown-items"
    assert warning.message.startswith(f"1,234 ids without a row in news.tsv {done}")
    assert f"data.unknown_items = {policy}" in warning.message


def test_ids_with_two_texts_are_counted() -> None:
    (warning,) = data_warnings(manifest("error", other_text=3))
    assert (warning.code, warning.message[:10]) == ("repeated-ids", "3 news ids")


def test_answers_that_were_left_out_are_named() -> None:
    whole = manifest("error")
    whole.left_out = {"answers to a problem without a text": 1200}
    (warning,) = data_warnings(whole)
    assert warning.code == "left-out"
    assert warning.message == "1,200 answers to a problem without a text were left out"
