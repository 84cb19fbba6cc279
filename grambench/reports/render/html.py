"""Reports as one HTML page: no script, nothing from elsewhere, for light and dark, a phone and a desk."""

import base64
import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from grambench.analysis.sentences import signed
from grambench.reports.comparable import Source
from grambench.reports.comparison_schema import Comparison
from grambench.reports.over_runs import reference_of
from grambench.reports.render import tuning
from grambench.reports.render.figures.chart import keys_of
from grambench.reports.render.figures.figures import figures_of
from grambench.reports.render.figures.svg import marker, palette_css, svg_element
from grambench.reports.render.labels import LabelTrials, by_label, selecting_metric
from grambench.reports.render.markdown import (
    environment_line,
    environment_of,
    interval,
    number,
    peak,
    signed_interval,
)
from grambench.reports.render.options import Options
from grambench.reports.render.tables import (
    FORECAST_TITLES,
    FORECASTS,
    INTERVALS,
    PEAKS,
    SPEEDUPS,
    WORK,
    Column,
    co2e_note,
    forecast_rows,
    quality_columns,
    ranking_of,
    ranks_words,
    resource_columns,
    rows_of,
    significance,
    speed_columns,
    staleness_lines,
    work_columns,
)
from grambench.reports.schema import Report
from grambench.text import safe_text
from grambench.views import numbers

_WEIGHTS = "With the weights of the best validation."
_SIGNS = {"pays": "✓", "does not pay": "✗", "undecided": "?", "not comparable": "≠"}
_OPTION = re.compile("--[a-z][a-z-]*")
_ASCII_JSON = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"})


def render_html(reports: Sequence[Report], options: Options) -> str:
    """A page that can be sent as it is; each report is in it, and can be saved from it."""
    runs = [_run(report, number, options) for number, report in enumerate(reports, 1)]
    keys = [key for report in reports for key in keys_of(by_label(report)).values()]
    return _template().render(runs=runs, colours=Markup(palette_css(keys)), tuning=tuning)


@cache
def _template() -> jinja2.Template:
    environment = environment_of(autoescape=True, finalize=_printable)
    environment.filters.update(
        number=number,
        interval=interval,
        signed=lambda value: numbers.DASH if value is None else signed(value),
        signed_interval=signed_interval,
        peak=peak,
        times=numbers.times,
        tolerance=numbers.tolerance,
        options=_options,
        ranks=ranks_words,
        sign=lambda conclusion: _SIGNS[conclusion],
    )
    return environment.get_template("report.html.j2")


def _printable(value: Any) -> Any:
    """Every text of the page passes here; what is markup already has passed."""
    return value if isinstance(value, (Markup, int, float)) else safe_text(value, 1200)


def _options(text: str) -> Markup:
    """A sentence whose command-line options no line breaks after their hyphens."""
    return Markup(_OPTION.sub(r'<span class="option">\g<0></span>', str(escape(_printable(text)))))


def _run(report: Report, number_: int, options: Options) -> dict[str, Any]:
    """What the template shows of one report."""
    labels = by_label(report)
    text = report.model_dump_json()
    return {
        "report": report,
        "ranking": ranking_of(report),
        "id": f"run-{number_}",
        "headline": _headline(report),
        "others": sorted(report.comparisons, key=lambda each: not each.primary)[1:],
        "staleness": staleness_lines(labels),
        "raced": any(each.cost.within for each in report.comparisons),
        "reference": reference_of(Source(report.run.name, report)),
        "metric": selecting_metric(report).title,
        "quality": _table(
            labels, quality_columns(report), "Test scores", f"{_WEIGHTS} {INTERVALS} {significance(report)}"
        ),
        "speed": _table(labels, speed_columns(), "Speed", SPEEDUPS),
        "forecasts": {"titles": FORECAST_TITLES, "notes": FORECASTS, "rows": forecast_rows(report)},
        "resources": _table(labels, resource_columns(report, options), *_resources(labels, options)),
        "work": _table(labels, columns, "The encoder's work", WORK)
        if (columns := work_columns(report))
        else None,
        "figures": [
            (figure, Markup(svg_element(figure, f"run-{number_}-{figure.name}")) if figure.chart else None)
            for figure in figures_of(report, options.figure)
        ],
        "environment": environment_line(report.environment),
        "cautions": [("", each) for each in report.warnings]
        + [(trial.name, each) for trial in report.trials for each in trial.warnings],
        "json": Markup(json.dumps(json.loads(text), ensure_ascii=True).translate(_ASCII_JSON)),
        "href": Markup("data:application/json;base64," + base64.b64encode(text.encode()).decode()),
    }


def _headline(report: Report) -> Comparison | None:
    """The primary comparison; None: the report has none."""
    return next((each for each in report.comparisons if each.primary), None)


def _resources(labels: Sequence[LabelTrials], options: Options) -> tuple[str, str]:
    """Title and notes of the table of memory and energy."""
    return "Memory and energy", f"{PEAKS} {co2e_note(labels, options)}"


def _table(
    labels: Sequence[LabelTrials], columns: Sequence[Column], title: str, notes: str
) -> dict[str, Any]:
    """A table of results: marker, label, seeds and cells of each label."""
    keys, cells = keys_of(labels), rows_of(labels, columns)
    rows = [
        (Markup(marker(keys[each.label])), each.label, each.seeds, row)
        for each, row in zip(labels, cells, strict=True)
    ]
    return {"title": title, "notes": notes, "columns": [column.title for column in columns], "rows": rows}
