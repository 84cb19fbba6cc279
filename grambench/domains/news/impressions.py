"""Behaviors -> the interactions of train, validation and test, with items as indices.

Legend of shapes: B impressions, H history clicks, C candidates, D distinct ids of a behaviors.tsv.
A negative item stands for an unknown id: -1 for the first one found, -2 for the second, and so on.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.data.prepared.manifest import PartCounts
from grambench.data.tables.clock import MISSING_TIME
from grambench.domains.news.formats.mind import Behaviors
from grambench.errors import DataError

SECONDS_PER_DAY = 86_400

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Impressions of a part, ragged: those of row b are at offsets[b]:offsets[b + 1]."""

    history_items: Int32s
    """[H] oldest click first."""
    history_offsets: Int64s
    """[B + 1]."""
    candidate_items: Int32s
    """[C]."""
    candidate_labels: npt.NDArray[np.int8]
    """[C] 1 clicked, 0 not."""
    candidate_offsets: Int64s
    """[B + 1]."""
    users: Int32s
    """[B] indices of users, common to all parts."""
    time_s: Int64s
    """[B] POSIX seconds; `MISSING_TIME` where the data has none."""

    def __len__(self) -> int:
        return len(self.users)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays read in training and evaluation."""
        read = (self.history_items, self.history_offsets, self.candidate_items, self.candidate_offsets)
        return sum(array.nbytes for array in read) + self.candidate_labels.nbytes


def link(splits: Sequence[Behaviors], item_ids: pa.Array) -> tuple[list[Part], pa.Array]:
    """Number users and items across all splits.

    Args:
        splits: labelled behaviors.
        item_ids: ids of the known items, in order of their numbers.

    Returns:
        The interactions of each split, and the unknown ids in order of first appearance: item -1 - i is the
        i-th of them.
    """
    user_ids = pa.concat_arrays([split.user_ids for split in splits]).unique()
    missing = unknown_ids(splits, item_ids)
    return [_link(split, user_ids, item_ids, missing) for split in splits], missing


def unknown_ids(splits: Sequence[Behaviors], item_ids: pa.Array) -> pa.Array:
    """Ids in histories and candidates that are not among `item_ids`, in order of first appearance."""
    all_ids = pa.concat_arrays([split.news_ids for split in splits]).unique()
    return all_ids.filter(pc.invert(pc.is_in(all_ids, item_ids)))


def _link(split: Behaviors, user_ids: pa.Array, item_ids: pa.Array, unknown_ids: pa.Array) -> Part:
    if split.labels is None:
        raise ValueError("only labelled behaviors can be linked")
    known_D = pc.fill_null(pc.index_in(split.news_ids, item_ids), -1).to_numpy()
    unknown_D = pc.fill_null(pc.index_in(split.news_ids, unknown_ids), 0).to_numpy()
    items_D = np.where(known_D >= 0, known_D, -1 - unknown_D).astype(np.int32)
    return Part(
        history_items=items_D[split.history],
        history_offsets=split.history_offsets,
        candidate_items=items_D[split.candidates],
        candidate_labels=split.labels,
        candidate_offsets=split.candidate_offsets,
        users=pc.index_in(split.user_ids, user_ids).to_numpy().astype(np.int32)[split.users],
        time_s=split.time_s,
    )


def last_day(time_s: Int64s) -> Bools:
    """Mask [B] of the impressions of the last calendar day.

    Raises:
        DataError: some times are missing, or all impressions are from one day.
    """
    fix = "Use `--set data.validation=users`."
    missing = int(np.count_nonzero(time_s == MISSING_TIME))
    if missing:
        raise DataError(
            f"{missing:,} of {len(time_s):,} train impressions have no time, so the last day is unknown.",
            fix,
        )
    days = time_s // SECONDS_PER_DAY
    mask: Bools = days == days.max()
    if mask.all():
        raise DataError("All train impressions are from one day, so none would be left to train on.", fix)
    return mask


def user_share(
    behaviors: Behaviors, share: float, rows: Bools, part: Literal["validation", "test"] = "validation"
) -> Bools:
    """Mask [B] of the impressions in `rows` [B] of a share of the users, selected by a hash of the user id.

    Test users and validation users are taken from opposite ends of the hash range.

    Raises:
        DataError: none, or all, of the users with impressions in `rows` are selected.
    """
    bound, last = int(share * 2**64), 2**64 - 1
    places = (
        int.from_bytes(hashlib.blake2b(user.encode(), digest_size=8).digest(), "big")
        for user in behaviors.user_ids.to_pylist()
    )
    chosen = np.fromiter(
        ((last - place if part == "test" else place) < bound for place in places),
        np.bool_,
        len(behaviors.user_ids),
    )
    mask: Bools = chosen[behaviors.users] & rows
    if not mask.any() or (mask == rows).all():
        users = len(np.unique(behaviors.users[rows]))
        raise DataError(
            f"A {part} share of {share} selects {'all' if mask.any() else 'none'} of the {users:,}"
            f" user{'' if users == 1 else 's'}.",
            f"Change `--set data.{part}_share=…`." if users > 1 else "At least two users are needed.",
        )
    return mask


def select(part: Part, rows: Bools) -> Part:
    """The impressions selected by a mask [B], in order."""
    kept_history = np.repeat(rows, np.diff(part.history_offsets))
    kept_candidates = np.repeat(rows, np.diff(part.candidate_offsets))
    return Part(
        history_items=part.history_items[kept_history],
        history_offsets=_row_offsets(part.history_offsets, rows),
        candidate_items=part.candidate_items[kept_candidates],
        candidate_labels=part.candidate_labels[kept_candidates],
        candidate_offsets=_row_offsets(part.candidate_offsets, rows),
        users=part.users[rows],
        time_s=part.time_s[rows],
    )


def drop_unknown(part: Part) -> Part:
    """Drop unknown items, and impressions without remaining candidates."""
    history, candidates = part.history_items >= 0, part.candidate_items >= 0
    thinned = dataclasses.replace(
        part,
        history_items=part.history_items[history],
        history_offsets=_thinned_offsets(part.history_offsets, history),
        candidate_items=part.candidate_items[candidates],
        candidate_labels=part.candidate_labels[candidates],
        candidate_offsets=_thinned_offsets(part.candidate_offsets, candidates),
    )
    return select(thinned, np.diff(thinned.candidate_offsets) > 0)


def without_unknown_clicks(part: Part) -> Part:
    """Drop unknown items from the histories alone."""
    kept = part.history_items >= 0
    return dataclasses.replace(
        part,
        history_items=part.history_items[kept],
        history_offsets=_thinned_offsets(part.history_offsets, kept),
    )


def number_unknown(part: Part, known: int) -> Part:
    """Number the i-th unknown id as item `known` + i."""

    def numbered(items: Int32s) -> Int32s:
        return np.where(items >= 0, items, known - 1 - items).astype(np.int32)

    return dataclasses.replace(
        part,
        history_items=numbered(part.history_items),
        candidate_items=numbered(part.candidate_items),
    )


def count(before: Part, after: Part) -> PartCounts:
    """Counts of a part before and after the unknown-items policy."""
    clicked = np.concatenate(([0], np.cumsum(after.candidate_labels, dtype=np.int64)))
    clicks = np.diff(clicked[after.candidate_offsets])
    return PartCounts(
        impressions=len(after),
        users=len(np.unique(after.users)),
        history_clicks=len(after.history_items),
        candidates=len(after.candidate_items),
        clicks=int(clicks.sum()),
        empty_histories=int(np.count_nonzero(np.diff(after.history_offsets) == 0)),
        no_click_impressions=int(np.count_nonzero(clicks == 0)),
        all_click_impressions=int(np.count_nonzero(clicks == np.diff(after.candidate_offsets))),
        missing_times=int(np.count_nonzero(after.time_s == MISSING_TIME)),
        unknown_history=int(np.count_nonzero(before.history_items < 0)),
        unknown_candidates=int(np.count_nonzero(before.candidate_items < 0)),
        dropped_impressions=len(before) - len(after),
    )


def _row_offsets(offsets: Int64s, rows: Bools) -> Int64s:
    return np.concatenate(([0], np.cumsum(np.diff(offsets)[rows])))


def _thinned_offsets(offsets: Int64s, kept: Bools) -> Int64s:
    return np.concatenate(([0], np.cumsum(kept)))[offsets]
