"""Common result of reading any knowledge-tracing format: items with texts, and each user's answers in order.

Legend of shapes: I items, U users, A answers.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

REPEATED_ITEMS = "repeated rows of items"
"""A reason of `left_out`."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Answers of all users, ragged: those of user u are at offsets[u]:offsets[u + 1], earliest first."""

    item_ids: pa.Array
    """large_string [I], distinct."""
    texts: pa.Array
    """large_string [I], non-null; empty for an item without text."""
    user_ids: pa.Array
    """large_string [U], distinct; every user has at least one answer."""
    offsets: npt.NDArray[np.int64]
    """[U + 1]."""
    items: npt.NDArray[np.int32]
    """[A] indices into `item_ids`."""
    correct: npt.NDArray[np.int8]
    """[A] 1 right, 0 wrong."""
    time_s: npt.NDArray[np.int64]
    """[A] seconds, ascending per user; all `MISSING_TIME` if the data only has an order."""
    split: npt.NDArray[np.int8] | None = None
    """[A] code (`data.tables.splits`) of the part that scores each answer; None: not given by the data."""
    coarse_times: bool = False
    """Times define the order, but successive answers may have equal times."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows that could not be used, by reason (in words); always shown to the user."""

    def __len__(self) -> int:
        return len(self.items)
