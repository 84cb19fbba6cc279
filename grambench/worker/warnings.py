"""What a careful reader of the report should know, from the specification alone."""

from collections.abc import Iterator

from grambench.config.spec import Spec
from grambench.events.types import Warned


def spec_warnings(spec: Spec) -> Iterator[Warned]:
    """Choices that make numbers less comparable than they look."""
    if spec.encoder.dropout:
        yield Warned(
            "encoder-dropout",
            f"encoder.dropout is {spec.encoder.dropout}: not comparable to E2E, since every strategy"
            " draws other masks",
        )
    if spec.data.protocol == "paper":
        yield Warned(
            "paper-protocol", "checkpoints are selected on the reported split (data.protocol = paper)"
        )
    if spec.evaluation.max_impressions is not None:
        yield Warned(
            "sampled-evaluation",
            f"metrics are those of a fixed sample of {spec.evaluation.max_impressions} impressions a part",
        )
    if spec.data.unknown_items != "error":
        yield Warned(
            "unknown-items",
            f"unknown ids are handled by data.unknown_items = {spec.data.unknown_items};"
            " the data counts say how many",
        )
    if spec.training.max_steps is not None:
        yield Warned("bounded", f"training ends after {spec.training.max_steps} steps at the latest")
