"""The metrics: one row each, with all properties except the code. Evaluators return values by name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A score of a part, or one end of its interval."""

    name: str
    """Name in events and settings."""
    title: str
    """Name shown to users."""
    meaning: str
    domains: tuple[str, ...]
    better: int = 1
    """1: higher is better; -1: lower is better."""
    can_select: bool = True
    """Whether it can select a checkpoint; the ends of an interval cannot."""
    needs_cold_items: bool = False
    absent: str = "the domain does not have it"
    """Why a part may lack it, for people."""

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether a value is better than another; any value is better than None."""
        return than is None or self.better * value > self.better * than

    def reaches(self, value: float, target: float) -> bool:
        """Whether a value is at least as good as a target."""
        return self.better * value >= self.better * target

    def nearly(self, value: float, share: float) -> float:
        """A value worse by the factor `share` (< 1)."""
        return value * share if self.better > 0 else value / share


_NEWS, _TRACING = "news", "knowledge-tracing"


def _ranking(name: str, title: str, meaning: str) -> Metric:
    return Metric(
        name=name, title=title, meaning=meaning, domains=(_NEWS,), absent="no candidates are ranked"
    )


def _of_cold_items(name: str, title: str, meaning: str, can_select: bool = True) -> Metric:
    return Metric(
        name=name,
        title=title,
        meaning=meaning,
        domains=(_TRACING,),
        can_select=can_select,
        needs_cold_items=True,
        absent="no item was cold: news, or knowledge tracing with data.cold_items = 0",
    )


_END = "{} end of its 95 % bootstrap interval by students"
METRICS = (
    Metric(
        name="auc",
        title="AUC",
        meaning="area under the ROC curve, ties count one half; per impression, or pooled over all answers",
        domains=(_NEWS, _TRACING),
    ),
    _ranking("mrr", "MRR", "mean over all positives of 1 / rank"),
    _ranking("ndcg@5", "nDCG@5", "nDCG of the first 5"),
    _ranking("ndcg@10", "nDCG@10", "nDCG of the first 10"),
    _of_cold_items("csauc", "CSAUC", "AUC of the answers to items not seen in training"),
    _of_cold_items("csauc_low", "CSAUC, low", _END.format("lower"), False),
    _of_cold_items("csauc_high", "CSAUC, high", _END.format("upper"), False),
)
SELECTS = "auc"
"""Default of `evaluation.select_by`, and the metric that version 0.1 selects by."""


def metric(name: str) -> Metric:
    """The row of a metric; a placeholder for an unknown metric in another version's log."""
    known = next((row for row in METRICS if row.name == name), None)
    return known or Metric(name=name, title=name, meaning="", domains=())


def selecting(domain: str) -> list[str]:
    """The metrics of a domain that can select a checkpoint."""
    return [row.name for row in METRICS if row.can_select and domain in row.domains]
