"""The mean of the clicks: the floor that a filter with weights should be above."""

from grambench.config.networks import Filter as FilterSpec
from grambench.models.filters.users import UserFilter
from grambench.models.pooling import MaskedMean


def make(spec: FilterSpec, width: int) -> "MeanOfClicks":
    """Build it; it reads nothing of the `filter` table."""
    del spec
    return MeanOfClicks(width)


class MeanOfClicks(UserFilter):
    """The mean of the clicks' vectors, dot product with the candidate."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.pool = MaskedMean()
