"""Plain tables of impressions become prepared arrays; their parts are cut by three rules."""

from pathlib import Path

import numpy as np
import pytest
from prepare_requests import changed, prepare_request

from grambench.config.data import FieldLimits
from grambench.data.tokenizer import build_words
from grambench.domains.prepared import Prepared, PrepareRequest, open_prepared, prepare
from grambench.errors import ConfigError, DataError

DAY = 86_400
START = 18_000 * DAY
ITEMS = "id\ttitle\nN1\tone fish\nN2\ttwo fish\nN3\tred fish\n"


def silent(*_: object) -> None:
    """Progress that nobody watches."""


def request(
    folder: Path, rows: list[str], columns: str = "user\thistory\tcandidates\ttime"
) -> PrepareRequest:
    folder.mkdir()
    (folder / "items.tsv").write_text(ITEMS)
    (folder / "impressions.tsv").write_text("\n".join([columns, *rows]) + "\n")
    return prepare_request(
        folder=folder,
        dataset="mine",
        fields=FieldLimits(title=8),
        validation="last-day",
        validation_share=0.5,
        tokenizer=lambda corpus: build_words(corpus, 64),
        source="news-tables",
        test_share=0.25,
        tokenizer_key="words",
    )


def opened(made: PrepareRequest, tmp_path: Path, **changes: object) -> Prepared:
    return open_prepared(prepare(changed(made, **changes), tmp_path / "cache", silent))


def times(data: Prepared) -> dict[str, list[int]]:
    return {name: (part.time_s - START).tolist() for name, part in data.parts.items()}


def timed(*seconds: int) -> list[str]:
    return [f"U{number % 3}\tN1\tN2-1 N3-0\t{START + second}" for number, second in enumerate(seconds)]


def test_the_newest_are_the_test_and_the_last_day_before_them_validates(tmp_path: Path) -> None:
    made = request(tmp_path / "data", timed(5, DAY + 7, 3 * DAY, 2, DAY + 9, 4 * DAY, 6, DAY + 8))
    data = opened(made, tmp_path)
    assert times(data) == {
        "train": [5, 2, 6],
        "validation": [DAY + 7, DAY + 9, DAY + 8],
        "test": [3 * DAY, 4 * DAY],
    }
    assert data.manifest.domain == "news"
    assert set(data.manifest.sources) == {"items", "impressions"}
    part = data.parts["test"]
    assert part.candidate_labels.tolist() == [1, 0, 1, 0]
    assert part.history_items.tolist() == [0, 0]


def test_equal_times_stay_together(tmp_path: Path) -> None:
    data = opened(request(tmp_path / "data", timed(1, DAY, 9 * DAY, 9 * DAY)), tmp_path)
    assert times(data)["test"] == [9 * DAY, 9 * DAY]


def test_a_column_names_the_parts(tmp_path: Path) -> None:
    columns = "user\thistory\tcandidates\tsplit"
    rows = [f"U1\t\tN1-1 N2-0\t{part}" for part in ("test", "train", "validation", "train")]
    data = opened(request(tmp_path / "data", rows, columns), tmp_path)
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 2, "validation": 1, "test": 1}


def test_a_column_without_validation_leaves_it_to_the_rule(tmp_path: Path) -> None:
    columns = "user\thistory\tcandidates\tsplit\ttime"
    moments = {0: "train", DAY: "train", 5: "test"}
    rows = [f"U1\t\tN1-1 N2-0\t{part}\t{START + second}" for second, part in moments.items()]
    assert times(opened(request(tmp_path / "data", rows, columns), tmp_path)) == {
        "train": [0],
        "validation": [DAY],
        "test": [5],
    }


def test_without_times_users_are_divided(tmp_path: Path) -> None:
    rows = [f"U{number}\tN1\tN2-1 N3-0" for number in range(60)]
    made = request(tmp_path / "data", rows, "user\thistory\tcandidates")
    data = opened(made, tmp_path, validation="users", validation_share=0.2)
    users = {name: set(part.users.tolist()) for name, part in data.parts.items()}
    assert sum(map(len, users.values())) == 60
    assert set.union(*users.values()) == set(range(60))
    assert all(5 <= len(users[name]) <= 25 for name in ("validation", "test"))
    with pytest.raises(DataError, match="train impressions have no time"):
        opened(made, tmp_path)


def test_impressions_of_one_moment_need_a_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Too many impressions have the same time") as caught:
        opened(request(tmp_path / "data", timed(7, 7, 7)), tmp_path)
    assert "column `split`" in str(caught.value)


def test_a_column_without_test_is_refused(tmp_path: Path) -> None:
    columns = "user\thistory\tcandidates\tsplit"
    with pytest.raises(DataError, match="No impression is in the split `test`"):
        opened(request(tmp_path / "data", ["U1\t\tN1-1 N2-0\ttrain"], columns), tmp_path)


@pytest.mark.parametrize("rule", ["last-day", "users"])
@pytest.mark.parametrize("others", [("test",), ("test", "validation")])
def test_a_column_without_train_is_refused(rule: str, others: tuple[str, ...], tmp_path: Path) -> None:
    columns = "user\thistory\tcandidates\tsplit"
    rows = [f"U{number}\t\tN1-1 N2-0\t{part}" for number, part in enumerate(others)]
    with pytest.raises(DataError, match=r"No impression is in the split `train`\. Mark some"):
        opened(request(tmp_path / "data", rows, columns), tmp_path, validation=rule)


def test_a_share_without_users_is_named_as_the_cause(tmp_path: Path) -> None:
    columns = "user\thistory\tcandidates\tsplit"
    rows = [f"U{number}\t\tN1-1 N2-0\t{'test' if number else 'train'}" for number in range(40)]
    made = request(tmp_path / "data", rows, columns)
    for share, amount in ((0.1, "none"), (0.9, "all")):
        with pytest.raises(DataError) as caught:
            opened(made, tmp_path, validation="users", validation_share=share)
        assert f"A validation share of {share} selects {amount} of the 1 user" in str(caught.value)
        assert "At least two users" in str(caught.value)


def test_users_of_the_test_leave_none_to_validate(tmp_path: Path) -> None:
    rows = [f"U{number}\tN1\tN2-1 N3-0" for number in range(60)]
    made = request(tmp_path / "data", rows, "user\thistory\tcandidates")
    message = r"share of 0\.6 selects all of the \d+ users.*data\.validation_share"
    with pytest.raises(DataError, match=message):
        opened(made, tmp_path, validation="users", validation_share=0.6, test_share=0.6)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("U1\t\tN1-1\tdev", "impressions.tsv:2"),
        ("U1\t\tN1\ttest", "impressions.tsv:2: found candidate 'N1', expected N123-0 or N123-1"),
        ("\t\tN1-1\ttest", "impressions.tsv:2"),
        ("U1\t\tN9-1 N1-0\ttest", "1 ids have no row in the items' files (such as 'N9')"),
    ],
)
def test_malformed_rows_name_their_line(row: str, complaint: str, tmp_path: Path) -> None:
    made = request(tmp_path / "data", [row], "user\thistory\tcandidates\tsplit")
    with pytest.raises(DataError) as caught:
        opened(made, tmp_path)
    assert complaint in str(caught.value)


def test_bodies_and_the_papers_protocol_are_for_mind(tmp_path: Path) -> None:
    made = request(tmp_path / "data", timed(1, DAY, 2 * DAY))
    with pytest.raises(ConfigError, match="tables of news only have a title and an abstract"):
        opened(made, tmp_path, fields=FieldLimits(title=8, body=8))
    with pytest.raises(ConfigError, match="this data has none"):
        opened(made, tmp_path, protocol="paper")


def test_unknown_ids_can_be_dropped_or_kept_blank(tmp_path: Path) -> None:
    made = request(tmp_path / "data", [*timed(1, DAY), f"U1\tN9 N1\tN2-1 N8-0\t{START + 2 * DAY}"])
    dropped = opened(made, tmp_path, unknown_items="drop").parts["test"]
    assert (dropped.history_items.tolist(), dropped.candidate_items.tolist()) == ([0], [1])
    blank = opened(made, tmp_path, unknown_items="blank")
    assert blank.parts["test"].candidate_items.tolist() == [1, 4]
    assert len(blank.token_offsets) == 6


def test_the_share_of_the_test_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    made = request(tmp_path / "data", timed(1, DAY, 2 * DAY, 3 * DAY))
    quarter, half = opened(made, tmp_path), opened(made, tmp_path, test_share=0.5)
    assert quarter.manifest.fingerprint != half.manifest.fingerprint
    assert np.diff([len(quarter.parts["test"]), len(half.parts["test"])]) == 1
