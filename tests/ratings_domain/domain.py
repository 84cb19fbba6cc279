"""Will a user like an item, given the other items that the user liked?

Legend: U users, L most ratings of a user.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.config.data import Data
from grambench.data.prepared.build import Interactions
from grambench.data.prepared.manifest import SampleCounts, SourceFile
from grambench.data.prepared.sources import Report
from grambench.data.prepared.tokens import Texts
from grambench.data.tables.files import Columns, chunks, find_table, ids, texts
from grambench.data.verification import CheckedFolder
from grambench.domains.base import Domain, Source

ITEMS, RATINGS = Columns(("id", "title")), Columns(("user", "item", "liked"))


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    rated_UL: npt.NDArray[np.int32]
    liked_UL: npt.NDArray[np.int8]
    """1 or 0; -1 behind a user's ratings."""


class RatingsCheck(CheckedFolder):
    items: int
    users: int


def rating_files(folder: Path, _data: Data) -> dict[str, Path]:
    return {"items": find_table(folder, "items", ITEMS), "ratings": find_table(folder, "ratings", RATINGS)}


def read_ratings(folder: Path, data: Data, _report: Report) -> tuple[pa.Array, Ratings]:
    """Titles, and the ratings of all users."""
    files, of_users = rating_files(folder, data), defaultdict(list)
    (items,) = chunks(files["items"], ITEMS)
    for chunk in chunks(files["ratings"], RATINGS):
        item = pc.fill_null(pc.index_in(ids(chunk, "item"), ids(items, "id")), -1).to_numpy()
        chunk.check("item", item >= 0, "an id of the table items")
        for user, *rating in zip(ids(chunk, "user").to_pylist(), item, texts(chunk, "liked"), strict=True):
            of_users[user].append((rating[0], int(rating[1].as_py())))
    shape = len(of_users), max(map(len, of_users.values()))
    ratings = Ratings(np.zeros(shape, np.int32), np.full(shape, -1, np.int8))
    for row, given in enumerate(of_users.values()):
        ratings.rated_UL[row, : len(given)], ratings.liked_UL[row, : len(given)] = zip(*given, strict=True)
    return texts(items, "title"), ratings


class RatingsDomain(Domain):
    part = Ratings
    sources = {"ratings": Source(holds="items and ratings", files=rating_files, read=read_ratings)}

    def read(self, folder: Path, data: Data, report: Report) -> Interactions:
        titles, whole = self.sources[data.source].read(folder, data, report)
        shares = 1 - data.test_share - data.validation_share, 1 - data.test_share
        columns = [np.split(column, [int(share * len(column)) for share in shares])
                   for column in (whole.rated_UL, whole.liked_UL)]  # fmt: skip
        parts = dict(zip(("train", "validation", "test"), map(Ratings, *columns), strict=True))
        return Interactions(
            texts=Texts(("title",), (data.fields.title,), (titles,)),
            parts=parts,
            counts={name: _counts(part.liked_UL) for name, part in parts.items()},
            items={"empty_texts": int(pc.sum(pc.equal(titles, "")).as_py())},
            manifest={"validation": "users", "validation_share": data.validation_share},
        )

    def determinants(self, data: Data, described: Mapping[str, SourceFile]) -> dict[str, object]:
        return {"source": data.source, "shares": [data.validation_share, data.test_share]}

    def verify(self, folder: Path, data: Data) -> RatingsCheck:
        titles, whole = self.sources[data.source].read(folder, data, lambda *_: None)
        count = {"items": len(titles), "users": len(whole.liked_UL)}
        return RatingsCheck(data_dir=str(folder), dataset=data.dataset, **count)


def _counts(liked_UL: npt.NDArray[np.int8]) -> SampleCounts:
    likes, dislikes = (int(np.count_nonzero(liked_UL == liked)) for liked in (1, 0))
    scored = likes + dislikes if likes and dislikes else 0
    return SampleCounts(samples=len(liked_UL), scored=scored, likes=likes)


DOMAIN = RatingsDomain()
