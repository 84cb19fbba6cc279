"""What tuning trials say about a budget of another size."""

import math
from collections.abc import Iterable

from grambench.analysis.confidence import finite


def expected_best(scores: Iterable[float], trials: int) -> float:
    """Expected best score of `trials` of these tuning trials, drawn without replacement.

    Dodge et al. 2019, Tang et al. 2020. Larger scores are better; negate a loss.

    Raises:
        ValueError: `trials` is not 1 to the number of scores, or a score is not finite.
    """
    ordered = sorted(finite(scores))
    if not 1 <= trials <= len(ordered):
        raise ValueError(f"the best of {trials} of {len(ordered)} trials is not defined")
    chances = math.comb(len(ordered), trials)
    return math.fsum(score * math.comb(i, trials - 1) / chances for i, score in enumerate(ordered))
