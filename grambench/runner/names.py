"""Names of trials: `<strategy>.s<seed>`, also the folders of a run."""

from grambench.config.spec import NULL, Spec


def trial_names(spec: Spec) -> list[str]:
    """Trials in running order: every strategy of a seed, and its null test, before the next seed."""
    strategies = list(spec.training.strategies)
    if spec.null_test:
        strategies.insert(1, NULL + strategies[0])
    return [f"{name}.s{seed}" for seed in spec.training.seeds for name in strategies]
