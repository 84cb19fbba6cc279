"""Which trial of a run is the one to keep: the best on validation, or the best of a label."""

from collections.abc import Sequence

from grambench.config.trial_name import TrialName
from grambench.errors import ConfigError, DataError
from grambench.metrics.catalogue import Metric, metric
from grambench.reports.schema import Report
from grambench.reports.trial_schema import Scores, Trial

_NOT_ENDED = (None, "interrupted")
_WHOLE = ("completed", "early-stopped")


def trial_to_keep(report: Report, wanted: str | None) -> tuple[Trial, str]:
    """The trial of a name; or the best of a label, or of all, by the metric that selects checkpoints.

    Args:
        report: of the run.
        wanted: a trial's name or label; None: the best of all that ended normally, null tests excluded.

    Returns:
        The trial, and how it was chosen, as a sentence.

    Raises:
        ConfigError: there is no such trial, or it has not ended.
        DataError: no validation has selected weights.
    """
    named = [trial for trial in report.trials if wanted in (trial.name, trial.label or trial.strategy)]
    if wanted is None:
        named = [trial for trial in report.trials if trial.outcome in _WHOLE and not _is_null(trial)]
    if wanted is not None and not named:
        names = ", ".join(trial.name for trial in report.trials) or "not known yet"
        raise ConfigError(f"The run has no trial {wanted!r}.", f"Its trials are {names}.")
    ended = [trial for trial in named if trial.outcome not in _NOT_ENDED]
    if named and not ended:
        how = "was interrupted" if named[0].outcome else f"has not ended (phase {named[0].phase})"
        fix = f"Wait for its end, or resume the run with `grambench run --resume {report.run.name}`."
        raise ConfigError(f"{named[0].name} {how}.", fix)
    return _best(ended, metric(report.run.selected_by), wanted or "the run")


def _is_null(trial: Trial) -> bool:
    name = TrialName.parse(trial.name)
    return name is not None and name.is_null


def _best(trials: Sequence[Trial], by: Metric, of: str) -> tuple[Trial, str]:
    scored = [(value, trial) for trial in trials if (value := _value(trial.best_validation, by)) is not None]
    if not scored:
        raise DataError(
            f"No validation has selected weights of {of}.",
            "Resume the run, or choose another trial with --trial.",
        )
    value, trial = max(scored, key=lambda pair: by.better * pair[0])
    of_all = f", the best of {len(scored)} trials" if len(scored) > 1 else ""
    return trial, f"{trial.name} has a validation {by.title} of {value:.4f}{of_all}."


def _value(scores: Scores | None, by: Metric) -> float | None:
    return None if scores is None else scores.value(by.name)
