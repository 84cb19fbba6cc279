"""The table of a tuning, for every form of a report."""

from collections.abc import Iterator

from grambench.metrics.catalogue import metric
from grambench.reports.tuning_schema import TunedContestant, Tuning
from grambench.views import numbers

HEADS = ("contestant", "selected", "validation", "expected best of 1, 2, …", "failed", "training s")


def summary(tuning: Tuning) -> str:
    """What was done, in a sentence."""
    trials = "1 trial" if tuning.budget == 1 else f"{tuning.budget} trials"
    return (
        f"{trials} of each contestant with seed {tuning.seed} and the same draws of"
        f" {', '.join(tuning.space)}, selected by validation {metric(tuning.metric).title} (the run"
        f" {tuning.run} scored no test part)."
        f" They took {tuning.train_s:,.1f} training seconds, which the times of the final run leave out."
    )


def selected_words(each: TunedContestant) -> str:
    """The selected draw and its settings."""
    if each.selected is None:
        return numbers.DASH
    words = ", ".join(f"{key} = {value}" for key, value in each.settings.items()) or "its own settings"
    return f"draw {each.selected} of {len(each.trials)}: {words}"


def rows(tuning: Tuning) -> Iterator[tuple[str, ...]]:
    """A row of cells under `HEADS` for each contestant."""
    for each in tuning.contestants:
        yield (
            each.label,
            selected_words(each),
            numbers.DASH if each.validation is None else f"{each.validation:.4f}",
            ", ".join(f"{score:.4f}" for score in each.expected_best) or numbers.DASH,
            str(sum(trial.validation is None for trial in each.trials)),
            f"{each.train_s:,.1f}",
        )


def cautions(tuning: Tuning) -> Iterator[str]:
    """What a careful reader should know, in sentences."""
    for each in tuning.contestants:
        yield from (f"{each.label}: {words}." for words in each.cautions)
