"""The trials of a run, in running order."""

import itertools

from grambench.config.spec import Spec
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
