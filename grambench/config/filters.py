"""The filters: one row each, with all properties except the code.

`models/filters` registers a factory for each row. Nothing here loads torch.
"""

from dataclasses import dataclass
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


ROWS: tuple[FilterRow, ...] = (
    FilterRow(
        kind="nrms",
        meaning="self-attention over the clicks, dot product with the candidate (Wu et al., 2019)",
        domains=("news",),
    ),
    FilterRow(
        kind="lstm",
        meaning="an LSTM over the answers, dot product with the item asked (Piech et al., 2015)",
        domains=("knowledge-tracing",),
    ),
)
"""The first row of a domain is its default."""


def filter_kind(spec: "Spec") -> str:
    """The kind of a run's filter: `filter.kind`, or the default of the domain."""
    return filter_kinds(spec.data.domain)[0] if spec.filter.kind == "auto" else spec.filter.kind


def filter_kinds(domain: str) -> list[str]:
    """The kinds that read a domain's views, its default first."""
    return [row.kind for row in ROWS if domain in row.domains]
