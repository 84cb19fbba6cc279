"""What `grambench compare` and `merge` print."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grambench.analysis.sentences import short, signed
from grambench.metrics.catalogue import metric
from grambench.reports.comparable import EnvironmentDifference
from grambench.reports.compare import Change, RunsCompared
from grambench.reports.comparison_schema import Comparison, Interval, Quality, TimeToTarget
from grambench.reports.merge import MergedRuns
from grambench.text import safe_text
from grambench.views import numbers

_TOO_FEW = "too few seeds"
_LIMIT = 60


def print_compared(compared: RunsCompared, console: Console) -> None:
    """Differences of the environment, every label in each run, and how later runs differ from the first."""
    names, title = [run.name for run in compared.runs], metric(compared.metric).title
    _print_environment(compared.environment, names, console)
    if compared.across_hardware and any(row.changes_cost for row in compared.environment):
        console.print("Hardware or versions differ: scores can be compared, seconds cannot.\n")
    table = _table("trial", "run", "seeds", "samples/s", f"test {title}", "s to target", "speed-up")
    for each in compared.labels:
        for one in each.runs:
            table.add_row(
                _cell(each.label),
                _cell(one.run),
                str(one.trials),
                numbers.rate(one.samples_per_s),
                numbers.score(one.test_score),
                numbers.seconds(one.train_s_to_target),
                numbers.times(one.speedup),
            )
    console.print(table)
    if compared.target is not None:
        console.print(
            f"target: {title} {compared.target:.4f}, {safe_text(compared.target_source, 200)} "
            f"(of {safe_text(names[0])})\n",
            highlight=False,
        )
    changes = _table("trial", "run", "against", "samples/s", title, "verdict", "time to target", "speed-up")
    for each in compared.labels:
        for change in each.changes:
            changes.add_row(_cell(each.label), _cell(change.run), _cell(change.against), *_changed(change))
    console.print(changes)
    strangers = {c.run: c.against for each in compared.labels for c in each.changes if c.cost is None}
    for run, against in strangers.items():
        console.print(Text(f"{_cell(run)} and {_cell(against)} have no seed in common, which changes need."))
    if compared.left_out:
        console.print(f"in one run only: {safe_text(', '.join(compared.left_out), 400)}")


def print_merged(merged: MergedRuns, console: Console) -> None:
    """The verdict on each candidate over all runs."""
    names = [run.name for run in merged.runs]
    _print_environment(merged.environment, names, console)
    for each in merged.comparisons:
        console.print(Text(" ".join(filter(None, (each.sentence, each.cost.sentence)))), soft_wrap=True)
    title = metric(merged.metric).title
    table = _table("trial", "over", "pairs", "samples/s", "seeds", title, "verdict", "time to target", "pays")
    for each in merged.comparisons:
        table.add_row(*_verdict(each))
    console.print(table)


def _verdict(each: Comparison) -> list[str | Text]:
    return [
        _cell(each.candidate),
        _cell(each.reference),
        str(each.cost.processes),
        _ratio(each.cost.ratio, each.cost.between),
        str(each.quality.seeds),
        *_quality(each.quality),
        _time(each.time_to_target),
        each.conclusion,
    ]


def _changed(change: Change) -> list[str]:
    """The cells of one label in a later run."""
    cost, speedup = change.cost, change.speedup
    return [
        _ratio(cost.ratio, cost.between) if cost else numbers.DASH,
        *(_quality(change.quality) if change.quality else (numbers.DASH, numbers.DASH)),
        _time(change.time_to_target) if change.time_to_target else numbers.DASH,
        _ratio(speedup.ratio, speedup.interval) if speedup else numbers.DASH,
    ]


def _ratio(ratio: float | None, interval: Interval | None) -> str:
    """`1.02× [1.01, 1.03]`."""
    if ratio is None:
        return numbers.DASH
    ends = [short(end) for end in (interval.low, interval.high) if end is not None] if interval else []
    return f"{short(ratio)}× " + (f"[{', '.join(ends)}]" if ends else f"({_TOO_FEW})")


def _quality(quality: Quality) -> tuple[str, str]:
    """The difference with its interval, and the verdict."""
    if quality.difference is None:
        return numbers.DASH, quality.verdict
    interval = quality.interval
    if interval is None or interval.low is None or interval.high is None:
        return f"{signed(quality.difference)} ({_TOO_FEW})", quality.verdict
    return f"{signed(quality.difference)} [{signed(interval.low)}, {signed(interval.high)}]", quality.verdict


def _time(time: TimeToTarget) -> str:
    """How much sooner, `at least` where the later one never arrived."""
    low, high = time.ratio_low, time.ratio_high
    if low is None or not low:
        return numbers.DASH if high is None else f"at most {short(high)}×"
    return f"{short(low)}×" if low == high else f"at least {short(low)}×"


def _print_environment(rows: Sequence[EnvironmentDifference], names: Sequence[str], console: Console) -> None:
    if not rows:
        console.print("Machines, software and engines are the same.\n")
        return
    table = _table("differs", *names)
    for row in rows:
        table.add_row(_cell(row.field), *(_cell(value or "unknown") for value in row.values))
    console.print(table)


def _table(*heads: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(Text(safe_text(head, _LIMIT)), overflow="fold")
    return table


def _cell(value: object) -> Text:
    return Text(safe_text(value, _LIMIT))
