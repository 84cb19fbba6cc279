"""MIND's prediction file, and parts without labels."""

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grambench.config.data import Data
from grambench.domains.base import ToPredict
from grambench.domains.news.domain import DOMAIN
from grambench.errors import DataError
from grambench.metrics.ranking import ranks

SplitWriter = Callable[..., Path]
NEWS = [("N1", "one", ""), ("N2", "two", ""), ("N3", "three", "")]
TRAIN = [
    ("U1", "11/11/2019 9:05:58 AM", "N1", "N2-1 N3-0"),
    ("U2", "11/12/2019 9:05:58 AM", "N2", "N1-1 N3-0"),
    ("U3", "11/13/2019 9:05:58 AM", "", "N1-0 N3-1"),
]


@given(st.lists(st.lists(st.integers(-2, 2), max_size=6), max_size=5))
def test_ranks_are_those_of_the_official_script(scores: list[list[int]]) -> None:
    offsets = np.cumsum([0, *map(len, scores)])
    found = ranks(np.array([score for row in scores for score in row], np.float32), offsets)
    for number, row in enumerate(scores):
        order = np.argsort(np.array(row), kind="stable")[::-1]
        expected = np.empty(len(row), np.int64)
        expected[order] = np.arange(1, len(row) + 1)
        assert found[offsets[number] : offsets[number + 1]].tolist() == expected.tolist()


def asked(folder: Path, **settings: object) -> dict[str, ToPredict]:
    data = Data(source="mind", predictions=True, **settings)  # type: ignore[arg-type]
    return {each.name: each for each in DOMAIN.to_predict(folder, data, lambda *_: None)}


def text_of(part: ToPredict, scores: list[float]) -> str:
    with zipfile.ZipFile(BytesIO(part.render(np.array(scores), np.arange(len(scores))))) as archive:
        return archive.read("prediction.txt").decode()


def test_an_unknown_candidate_ranks_last_and_an_unknown_click_is_left_out(
    tmp_path: Path, write_split: SplitWriter
) -> None:
    write_split(tmp_path / "train", NEWS, TRAIN)
    write_split(tmp_path / "dev", NEWS, TRAIN[:1])
    rows = [("U7", "", "N1 X1", "X2 N3 N1"), ("U8", "", "", "N2 N1")]
    write_split(tmp_path / "test", NEWS, rows)
    parts = asked(tmp_path)
    part = parts["unlabelled-test"]
    assert (part.labelled, part.rows, part.unknown, part.file) == (False, 2, 1, "unlabelled-test.zip")
    assert part.part.history_items.tolist() == [0]
    assert part.part.history_offsets.tolist() == [0, 1, 1]
    assert text_of(part, [9.0, 1.0, 2.0, 0.5, 0.5]) == "1 [3,2,1]\n2 [2,1]\n"
    assert (parts["test"].labelled, parts["test"].rows) == (True, 1)


def test_ids_of_items_without_a_text_are_scored_as_such(tmp_path: Path, write_split: SplitWriter) -> None:
    write_split(tmp_path / "train", NEWS, TRAIN)
    write_split(tmp_path / "dev", NEWS, [("U1", "", "X1", "X1-1 N2-0")])
    part = asked(tmp_path, unknown_items="blank")["test"]
    assert part.part.candidate_items.tolist() == [3, 1]
    assert (part.unknown, part.part.history_items.tolist()) == (0, [3])


def test_dev_without_labels_is_scored_and_the_test_part_taken_out_of_train(
    tmp_path: Path, write_split: SplitWriter
) -> None:
    write_split(tmp_path / "train", NEWS, TRAIN)
    write_split(tmp_path / "dev", NEWS, [("U4", "", "N1", "N2 N3")])
    parts = asked(tmp_path)
    assert text_of(parts["test"], [0.0, 1.0]) == "3 [2,1]\n"
    assert text_of(parts["unlabelled-dev"], [1.0, 0.0]) == "1 [1,2]\n"
    data = Data(source="mind")
    for read in (DOMAIN.verify, lambda folder, data: DOMAIN.read(folder, data, lambda *_: None)):
        with pytest.raises(
            DataError, match=r"behaviors.tsv:1: found candidate 'N2'.*--predictions scores it"
        ):
            read(tmp_path, data)
    assert DOMAIN.verify(tmp_path, data.model_copy(update={"predictions": True})) is not None
