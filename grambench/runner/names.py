"""The trials of a run, in running order."""

import itertools
from collections.abc import Sequence

from grambench.config.spec import Spec
from grambench.config.strategies import row_of
from grambench.config.trial_name import NULL, TrialName


def trial_names(spec: Spec) -> list[str]:
    """Every trial of a seed and repeat, in an order that `training.order` turns round, before the next.

    The null test stands beside the first trial, and repeats the first process of its seed.
    """
    training, labels = spec.training, [entry.label for entry in spec.entries]
    with_null = [labels[0], NULL + labels[0], *labels[1:]] if spec.null_test else labels
    names = []
    blocks = itertools.product(training.seeds, range(1, training.repeats + 1))
    for number, (seed, repeat) in enumerate(blocks):
        turn = -1 if number % 2 and training.order == "turned" else 1
        names += [TrialName(label, seed, repeat) for label in (with_null if repeat == 1 else labels)[::turn]]
    return [*map(str, names)]


_COST = {"multi-step": 0, "baseline": 1, "single-step": 2, "end-to-end": 3}
"""Family -> its rank by the usual seconds of an epoch."""


def cheapest_first(names: Sequence[str], spec: Spec) -> list[str]:
    """Trials block by block, in each those of cheap strategies first and e2e last."""
    parsed = [TrialName.parse(name) for name in names]
    blocks = list(dict.fromkeys(trial.block for trial in parsed if trial))

    def rank(name: str) -> tuple[int, int, bool]:
        trial = TrialName.parse(name)
        if trial is None:
            return len(blocks), 0, False
        row = row_of(spec.entry(trial).strategy)
        return blocks.index(trial.block), _COST[row.family], row.encodes == "occurrences"

    return sorted(names, key=rank)
