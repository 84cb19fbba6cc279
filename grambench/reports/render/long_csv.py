"""Reports as one CSV table in long form: a row per number, or per number that is missing, with the reason."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from grambench.metrics.catalogue import METRICS, metric
from grambench.reports.render.labels import co2e_kg
from grambench.reports.render.options import Options
from grambench.reports.schema import Report
from grambench.reports.section import Section
from grambench.reports.trial_schema import Scores, Trial
from grambench.text import safe_text

COLUMNS = (
    "run",
    "trial",
    "label",
    "strategy",
    "seed",
    "repeat",
    "part",
    "metric",
    "step",
    "train_s",
    "value",
    "unit",
    "reason",
)
SECTIONS = ("times", "memory", "energy", "disturbed", "load", "windows")
"""Parts of a trial whose numbers are rows."""
_UNITS = {
    "per_s": "1/s",
    "_s": "s",
    "_bytes": "bytes",
    "bytes_per_step": "bytes",
    "_percent": "%",
    "_mhz": "MHz",
    "_w": "W",
    "joules": "J",
    "co2e": "kg",
}
"""End of a field's name -> its unit; others are ratios, scores or counts."""
_FORECASTS = {"epoch_s": "s", "peak_bytes": "bytes", "reuse_ratio": ""}
"""What is predicted -> its unit."""
_CURVES = {"throughput": "1/s", "loss": "", "memory": "bytes", "drift": "", "energy": "J"}
"""Curve -> unit of its values."""
_FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet would take a text that begins so for."""


def render_csv(reports: Sequence[Report], options: Options) -> str:
    """Test scores, every validation, times, memory, energy, windows, adaptation, speed-ups and curves."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for report in reports:
        for trial in report.trials:
            label = trial.label or trial.strategy
            head = (report.run.name, trial.name, label, trial.strategy, trial.seed, trial.repeat)
            writer.writerows([*map(_cell, (*head, *row))] for row in _rows(trial, options))
    return text.getvalue()


def _rows(trial: Trial, options: Options) -> Iterator[tuple[Any, ...]]:
    """Part, metric, step, training seconds, value, unit, reason."""
    yield from _test(trial)
    for scores in trial.validations:
        yield from _scores("validation", scores)
    for name in SECTIONS:
        yield from _section(name, getattr(trial, name))
    for measured in trial.staleness:
        for name in ("mean_age", "p90_age", "max_age", "drift"):
            head = "staleness", name, measured.step, measured.train_s
            yield (*head, getattr(measured, name), "", measured.reasons.get(name, ""))
    if trial.ranks.several:
        yield from _section("ranks", trial.ranks)
        for rank in trial.ranks.ranks:
            yield from _section(f"rank {rank.rank}", rank)
        for number, part in enumerate(trial.ranks.parts, 1):
            yield from _section(f"ranks part {number}", part)
    yield ("trial", "reuse_ratio", "", "", trial.reuse_ratio, "", trial.reasons.get("reuse_ratio", ""))
    if trial.adaptation.adapt is not None:
        yield from _section("adaptation", trial.adaptation)
        yield from _section("encoder's work", trial.adaptation.work)
    for module, clipping in trial.clipping.items():
        yield from _section(f"clipping of the {module}", clipping)
    if trial.forecast.is_made:
        yield from _forecast(trial)
    for reference, ratios in trial.speedups.items():
        yield from _section(f"speedup over {reference}", ratios, unit="")
    yield from _co2e(trial, options)
    for name, unit in _CURVES.items():
        for train_s, value in getattr(trial.curves, name):
            yield ("curve", name, "", train_s, value, unit, "")


def _test(trial: Trial) -> Iterator[tuple[Any, ...]]:
    if trial.test is not None:
        return _scores("test", trial.test)
    why = trial.reasons.get("test", "")
    return iter([("test", "auc", "", "", None, "", why)])


def _scores(part: str, scores: Scores) -> Iterator[tuple[Any, ...]]:
    known = {row.name: scores.value(row.name) for row in METRICS} | scores.others
    for name, value in known.items():
        why = "" if value is not None else scores.reasons.get(name.replace("@", "_at_"), metric(name).absent)
        yield (part, name, scores.step, scores.train_s, value, "", why)


def _section(part: str, section: Section, unit: str | None = None) -> Iterator[tuple[Any, ...]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if name not in ("reasons", "rank") and (value is None or isinstance(value, (int, float))):
            own = next((known for end, known in _UNITS.items() if name.endswith(end)), "")
            yield (part, name, "", "", value, own if unit is None else unit, section.reasons.get(name, ""))


def _forecast(trial: Trial) -> Iterator[tuple[Any, ...]]:
    for name, unit in _FORECASTS.items():
        scored = getattr(trial.forecast, name)
        for field, of in (("predicted", unit), ("measured", unit), ("ratio", "")):
            why = scored.reasons.get(field, "")
            yield (f"forecast of {name}", field, "", "", getattr(scored, field), of, why)


def _co2e(trial: Trial, options: Options) -> Iterator[tuple[Any, ...]]:
    if options.co2_per_kwh is not None:
        joules, why = trial.energy.joules, trial.energy.reasons.get("joules", "")
        value = None if joules is None else co2e_kg(joules, options.co2_per_kwh)
        yield ("energy", "co2e", "", "", value, "kg", why)


def _cell(value: Any) -> Any:
    """Numbers as they are; texts on one line, none of which a spreadsheet takes for a formula."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = safe_text(value, 600)
    return f"'{text}" if text.startswith(_FORMULA) else text
