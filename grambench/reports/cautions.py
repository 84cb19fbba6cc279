"""What a careful reader should know: warnings from the logs, and those that the numbers imply."""

from typing import Any

from grambench.events.state import RunState, TrialState
from grambench.reports.trial_schema import Caution


def trial_cautions(state: RunState, trial: TrialState) -> list[Caution]:
    """Warnings of one trial; what is said of the whole run is not repeated."""
    found = dict(trial.warnings)
    sampled = any(e.sampled for e in (*trial.evaluations, *filter(None, [trial.test])))
    if sampled and "sampled-evaluation" not in state.warnings:
        found.setdefault(
            "sampled-evaluation", "Only a fixed sample of the impressions was scored; see `impressions`."
        )
    if trial.outcome == "diverged":
        found.setdefault("diverged", f"The trial diverged: {trial.reason or 'a loss was not finite'}.")
    return _listed(found)


def run_cautions(state: RunState, spec: dict[str, Any]) -> list[Caution]:
    """Warnings of the whole run."""
    found = dict(state.warnings)
    if _number(spec, "encoder", "dropout"):
        found.setdefault(
            "encoder-dropout",
            "The encoder has dropout: the strategies see different masks and are not comparable to E2E.",
        )
    if _value(spec, "data", "protocol") == "paper":
        found.setdefault(
            "paper-protocol", "protocol = paper: checkpoints were selected on the part that is reported."
        )
    audit = state.setup.audit
    if audit is not None and not audit.equivalent:
        found.setdefault("audit-failed", "Single-step is not equivalent to E2E on this model and data.")
    data = state.setup.data
    unknown = _count(data.counts, "unknown_") if data else 0
    if unknown:
        policy = _value(spec, "data", "unknown_items") or "unknown"
        found.setdefault(
            "unknown-items",
            f"The data names items without a row in news.tsv (counts add up to {unknown:,});"
            f" policy: {policy}.",
        )
    return _listed(found)


def _listed(found: dict[str, str]) -> list[Caution]:
    return [Caution(code=code, message=message) for code, message in sorted(found.items())]


def _value(spec: dict[str, Any], table: str, key: str) -> Any:
    fields = spec.get(table)
    return fields.get(key) if isinstance(fields, dict) else None


def _number(spec: dict[str, Any], table: str, key: str) -> float:
    value = _value(spec, table, key)
    return value if isinstance(value, int | float) else 0.0


def _count(counts: object, prefix: str) -> int:
    """Sum of the integers under keys that begin with `prefix`, at any depth."""
    if not isinstance(counts, dict):
        return 0
    total = 0
    for key, value in counts.items():
        if isinstance(value, dict):
            total += _count(value, prefix)
        elif str(key).startswith(prefix) and isinstance(value, int):
            total += value
    return total
