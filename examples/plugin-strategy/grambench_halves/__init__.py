"""`gram-halves`: single-step GRAM that holds the graph of half a batch at once."""

from grambench.config.strategies import StrategyRow

ROW = StrategyRow(
    name="gram-halves",
    meaning="single-step GRAM over the two halves of a batch, one after the other",
    family="single-step",
    claims_equality=True,
    factory="grambench_halves.training:make",
)
