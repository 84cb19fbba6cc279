"""Knowledge tracing: will a student answer the next exercise correctly?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from grambench.config.data import Data
from grambench.data.cautions import check_repeats
from grambench.data.prepared.build import Interactions
from grambench.data.prepared.manifest import Manifest, SourceFile
from grambench.data.prepared.sources import Report
from grambench.data.tables.compressed import stored
from grambench.data.tables.files import tables_named
from grambench.data.verification import CheckedFolder
from grambench.domains.base import Domain, Source, ToPredict
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.formats.duolingo import duolingo_files, read_duolingo, tracks_of
from grambench.domains.knowledge_tracing.formats.ednet import ednet_files, holds_ednet, read_ednet
from grambench.domains.knowledge_tracing.formats.poj import LOG_FILE, poj_files, read_poj
from grambench.domains.knowledge_tracing.formats.tables import read_tables, tables_files
from grambench.domains.knowledge_tracing.predictions import answers_to_predict
from grambench.domains.knowledge_tracing.prepare import split_answer_data
from grambench.domains.knowledge_tracing.repeats import find_repeats
from grambench.domains.knowledge_tracing.sequences import Sequences
from grambench.domains.knowledge_tracing.synthetic import generate_answers
from grambench.domains.knowledge_tracing.verify import verify_answers
from grambench.errors import DataError

_TABLES = Source(
    holds="the tables items (id, text) and interactions (user, item, correct)",
    files=lambda folder, data: tables_files(folder, data.column_names == "exact"),
    read=lambda folder, data, _: read_tables(folder, exact=data.column_names == "exact"),
    recognised=lambda folder: [""] * bool(tables_named(folder, "interactions")),
)


class KnowledgeTracing(Domain):
    """See `domains.base.Domain`."""

    part = Sequences
    preset = "my-kt"
    sources: Mapping[str, Source] = {
        "duolingo": Source(
            holds="the files of https://doi.org/10.7910/DVN/8SWHNO (es_en.slam.20190204.train and so on)",
            files=lambda folder, data: duolingo_files(folder, data.duolingo.track),
            read=lambda folder, data, _: read_duolingo(folder, data.duolingo.track),
            recognised=lambda folder: [f"data.duolingo.track={track}" for track in tracks_of(folder)],
        ),
        "poj": Source(
            holds="poj_log.csv and your contents.tsv",
            files=lambda folder, _: poj_files(folder),
            read=lambda folder, *_: read_poj(folder),
            recognised=lambda folder: [""] * stored(folder / LOG_FILE).is_file(),
        ),
        "ednet": Source(
            holds="KT1/, questions.csv (https://github.com/riiid/ednet) and your contents.tsv",
            files=lambda folder, _: ednet_files(folder),
            read=lambda folder, _, report: read_ednet(folder, report=report),
            recognised=lambda folder: [""] * holds_ednet(folder),
        ),
        "tables": _TABLES,
        "synthetic-answers": replace(
            _TABLES, settings=lambda data: data.synthetic_answers, generate=generate_answers
        ),
    }

    def read(self, folder: Path, data: Data, report: Report) -> Interactions:
        answers = self._answers(folder, data, report)
        if not len(answers):
            raise DataError(f"{folder} holds no usable answers.")
        return split_answer_data(answers, data)

    def determinants(self, data: Data, described: Mapping[str, SourceFile]) -> dict[str, object]:
        split: dict[str, object] = {
            "validation_share": data.validation_share,
            "test_share": data.test_share,
            "cold_items": data.cold_items,
            "seed": data.seed,
        }
        if data.repeated_answers == "first":  # "error" and "keep" give the arrays of version 0.1
            split["repeated_answers"] = "first"
        return {"source": data.source, "track": data.duolingo.track, "split": split}

    def check(self, manifest: Manifest, data: Data) -> None:
        """Under "error", reject data whose manifest counts answers in several rows."""
        if manifest.repeats is not None and data.repeated_answers == "error":
            check_repeats(manifest.repeats)

    def lacks_counts(self, manifest: Manifest) -> bool:
        """Version 0.1 lacks the count of answers in several rows."""
        return manifest.repeats is None

    def completed(self, manifest: Manifest, folder: Path, data: Data, report: Report) -> Manifest:
        counts = find_repeats(self._answers(folder, data, report)).counts
        return manifest.model_copy(update={"repeats": counts})

    def to_predict(self, folder: Path, data: Data, report: Report) -> Sequence[ToPredict]:
        return answers_to_predict(self._answers(folder, data, report), data)

    def verify(self, folder: Path, data: Data) -> CheckedFolder:
        source = self.sources[data.source]
        files = source.files(folder, data)
        return verify_answers(source.read(folder, data, lambda *_: None), files, folder, data)

    def _answers(self, folder: Path, data: Data, report: Report) -> Answers:
        report("read", 0, 1)
        answers: Answers = self.sources[data.source].read(folder, data, report)
        report("read", 1, 1)
        return answers


DOMAIN = KnowledgeTracing()
