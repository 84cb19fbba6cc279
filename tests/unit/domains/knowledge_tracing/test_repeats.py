"""Answers that stand in several rows: what is found, what the policy makes of it, and what is said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from prepare_requests import changed, prepare_request

from grambench.config.data import FieldLimits
from grambench.data.cautions import check_repeats, repeat_cautions
from grambench.data.tables.clock import MISSING_TIME
from grambench.data.tokenizer import build_words
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.repeats import LEAST_MOMENTS, LEFT_OUT, find_repeats, without_repeats
from grambench.domains.knowledge_tracing.verify import AnswersCheck
from grambench.domains.prepared import PrepareRequest, open_prepared, prepare
from grambench.domains.registry import domain_of
from grambench.errors import DataError

Row = tuple[int, int, int, int]
"""User, item, result, time."""


def answers_of(rows: list[Row], **changes: object) -> Answers:
    users, items, correct, times = (np.array(column) for column in zip(*rows, strict=True))
    counts = np.bincount(users)
    made = Answers(
        item_ids=pa.array([str(n) for n in range(99)], pa.large_string()),
        texts=pa.array(["text"] * 99, pa.large_string()),
        user_ids=pa.array([f"u{n}" for n in range(len(counts))], pa.large_string()),
        offsets=np.concatenate(([0], np.cumsum(counts))),
        items=items.astype(np.int32),
        correct=correct.astype(np.int8),
        time_s=times.astype(np.int64),
    )
    return replace(made, **changes)


def codes(answers: Answers, is_kept: bool = True) -> list[str]:
    return [code for code, _ in repeat_cautions(find_repeats(answers).counts, is_kept)]


def skill_rows(moments: int) -> list[Row]:
    """Three rows of three skills for each answer; results alternate."""
    return [(0, skill, moment % 2, moment) for moment in range(moments) for skill in range(3)]


BUNDLES: list[Row] = [(0, 3 * n + k, (n + k) % 2, n) for n in range(30) for k in range(3)]


def test_rows_of_one_user_item_and_time_are_one_answer_wherever_they_stand() -> None:
    found = find_repeats(answers_of([(0, 6, 0, 5), (0, 5, 1, 5), (0, 6, 1, 5), (1, 6, 0, 5), (1, 6, 0, 6)]))
    assert found.repeats_A.tolist() == [False, False, True, False, False]
    assert (found.counts.same_item, found.counts.in_a_run, found.counts.repeated) == (1, 1, 1)


def test_rows_of_one_moment_that_always_agree_are_one_answer_in_a_row_a_skill() -> None:
    answers = answers_of(skill_rows(LEAST_MOMENTS))
    found = find_repeats(answers)
    assert found.counts.is_row_a_skill
    assert found.counts.repeated == 2 * LEAST_MOMENTS
    left = without_repeats(answers, found)
    assert left.items.tolist() == [0] * LEAST_MOMENTS
    assert left.offsets.tolist() == [0, LEAST_MOMENTS]
    assert left.left_out == {LEFT_OUT: 2 * LEAST_MOMENTS}
    assert codes(answers) == ["repeated-answers"]
    with pytest.raises(DataError, match=r"40 of 60 answers \(66\.7 %\) .*agreeing in 20 of 20 .*`first`"):
        check_repeats(found.counts)


def test_a_few_agreeing_moments_say_nothing() -> None:
    assert find_repeats(answers_of(skill_rows(LEAST_MOMENTS - 1))).counts.repeated == 0


def test_bundles_of_questions_stay_whole_and_are_told() -> None:
    answers = answers_of(BUNDLES)
    found = find_repeats(answers)
    assert (found.counts.moments, found.counts.agreeing_moments, found.counts.other_items) == (30, 0, 60)
    assert without_repeats(answers, found) is answers
    assert codes(answers) == ["bundles"]
    check_repeats(found.counts)


def test_without_times_only_runs_are_seen_and_only_first_takes_them_for_one() -> None:
    rows = [
        (0, 1, 1, MISSING_TIME),
        (0, 1, 1, MISSING_TIME),
        (0, 1, 0, MISSING_TIME),
        (1, 1, 0, MISSING_TIME),
    ]
    answers = answers_of(rows)
    found = find_repeats(answers)
    check_repeats(found.counts)
    assert codes(answers) == ["repeats-in-a-run"]
    assert without_repeats(answers, found).offsets.tolist() == [0, 2, 3]
    coarse = answers_of(skill_rows(30), coarse_times=True)
    assert without_repeats(coarse, find_repeats(coarse)) is coarse


def test_a_column_of_parts_is_thinned_with_its_rows() -> None:
    answers = answers_of([(0, 1, 1, 5), (0, 1, 1, 5), (0, 2, 0, 6)], split=np.array([0, 0, 2], np.int8))
    left = without_repeats(answers, find_repeats(answers))
    assert left.split is not None
    assert left.split.tolist() == [0, 2]


@pytest.fixture
def made(tmp_path: Path) -> PrepareRequest:
    """Coin flips with a row a skill, 60 users."""
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "items.tsv").write_text("id\ttext\n" + "".join(f"q{n}\tskill {n}\n" for n in range(8)))
    flips = np.random.default_rng(0).integers(0, 2, (60, 9))
    rows = [
        f"u{user}\tq{2 * (n % 4) + k}\t{flip}\t{n}\n"
        for user, results in enumerate(flips.tolist())
        for n, flip in enumerate(results)
        for k in range(2)
    ]
    (folder / "interactions.tsv").write_text("user\titem\tcorrect\ttime\n" + "".join(rows))
    return prepare_request(
        folder=folder,
        dataset="flips",
        fields=FieldLimits(title=8),
        validation="users",
        validation_share=0.2,
        tokenizer=lambda corpus: build_words(corpus, 64),
        tokenizer_key="words",
        source="tables",
    )


def silent(*_: object) -> None:
    """Progress that nobody watches."""


def test_the_policy_decides_and_keep_has_the_folder_of_version_01(
    made: PrepareRequest, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match=r"540 of 1,080 answers \(50\.0 %\) repeat"):
        prepare(changed(made, repeated_answers="error"), cache, silent)
    kept = prepare(made, cache, silent)
    assert len(open_prepared(kept).parts["train"].items) % 18 == 0
    with pytest.raises(DataError, match="repeat an earlier row"):  # the folder is there already
        prepare(changed(made, repeated_answers="error"), cache, silent)
    first = open_prepared(prepare(changed(made, repeated_answers="first"), cache, silent))
    assert first.manifest.left_out == {LEFT_OUT: 540}
    assert sum(len(part.items) for part in first.parts.values()) == 540
    fields = json.loads((kept / "manifest.json").read_text())
    del fields["repeats"], fields["repeated_answers"], fields["files"], fields["seal"]
    (kept / "manifest.json").write_text(json.dumps(fields))  # as version 0.1 has written it
    arrays = {path.name: path.stat().st_mtime_ns for path in kept.glob("*.npy")}
    with pytest.raises(DataError, match="repeat an earlier row"):
        prepare(changed(made, repeated_answers="error"), cache, silent)
    assert prepare(made, cache, silent) == kept
    assert {path.name: path.stat().st_mtime_ns for path in kept.glob("*.npy")} == arrays


def test_verify_tells_what_a_run_will_meet(made: PrepareRequest) -> None:
    found = domain_of("knowledge-tracing").verify(made.folder, made.data)
    assert isinstance(found, AnswersCheck)
    assert (found.answers, found.users, found.items, found.repeats.repeated) == (1080, 60, 8, 540)
    assert found.train_answers is None
    assert "540 of 1,080 answers (50.0 %) repeat an earlier row" in found.cautions[0]
