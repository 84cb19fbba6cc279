"""What verify counts, on planted faults and on real rows."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from grambench.domains.news import checksums
from grambench.domains.news.verify import Verification, verify
from grambench.errors import DataError

SplitWriter = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, write_split: SplitWriter) -> Path:
    write_split(
        tmp_path / "train",
        [("N1", "one", ""), ("N2", "two", ""), ("N3", "three", "")],
        [
            ("U1", "11/11/2019 9:05:58 AM", "N1 N4 X1 X1", "N2-1 X2-0"),
            ("U2", "", "", "N1-1 N2-1"),
            ("U1", "11/12/2019 9:05:58 AM", "N1", "N2-0 X1-0"),
        ],
    )
    write_split(
        tmp_path / "dev",
        [("N4", "four", ""), ("N2", "two", "changed"), ("N1", "one", "")],
        [("U3", "11/13/2019 9:05:58 AM", "N3 X3", "N4-1 N3-0")],
    )
    return tmp_path


def test_planted_faults_are_counted_with_examples(folder: Path) -> None:
    found = verify(folder)
    train, dev = found.splits["train"], found.splits["dev"]
    assert (train.news, train.impressions, train.users, train.history_clicks) == (3, 3, 2, 5)
    assert (train.candidates, train.clicks, train.labelled) == (6, 3, True)
    assert train.empty_histories.examples == ("2",)
    assert train.missing_times.examples == ("2",)
    assert train.no_click_impressions is not None
    assert train.no_click_impressions.examples == ("3",)
    assert train.all_click_impressions is not None
    assert train.all_click_impressions.examples == ("2",)
    assert train.one_class_impressions == 2
    assert train.unknown_history.model_dump() == {"occurrences": 2, "distinct": 1, "examples": ("X1",)}
    assert train.unknown_candidates.model_dump() == {
        "occurrences": 2,
        "distinct": 2,
        "examples": ("X2", "X1"),
    }
    assert train.foreign_history.examples == ("N4",)
    assert train.foreign_candidates.distinct == 0
    assert dev.foreign_history.examples == ("N3",)
    assert dev.foreign_candidates.examples == ("N3",)
    assert found.unknown_ids.model_dump() == {
        "occurrences": 5,
        "distinct": 3,
        "examples": ("X1", "X2", "X3"),
    }
    assert found.repeated_news_same_text.examples == ("N1",)
    assert found.repeated_news_other_text.examples == ("N2",)
    assert (found.news, found.news_without_body) == (4, None)


def test_the_result_survives_json(folder: Path) -> None:
    found = verify(folder, "mind-small")
    assert Verification.model_validate_json(found.model_dump_json()) == found


def test_a_folder_without_splits_is_one_and_says_what_a_run_does(folder: Path) -> None:
    found = verify(folder / "train")
    assert list(found.splits) == ["train"]
    assert "the folder has no train/ and dev/" in found.cautions[0]


def test_a_split_without_clicks_is_told(folder: Path, write_split: SplitWriter) -> None:
    assert any("below 50" in caution for caution in verify(folder).cautions)
    path = folder / "dev" / "behaviors.tsv"
    path.write_text(path.read_text().replace("-1", "-0"))
    assert any("dev split cannot be scored" in caution for caution in verify(folder).cautions)


def test_an_unlabelled_test_split_has_no_clicks(folder: Path, write_split: SplitWriter) -> None:
    write_split(folder / "test", [("N9", "nine", "")], [("U9", "", "N1", "N9 N1")])
    test = verify(folder).splits["test"]
    assert (test.labelled, test.clicks, test.one_class_impressions) == (False, None, None)
    assert test.candidates == 2


def test_items_without_a_body_are_counted(folder: Path) -> None:
    (folder / "bodies.tsv").write_text("N1\tbody\nN2\t\nN77\tof no news\n")
    assert verify(folder).news_without_body == 3


def test_no_split_and_malformed_rows_are_data_errors(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no train split"):
        verify(tmp_path / "empty")
    with pytest.raises(DataError, match="no data folder"):
        verify(tmp_path / "absent")
    with (folder / "dev" / "behaviors.tsv").open("a") as file:
        file.write("2\tU1\t\t\tN1-7\n")
    with pytest.raises(DataError, match=r"dev/behaviors\.tsv:2: found candidate 'N1-7'"):
        verify(folder)


def test_files_are_compared_with_the_published_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    news = (folder / "train" / "news.tsv").read_bytes()
    size = (folder / "train" / "behaviors.tsv").stat().st_size
    published = {
        "train/news.tsv": checksums.Published(len(news), hashlib.sha256(news).hexdigest()),
        "train/behaviors.tsv": checksums.Published(size, "0" * 64),
        "dev/news.tsv": checksums.Published(1, None),
        "dev/behaviors.tsv": checksums.Published((folder / "dev" / "behaviors.tsv").stat().st_size, None),
    }
    monkeypatch.setitem(checksums.KNOWN_FILES, "tiny", published)
    splits = verify(folder, "tiny").splits
    assert [file.origin for file in splits["train"].files] == ["official", "differs"]
    assert [file.origin for file in splits["dev"].files] == ["differs", "unknown"]
    assert {file.origin for file in verify(folder).splits["dev"].files} == {"unknown"}


def test_the_real_sample_gives_its_known_numbers(shared_data: Path, tmp_path: Path) -> None:
    for split in ("train", "dev"):
        (tmp_path / split).symlink_to(shared_data / "mind-sample")
    found = verify(tmp_path, "mind-small")
    for check in found.splits.values():
        assert (check.impressions, check.candidates, check.clicks) == (5000, 189_359, 7542)
        assert (check.empty_histories.occurrences, check.history_clicks) == (107, 159_802)
        assert (check.unknown_history.occurrences, check.unknown_history.distinct) == (153_641, 15_412)
        assert (check.unknown_candidates.occurrences, check.unknown_candidates.distinct) == (184_049, 7173)
        assert check.one_class_impressions == 0
        assert {file.origin for file in check.files} == {"differs"}
    assert found.unknown_ids.distinct == 21_754


def test_the_real_first_rows_give_their_known_numbers(shared_data: Path) -> None:
    for check in verify(shared_data / "mind-rows").splits.values():
        assert (check.impressions, check.news) == (101, 101)


def test_a_row_that_repeats_an_id_with_the_same_text_is_counted(folder: Path) -> None:
    path = folder / "train" / "news.tsv"
    row = next(line for line in path.read_text().splitlines(keepends=True) if line.startswith("N3\t"))
    id_, category, rest = row.split("\t", 2)
    path.write_text(path.read_text() + row + f"{id_}\tnot {category}\t{rest}")
    found = verify(folder)
    assert found.splits["train"].repeated_rows.model_dump() == {
        "occurrences": 2,
        "distinct": 1,
        "examples": ("N3",),
    }
    assert found.splits["dev"].repeated_rows.occurrences == 0
    assert set(found.repeated_news_same_text.examples) == {"N1", "N3"}
    assert found.news == 4
