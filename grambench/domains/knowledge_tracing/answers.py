"""What every knowledge-tracing format is read into: items with their texts, and each user's answers in order.

Legend of shapes: I items, U users, A answers.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Answers of all users, ragged: user u's lie between offsets u and u + 1, earliest first."""

    item_ids: pa.Array
    """large_string [I], distinct."""
    texts: pa.Array
    """large_string [I], non-null; an item without text has an empty one."""
    user_ids: pa.Array
    """large_string [U], distinct; every user has at least one answer."""
    offsets: npt.NDArray[np.int64]
    """[U + 1]."""
    items: npt.NDArray[np.int32]
    """[A] positions in `item_ids`."""
    correct: npt.NDArray[np.int8]
    """[A] 1 right, 0 wrong."""
    time_s: npt.NDArray[np.int64]
    """[A] seconds, ascending for each user; `MISSING_TIME` everywhere where the data has an order only."""
    split: npt.NDArray[np.int8] | None = None
    """[A] code (`data.tables.splits`) of the part that scores each answer; None: the data does not say."""
    coarse_times: bool = False
    """Times order the answers, but those of several may be equal though they were given one by one."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows that could not be used, by reason in words; shown to the user, never silent."""

    def __len__(self) -> int:
        return len(self.items)
