"""What `grambench suite` prints."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grambench.cli.suite_runs import Planned, PresetResults
from grambench.reports.suites import Suite
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
            published = suite.published.get((ours.preset, row.label), (None,) * len(suite.measures))
            trial = ours.trials.get(row.label)
            cells = []
            for measure, figure in zip(suite.measures, published, strict=True):
                cells += [_number(figure, measure.digits), _number(measure.of(trial) if trial else None, 2)]
            table.add_row(row.label, *cells)
        console.print(table)
        for reason, labels in _by_reason(ours).items():
            console.print(Text(f"blank: {', '.join(labels)}: {safe_text(reason, _REASON_LIMIT)}", "dim"))


def _by_reason(ours: PresetResults) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for label, reason in ours.reasons.items():
        found.setdefault(reason or "it ended without giving a reason", []).append(label)
    return found


def _number(value: float | None, digits: int) -> str:
    return numbers.DASH if value is None else f"{value:,.{digits}f}"
