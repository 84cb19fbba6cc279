"""The trials of a run, in running order."""

from grambench.config.spec import Spec
from grambench.config.trial_name import NULL, TrialName


def trial_names(spec: Spec) -> list[str]:
    """All trials of a seed, the null test after the first one, then those of the next seed."""
    labels = [entry.label for entry in spec.entries]
    if spec.null_test:
        labels.insert(1, NULL + labels[0])
    return [str(TrialName(label, seed)) for seed in spec.training.seeds for label in labels]
