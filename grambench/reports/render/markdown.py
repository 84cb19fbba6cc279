"""A report as a Markdown page (GitHub's dialect, for its tables)."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import jinja2

from grambench.analysis.sentences import signed
from grambench.metrics.catalogue import metric
from grambench.reports.comparison_schema import Interval
from grambench.reports.measured_schema import Memory
from grambench.reports.render import tuning
from grambench.reports.render.labels import LabelTrials, by_label, co2e_kg, kilograms
from grambench.reports.render.options import Options
from grambench.reports.render.tables import (
    FORECAST_TITLES,
    FORECASTS,
    WORK,
    co2e_note,
    forecast_rows,
    ranking_of,
    ranks_words,
    staleness_lines,
    work_columns,
)
from grambench.reports.schema import Environment, Report
from grambench.reports.trial_schema import Trial
from grambench.text import safe_text

DASH = "–"
_NO_OPTIONS = Options()
_MIB = 1 << 20
_GIB = 1 << 30
_ESCAPES = str.maketrans(
    {**{sign: f"\\{sign}" for sign in "\\|`*[]~"}, "<": "&lt;", ">": "&gt;", "&": "&amp;"}
)


def render_reports(reports: Sequence[Report], options: Options) -> str:
    """One page; of several reports, their verdicts and then the page of each."""
    pages = [render_markdown(report, options) for report in reports]
    if len(pages) == 1:
        return pages[0]
    verdicts = [f"- {cell(report.run.name)}: {cell(_verdict(report))}" for report in reports]
    demoted = [re.sub("^#", "##", page, flags=re.MULTILINE) for page in pages]
    return "\n\n".join((f"# grambench: {len(reports)} runs", "\n".join(verdicts), *demoted))


def render_markdown(report: Report, options: Options = _NO_OPTIONS) -> str:
    """The report in words: environment, audit, strategies, seeds, warnings, and what is missing."""
    labels = by_label(report)
    co2e = {each.label: _co2e_of(each, options.co2_per_kwh) for each in labels if options.co2_per_kwh}
    return _template().render(
        report=report,
        ranking=ranking_of(report),
        tuning=tuning,
        labels=labels,
        work=work_columns(report),
        work_note=WORK,
        staleness=staleness_lines(labels),
        co2e=co2e,
        co2e_note=co2e_note(labels, options),
        forecasts=forecast_rows(report),
        forecast_titles=FORECAST_TITLES,
        forecast_notes=FORECASTS,
    )


def _verdict(report: Report) -> str:
    return " ".join(each.sentence for each in report.comparisons) or "no strategy is compared with another"


def _co2e_of(label: LabelTrials, factor: float) -> str:
    joules = label.estimate(lambda trial: trial.energy.joules)
    return f"{kilograms(co2e_kg(joules.mean, factor))} kg" if joules else DASH


def environment_of(**options: Any) -> jinja2.Environment:
    """jinja2's environment of a page: strict about missing names and sparing with lines."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("grambench.reports"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )


@cache
def _template() -> jinja2.Template:
    environment = environment_of(autoescape=False)  # Markdown: every text passes through `cell`
    environment.filters.update(
        cell=cell,
        number=number,
        environment=environment_line,
        peak=peak,
        speedup=_speedup,
        interval=interval,
        signed=_signed,
        signed_interval=signed_interval,
        reference=_reference,
        differing=_differing,
        traces=_traces,
        ranks=ranks_words,
        times=_times,
        metric_title=lambda name: metric(name).title,
    )
    return environment.get_template("report.md.j2")


def cell(value: object, limit: int = 600) -> str:
    """Untrusted text for a line or a table's cell: one printable line without active Markdown."""
    return safe_text(value, limit).translate(_ESCAPES)


def number(value: float | None, digits: int = 0) -> str:
    """A number with thousands separators, or a dash."""
    return DASH if value is None else f"{value:,.{digits}f}"


def _speedup(trial: Trial) -> str:
    """Samples/s over e2e of the same seed."""
    found = trial.speedups.get("e2e")
    return _times(found.samples_per_s if found else None)


def _times(ratio: float | None) -> str:
    return DASH if ratio is None else f"{ratio:,.2f}×"


def interval(found: Interval | None) -> str:
    """Both ends of an interval of a ratio, an open end as a dash."""
    return DASH if found is None else f"{number(found.low, 2)} to {number(found.high, 2)} ({found.level:.0%})"


def _signed(difference: float | None) -> str:
    return DASH if difference is None else signed(difference)


def signed_interval(found: Interval | None) -> str:
    if found is None or found.low is None or found.high is None:
        return DASH
    return f"{signed(found.low)} to {signed(found.high)} ({found.level:.0%})"


def _traces(report: Report) -> bool:
    """Whether students are traced, by the source of the data; unknown: no."""
    data = report.spec.get("data")
    source = data.get("source") if isinstance(data, dict) else None
    return source not in (None, "mind", "news-tables", "synthetic")


def _reference(report: Report) -> str:
    """The label of the trial that speed-ups are relative to."""
    labels = [trial.label or trial.strategy for trial in report.trials if trial.strategy == "e2e"]
    return labels[0] if labels and "e2e" not in labels else "e2e"


def _differing(report: Report) -> list[str]:
    """One line per label with its own settings, and the run's."""
    found = {}
    for trial in report.trials:
        own = [f"{key} = {value}{_instead(report, key, value)}" for key, value in trial.settings.items()]
        label = trial.label or trial.strategy
        of = "" if label == trial.strategy else f" ({trial.strategy})"
        if own or of:
            found[label] = f"{label}{of}: {'; '.join(own) or 'the settings of the run'}"
    return list(found.values())


def _instead(report: Report, key: str, value: Any) -> str:
    """The run's value of a setting, if it differs."""
    of_run: Any = report.spec
    for part in key.split("."):
        of_run = of_run.get(part) if isinstance(of_run, dict) else None
    return "" if of_run == value else f" instead of {of_run}"


def peak(memory: Memory) -> str:
    """The peak in MiB and its source: torch's allocation on a GPU, else the process's memory."""
    if memory.torch_peak_allocated_bytes is not None:
        return f"{memory.torch_peak_allocated_bytes / _MIB:,.0f} (torch)"
    if memory.rss_peak_bytes is not None:
        return f"{memory.rss_peak_bytes / _MIB:,.0f} (process)"
    return DASH


def environment_line(environment: Environment) -> str:
    host = environment.host
    if host is None:
        return f"unknown ({environment.reasons['host']})"
    packages = host.packages
    gpus = ", ".join(gpu.name for gpu in host.gpus) or "no GPU"
    versions = [f"{name} {packages[name]}" for name in ("grambench", "torch") if packages.get(name)]
    commit = (
        f"commit {host.git_commit[:12]}{' (modified)' if host.git_dirty else ''}" if host.git_commit else ""
    )
    parts = [
        host.hostname,
        host.os,
        f"{host.cpu_model or 'unknown CPU'} ({number(host.physical_cores)} cores)",
        f"{host.memory_total_bytes / _GIB:,.0f} GiB",
        gpus,
        f"driver {host.driver}" if host.driver else "",
        f"Python {host.python}",
        *versions,
        commit,
    ]
    return " · ".join(part for part in parts if part)
