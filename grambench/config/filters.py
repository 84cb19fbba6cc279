"""The filters: one row each, with all properties except the code.

`models/filters` registers a factory for each row. Nothing here loads torch.
"""

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grambench.config.spec import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRow:
    """A kind of collaborative filter."""

    kind: str
    meaning: str
    """One line for people."""
    domains: tuple[str, ...]
    """The domains whose views it reads."""
    across_users: tuple[str, str] | None = None
    """Setting and value with which its loss reads other users of the batch; None: it never does."""


ROWS: tuple[FilterRow, ...] = (
    FilterRow(
        kind="nrms",
        meaning="self-attention over the clicks, dot product with the candidate (Wu et al., 2019)",
        domains=("news",),
    ),
    FilterRow(
        kind="mean",
        meaning="the mean of the clicks, dot product with the candidate",
        domains=("news",),
    ),
    FilterRow(
        kind="naml",
        meaning="additive attention over the clicks, dot product with the candidate (Wu et al., 2019)",
        domains=("news",),
    ),
    FilterRow(
        kind="sasrec",
        meaning="causal self-attention, the latest click's state times the candidate (SASRec, 2018)",
        domains=("news",),
        across_users=("filter.sasrec.negatives", "in-batch"),
    ),
    FilterRow(
        kind="lstm",
        meaning="an LSTM over the answers, dot product with the item asked (Piech et al., 2015)",
        domains=("knowledge-tracing",),
    ),
    FilterRow(
        kind="sakt",
        meaning="the item asked attends to the answers before it (Pandey and Karypis, 2019)",
        domains=("knowledge-tracing",),
    ),
)
"""The first row of a domain is its default."""


def filter_kind(spec: "Spec") -> str:
    """The kind of a run's filter: `filter.kind`, or the default of the domain."""
    return filter_kinds(spec.data.domain)[0] if spec.filter.kind == "auto" else spec.filter.kind


def filter_heads(spec: "Spec") -> int:
    """Attention heads of a run's filter, which must divide the encoder's width; 1: it has none."""
    return int(getattr(getattr(spec.filter, filter_kind(spec), None), "heads", 1))


def whole_batch_setting(spec: "Spec") -> tuple[str, str] | None:
    """Setting and value by which the loss of a run's filter reads other users; None: it does not."""
    found = next(row.across_users for row in ROWS if row.kind == filter_kind(spec))
    return found if found is not None and attrgetter(found[0])(spec) == found[1] else None


def filter_kinds(domain: str) -> list[str]:
    """The kinds that read a domain's views, its default first."""
    return [row.kind for row in ROWS if domain in row.domains]
