"""The comparison with one row a label, for runs with too many trials to list."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, geometric_mean, median, stdev

from grambench.analysis import comparison
from grambench.events.state import RunState, TrialState
from grambench.views import numbers
from grambench.views.comparison_table import best_score, memory_of, name_of, ordered, sorted_part, test_score


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Cells ready to be drawn; the first column holds the labels."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    keep: int
    """Importance: on a narrow screen, the column with the lowest is dropped first."""
    value: Callable[[RunState, TrialState], float | None]
    over_seeds: Callable[[Sequence[float]], float | None]
    shown: Callable[[float | None], str]

    def cell(self, state: RunState, seeds: Sequence[TrialState]) -> str:
        known = [value for trial in seeds if (value := self.value(state, trial)) is not None]
        return self.shown(self.over_seeds(known) if known else None)


def _spread(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _columns(state: RunState) -> list[_Column]:
    title, sorts = state.metric.title, sorted_part(state)
    arrow = " ▾" if state.metric.better > 0 else " ▴"
    val, test = (f"{part} {title}{arrow if part == sorts else ''}" for part in ("val", "test"))
    return [
        _Column("scored", 85, lambda s, t: float(test_score(s, t) is not None), sum, numbers.count),
        _Column("× e2e", 100, lambda s, t: comparison.speedup(s, t) or None, geometric_mean, numbers.ratio),
        _Column("R", 75, lambda _, t: comparison.reuse_ratio(t), median, numbers.ratio),
        _Column("s/epoch", 65, lambda _, t: comparison.seconds_per_epoch(t), median, numbers.seconds),
        _Column("samples/s", 80, lambda _, t: comparison.samples_per_second(t), median, numbers.rate),
        _Column("s to best", 55, lambda _, t: comparison.seconds_to_best(t), median, numbers.seconds),
        _Column("peak GiB", 50, lambda s, t: memory_of(s, t).peak, max, numbers.gib),
        _Column(val, 70, best_score, fmean, numbers.score),
        _Column(test, 96, test_score, fmean, numbers.score),
        _Column("± sd", 95, test_score, _spread, numbers.score),
    ]


def label_table(state: RunState, width: int, gap: int = 3) -> LabelTable:
    """Labels in the order of the leaderboard; the columns fit `width` cells, `gap` between them."""
    seeds: dict[str, list[TrialState]] = {}
    for trial in ordered(state):
        seeds.setdefault(trial.label, []).append(trial)
    columns = [("strategy", *(name_of(trials[0]) for trials in seeds.values()))]
    left = width - max(map(len, columns[0]))
    kept: dict[int, tuple[str, ...]] = {}
    for index, column in sorted(enumerate(_columns(state)), key=lambda pair: -pair[1].keep):
        texts = (column.head, *(column.cell(state, trials) for trials in seeds.values()))
        size = max(map(len, texts)) + gap
        if size <= left and any(text != numbers.DASH for text in texts[1:]):
            left -= size
            kept[index] = texts
    heads, *rows = zip(*columns, *(kept[index] for index in sorted(kept)), strict=True)
    return LabelTable(heads, tuple(rows))
