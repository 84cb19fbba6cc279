"""The user side of NAML (Wu et al., IJCAI 2019); its news encoder is replaced by the item vectors."""

from grambench.config.networks import Filter as FilterSpec
from grambench.models.filters.users import UserFilter
from grambench.models.pooling import AdditiveAttention


def make(spec: FilterSpec, width: int) -> "NAML":
    """Build it from the `filter` table."""
    return NAML(width, spec.naml.query)


class NAML(UserFilter):
    """Additive attention over the clicks, dot product with the candidate."""

    def __init__(self, width: int, query: int) -> None:
        """`query`: width of the attention's query, in features."""
        super().__init__(width)
        self.pool = AdditiveAttention(width, query)
