"""What `grambench suite` prints."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grambench.cli.suite_runs import Planned, PresetResults
from grambench.reports.suites import Cells, Measure, Row, Suite
from grambench.reports.trial_schema import Trial
from grambench.text import safe_text
from grambench.views import numbers

_REASON_LIMIT = 300


def print_plan(suite: Suite, rows: list[Planned], console: Console) -> None:
    """Presets, systems, estimates for one epoch and for all, and what prevents a run."""
    console.print(Text(f"{suite.title}: what would run", "bold"))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("preset", "system"):
        table.add_column(head, no_wrap=True)
    for head in ("epoch", "at most"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for row in rows:
        an_epoch = row.seconds_an_epoch
        whole = None if an_epoch is None else an_epoch * row.epochs
        table.add_row(
            safe_text(row.preset),
            row.row.label,
            numbers.DASH if an_epoch is None else numbers.clock(an_epoch),
            numbers.DASH if whole is None else numbers.clock(whole),
            Text(safe_text(row.reason, _REASON_LIMIT), "dim"),
        )
    console.print(table)
    console.print("Estimates come from a probe of a few steps; early stopping may end a run sooner.")


def print_results(suite: Suite, found: list[PresetResults], console: Console) -> None:
    """One table per preset: each measure as the paper's figure and ours."""
    for ours in found:
        console.print(Text(f"\n{suite.title}, {safe_text(ours.preset)}", "bold"))
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("system", no_wrap=True)
        for measure in suite.measures:
            table.add_column(f"{measure.head}\npaper", justify="right", no_wrap=True)
            table.add_column("\nours", justify="right", no_wrap=True)
        for row in suite.rows_for(ours.preset):
            trial = ours.trials.get(row.label)
            cells = []
            for measure, figure in zip(suite.measures, _published(suite, ours, row), strict=True):
                cells += [_number(figure, measure.digits), _number(_measured(measure, trial), 2)]
            table.add_row(row.label, *cells)
        console.print(table)
        for reason, labels in _by_reason(ours).items():
            console.print(Text(f"blank: {', '.join(labels)}: {safe_text(reason, _REASON_LIMIT)}", "dim"))


def plan_document(rows: list[Planned]) -> list[dict[str, Any]]:
    """The same as JSON values."""
    return [
        {
            "preset": row.preset,
            "system": row.row.label,
            "seconds_an_epoch": row.seconds_an_epoch,
            "epochs": row.epochs,
            "reason": row.reason,
        }
        for row in rows
    ]


def results_document(suite: Suite, found: list[PresetResults]) -> list[dict[str, Any]]:
    """A row for each system of each preset, as JSON values."""
    return [
        {
            "preset": ours.preset,
            "system": row.label,
            "strategy": row.strategy,
            "reason": ours.reasons.get(row.label, ""),
            "measures": {
                measure.head: {"paper": figure, "ours": _measured(measure, ours.trials.get(row.label))}
                for measure, figure in zip(suite.measures, _published(suite, ours, row), strict=True)
            },
        }
        for ours in found
        for row in suite.rows_for(ours.preset)
    ]


def _published(suite: Suite, ours: PresetResults, row: Row) -> Cells:
    return suite.published.get((ours.preset, row.label), (None,) * len(suite.measures))


def _measured(measure: Measure, trial: Trial | None) -> float | None:
    return measure.of(trial) if trial else None


def _by_reason(ours: PresetResults) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for label, reason in ours.reasons.items():
        found.setdefault(reason or "it ended without giving a reason", []).append(label)
    return found


def _number(value: float | None, digits: int) -> str:
    return numbers.DASH if value is None else f"{value:,.{digits}f}"
