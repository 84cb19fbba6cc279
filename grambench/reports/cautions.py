"""What a careful reader should know: the logs' warnings, and outcomes that invalidate a comparison."""

from grambench.analysis.comparison import group_sizes
from grambench.config.strategies import builtin_row
from grambench.events.disturbance import disturbances
from grambench.events.state import RunState, TrialState
from grambench.reports.trial_schema import Caution


def trial_cautions(trial: TrialState) -> list[Caution]:
    """Warnings of one trial."""
    found = trial.warnings | {found.code: found.message for found in disturbances(trial)}
    if len(group_sizes([trial])) > 1:
        by = ", then ".join(str(stretch.size) for stretch in trial.stretches)
        words = f"Trained by {by} ranks: its seconds are sums over them"
        found["several-ranks"] = f"{words}, and ranks.parts has the rate of each."
    row = builtin_row(trial.strategy)
    if row is not None and row.caution:
        found["another-update"] = row.caution
    if trial.outcome == "diverged":
        found.setdefault("diverged", f"The trial diverged: {trial.reason or 'a loss was not finite'}.")
    return _listed(found)


def run_cautions(state: RunState) -> list[Caution]:
    """Warnings of the whole run."""
    found = dict(state.warnings)
    audit = state.setup.audit
    if audit is not None and not audit.equivalent:
        found.setdefault("audit-failed", "Single-step is not equivalent to E2E on this model and data.")
    if audit is not None and not audit.ranks_equivalent:
        words = f"{audit.ranks} ranks do not have the gradients of one process on this model and data."
        found["audit-failed-ranks"] = words
    for name in audit.unequal if audit is not None else ():
        words = f"{name} claims e2e's update, but its gradients differ on this model and data."
        found[f"audit-failed-{name}"] = words
    sizes = sorted(group_sizes(state.trials.values()))
    if len(sizes) > 1:
        words = f"Trials were trained by {' and '.join(map(str, sizes))} ranks"
        found["several-ranks"] = f"{words}: rates of different numbers are not compared."
    complaints = state.log_complaints
    if complaints:
        found["damaged-log"] = "; ".join(complaints) + "."
    return _listed(found)


def _listed(found: dict[str, str]) -> list[Caution]:
    return [Caution(code=code, message=message) for code, message in sorted(found.items())]
