"""Adding a data format to a domain: two functions, a row of its sources and a line of the settings."""

import dataclasses
import json
from itertools import accumulate, chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prepare_requests import changed, prepare_request
from rich.console import Console

from grambench.cli.data_tables import print_verification
from grambench.config import data as data_settings
from grambench.config.data import Data
from grambench.data.tokenizer import build_words
from grambench.domains.base import Source
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.domain import KnowledgeTracing
from grambench.domains.locate import locate
from grambench.domains.news.domain import News as NewsDomain
from grambench.domains.news.formats.catalogue import ReadNews, merge_news
from grambench.domains.news.formats.mind import Behaviors, News
from grambench.domains.prepared import Prepared, PrepareRequest, open_prepared, prepare
from grambench.domains.registry import domain_of
from grambench.errors import DataError
from grambench.worker.warnings import data_warnings

TITLES = {"N1": "one fish", "N2": "two fish", "N3": "red fish", "N4": ""}
START = 1_573_516_800
IMPRESSIONS = [
    {
        "user": f"U{n % 7}",
        "time": START + 40_000 * n,
        "history": ["N2", "N1"][: n % 3],
        "shown": {"N3": 1, f"N{1 + n % 2}": 0},
    }
    for n in range(12)
]
ANSWERS = [
    {"user": f"S{n % 9}", "item": f"N{1 + n % 4}", "correct": int(n % 5 < 3), "time": n} for n in range(40)
]


def json_files(folder: Path, _data: Data) -> dict[str, Path]:
    path = folder / "all.json"
    if not path.is_file():
        raise DataError(f"{folder} holds no all.json.")
    return {path.name: path}


def texts(values: list[str]) -> pa.Array:
    return pa.array(values, pa.large_string())


def flat(rows: list[list[int]], dtype: type = np.int32) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.array([0, *accumulate(len(row) for row in rows)])
    return np.array([*chain(*rows)], dtype), offsets


def read_impressions(folder: Path, _data: Data, _report: object) -> ReadNews:
    content = json.loads((folder / "all.json").read_text())
    ids, rows = [*content["items"]], content["rows"]
    blank = texts([""] * len(ids))
    users = [*dict.fromkeys(row["user"] for row in rows)]
    history, history_offsets = flat([[ids.index(item) for item in row["history"]] for row in rows])
    candidates, candidate_offsets = flat([[ids.index(item) for item in row["shown"]] for row in rows])
    behaviors = Behaviors(
        impression_ids=texts([str(number + 1) for number in range(len(rows))]),
        user_ids=texts(users),
        users=np.array([users.index(row["user"]) for row in rows], np.int32),
        time_s=np.array([row["time"] for row in rows]),
        news_ids=texts(ids),
        history=history,
        history_offsets=history_offsets,
        candidates=candidates,
        candidate_offsets=candidate_offsets,
        labels=flat([[*row["shown"].values()] for row in rows], np.int8)[0],
    )
    news = News(texts(ids), blank, blank, texts([*content["items"].values()]), blank)
    return ReadNews(merge_news([news]), [behaviors])


def read_answers(folder: Path, _data: Data, _report: object) -> Answers:
    content = json.loads((folder / "all.json").read_text())
    ids, rows = [*content["items"]], content["rows"]
    users = [*dict.fromkeys(row["user"] for row in rows)]
    own = [[row for row in rows if row["user"] == user] for user in users]
    return Answers(
        item_ids=texts(ids),
        texts=texts([*content["items"].values()]),
        user_ids=texts(users),
        offsets=flat([[0] * len(rows) for rows in own])[1],
        items=flat([[ids.index(row["item"]) for row in rows] for rows in own])[0],
        correct=flat([[row["correct"] for row in rows] for rows in own], np.int8)[0],
        time_s=flat([[row["time"] for row in rows] for rows in own], np.int64)[0],
    )


ADDED = {
    "news": (NewsDomain, Source(holds="all.json", files=json_files, read=read_impressions)),
    "knowledge-tracing": (KnowledgeTracing, Source(holds="all.json", files=json_files, read=read_answers)),
}
TABLES = {"news": "news-tables", "knowledge-tracing": "tables"}
ROWS = {"news": IMPRESSIONS, "knowledge-tracing": ANSWERS}


@pytest.fixture(params=ADDED)
def domain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A domain that reads the source `json`."""
    owner, row = ADDED[request.param]
    monkeypatch.setitem(data_settings.SOURCES, "json", request.param)
    monkeypatch.setattr(owner, "sources", MappingProxyType({**owner.sources, "json": row}))
    return request.param


@pytest.fixture
def folder(domain: str, tmp_path: Path) -> Path:
    """The same rows as JSON and as tables."""
    (tmp_path / "all.json").write_text(json.dumps({"items": TITLES, "rows": ROWS[domain]}))
    name, column = ("impressions", "title") if domain == "news" else ("interactions", "text")
    items = [(column, *TITLES.values()), ("id", *TITLES)]
    (tmp_path / "items.tsv").write_text("".join(f"{id_}\t{text}\n" for text, id_ in zip(*items, strict=True)))
    lines = "".join("\t".join(map(cell, row.values())) + "\n" for row in ROWS[domain])
    head = "\t".join(ROWS[domain][0]).replace("shown", "candidates")
    (tmp_path / f"{name}.tsv").write_text(f"{head}\n{lines}")
    return tmp_path


def cell(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{item}-{clicked}" for item, clicked in value.items())
    return " ".join(value) if isinstance(value, list) else str(value)


def request_of(folder: Path, source: str) -> PrepareRequest:
    return prepare_request(
        folder=folder,
        dataset="mine",
        source=source,
        validation="users",
        validation_share=0.4,
        test_share=0.3,
        tokenizer=lambda corpus: build_words(corpus, 64),
        tokenizer_key="words",
    )


def opened(made: PrepareRequest, cache: Path) -> Prepared:
    return open_prepared(prepare(made, cache, lambda *_: None))


def test_an_added_format_gives_the_arrays_of_the_tables(domain: str, folder: Path, tmp_path: Path) -> None:
    made = request_of(folder, "json")
    found = opened(made, tmp_path / "cache")
    wanted = opened(request_of(folder, TABLES[domain]), tmp_path / "cache")
    assert (found.manifest.domain, [*found.manifest.sources]) == (domain, ["all.json"])
    assert found.folder != wanted.folder
    assert found.manifest.parts == wanted.manifest.parts
    assert found.manifest.items == wanted.manifest.items
    assert np.array_equal(found.tokens, wanted.tokens)
    for name, part in wanted.parts.items():
        assert len(part)
        for column in dataclasses.fields(part):
            array = getattr(found.parts[name], column.name)
            assert np.array_equal(array, getattr(part, column.name)), (name, column.name)
    assert opened(changed(made, test_share=0.2), tmp_path / "cache").folder != found.folder
    assert {warned.code for warned in data_warnings(found.manifest)} == {
        warned.code for warned in data_warnings(wanted.manifest)
    }


def test_it_is_located_verified_and_named_in_messages(
    domain: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Data(source="json", dir=str(folder), dataset="mine")
    assert data.domain == domain
    assert locate(data) == folder
    found, wanted = (
        domain_of(domain).verify(folder, data.model_copy(update={"source": source})).model_dump()
        for source in ("json", TABLES[domain])
    )
    assert found.pop("format") == "json"
    assert found.pop("files")[0]["path"] == str(folder / "all.json")
    del wanted["format"], wanted["files"]
    assert found == wanted
    print_verification(domain_of(domain).verify(folder, data), Console())
    assert "(json)" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"does not exist.*--data-dir with a folder that holds all\.json"):
        locate(Data(source="json", dir=str(tmp_path / "absent")))
