"""The news of several splits as one catalogue: each id once, in order of first appearance."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.domains.news.formats.mind import Behaviors, News
from grambench.domains.news.formats.mind_folder import Bodies


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """Distinct news; a repeated id keeps the text of the earliest split that has it.

    `ids`, `titles` and `abstracts` are large_string arrays of equal length. `repeated_same` and
    `repeated_other` hold the ids found in several splits with the same text and with different texts (title
    or abstract).
    """

    ids: pa.Array
    titles: pa.Array
    abstracts: pa.Array
    repeated_same: pa.Array
    repeated_other: pa.Array

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class ReadNews:
    """Common result of reading any news format, in memory. B impressions."""

    catalogue: Catalogue
    behaviors: list[Behaviors]
    """Train and dev, or all impressions of a table or of a folder without splits."""
    bodies: Bodies | None = None
    split: npt.NDArray[np.int8] | None = None
    """[B] code (`data.tables.splits`) of each impression's part; None: not given by the data."""
    unlabelled: dict[str, Behaviors] = field(default_factory=dict)
    """Split -> impressions that are scored and never evaluated."""


def merge_news(parts: Sequence[News]) -> Catalogue:
    """Join the news of the splits, given in order of precedence."""
    ids = pa.concat_arrays([part.ids for part in parts])
    titles = pa.concat_arrays([part.titles for part in parts])
    abstracts = pa.concat_arrays([part.abstracts for part in parts])
    encoded = ids.dictionary_encode()
    codes = encoded.indices.to_numpy()
    first = np.unique(codes, return_index=True)[1]
    repeats = np.flatnonzero(first[codes] != np.arange(len(codes)))
    origins = first[codes[repeats]]
    same_text = pc.and_(
        pc.equal(titles.take(pa.array(repeats)), titles.take(pa.array(origins))),
        pc.equal(abstracts.take(pa.array(repeats)), abstracts.take(pa.array(origins))),
    ).to_numpy(zero_copy_only=False)
    other = np.unique(codes[repeats[~same_text]])
    same = np.setdiff1d(codes[repeats], other)
    kept = pa.array(first)
    return Catalogue(
        ids=encoded.dictionary,
        titles=titles.take(kept),
        abstracts=abstracts.take(kept),
        repeated_same=encoded.dictionary.take(pa.array(same)),
        repeated_other=encoded.dictionary.take(pa.array(other)),
    )
