"""The filters' code: a factory for each row of `config.filters`."""

from collections.abc import Callable

from grambench.config.filters import filter_kind
from grambench.config.networks import Filter as FilterSpec
from grambench.config.spec import Spec
from grambench.models.filters import mean, naml, nrms, sakt, sasrec, tracer
from grambench.models.filters.base import Filter

FACTORIES: dict[str, Callable[[FilterSpec, int], Filter]] = {
    "nrms": nrms.make,
    "mean": mean.make,
    "naml": naml.make,
    "sasrec": sasrec.make,
    "lstm": tracer.make,
    "sakt": sakt.make,
}
"""By the kind of the row: from the `filter` table and the width D of the item vectors."""


def make_filter(spec: Spec, width: int) -> Filter:
    """The collaborative filter of the specification over item vectors of `width` features.

    Raises:
        ConfigError: it cannot have this width.
    """
    return FACTORIES[filter_kind(spec)](spec.filter, width)
