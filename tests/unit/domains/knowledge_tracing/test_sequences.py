"""Cutting answers into parts; cold items leave no trace in train."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grambench.data.tables.splits import TEST, TRAIN, VALIDATION
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.sequences import Sequences, split_answers
from grambench.errors import ConfigError, DataError

SHARES = {"validation_share": 0.2, "test_share": 0.3}


def random_answers(seed: int = 0, users: int = 60, items: int = 25, by_file: bool = False) -> Answers:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 12, users)
    count = int(sizes.sum())
    split = None
    if by_file:
        split = np.concatenate([np.sort(generator.integers(0, 3, size)) for size in sizes]).astype(np.int8)
    return Answers(
        item_ids=pa.array([f"i{n}" for n in range(items)], pa.large_string()),
        texts=pa.array([f"text {n}" for n in range(items)], pa.large_string()),
        user_ids=pa.array([f"u{n}" for n in range(users)], pa.large_string()),
        offsets=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        items=generator.integers(0, items, count).astype(np.int32),
        correct=generator.integers(0, 2, count).astype(np.int8),
        time_s=np.arange(count),
        split=split,
    )


def rows(part: Sequences) -> dict[int, list[tuple[int, int, int]]]:
    """Answers (item, correct, scored) of each user."""
    found = {}
    for number, user in enumerate(part.users.tolist()):
        at = slice(part.offsets[number], part.offsets[number + 1])
        columns = (part.items[at], part.correct[at], part.scored[at])
        found[user] = list(zip(*(column.tolist() for column in columns), strict=True))
    return found


def test_by_user_each_user_is_in_one_part_with_all_answers() -> None:
    answers = random_answers()
    split = split_answers(answers, **SHARES, cold_items=0, seed=0)
    parts = [rows(part) for part in (split.train, split.validation, split.test)]
    assert sorted(user for part in parts for user in part) == list(range(60))
    assert all(part for part in parts)
    for part in parts:
        for user, found in part.items():
            at = slice(answers.offsets[user], answers.offsets[user + 1])
            assert found == [
                (int(i), int(c), 1) for i, c in zip(answers.items[at], answers.correct[at], strict=True)
            ]


def test_by_user_depends_on_the_user_id_alone() -> None:
    small, large = random_answers(users=40), random_answers(seed=1, users=60)
    part_of = []
    for answers in (small, large):
        split = split_answers(answers, **SHARES, cold_items=0, seed=0)
        parts = (split.train, split.validation, split.test)
        part_of.append({user: code for code, part in enumerate(parts) for user in part.users.tolist()})
    assert {user: part_of[1][user] for user in part_of[0]} == part_of[0]


def test_by_file_a_part_scores_its_own_and_reads_what_was_before() -> None:
    answers = random_answers(by_file=True)
    split = split_answers(answers, **SHARES, cold_items=0, seed=0)
    assert answers.split is not None
    for code, part in ((TRAIN, split.train), (VALIDATION, split.validation), (TEST, split.test)):
        found = rows(part)
        for user in range(60):
            at = slice(answers.offsets[user], answers.offsets[user + 1])
            codes = answers.split[at]
            if not (codes == code).any():
                assert user not in found
                continue
            wanted = [
                (int(i), int(c), int(s == code))
                for i, c, s in zip(answers.items[at], answers.correct[at], codes, strict=True)
                if s <= code
            ]
            assert found[user] == wanted


@given(st.integers(0, 50), st.integers(1, 10), st.booleans())
def test_cold_items_leave_no_trace_in_train(seed: int, count: int, by_file: bool) -> None:
    """Not as a target, not in a history, and not in what the other parts read of train."""
    answers = random_answers(seed, by_file=by_file)
    split = split_answers(answers, **SHARES, cold_items=count, seed=seed)
    assert len(np.unique(split.cold_items)) == count
    assert not np.isin(split.train.items, split.cold_items).any()
    tested = split.test.items[split.test.scored == 1]
    assert np.isin(split.cold_items, tested).all()
    if by_file:
        unscored = split.test.items[split.test.scored == 0]
        assert answers.split is not None
        of_train = answers.items[answers.split == TRAIN]
        assert split.cold_answers == np.isin(of_train, split.cold_items).sum()
        of_validation = answers.items[answers.split == VALIDATION]
        assert np.isin(unscored, split.cold_items).sum() <= np.isin(of_validation, split.cold_items).sum()
    whole = split_answers(answers, **SHARES, cold_items=0, seed=seed)
    assert len(whole.train.items) - len(split.train.items) == split.cold_answers


def test_cold_items_follow_the_seed() -> None:
    answers = random_answers()
    drawn = [
        split_answers(answers, **SHARES, cold_items=5, seed=seed).cold_items.tolist() for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_more_cold_items_than_tested_ones_are_refused() -> None:
    with pytest.raises(ConfigError, match="cold_items = 25"):
        split_answers(random_answers(), **SHARES, cold_items=25, seed=0)


def test_shares_that_leave_nobody_to_train_on_are_refused() -> None:
    with pytest.raises(ConfigError, match="no users to train on"):
        split_answers(random_answers(), validation_share=0.5, test_share=0.5, cold_items=0, seed=0)


def test_an_empty_part_is_named() -> None:
    with pytest.raises(DataError, match="validation part has no answer"):
        split_answers(random_answers(), validation_share=1e-9, test_share=0.5, cold_items=0, seed=0)
