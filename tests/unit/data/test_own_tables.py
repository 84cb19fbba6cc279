"""Tables as users have them: other names of columns, compressed files, repeated rows, numbers for truth."""

import re
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_data import compressed

from grambench.config.data import Data
from grambench.config.kept import read_kept
from grambench.config.spec import Spec
from grambench.data.tables.headers import ALIASES
from grambench.domains.knowledge_tracing.domain import DOMAIN
from grambench.domains.knowledge_tracing.formats import tables
from grambench.domains.news.formats import mind
from grambench.domains.news.formats import tables as news_tables
from grambench.errors import DataError

ITEMS = "id\ttext\nq1\tone\nq2\ttwo\n"
ANSWERS = "user\titem\tcorrect\ttime\nu1\tq1\t1\t20\nu1\tq2\t0\t10\n"


def put(folder: Path, items: str = ITEMS, answers: str = ANSWERS, suffix: str = "") -> Path:
    compressed(folder / "items.tsv", items.encode(), suffix)
    compressed(folder / "interactions.tsv", answers.encode(), suffix)
    return folder


def rows(folder: Path, exact: bool = False) -> list[tuple[int, int, int]]:
    answers = tables.read_tables(folder, exact=exact)
    return [*zip(answers.items.tolist(), answers.correct.tolist(), answers.time_s.tolist(), strict=True)]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_tables_are_read_as_plain_ones(tmp_path: Path, suffix: str) -> None:
    assert rows(put(tmp_path, suffix=suffix)) == [(1, 0, 10), (0, 1, 20)]
    with pytest.raises(DataError, match=re.escape(f"items.tsv{suffix}:2: found 1 tab-separated field")):
        tables.read_tables(put(tmp_path, items="id\ttext\nq1\n", suffix=suffix))
    path = tmp_path / f"items.tsv{suffix}"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match=re.escape(f"{path} cannot be read")):
        tables.read_tables(tmp_path)


def test_a_plain_file_is_read_before_its_compressed_form(tmp_path: Path) -> None:
    put(tmp_path, items="id\ttext\nq9\told\n", suffix=".gz")
    assert rows(put(tmp_path)) == [(1, 0, 10), (0, 1, 20)]


def test_zstd_that_pyarrow_lacks_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, suffix=".zst")
    lacking = SimpleNamespace(Codec=SimpleNamespace(is_available=lambda _: False))
    monkeypatch.setattr("grambench.data.tables.compressed.pa", lacking)
    with pytest.raises(DataError, match=r"lacks zstd\. Run `unzstd items\.tsv\.zst`"):
        tables.read_tables(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("fields", [3, 5, 6, 7, 8])
def test_news_may_lack_mind_s_last_fields_and_be_compressed(tmp_path: Path, suffix: str, fields: int) -> None:
    row = (
        ["N1", "Titel", "Text"]
        if fields == 3
        else ["N1", "c", "s", "Titel", "Text", "u", "[]", "[]"][:fields]
    )
    path = compressed(tmp_path / "news.tsv", ("\t".join(row) + "\n").encode(), suffix)
    news = mind.read_news(path)
    assert [column[0].as_py() for column in (news.ids, news.titles, news.abstracts)] == [
        "N1",
        "Titel",
        "Text",
    ]
    assert news.categories.to_pylist() == ["" if fields == 3 else "c"]


def test_a_row_of_another_width_is_measured_against_mind_s(tmp_path: Path) -> None:
    path = tmp_path / "news.tsv"
    path.write_text("N1\ta\tb\n" + "N2\tc\ts\tt\ta\tu\t[]\t[]\n" * 2)
    with pytest.raises(DataError, match=r"news\.tsv:1: found 3 tab-separated fields, expected 8"):
        mind.read_news(path)
    path.write_text("nid\ttitle\tabstract\nN1\ta\tb\n")
    with pytest.raises(DataError, match="line 1 looks like a header"):
        mind.read_news(path)


def test_columns_have_their_usual_names_in_any_case(tmp_path: Path) -> None:
    items = "Question Text\tquestion_id\none\tq1\ntwo\tq2\n"
    answers = "Answered.Correctly\tTIMESTAMP\tquestionId\tuser_id\ntrue\t20\tq1\tu1\n0.0\t10\tq2\tu1\n"
    assert rows(put(tmp_path, items, answers)) == [(1, 0, 10), (0, 1, 20)]
    with pytest.raises(DataError, match="'Question Text', 'question_id', expected id and text, each once"):
        rows(tmp_path, exact=True)


def test_the_documented_names_are_those_that_are_read() -> None:
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    for column, names in ALIASES.items():
        assert f"| `{column}` | {', '.join(f'`{name}`' for name in names.split())} |" in page


@pytest.mark.parametrize(
    ("header", "both"),
    [
        ("user\titem\tcorrect\tuser_id", "'user' and 'user_id', which both mean user"),
        ("user\titem\tcorrect\tis_correct", "'correct' and 'is_correct', which both mean correct"),
        ("user\tquestion_id\tcorrect\tproblem_id", "'question_id' and 'problem_id', which both mean item"),
    ],
)
def test_two_columns_of_one_meaning_are_named(tmp_path: Path, header: str, both: str) -> None:
    put(tmp_path, answers=f"{header}\nu1\tq1\t1\tx\n")
    with pytest.raises(DataError, match=rf"interactions\.tsv:1: found the columns {both}\. Rename or remove"):
        tables.read_tables(tmp_path)


def test_faults_name_the_column_as_the_file_does(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"interactions\.tsv:2: found is_correct 'x', expected 0 or 1"):
        tables.read_tables(put(tmp_path, answers="user\titem\tis_correct\nu1\tq1\tx\n"))


def test_a_repeated_row_is_one_item_but_two_texts_are_refused(tmp_path: Path) -> None:
    answers = tables.read_tables(put(tmp_path, items=f"{ITEMS}q1\tone\n"))
    assert answers.item_ids.to_pylist() == ["q1", "q2"]
    assert answers.left_out == {"repeated rows of items": 1}
    with pytest.raises(
        DataError, match=r"items\.tsv:4: found item id 'q1' again \(first: .*items\.tsv:2\) with"
    ):
        tables.read_tables(put(tmp_path, items=f"{ITEMS}q1\tother\n"))


def test_news_tables_take_the_names_of_xmind(tmp_path: Path) -> None:

    pq.write_table(pa.table({"nid": ["N1"], "title": ["t"], "abstract": ["a"]}), tmp_path / "items.parquet")
    (tmp_path / "impressions.tsv").write_text("uid\tClicks\timpressions\nU1\tN1\tN1-1\n")
    news, behaviors, _ = news_tables.read_news_tables(tmp_path)
    assert (news.ids.to_pylist(), news.abstracts.to_pylist()) == (["N1"], ["a"])
    assert behaviors.user_ids.to_pylist() == ["U1"]


def test_a_run_of_version_0_1_reads_the_columns_it_read(tmp_path: Path) -> None:
    """It ignored `timestamp`: its answers keep the order of their rows, and their fingerprint."""
    put(tmp_path, answers=ANSWERS.replace("time", "timestamp"))
    written = Spec(data=Data(source="tables")).model_dump(mode="json")
    del written["data"]["column_names"]
    source = DOMAIN.sources["tables"]
    kept, today = read_kept(written).data, Data(source="tables")
    assert [*source.files(tmp_path, kept)] == ["items", "interactions"]
    assert source.read(tmp_path, kept, lambda *_: None).items.tolist() == [0, 1]
    assert [*source.files(tmp_path, today)] == ["items", "interactions (timestamp as time)"]
    assert source.read(tmp_path, today, lambda *_: None).items.tolist() == [1, 0]


def test_rows_of_one_news_item_may_differ_in_their_category(tmp_path: Path) -> None:
    (tmp_path / "impressions.csv").write_text("user,history,candidates\nu1,,N1-1\n")
    items = tmp_path / "items.csv"
    items.write_text("id,title,category\nN1,Rain,a\nN1,Rain,b\n")
    assert news_tables.read_news_tables(tmp_path)[0].ids.to_pylist() == ["N1", "N1"]
    items.write_text("id,title,abstract\nN1,Rain,a\nN1,Rain,b\n")
    with pytest.raises(DataError, match=r"items\.csv:3: found item id 'N1' again .* with another text"):
        news_tables.read_news_tables(tmp_path)
