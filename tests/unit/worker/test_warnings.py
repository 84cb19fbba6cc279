from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from grambench.config.presets import load_preset
from grambench.worker.warnings import data_warnings, spec_warnings, text_warnings


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


def texts(**counts: int | None) -> SimpleNamespace:
    """1,000 items of 10 tokens, nothing of them lost."""
    none = dict.fromkeys(("unknown_tokens", "same_tokens", "no_text_tokens", "cut_items"), 0)
    return SimpleNamespace(items=SimpleNamespace(**{"items": 1000, "text_tokens": 10_000, **none, **counts}))


@pytest.mark.parametrize(
    ("name", "few", "many", "code", "words"),
    [
        (
            "unknown_tokens",
            300,
            301,
            "unknown-tokens",
            "301 of 10,000 (3 %) tokens of the items' texts are unknown",
        ),
        (
            "same_tokens",
            30,
            250,
            "same-tokens",
            "250 of 1,000 (25 %) items have the tokens of an earlier item",
        ),
        ("no_text_tokens", 30, 31, "no-text", "31 of 1,000 (3 %) items have no text that the tokenizer"),
        ("cut_items", 250, 400, "cut-texts", "400 of 1,000 (40 %) items are longer than data.fields"),
    ],
)
def test_what_a_tokenizer_loses_is_told_above_a_few_per_cent(
    name: str, few: int, many: int, code: str, words: str
) -> None:
    assert list(text_warnings(texts(**{name: few}))) == []
    (warning,) = text_warnings(texts(**{name: many}))
    assert (warning.code, warning.message[: len(words)]) == (code, words)
    (other,) = text_warnings(texts(**{name: many}), "language-model")
    assert other.code == f"{code}-language-model"
    assert "(language-model vocabulary)" in other.message


def test_data_that_an_earlier_version_prepared_warn_of_nothing() -> None:
    counted = ("text_tokens", "unknown_tokens", "same_tokens", "no_text_tokens", "cut_items")
    assert list(text_warnings(texts(**dict.fromkeys(counted)))) == []
