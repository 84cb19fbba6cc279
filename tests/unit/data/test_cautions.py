"""Parts that cannot be scored or are small; folders without splits."""

from pathlib import Path

import pytest
from prepare_requests import prepare_request

from grambench.config.data import FieldLimits
from grambench.data.cautions import check_validation, part_cautions
from grambench.data.prepared.manifest import AnswerCounts, PartCounts, PartInfo, PartName
from grambench.data.tokenizer import build_words
from grambench.domains.prepared import open_prepared, prepare
from grambench.errors import DataError


def news(scored: int, no_click: int = 0, all_click: int = 0) -> PartCounts:
    numbers = dict.fromkeys(PartCounts.model_fields, 0)
    impressions = scored + no_click + all_click
    return PartCounts(
        **numbers
        | {
            "impressions": impressions,
            "no_click_impressions": no_click,
            "all_click_impressions": all_click,
            "clicks": impressions - no_click,
        }
    )


def answered(answers: int, correct: int) -> AnswerCounts:
    return AnswerCounts(users=1, answers=answers, earlier_answers=0, correct=correct, items=1, cold_answers=0)


def parts(**counts: PartCounts | AnswerCounts) -> dict[PartName, PartInfo]:
    return {name: PartInfo(stored_as=name, counts=part) for name, part in counts.items()}  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("counts", "code", "words"),
    [
        (news(50), None, ""),
        (news(49, 30), "small-test", "scores only 49 impressions; below 50"),
        (news(1), "small-test", "scores only 1 impression"),
        (news(0, 7), "no-test-score", "none of its 7 impressions has a click"),
        (news(0, 7, 2), "no-test-score", "none of its 9 impressions has both a clicked and an unclicked"),
        (answered(50, 1), None, ""),
        (answered(49, 1), "small-test", "scores only 49 answers"),
        (answered(60, 60), "no-test-score", "its 60 answers are all right"),
        (answered(60, 0), "no-test-score", "its 60 answers are all wrong"),
    ],
)
def test_a_part_is_told_by_what_it_can_score(
    counts: PartCounts | AnswerCounts, code: str | None, words: str
) -> None:
    found = list(part_cautions(parts(test=counts)))
    assert [name for name, _ in found] == ([code] if code else [])
    assert all(words in sentence for _, sentence in found)


def test_validation_has_to_score_and_train_to_teach_two_classes() -> None:
    check_validation(parts(validation=news(1)))
    for counts, words in ((news(0, 4), "4 impressions has a click"), (answered(9, 9), "all right")):
        with pytest.raises(DataError, match=rf"cannot select a checkpoint: .*{words}.*validation_share"):
            check_validation(parts(validation=counts))
    assert [code for code, _ in part_cautions(parts(train=answered(9, 9)))] == ["no-train-classes"]
    assert list(part_cautions(parts(train=news(1)))) == []
    shared = {"validation": PartInfo(stored_as="test", counts=news(1)), **parts(test=news(1))}
    assert [code for code, _ in part_cautions(shared)] == ["small-test"]


def test_a_folder_without_splits_is_cut_by_time(tmp_path: Path) -> None:
    (tmp_path / "news.tsv").write_text("".join(f"N{n}\tnews\tworld\ttitle {n}\t\t\t\t\n" for n in range(3)))
    rows = (f"{n}\tU{n % 3}\t11/{n + 1}/2019 9:05:58 AM\tN0\tN1-1 N2-0\n" for n in range(10))
    (tmp_path / "behaviors.tsv").write_text("".join(rows))
    request = prepare_request(
        folder=tmp_path,
        dataset="one",
        fields=FieldLimits(title=8),
        validation="last-day",
        validation_share=0.5,
        tokenizer=lambda corpus: build_words(corpus, 64),
        tokenizer_key="words",
    )
    data = open_prepared(prepare(request, tmp_path / "cache", lambda *_: None))
    days = {name: (part.time_s // 86_400 - 18_201).tolist() for name, part in data.parts.items()}
    assert days == {"train": [0, 1, 2, 3, 4, 5, 6], "validation": [7], "test": [8, 9]}
    assert set(data.manifest.sources) == {"train/news.tsv", "train/behaviors.tsv"}
