"""placeholder"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grambench.config.spec import Spec


def filter_kind(spec: "Spec") -> str:
    """The kind of a run's filter."""
    return {"news": "nrms"}.get(spec.data.domain, "lstm") if spec.filter.kind == "auto" else spec.filter.kind
