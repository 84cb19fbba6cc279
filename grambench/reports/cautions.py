"""What a careful reader should know: the warnings of the logs, and outcomes that spoil a comparison."""

from grambench.config.changes import spec_digest
from grambench.events.disturbance import disturbances
from grambench.events.state import RunState, TrialState
from grambench.reports.runfile import RunFile
from grambench.reports.trial_schema import Caution


def trial_cautions(trial: TrialState) -> list[Caution]:
    """Warnings of one trial."""
    found = trial.warnings | {found.code: found.message for found in disturbances(trial)}
    if trial.outcome == "diverged":
        found.setdefault("diverged", f"The trial diverged: {trial.reason or 'a loss was not finite'}.")
    return _listed(found)


def run_cautions(state: RunState, run: RunFile) -> list[Caution]:
    """Warnings of the whole run."""
    found = dict(state.warnings)
    if run.spec_sha256 != spec_digest(run.spec):
        words = "The specification in run.json was changed since the run began: its SHA-256 differs."
        found["edited-specification"] = words
    audit = state.setup.audit
    if audit is not None and not audit.equivalent:
        found.setdefault("audit-failed", "Single-step is not equivalent to E2E on this model and data.")
    return _listed(found)


def _listed(found: dict[str, str]) -> list[Caution]:
    return [Caution(code=code, message=message) for code, message in sorted(found.items())]
