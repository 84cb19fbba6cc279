"""Progress as plain lines, for a stream that is not a terminal; and the table printed after a run."""

import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from grambench.analysis import comparison
from grambench.analysis.compared import Compared
from grambench.analysis.grade import Grade
from grambench.events.state import SETUP, LogLine, RunState, TrialState
from grambench.events.types import AuditFinished, EncoderChecked
from grambench.text import safe_lines, safe_text
from grambench.views import numbers
from grambench.views.comparison_table import name_of, seed_of, settings_words, several_seeds, standings
from grambench.views.label_table import label_table

_TEXT_LIMIT = 400
_SETUP_WORDS = {"audit": "audit: gradients in float64, which may take minutes on a CPU"}
MARKS_SHOWN = 6
"""Lost marks after a run; the report has all."""
TRIALS_LISTED = 24
"""Rows of the table after a run; of more trials it has one row a label."""
EVERY_COLUMN = 200
"""Width in cells at which every column of the table fits."""


class PlainPrinter:
    """Prints what is new in a state, one line each.

    Args:
        stream: where the lines go; flushed after each update.
        clock: seconds, monotonic.
        every_s: seconds between two progress lines of a trial.
        prefix: begins every line.
    """

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        every_s: float = 5.0,
        prefix: str = "",
    ) -> None:
        self._stream, self._clock, self._every_s, self._prefix = stream, clock, every_s, prefix
        self._last_line: LogLine | None = None
        self._printed_at: dict[str, float] = {}
        self._steps: dict[str, int] = {}
        self._phases: dict[str, str] = {}
        self._headed = False
        self._complained: list[str] = []

    def update(self, state: RunState) -> None:
        """Print what the state holds beyond the last one."""
        if not self._headed and state.run:
            self._headed = True
            self._head(state)
        self._phase_of_setup(state)
        self._log(state)
        self._complaints(state)
        for trial in state.trials.values():
            self._plan(state, trial)
            self._progress(state, trial)
        self._stream.flush()

    def _print(self, elapsed_s: float, source: str, text: str) -> None:
        source = f"{source}: " if source else ""
        self._stream.write(safe_lines(f"{self._prefix}[{numbers.clock(elapsed_s):>7}] {source}{text}\n"))

    def _head(self, state: RunState) -> None:
        parts = (state.preset, state.model_label, state.data_label)
        self._print(0.0, "", ", ".join(safe_text(part, 80) for part in parts if part))
        labels = ", ".join(dict.fromkeys(map(name_of, state.trials.values())))
        blocks = len({trial.trial_name.block for trial in state.trials.values()})
        each = f"; each {blocks} times" if blocks > 1 else ""
        self._print(0.0, "", f"{len(state.trials)} trials: {labels}{each}")

    def _log(self, state: RunState) -> None:
        """Print new lines of the log; the fold keeps only the newest, so they are matched by identity."""
        new_lines = state.log
        for index in range(len(state.log) - 1, -1, -1):
            if state.log[index] is self._last_line:
                new_lines = state.log[index + 1 :]
                break
        for line in new_lines:
            prefix = "" if line.severity == "info" else f"{line.severity}: "
            text = safe_text(line.text, _TEXT_LIMIT)
            self._print(line.elapsed_s, _source_name(state, line.trial), prefix + text)
        if state.log:
            self._last_line = state.log[-1]

    def _complaints(self, state: RunState) -> None:
        """Print what is wrong with the logs, if that has changed."""
        complaints = state.log_complaints
        for complaint in complaints:
            if complaint not in self._complained:
                self._print(state.elapsed_s, "", f"warning: {safe_text(complaint, _TEXT_LIMIT)}")
        self._complained = complaints

    def _phase_of_setup(self, state: RunState) -> None:
        setup = state.setup
        if setup.phase not in (None, "done", self._phases.get(SETUP)):  # the log says when it has completed
            self._phases[SETUP] = setup.phase
            self._print(state.elapsed_s, SETUP, _SETUP_WORDS.get(setup.phase, setup.phase))
        prepare = setup.prepare
        if prepare is None or setup.data is not None:
            return
        complete = prepare.total is not None and prepare.done >= prepare.total
        if prepare.done != self._steps.get(SETUP) and (complete or self._due(SETUP)):
            self._steps[SETUP] = prepare.done
            total = f" / {numbers.count(prepare.total)}" if prepare.total is not None else ""
            done = f"{numbers.count(prepare.done)}{total}"
            self._print(state.elapsed_s, SETUP, f"{safe_text(prepare.phase, 60)} {done}")

    def _plan(self, state: RunState, trial: TrialState) -> None:
        plan = trial.plan
        if plan is None or trial.name in self._phases:
            return
        self._phases[trial.name] = "planned"
        notes = (settings_words(trial.settings), safe_text(plan.why, 160))
        why = f" ({'; '.join(filter(None, notes))})" if any(notes) else ""
        steps = f"{numbers.count(plan.max_steps)} steps, {numbers.count(plan.steps_per_epoch)} per epoch"
        self._print(
            state.elapsed_s, _source_name(state, trial.name), f"{steps}, batch {plan.batch_size}{why}"
        )

    def _progress(self, state: RunState, trial: TrialState) -> None:
        progress = trial.progress
        if progress is None or trial.ended or progress.step == self._steps.get(trial.name):
            return
        if not self._due(trial.name):
            return
        self._steps[trial.name] = progress.step
        plan = trial.plan
        epochs = f"/{ceil(plan.max_steps / plan.steps_per_epoch)}" if plan and plan.steps_per_epoch else ""
        steps = f"/{numbers.count(plan.max_steps)}" if plan else ""
        parts = [
            f"epoch {progress.epoch}{epochs}",
            f"step {numbers.count(progress.step)}{steps}",
            f"{numbers.rate(trial.rate)} samples/s",
            f"loss {numbers.score(progress.loss)}",
            f"ETA {numbers.clock(comparison.remaining_s(trial))}",
        ]
        faster = comparison.speedup(state, trial)
        if faster is not None and comparison.reference_of(state, trial, "e2e") is not trial:
            parts.insert(3, f"{numbers.times(faster)} e2e")
        self._print(state.elapsed_s, _source_name(state, trial.name), ", ".join(parts))

    def _due(self, key: str) -> bool:
        """True at most once every `every_s` seconds per key, and the first time."""
        now = self._clock()
        last = self._printed_at.get(key)
        if last is not None and now - last < self._every_s:
            return False
        self._printed_at[key] = now
        return True


def _source_name(state: RunState, name: str) -> str:
    trial = state.trials.get(name)
    if trial is None:
        return safe_text(name, 40)
    return f"{name_of(trial)} seed {seed_of(trial)}" if several_seeds(state) else name_of(trial)


def vectors_line(checked: EncoderChecked) -> str:
    """Whether the encoder's vectors are those of the original model, after a run or an audit."""
    verdict = "are" if checked.equal else "are not"
    size = numbers.tolerance(checked.relative)
    return (
        f"encoder: the vectors of {checked.items} items {verdict} those of AutoModel"
        f" (largest relative difference {size}, tolerance {numbers.tolerance(checked.tolerance)}, fp32)"
    )


def self_words(audit: AuditFinished) -> str:
    """`; the model repeats itself to 3e-8`, where parts of it compute in fp32; else empty."""
    if audit.self_relative is None:
        return ""
    return f"; the model repeats itself to {numbers.tolerance(audit.self_relative)}"


def ranks_lines(audit: AuditFinished) -> list[str]:
    """One line where ranks were audited."""
    if audit.ranks == 1:
        return []
    verdict = "have" if audit.ranks_equivalent else "do NOT have"
    worst = numbers.tolerance(audit.ranks_relative)
    return [
        f"{audit.ranks} ranks {verdict} the gradients of one process (largest relative difference {worst},"
        f" tolerance {numbers.tolerance(audit.tolerance)}, float64, on the CPU)"
    ]


def adapts_lines(audit: AuditFinished) -> list[str]:
    """One line for each way in which the trials adapt the encoder, where there are several."""
    lines = []
    for each in audit.adapts:
        encoder, filter_ = (numbers.tolerance(each.get(f"{name}_relative")) for name in ("encoder", "filter"))
        verdict = "" if each.get("equivalent") else ": NOT equivalent"
        lines.append(f"  {each.get('adapt')!s:<8} encoder {encoder}, filter {filter_}{verdict}")
    return lines


def predictions_lines(state: RunState) -> list[str]:
    """A line for each file of predictions."""
    return [
        f"predictions: {safe_text(trial.name)}/{safe_text(each.file)}, {each.rows:,} rows"
        f"{'' if each.labelled else ', without labels: never evaluated'}"
        for trial in state.trials.values()
        for each in trial.predictions
    ]


def verdict_lines(compared: Sequence[Compared], grade: Grade | None, ranking: str = "") -> list[str]:
    """Who won, a line for each comparison, the grade's headline, and the first lost marks with a mend."""
    lines = [safe_text(ranking, 4000)] if ranking else []
    lines += [safe_text(f"verdict: {each.sentence} {each.cost_sentence}", 1000) for each in compared]
    if grade is None or not compared:
        return lines
    lines.append(f"self-grade: {grade.headline()}")
    lines += [f"  {mark.code}: {mark.message} {mark.mend}" for mark in grade.lost[:MARKS_SHOWN]]
    hidden = len(grade.lost) - MARKS_SHOWN
    return [*lines, f"  … and {hidden} more in report.json"] if hidden > 0 else lines


def summary_table(state: RunState, width: int = EVERY_COLUMN) -> Table:
    """The final comparison: the dashboard's leaderboard, with the columns that fit `width` cells.

    Of many trials with several seeds, one row a label.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=None)
    if len(state.trials) > TRIALS_LISTED and several_seeds(state):
        labels = label_table(state, width - 2)
        for head in labels.heads:
            table.add_column(Text(head), justify="right" if table.columns else "left", no_wrap=True)
        for row in labels.rows:
            table.add_row(*map(Text, row))
        words = "scores and × e2e are means over seeds, the rest medians, memory the largest"
        table.caption = Text(f"{len(state.trials)} trials; {words}")
        return table
    cells = standings(state, width, gap=3)
    table.add_column(Text("strategy"), no_wrap=True)
    for column in cells.columns:
        table.add_column(Text(column.head), justify="left" if column.left else "right", no_wrap=True)
    for name, row in zip(cells.names, cells.cells, strict=True):
        table.add_row(Text(name), *(Text(text) for text in row))
    return table
