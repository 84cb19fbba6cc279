"""Knowledge tracing: will a student answer the next exercise correctly?"""

from collections.abc import Mapping
from pathlib import Path

from grambench.config.data import Data
from grambench.data.cautions import check_repeats
from grambench.data.prepared.build import Interactions
from grambench.data.prepared.manifest import Manifest, SourceFile
from grambench.data.prepared.sources import Report
from grambench.data.verification import CheckedFolder
from grambench.domains.base import Source
from grambench.domains.knowledge_tracing.prepare import AnswerSources, read_answer_data
from grambench.domains.knowledge_tracing.repeats import find_repeats
from grambench.domains.knowledge_tracing.sequences import Sequences
from grambench.domains.knowledge_tracing.synthetic import generate_answers
from grambench.domains.knowledge_tracing.verify import verify_answers


class KnowledgeTracing:
    """See `domains.base.Domain`."""

    part = Sequences
    sources: Mapping[str, Source] = {
        "duolingo": Source(
            holds="the files of https://doi.org/10.7910/DVN/8SWHNO (es_en.slam.20190204.train and so on)"
        ),
        "poj": Source(holds="poj_log.csv and your contents.tsv"),
        "ednet": Source(holds="KT1/, questions.csv (https://github.com/riiid/ednet) and your contents.tsv"),
        "tables": Source(holds="the tables items and interactions (docs/data.md says which columns)"),
        "synthetic-answers": Source(settings=lambda data: data.synthetic_answers, generate=generate_answers),
    }

    def files(self, data: Data, folder: Path) -> AnswerSources:
        return AnswerSources(folder, data.source, data.duolingo.track)

    def read(self, files: AnswerSources, data: Data, report: Report) -> Interactions:
        return read_answer_data(files, data, report)

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

    def completed(self, manifest: Manifest, files: AnswerSources, report: Report) -> Manifest | None:
        """Adds the count of answers in several rows, which version 0.1 lacks."""
        if not self.lacks_counts(manifest):
            return None
        report("read", 0, 1)
        counts = find_repeats(files.read(report)).counts
        report("read", 1, 1)
        return manifest.model_copy(update={"repeats": counts})

    def verify(self, folder: Path, data: Data) -> CheckedFolder:
        return verify_answers(folder, data.source, data.dataset, data.duolingo.track)

    def lacks_counts(self, manifest: Manifest) -> bool:
        return manifest.repeats is None


DOMAIN = KnowledgeTracing()
