"""Formats are recognised by names and headers of files; what is found is said in one line."""

from pathlib import Path

import numpy as np
import pytest
from own_data import compressed, own_answers, own_news

from grambench.cli.settings import Options
from grambench.data.tables.clock import MISSING_TIME
from grambench.data.verification import contents_line
from grambench.domains.recognise import recognise
from grambench.domains.registry import domain_of
from grambench.errors import ConfigError, DataError

KT1 = "timestamp,solving_id,question_id,user_answer,elapsed_time\n"
FILES = {
    "mind": ["train/news.tsv", "train/behaviors.tsv", "dev/news.tsv", "dev/behaviors.tsv.gz"],
    "news-tables": ["items.csv", "impressions.tsv.zst"],
    "tables": ["items.parquet", "interactions.csv.gz", "users.csv"],
    "duolingo": ["fr_en.slam.20190204.train"],
    "poj": ["poj_log.csv", "contents.tsv"],
    "ednet": ["KT1/u1.csv", "questions.csv", "contents.tsv"],
}


def put(folder: Path, *names: str, content: bytes = b"a,b\n") -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = path.suffix if path.suffix in (".gz", ".zst") else ""
        compressed(path.with_name(path.name.removesuffix(suffix)), content, suffix)
    return folder


@pytest.mark.parametrize("source", FILES)
def test_every_format_is_recognised_by_its_files(tmp_path: Path, source: str) -> None:
    found = recognise(put(tmp_path, *FILES[source]))
    assert (found.source, found.settings[0]) == (source, f"data.source={source}")
    assert found.settings[1:] == (("data.duolingo.track=fr_en",) if source == "duolingo" else ())
    assert source in domain_of(found.domain).sources


def test_one_split_or_an_archive_s_folder_is_mind(tmp_path: Path) -> None:
    assert recognise(put(tmp_path / "one", "news.tsv", "behaviors.tsv")).source == "mind"
    assert recognise(put(tmp_path / "zip", "MINDsmall_train/news.tsv")).source == "mind"


def test_students_files_are_ednets_only_with_its_header(tmp_path: Path) -> None:
    put(tmp_path, "u1.csv", content=KT1.encode())
    assert recognise(tmp_path).source == "ednet"
    put(tmp_path, "u1.csv")
    with pytest.raises(ConfigError, match="no data of a known format"):
        recognise(tmp_path)


def test_nothing_known_names_what_every_format_needs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        recognise(put(tmp_path, "clicks.json"))
    assert f"{tmp_path} holds no data of a known format, only clicks.json. It may hold" in str(caught.value)
    for words in ("news.tsv", "impressions (user, history, candidates)", "poj_log.csv", "KT1/", "es_en.slam"):
        assert words in str(caught.value)
    with pytest.raises(DataError, match="does not exist"):
        recognise(tmp_path / "absent")


def test_several_formats_are_named_with_the_setting_that_chooses(tmp_path: Path) -> None:
    put(tmp_path, *FILES["mind"], *FILES["tables"])
    with pytest.raises(
        ConfigError, match=r"several.*`--set data\.source=mind` or `--set data\.source=tables`"
    ):
        recognise(tmp_path)
    tracks = put(tmp_path / "two", "es_en.slam.20190204.dev", "fr_en.slam.20190204.dev")
    with pytest.raises(ConfigError, match=r"data\.duolingo\.track=es_en.*data\.duolingo\.track=fr_en"):
        recognise(tracks)


def test_a_folder_chooses_preset_and_source(tmp_path: Path) -> None:
    def resolved(preset: str, folder: Path, *changes: str) -> tuple[str, str]:
        spec = Options(changes, data_dir=folder).resolve(preset)
        return spec.name, spec.data.source

    news, answers = own_news(tmp_path / "news"), own_answers(tmp_path / "answers")
    mind = put(tmp_path / "mind", *FILES["mind"])
    assert resolved("", news) == ("my-news", "news-tables")
    assert resolved("", mind) == resolved("my-news", mind) == ("my-news", "mind")
    assert resolved("modern-my-news", news) == ("modern-my-news", "news-tables")
    assert resolved("modern-my-news", mind) == ("modern-my-news", "mind")
    assert resolved("", answers) == ("my-kt", "tables")
    assert resolved("", put(tmp_path / "kt1", *FILES["ednet"])) == ("my-kt", "ednet")
    assert resolved("", put(mind, *FILES["tables"]), "data.source=tables") == ("my-kt", "tables")
    assert resolved("goodreads", news) == ("goodreads", "mind")  # its own source, which locating checks
    with pytest.raises(ConfigError, match=r"which my-news does not train on\. Use --preset my-kt"):
        resolved("my-news", answers)
    with pytest.raises(ConfigError, match=r"so it reads no folder\. .* folder \(modern-my-news\)"):
        resolved("modern", news)
    with pytest.raises(ConfigError, match=r"data\.source is 'mnd'\. Known are mind, news-tables"):
        resolved("", news, "data.source=mnd")


@pytest.mark.parametrize("source", ["news-tables", "tables"])
def test_own_data_is_read_split_and_described(tmp_path: Path, source: str) -> None:
    made = own_news if source == "news-tables" else own_answers
    data = Options(data_dir=made(tmp_path / "own")).resolve("").data
    domain = domain_of(data.domain)
    parts = domain.read(tmp_path / "own", data, lambda *_: None).parts
    assert sorted(parts) == ["test", "train", "validation"]
    assert all(len(part) for part in parts.values())
    contents = {
        "news-tables": "40 items, 300 impressions, 57 users, 8 empty titles, 1 repeated id, 1 to 11 May 2024",
        "tables": "30 items, 687 answers, 40 users, 6 empty texts, 1 repeated answer, 1 May 2024",
    }
    assert domain.verify(tmp_path / "own", data).contents == contents[source]


@pytest.mark.parametrize(
    ("times", "days"),
    [
        ([1_714_557_600], "1 May 2024"),
        ([1_714_557_600, 1_715_500_000], "1 to 12 May 2024"),
        ([1_714_557_600, 1_720_000_000], "1 May to 3 Jul 2024"),
        ([1_703_980_800, 1_704_150_000], "31 Dec 2023 to 1 Jan 2024"),
        ([0, 17], "no dates"),
        ([MISSING_TIME, 1_714_557_600], "no dates"),
        ([], "no dates"),
    ],
)
def test_a_line_names_the_days(times: list[int], days: str) -> None:
    line = contents_line({"items": 1, "answers": 1_500, "empty texts": 0}, np.array(times, np.int64))
    assert line == f"1 item, 1,500 answers, {days}"
