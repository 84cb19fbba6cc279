"""Curves of a suite's runs: validation score over training time, as SVG and as CSV."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from grambench.cli.suite_runs import PresetResults
from grambench.errors import MachineError
from grambench.fs import write_atomic
from grambench.reports.render.figures.curves import score_over_seconds
from grambench.reports.render.figures.svg import svg_document
from grambench.reports.schema import Report

COLUMNS = ("preset", "run", "trial", "strategy", "seed", "train_s", "epoch", "step", "score", "selected")


def write_figures(name: str, found: list[PresetResults], folder: Path) -> list[str]:
    """`NAME-PRESET.svg` and `.csv` of every run with a curve; their paths.

    Raises:
        MachineError: the folder cannot be written.
    """
    written = []
    for ours in found:
        for number, report in enumerate(ours.reports):
            figure = score_over_seconds(report)
            if figure.chart is None:
                continue
            stem = f"{name}-{Path(ours.preset).stem}{f'-{number + 1}' if number else ''}"
            for path, text in (
                (folder / f"{stem}.svg", svg_document(figure)),
                (folder / f"{stem}.csv", _table(ours.preset, report)),
            ):
                written.append(str(path))
                _write(path, text)
    return written


def _write(path: Path, text: str) -> None:
    try:
        write_atomic(path, text)
    except OSError as error:
        raise MachineError(
            f"{path} cannot be written: {error.strerror or error}.", "Choose another folder with --out."
        ) from error


def _table(preset: str, report: Report) -> str:
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(preset, report))
    return content.getvalue()


def _rows(preset: str, report: Report) -> Iterator[tuple[object, ...]]:
    """Every validation; `selected` marks the one whose checkpoint early stopping has chosen."""
    for trial in report.trials:
        best = trial.best_validation
        for scores in trial.validations:
            selected = best is not None and scores.step == best.step
            score = scores.value(report.run.selected_by)
            whose = (preset, report.run.name, trial.name, trial.strategy, trial.seed)
            yield *whose, scores.train_s, scores.epoch, scores.step, score, int(selected)
