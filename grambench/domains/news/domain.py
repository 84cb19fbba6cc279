"""News recommendation: which candidate of an impression is clicked, given a history of clicks?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from grambench.config.data import NEWS_TABLES, Data
from grambench.data.prepared.build import Interactions
from grambench.data.prepared.manifest import SourceFile
from grambench.data.prepared.sources import Report
from grambench.data.tables.files import tables_named
from grambench.data.verification import CheckedFolder
from grambench.domains.base import Domain, Source, ToPredict
from grambench.domains.news.formats.mind_folder import BEHAVIORS_FILE, find_split, holds_mind
from grambench.domains.news.impressions import Part
from grambench.domains.news.predictions import news_to_predict
from grambench.domains.news.prepare import split_news_data
from grambench.domains.news.sources import mind_files, read_mind, read_tables, table_files
from grambench.domains.news.synthetic import generate
from grambench.domains.news.verify import verify
from grambench.domains.news.verify_tables import verify_tables

_MIND = Source(
    holds="train/ and dev/ (or MINDsmall_train/ and so on), each with news.tsv and behaviors.tsv",
    files=mind_files,
    read=read_mind,
    recognised=lambda folder: [""] * holds_mind(folder),
    is_there=lambda folder: folder.is_dir() and find_split(folder, "train") is not None,
    fix=lambda data, _: _where_mind_is(data),
)


class News(Domain):
    """See `domains.base.Domain`."""

    part = Part
    preset = "my-news"
    sources: Mapping[str, Source] = {
        "mind": _MIND,
        "synthetic": replace(_MIND, settings=lambda data: data.synthetic, generate=generate),
        NEWS_TABLES: Source(
            holds="the tables items (id, title) and impressions (user, history, candidates)",
            files=table_files,
            read=read_tables,
            recognised=lambda folder: [""] * bool(tables_named(folder, "impressions")),
        ),
    }

    def read(self, folder: Path, data: Data, report: Report) -> Interactions:
        return split_news_data(self.sources[data.source].read(folder, data, report), data)

    def determinants(self, data: Data, described: Mapping[str, SourceFile]) -> dict[str, object]:
        if f"train/{BEHAVIORS_FILE}" not in described:
            return {"source": data.source, "test_share": data.test_share}
        return {} if f"dev/{BEHAVIORS_FILE}" in described else {"test_share": data.test_share}

    def to_predict(self, folder: Path, data: Data, report: Report) -> Sequence[ToPredict]:
        return news_to_predict(self.sources[data.source].read(folder, data, report), data)

    def verify(self, folder: Path, data: Data) -> CheckedFolder:
        source = self.sources[data.source]
        if source.read is read_mind:
            return verify(folder, data.dataset, data.predictions)
        files = source.files(folder, data)
        return verify_tables(source.read(folder, data, lambda *_: None), files, folder, data)


def _where_mind_is(data: Data) -> str:
    if data.dataset.startswith("mind-"):
        return f"Run `grambench data prepare {data.dataset}`, or name a folder with --data-dir."
    return "Name the folder that holds train/ and dev/ with --data-dir."


DOMAIN = News()
