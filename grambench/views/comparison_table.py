"""The comparison table as plain-text cells: order, columns, and which of them fit.

The dashboard's leaderboard and the table printed after a run are both this table.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from grambench.analysis import comparison
from grambench.analysis.anytime import FEWEST_BLOCKS
from grambench.analysis.grade_facts import tuning_words
from grambench.analysis.live import LiveIntervals
from grambench.analysis.pairs import candidate_labels, seconds_to
from grambench.events.state import RunState, TrialState
from grambench.metrics import catalogue
from grambench.text import safe_text
from grambench.views import numbers

NAME_LIMIT = 24
IN_RACE = "in race"
"""Head of the spread within this run, which says nothing about other processes."""
_PHASES = {
    "start": "preparing",
    "prepare": "preparing",
    "audit": "preparing",
    "load": "preparing",
    "probe": "preparing",
    "cache": "preparing",
    "train": "training",
    "evaluate": "evaluating",
    "test": "evaluating",
    "save": "saving",
    "done": "done",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of numbers."""

    head: str
    """Name with its unit."""
    keep: int
    """Importance: on a narrow screen, the column with the lowest is dropped first."""
    cell: Callable[[RunState, TrialState], str]
    left: bool = False
    """Left-aligned, for words; numbers are right-aligned."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a trial: of the device on a GPU, else of the process."""

    now: int | None
    peak: int | None
    total: int | None


def several_seeds(state: RunState) -> bool:
    """True when seeds (and repeats) must be shown to tell trials apart."""
    return len({trial.trial_name.block for trial in state.trials.values()}) > 1


def seed_of(trial: TrialState) -> str:
    """`0`, of its second repeat `0 r2`."""
    return str(trial.seed) + (f" r{trial.repeat}" if trial.repeat > 1 else "")


def state_word(state: RunState, trial: TrialState) -> str:
    """The state of a trial in one word."""
    if trial.outcome is not None:
        return "done" if trial.outcome == "completed" else trial.outcome
    if state.finished:
        return "not run" if trial.phase is None else "interrupted"
    word = "waiting" if trial.phase is None else _PHASES.get(trial.phase, "training")
    return "paused" if state.paused and word == "training" else word


def memory_of(state: RunState, trial: TrialState) -> Memory:
    """What the trial holds: torch's allocation on a GPU, resident memory on a CPU."""
    progress = trial.progress
    on_gpu = trial.started is not None and trial.started.gpu_uuid is not None
    if not on_gpu:
        ended = trial.ended
        return Memory(None if ended else trial.rss_bytes, trial.peak_rss_bytes, state.host.memory_total_bytes)
    gpu = state.gpu_of(trial)
    total = gpu.last.memory_total_bytes if gpu else None
    if progress is None:
        return Memory(None, None, total)
    now = None if trial.ended else progress.memory_allocated_bytes
    return Memory(now, progress.peak_allocated_bytes, total)


def _test(name: str) -> Callable[[RunState, TrialState], str]:
    def cell(_: RunState, trial: TrialState) -> str:
        return numbers.score(trial.test.metrics.get(name) if trial.test else None)

    return cell


def best_score(state: RunState, trial: TrialState) -> float | None:
    """The validation score that selected the checkpoint."""
    return trial.best.metrics.get(state.select_by) if trial.best else None


def test_score(state: RunState, trial: TrialState) -> float | None:
    """The test score of the selected checkpoint, by the metric that selected it."""
    return trial.test.metrics.get(state.select_by) if trial.test else None


class Intervals:
    """The two spreads of `× e2e`, as cells."""

    def __init__(self, state: RunState) -> None:
        self._live = LiveIntervals(state)

    def between(self, _: RunState, trial: TrialState) -> str:
        """The 95 % interval over fresh processes: `7.4–8.4`."""
        interval = self._live.between(trial.label)
        if interval is None:
            return numbers.DASH
        return numbers.interval(*interval.as_ratio())

    def within(self, _: RunState, trial: TrialState) -> str:
        """What the race alone says of this pair of processes: `± 2 %`, with a mark once it leaves 1.

        Before, `3 of 8`: the blocks so far, and how many an interval takes.
        """
        found = self._live.within(trial)
        if found is None:
            return numbers.DASH
        if found.interval is None:
            return f"{found.blocks} of {FEWEST_BLOCKS}"
        low, high = found.interval.low, found.interval.high
        half = 100 * math.expm1((high - low) / 2)
        mark = " drifts" if found.drifts else " ✓" if low > 0 or high < 0 else ""
        return f"± {half:.{0 if half >= 10 else 1 if half >= 0.1 else 2}f} %{mark}"


def _training_seconds(trial: TrialState) -> float | None:
    """Training seconds of a trial that has finished training, else None."""
    ended = trial.outcome in ("completed", "early-stopped")
    return trial.progress.train_s if ended and trial.progress else None


def place(state: RunState, trial: TrialState) -> int | None:
    """The rank of a trial among those that have finished training: 1 took the fewest seconds.

    By training seconds, not wall time, since trials may run one after the other. Equal seconds share a
    rank. None: still training, or ended early.
    """
    seconds = _training_seconds(trial)
    if seconds is None:
        return None
    others = [_training_seconds(other) for other in state.trials.values()]
    return 1 + sum(other < seconds for other in others if other is not None)


_KEEP = {"auc": 89, "mrr": 40, "ndcg@5": 30, "ndcg@10": 35, "csauc": 88}
"""Importance of the columns of metrics that do not select; all others have `_KEEP_OTHERS`."""
_KEEP_OTHERS = 20
_SORTS = 96
"""Importance of the test score where it sorts the rows."""


def columns(state: RunState, target: float | None = None) -> list[Column]:
    """The columns of this run, without marker and strategy, which the caller draws.

    `target`: adds a column of training seconds to this validation score.
    """
    selecting, intervals = state.metric, Intervals(state)
    sorts = sorted_part(state)
    heads = {part: f"{part} {selecting.title}" for part in ("val", "test")}
    if sorts:
        heads[sorts] += " ▾" if selecting.better > 0 else " ▴"
    tested = {name for trial in state.trials.values() if trial.test for name in trial.test.metrics}
    others = [m for m in catalogue.METRICS if m.can_select and m.name in tested and m != selecting]
    offered = [
        Column("seed", 85, lambda _, t: seed_of(t)),
        Column("state", 70, state_word, left=True),
        Column("place", 58, lambda s, t: numbers.count(place(s, t))),
        Column("× e2e", 100, lambda s, t: numbers.ratio(comparison.speedup(s, t))),
        Column("95 %", 62, intervals.between),
        Column(IN_RACE, 61, intervals.within),
        Column("× unique", 60, lambda s, t: numbers.ratio(comparison.speedup(s, t, "e2e-unique"))),
        Column("R", 75, lambda _, t: numbers.ratio(comparison.reuse_ratio(t))),
        Column("s/epoch", 65, lambda _, t: numbers.seconds(comparison.seconds_per_epoch(t))),
        Column("samples/s", 80, lambda _, t: numbers.rate(comparison.samples_per_second(t))),
        Column(heads["val"], 95, lambda s, t: numbers.score(best_score(s, t))),
        Column(heads["test"], _SORTS if sorts == "test" else 90, _test(selecting.name)),
        *(Column(m.title, _KEEP.get(m.name, _KEEP_OTHERS), _test(m.name)) for m in others),
        Column("s to best", 55, lambda _, t: numbers.seconds(comparison.seconds_to_best(t))),
        Column("peak GiB", 50, lambda s, t: numbers.gib(memory_of(s, t).peak)),
    ]
    if target is not None:
        head = f"s to {target:g}"
        offered.insert(4, Column(head, 97, lambda _, t: numbers.seconds(seconds_to(t, target, selecting))))
    if not several_seeds(state):
        offered = [column for column in offered if column.head != "seed"]
    if not any(trial.strategy == "e2e-unique" for trial in state.trials.values()):
        offered = [column for column in offered if column.head != "× unique"]
    for head, cell in (("95 %", intervals.between), (IN_RACE, intervals.within)):
        if all(cell(state, trial) == numbers.DASH for trial in state.trials.values()):
            offered = [column for column in offered if column.head != head]
    if not any(place(state, trial) for trial in state.trials.values()):
        offered = [column for column in offered if column.head != "place"]
    return offered


def _listed(state: RunState) -> list[TrialState]:
    return [trial for trial in state.trials.values() if trial.decided_after is None]


def sorted_part(state: RunState) -> Literal["val", "test"] | None:
    """The part by whose score trials are sorted: test once every validated trial has one; None: neither."""
    validated = [trial for trial in _listed(state) if best_score(state, trial) is not None]
    if not validated:
        return None
    return "test" if all(test_score(state, trial) is not None for trial in validated) else "val"


def ordered(state: RunState) -> list[TrialState]:
    """By test score, else by best validation score; the seeds of a label are kept together.

    A label is ranked by the mean over its seeds. Trials without a score follow in running order.
    Trials that a decision has left out are not listed.
    """
    trials = _listed(state)
    score = test_score if sorted_part(state) == "test" else best_score
    means: dict[str, float] = {}
    for label in {trial.label for trial in trials}:
        scores = [s for t in trials if t.label == label and (s := score(state, t)) is not None]
        means[label] = state.metric.better * sum(scores) / len(scores) if scores else -math.inf
    first = {trial.label: index for index, trial in reversed(list(enumerate(trials)))}
    return sorted(trials, key=lambda t: (-means[t.label], first[t.label], t.trial_name.block))


def settings_words(settings: Mapping[str, Any]) -> str:
    """A trial's own settings, such as `encoder_optimizer.lr = 0.0003`; empty: it has none."""
    return safe_text(", ".join(f"{key} = {value}" for key, value in settings.items()), 160)


def own_settings(state: RunState) -> dict[str, str]:
    """Label -> the settings in which its trials differ from the run's, where there are any."""
    return {name_of(t): words for t in state.trials.values() if (words := settings_words(t.settings))}


def tuning_line(state: RunState) -> str:
    """How the labels with a speed-up were tuned; empty: there are none."""
    found: dict[str, list[str]] = {}
    for label in candidate_labels(state):
        if any(t.label == label and comparison.speedup(state, t) is not None for t in state.trials.values()):
            found.setdefault(tuning_words(state, label), []).append(safe_text(label, NAME_LIMIT))
    parts = [f"{', '.join(labels)} {words}" for words, labels in found.items()]
    return f"tuning: {'; '.join(parts)}" if parts else ""


def name_of(trial: TrialState) -> str:
    """The trial's label, safe for a terminal."""
    return safe_text(trial.label, NAME_LIMIT)


@dataclass(frozen=True, slots=True)
class Standings:
    """Cells ready to be drawn; the first column (marker and label) is `names`."""

    trials: tuple[TrialState, ...]
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: tuple[tuple[str, ...], ...]
    """Per trial, one text per column."""
    widths: tuple[int, ...]

    @property
    def name_width(self) -> int:
        """Cells of the first column, without the marker."""
        return max((len(name) for name in (*self.names, "strategy")), default=8)


def standings(
    state: RunState, width: int, gap: int = 2, lead: int = 2, target: float | None = None
) -> Standings:
    """The table that fits `width` cells, with `gap` between columns and `lead` for the marker."""
    trials = tuple(ordered(state))
    names = tuple(name_of(trial) for trial in trials)
    left = width - lead - max((len(name) for name in (*names, "strategy")), default=8)
    kept: dict[int, tuple[Column, tuple[str, ...], int]] = {}
    every = list(enumerate(columns(state, target)))
    for index, column in sorted(every, key=lambda pair: -pair[1].keep):
        texts = tuple(column.cell(state, trial) for trial in trials)
        size = max(len(text) for text in (column.head, *texts))
        if size + gap > left:
            continue
        left -= size + gap
        kept[index] = (column, texts, size)
    chosen = [kept[index] for index in sorted(kept)]
    by_trial = tuple(tuple(texts[row] for _, texts, _ in chosen) for row in range(len(trials)))
    return Standings(
        trials, names, tuple(column for column, _, _ in chosen), by_trial, tuple(size for *_, size in chosen)
    )
