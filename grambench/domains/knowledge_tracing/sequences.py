"""Split answers into the sequences of train, validation and test, and drop cold items from training.

Legend of shapes: U users of the whole data set, S sequences of a part, A answers.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grambench.data.draws import Stream
from grambench.data.tables.splits import TEST, TRAIN, VALIDATION
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.errors import ConfigError, DataError

Int8s = npt.NDArray[np.int8]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_SHARES_FIX = "Change `--set data.validation_share=…` or `--set data.test_share=…`."


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """Answers of a part, ragged: those of sequence s are at offsets[s]:offsets[s + 1], earliest first."""

    items: Int32s
    """[A]."""
    correct: Int8s
    """[A] 1 right, 0 wrong."""
    scored: Int8s
    """[A] 1: the answer belongs to this part; 0: an earlier answer of the same user, read but not scored."""
    offsets: Int64s
    """[S + 1]."""
    users: Int32s
    """[S] indices of users, common to all parts."""

    def __len__(self) -> int:
        return len(self.users)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays read in training and evaluation."""
        return sum(array.nbytes for array in (self.items, self.correct, self.scored, self.offsets))


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The three parts, and the items excluded from training."""

    train: Sequences
    validation: Sequences
    test: Sequences
    cold_items: Int32s
    """Ascending."""
    cold_answers: int
    """Training answers dropped because their items are cold."""
    test_answers: Int64s
    """[A] where the test part's answers stand among all, ascending."""


def split_answers(
    answers: Answers, *, validation_share: float, test_share: float, cold_items: int, seed: int
) -> Split:
    """Split by the data set's own parts if it has them, else by user.

    By part: a part scores its own answers, and also reads the user's earlier ones. By user: by a hash of the
    user id, so that a user's part does not depend on the rest of the data.

    Args:
        answers: of all users.
        validation_share: share of the users, if the data set has no parts.
        test_share: likewise.
        cold_items: number of items, drawn with `seed` from those the test part scores, whose training answers
            are dropped.
        seed: of the cold items.

    Raises:
        DataError: a part is empty. ConfigError: the test part scores fewer items than `cold_items`.
    """
    if answers.split is None:
        if validation_share + test_share >= 1:
            raise ConfigError("The shares of validation and test leave no users to train on.", _SHARES_FIX)
        part_A = np.repeat(_parts_of_users(answers, validation_share, test_share), np.diff(answers.offsets))
        read_by = {code: part_A == code for code in (TRAIN, VALIDATION, TEST)}
    else:
        part_A = answers.split
        read_by = {code: part_A <= code for code in (TRAIN, VALIDATION, TEST)}
    cold = _draw_cold(answers.items[part_A == TEST], cold_items, seed)
    is_cold_A = np.isin(answers.items, cold)
    lost_A = is_cold_A & (part_A == TRAIN)
    parts = {code: _part(answers, read & ~lost_A, part_A == code) for code, read in read_by.items()}
    for code, name in ((TRAIN, "train"), (VALIDATION, "validation"), (TEST, "test")):
        if not len(parts[code]):
            raise DataError(f"The {name} part has no answers.", _SHARES_FIX)
    kept_A = _kept(answers, read_by[TEST] & ~lost_A, part_A == TEST)
    return Split(
        parts[TRAIN],
        parts[VALIDATION],
        parts[TEST],
        cold,
        int(np.count_nonzero(lost_A)),
        np.flatnonzero(kept_A),
    )


def _parts_of_users(answers: Answers, validation_share: float, test_share: float) -> Int8s:
    """[U] code of each user's part."""
    place_U = np.fromiter(
        (
            int.from_bytes(hashlib.blake2b(user.encode(), digest_size=8).digest(), "big") / 2**64
            for user in answers.user_ids.to_pylist()
        ),
        np.float64,
        len(answers.user_ids),
    )
    edges = (1 - validation_share - test_share, 1 - test_share)
    return np.digitize(place_U, edges).astype(np.int8)


def _draw_cold(tested_items: Int32s, count: int, seed: int) -> Int32s:
    """Draw `count` of the items that the test part scores; ascending."""
    candidates = np.unique(tested_items)
    if count >= len(candidates) and count > 0:
        raise ConfigError(
            f"data.cold_items = {count:,}, but the test part scores {len(candidates):,} items.",
            "Use `--set data.cold_items=…` with fewer.",
        )
    order = np.argsort(Stream(seed, "cold items").uniform(len(candidates)), kind="stable")
    return np.sort(candidates[order[:count]]).astype(np.int32)


def users_of(answers: Answers) -> Int64s:
    """[A] number of each answer's user."""
    return np.repeat(np.arange(len(answers.offsets) - 1), np.diff(answers.offsets))


def _kept(answers: Answers, read_A: Bools, scored_A: Bools) -> Bools:
    user_A = users_of(answers)
    kept: Bools = read_A & np.isin(user_A, user_A[scored_A & read_A])
    return kept


def _part(answers: Answers, read_A: Bools, scored_A: Bools) -> Sequences:
    """Sequences of the users with a scored answer, up to the last one."""
    kept_A = _kept(answers, read_A, scored_A)
    users, counts = np.unique(users_of(answers)[kept_A], return_counts=True)
    return Sequences(
        items=answers.items[kept_A],
        correct=answers.correct[kept_A],
        scored=scored_A[kept_A].astype(np.int8),
        offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        users=users.astype(np.int32),
    )
