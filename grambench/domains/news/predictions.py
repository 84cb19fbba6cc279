"""MIND's prediction files: a line for each impression, with the rank of each of its candidates.

The competition takes a zip file that holds `prediction.txt`: `ImpressionID [rank,rank,…]`, in the order of
behaviors.tsv (https://msnews.github.io/competition.html). Legend: B impressions, C candidates.
"""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grambench.config.data import Data
from grambench.domains.base import ToPredict
from grambench.domains.news import impressions
from grambench.domains.news.formats.catalogue import ReadNews
from grambench.domains.news.formats.mind import Behaviors
from grambench.domains.news.impressions import Bools, Part
from grambench.domains.news.prepare import test_rows
from grambench.errors import DataError
from grambench.metrics.ranking import ranks

_MEMBER, _LINES = "prediction.txt", 1 << 16


def news_to_predict(news: ReadNews, data: Data) -> list[ToPredict]:
    """The test part, and every split without labels.

    Under any policy for unknown ids an unknown click is left out and an unknown candidate ranked last,
    unless it was numbered as an item without text.

    Raises:
        DataError: no candidate of a part is known.
    """
    known = news.catalogue.ids
    if data.unknown_items == "blank":
        known = pa.concat_arrays([known, impressions.unknown_ids(news.behaviors, known)])
    labelled = news.behaviors[-1]
    free = (
        _asked(f"unlabelled-{split}", behaviors, np.ones(len(behaviors), np.bool_), known)
        for split, behaviors in news.unlabelled.items()
    )
    return [_asked("test", labelled, test_rows(news, data), known), *free]


def _asked(name: str, behaviors: Behaviors, rows: Bools, known: pa.Array) -> ToPredict:
    """`rows`: mask [B]; `known`: ids of the items by number."""
    unlabelled = replace(behaviors, labels=np.zeros(len(behaviors.candidates), np.int8))
    (linked,), _ = impressions.link([unlabelled], known)
    part = impressions.without_unknown_clicks(impressions.select(linked, rows))
    is_known_C = part.candidate_items >= 0
    if not is_known_C.any():
        raise DataError(f"No candidate of {name} has a row in the items' files.", "Add their rows.")
    ids = behaviors.impression_ids.filter(pa.array(rows))
    return ToPredict(
        name=name,
        file=f"{name}.zip",
        part=replace(part, candidate_items=np.where(is_known_C, part.candidate_items, 0)),
        labelled=name == "test",
        rows=len(part),
        unknown=int(np.count_nonzero(~is_known_C)),
        render=partial(_zipped, ids, part, is_known_C),
    )


def _zipped(
    ids: pa.Array,
    part: Part,
    is_known_C: Bools,
    scores_C: npt.NDArray[np.floating],
    _places_C: npt.NDArray[np.integer],
) -> bytes:
    """The same scores give the same bytes."""
    ranks_C = ranks(np.where(is_known_C, scores_C, -np.inf), part.candidate_offsets)
    content = io.BytesIO()
    member = zipfile.ZipInfo(_MEMBER)
    member.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(content, "w") as archive, archive.open(member, "w") as file:
        for first in range(0, len(part), _LINES):
            file.write("".join(_lines(ids, ranks_C, part.candidate_offsets, first)).encode())
    return content.getvalue()


def _lines(
    ids: pa.Array, ranks_C: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], first: int
) -> Iterator[str]:
    bounds = offsets[first : first + _LINES + 1]
    words = list(map(str, ranks_C[bounds[0] : bounds[-1]].tolist()))
    starts = (bounds - bounds[0]).tolist()
    for number, id_ in enumerate(ids[first : first + _LINES].to_pylist()):
        yield f"{id_} [{','.join(words[starts[number] : starts[number + 1]])}]\n"
