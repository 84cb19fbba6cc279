"""The metrics: one row for each, with everything but its computation. Evaluators give the numbers by name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A score of a part, or one end of its interval."""

    name: str
    """In events and settings."""
    title: str
    """For people."""
    meaning: str
    domains: tuple[str, ...]
    better: int = 1
    """1: higher values are better; -1: lower ones."""
    can_select: bool = True
    """Whether it ranks models; the ends of an interval do not."""
    needs_cold_items: bool = False

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether a value is better than another one; any value is better than none."""
        return than is None or self.better * value > self.better * than

    def reaches(self, value: float, target: float) -> bool:
        """Whether a value is as good as a target."""
        return self.better * value >= self.better * target

    def nearly(self, value: float, share: float) -> float:
        """The value that is worse by the factor `share`, below 1."""
        return value * share if self.better > 0 else value / share


_NEWS, _TRACING = "news", "knowledge-tracing"
_COLD = "AUC of the answers to items that training never showed"
METRICS = (
    Metric(
        name="auc",
        title="AUC",
        meaning="area under the ROC curve, ties one half: per impression, or pooled over all answers",
        domains=(_NEWS, _TRACING),
    ),
    Metric(name="mrr", title="MRR", meaning="mean over all positives of 1 / rank", domains=(_NEWS,)),
    Metric(name="ndcg@5", title="nDCG@5", meaning="nDCG of the first 5", domains=(_NEWS,)),
    Metric(name="ndcg@10", title="nDCG@10", meaning="nDCG of the first 10", domains=(_NEWS,)),
    Metric(name="csauc", title="CSAUC", meaning=_COLD, domains=(_TRACING,), needs_cold_items=True),
    Metric(
        name="csauc_low",
        title="CSAUC, low",
        meaning="lower end of its 95 % bootstrap interval over answers",
        domains=(_TRACING,),
        can_select=False,
        needs_cold_items=True,
    ),
    Metric(
        name="csauc_high",
        title="CSAUC, high",
        meaning="upper end of its 95 % bootstrap interval over answers",
        domains=(_TRACING,),
        can_select=False,
        needs_cold_items=True,
    ),
)
SELECTS = "auc"
"""What selects the checkpoint unless `evaluation.select_by` says otherwise, and in version 0.1."""


def metric(name: str) -> Metric:
    """The row of a metric; one of its own name where a log of another version has a metric without a row."""
    found = next((row for row in METRICS if row.name == name), None)
    return found or Metric(name=name, title=name, meaning="", domains=())


def selecting(domain: str) -> list[str]:
    """The metrics of a domain that can select a checkpoint."""
    return [row.name for row in METRICS if row.can_select and domain in row.domains]
