"""The report's part about the tuning that chose the settings of its contestants."""

from typing import Any

from grambench.reports.section import Model, Section


class TriedSettings(Section):
    """A contestant with one draw."""

    draw: int
    """From 0, the contestant's own settings."""
    settings: dict[str, Any]
    """Dotted setting -> drawn value."""
    outcome: str
    """How the trial ended; empty: it did not begin."""
    validation: float | None
    """Its best validation score."""
    train_s: float
    """Its training seconds."""


class TunedContestant(Section):
    """A contestant of the tuning."""

    label: str
    """Its label, also in the final run."""
    strategy: str
    """Name of its strategy."""
    trials: list[TriedSettings]
    """One per draw."""
    selected: int | None
    """The draw with the best validation score."""
    settings: dict[str, Any]
    """Its settings, as drawn."""
    validation: float | None
    """Its validation score, which is optimistic: it is the best of several."""
    expected_best: list[float]
    """Expected best validation score with 1, 2, … of the trials; one that failed counts as the worst of the
    tuning."""
    train_s: float
    """Training seconds of the trials."""
    cautions: list[str]
    """What a careful reader should know, in sentences."""


class Tuning(Model):
    """How `grambench tune` chose the settings; none of it is in the times of this run."""

    run: str
    """Name of the tuning run."""
    spec_sha256: str
    """SHA-256 of its specification."""
    budget: int
    """Trials of each contestant, a count."""
    seed: int
    """Seed of these trials; the final run has others."""
    metric: str
    """The metric of the validation part that selected; the test part was not scored."""
    space: dict[str, Any]
    """Dotted setting -> `low` and `high`, log-uniform, as factors of the run's value if `relative`; or
    choices."""
    contestants: list[TunedContestant]
    """In running order."""
    left_out: list[str]
    """Labels of which all trials failed: the final run lacks them."""
    train_s: float
    """Training seconds of all trials."""
