"""News recommendation: which candidate of an impression is clicked, given a history of clicks?"""

from collections.abc import Mapping
from pathlib import Path

from grambench.config.data import NEWS_TABLES, Data
from grambench.data.prepared.build import Interactions
from grambench.data.prepared.manifest import Manifest, SourceFile
from grambench.data.prepared.sources import Report
from grambench.data.verification import CheckedFolder
from grambench.domains.base import Source
from grambench.domains.news.formats.mind_folder import find_split
from grambench.domains.news.impressions import Part
from grambench.domains.news.prepare import read_news_data
from grambench.domains.news.sources import MindSources, TableSources, news_sources
from grambench.domains.news.synthetic import generate
from grambench.domains.news.verify import verify
from grambench.domains.news.verify_tables import verify_tables


class News:
    """See `domains.base.Domain`."""

    part = Part
    sources: Mapping[str, Source] = {
        "mind": Source(
            holds="train/ and dev/ (or MINDsmall_train/ and so on)",
            is_there=lambda folder: folder.is_dir() and find_split(folder, "train") is not None,
            fix=lambda data, _: _where_mind_is(data),
        ),
        NEWS_TABLES: Source(holds="the tables items and impressions (docs/data.md says which columns)"),
        "synthetic": Source(settings=lambda data: data.synthetic, generate=generate),
    }

    def files(self, data: Data, folder: Path) -> MindSources | TableSources:
        return news_sources(data, folder)

    def read(self, files: MindSources | TableSources, data: Data, report: Report) -> Interactions:
        return read_news_data(files, data, report)

    def determinants(self, data: Data, described: Mapping[str, SourceFile]) -> dict[str, object]:
        if data.source == NEWS_TABLES:
            return {"source": data.source, "test_share": data.test_share}
        return {} if "dev/behaviors.tsv" in described else {"test_share": data.test_share}

    def check(self, manifest: Manifest, data: Data) -> None:
        """Nothing to check: everything is checked on reading."""

    def completed(self, manifest: Manifest, files: object, report: Report) -> None:
        """None: no counts were added since version 0.1."""

    def verify(self, folder: Path, data: Data) -> CheckedFolder:
        if data.source == NEWS_TABLES:
            return verify_tables(folder, data.dataset)
        return verify(folder, data.dataset)

    def lacks_counts(self, manifest: Manifest) -> bool:
        return False


def _where_mind_is(data: Data) -> str:
    if data.dataset.startswith("mind-"):
        return f"Run `grambench data prepare {data.dataset}`, or name a folder with --data-dir."
    return "Name the folder that holds train/ and dev/ with --data-dir."


DOMAIN = News()
