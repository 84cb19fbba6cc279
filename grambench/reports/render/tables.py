"""The columns of result tables, which HTML and LaTeX share: text, with − ± × – as they are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from grambench.analysis.ranking import Place, ranking_sentence
from grambench.metrics.catalogue import Metric
from grambench.reports.adaptation_schema import Work
from grambench.reports.forecast_schema import Forecast, Scored
from grambench.reports.ranks_schema import RankPart, Ranks
from grambench.reports.render.labels import (
    Estimate,
    LabelTrials,
    Measure,
    by_label,
    co2e_kg,
    kilograms,
    peak_bytes,
    selecting_metric,
    test_metrics,
    test_score,
)
from grambench.reports.render.options import Options
from grambench.reports.schema import Report
from grambench.reports.training_schema import Staleness
from grambench.reports.trial_schema import are_alike
from grambench.views import numbers

Format = Callable[[float | None], str]
LEVELS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
"""Largest p of each significance mark."""
INTERVALS = "Means over seeds; ± is the half-width of their 95 % t interval, from three seeds on."

PEAKS = "Memory is the largest over the trials: live tensors on a GPU, else the process's resident memory."
WORK = (
    "Factors by which the encoder does less than if it encoded every padded position and trained all layers:"
    " padding is engineering, untrained layers are another model, cached layers are computed once, repeated"
    " items and windows are GRAM's, and what is run again is their price. A dash there: no layer is left."
)
SPEEDUPS = "Speed-ups are in samples/s, with their interval between processes; R: occurrences / unique items."


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table with one row a label."""

    title: str
    cell: Callable[[LabelTrials], str]


def mean_and_interval(found: Estimate | None, form: Format) -> str:
    """`0.6502 ± 0.0007`; a dash where nothing was measured."""
    if found is None or found.half is None:
        return form(found.mean if found else None)
    return f"{form(found.mean)} ± {form(found.half)}"


def quality_columns(report: Report) -> list[Column]:
    """The metrics of the test part; the one that selects has significance marks."""
    marked = selecting_metric(report).name if report.until_decided is None else ""
    return [_score_column(row, row.name == marked) for row in test_metrics(report)]


def speed_columns() -> list[Column]:
    """Rates, and seconds of training."""
    return [
        _paced("samples/s", lambda trial: trial.times.samples_per_s, numbers.rate),
        Column("speed-up", speedup_cell),
        Column("R", lambda each: _mean(each, lambda trial: trial.reuse_ratio, _two)),
        _paced("s/epoch", lambda trial: trial.times.epoch_s, numbers.seconds),
        _measured("s to best", lambda trial: trial.times.train_s_to_best, numbers.seconds),
        Column("s to target", _target_cell),
    ]


def resource_columns(report: Report, options: Options) -> list[Column]:
    """Memory; energy and CO2e where they were measured."""
    columns = [Column("peak GiB", lambda each: numbers.gib(each.largest(peak_bytes)))]
    if all(trial.energy.joules is None for trial in report.trials):
        return columns
    columns.append(_measured("kJ", lambda trial: _kilo(trial.energy.joules), numbers.seconds))
    if (factor := options.co2_per_kwh) is not None:
        columns.append(
            Column("kg CO2e", lambda each: _mean(each, lambda t: _co2e(t.energy.joules, factor), kilograms))
        )
    return columns


def ranking_of(report: Report) -> str:
    """Who won, as a sentence; empty for fewer than three labels."""
    found = [Place(**each.model_dump(exclude={"reasons"})) for each in report.places]
    return ranking_sentence(found, selecting_metric(report).title)


def work_columns(report: Report) -> list[Column]:
    """What saves the encoder's work; empty unless a trial trains a part of it, or what it trains is known."""
    if all(trial.adaptation.work.repeated_items is None for trial in report.trials):
        return []
    factors: list[tuple[str, Callable[[Work], float | None]]] = [
        ("padding", lambda work: work.padding),
        ("untrained layers", lambda work: work.trained_layers),
        ("cached layers", lambda work: work.cached_layers),
        ("repeated items", lambda work: work.repeated_items),
        ("windows", lambda work: work.windows),
        ("run again", lambda work: work.recomputation),
        ("product", lambda work: work.product),
    ]
    return [
        Column("trains", lambda each: each.trials[0].adaptation.adapt or numbers.DASH),
        Column("parameters", lambda each: numbers.count(each.trials[0].adaptation.trainable_parameters)),
        *(_factor_column(title, factor) for title, factor in factors),
        Column("cache MiB", lambda each: numbers.rate(_mib(each.trials[0].adaptation.cache_bytes))),
        Column("cache s", lambda each: _mean(each, lambda t: t.adaptation.cache_s, numbers.seconds)),
        Column("break-even epochs", lambda each: _mean(each, lambda t: t.adaptation.break_even_epochs, _one)),
    ]


def _factor_column(title: str, factor: Callable[[Work], float | None]) -> Column:
    return Column(title, lambda each: _mean(each, lambda trial: factor(trial.adaptation.work), _times))


def _times(value: float) -> str:
    return f"{value:,.2f}×"


def _one(value: float) -> str:
    return f"{value:,.1f}"


def _mib(size: int | None) -> float | None:
    return None if size is None else size / numbers.MIB


def significance(report: Report) -> str:
    """What the marks mean; empty: no label has one."""
    if not any(mark(each) for each in by_label(report)) or report.until_decided is not None:
        return ""
    reference = report.comparisons[0].reference
    levels = ", ".join(f"{sign} p < {level:g}" for level, sign in LEVELS[::-1])
    test = f"two-sided sign-flip test of the seeds' differences from {reference}"
    return f"{levels}: {test}, each comparison at its own level."


def mark(each: LabelTrials) -> str:
    """The significance mark of a label against its reference."""
    p = each.comparison.quality.p if each.comparison else None
    return next((sign for level, sign in LEVELS if p is not None and p < level), "")


def speedup_cell(each: LabelTrials) -> str:
    """`2.2× (2.1–2.3)` over the reference, which has 1."""
    if each.is_reference:
        return "1"
    if each.speedup is None:
        return numbers.DASH
    ratio, low, high = each.speedup
    ends = f" ({numbers.interval(low, high)})" if low is not None and high is not None else ""
    return f"{ratio:,.2f}×{ends}"


def co2e_note(labels: Sequence[LabelTrials], options: Options) -> str:
    """What the CO2e is made of, and that of all trials; why there is none; empty: nobody has asked."""
    if options.co2_per_kwh is None:
        return ""
    energies = [trial.energy for each in labels for trial in each.trials]
    joules = [each.joules for each in energies if each.joules is not None]
    if not joules:
        why = energies[0].reasons["joules"] if energies else "no trial was recorded"
        return f"CO2e is not known: {why}."
    total = f"{kilograms(co2e_kg(sum(joules), options.co2_per_kwh))} kg for {len(joules)} trials"
    return f"CO2e: {total}, by the user's factor of {options.co2_per_kwh:g} g/kWh and the energy of the GPU."


FORECASTS = "Predicted by a probe before the clock started / measured (predicted over measured)."
FORECAST_TITLES = ("s/epoch", "peak MiB", "R", "leaves out")


def forecast_rows(report: Report) -> list[tuple[str, list[str]]]:
    """Trial -> a cell for each of `FORECAST_TITLES`, of the trials of which something was predicted."""
    made = [trial for trial in report.trials if trial.forecast.is_made]
    return [(trial.name, _forecast_cells(trial.forecast)) for trial in made]


def _forecast_cells(forecast: Forecast) -> list[str]:
    """`9.4 / 10.2 (0.92)`, and the note."""
    return [
        _scored_cell(forecast.epoch_s, numbers.seconds),
        _scored_cell(forecast.peak_bytes, lambda value: numbers.count(value and value / numbers.MIB)),
        _scored_cell(forecast.reuse_ratio, numbers.ratio),
        forecast.note,
    ]


def _scored_cell(scored: Scored, form: Format) -> str:
    ratio = "" if scored.ratio is None else f" ({scored.ratio:.2f})"
    return f"{form(scored.predicted)} / {form(scored.measured)}{ratio}"


def ranks_words(ranks: Ranks) -> str:
    """What a page says of the ranks of a trial: `2 ranks on 1 node (gloo), batch 64; …`."""
    share, efficiency = ranks.waiting_share, ranks.efficiency
    shares = [rank.waiting_share for rank in ranks.ranks if rank.waiting_share is not None]
    received = ranks.received_bytes_per_step
    of_a_part, of_all = map(numbers.ratio, (ranks.reuse_ratio_of_a_part, ranks.reuse_ratio))
    return "; ".join(
        (
            f"{_counted(ranks.size, 'rank')} on {_counted(ranks.nodes or 1, 'node')}"
            f" ({ranks.backend or 'one process'}), batch {numbers.count(ranks.batch_size)}",
            f"R {of_a_part} in a rank's part, {of_all} in the batch",
            f"{numbers.rate(None if received is None else received / numbers.MIB)} MiB received a step",
            f"waits {share:.0%} ({min(shares):.0%} to {max(shares):.0%})"
            if share is not None
            else f"waiting {ranks.reasons['waiting_share']}",
            *([_counted(ranks.restarts, "restart")] if ranks.restarts else []),
            *([f"efficiency {efficiency:.2f}"] if efficiency is not None else []),
            *(_part_words(part) for part in ranks.parts if len(ranks.parts) > 1),
        )
    )


def staleness_lines(labels: Sequence[LabelTrials]) -> list[str]:
    """What a page says of vectors not encoded for their step: `gram-1e read vectors up to 12 CF steps …`."""
    measured = {each.label: [trial.staleness for trial in each.trials if trial.staleness] for each in labels}
    return [_staleness_words(label, trials) for label, trials in measured.items() if trials]


def _staleness_words(label: str, trials: Sequence[Sequence[Staleness]]) -> str:
    every = [each for trial in trials for each in trial]
    oldest, age = max(each.max_age for each in every), fmean(each.mean_age for each in every)
    return (
        f"{label} read vectors up to {_counted(oldest, 'CF step')} old (mean {age:.1f}); their mean drift, in"
        f" units of the spread: {_drift([trial[-1] for trial in trials])} at the last validation,"
        f" {_drift(every)} over all"
    )


def _drift(measured: Sequence[Staleness]) -> str:
    drifts = [each.drift for each in measured if each.drift is not None]
    return numbers.score(fmean(drifts) if drifts else None)


def _part_words(part: RankPart) -> str:
    steps = f"steps {part.from_step + 1:,} to {part.to_step:,}"
    return f"{steps} by {_counted(part.ranks, 'rank')}: {numbers.rate(part.samples_per_s)} samples/s"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def rows_of(labels: Sequence[LabelTrials], columns: Sequence[Column]) -> list[list[str]]:
    """The cells of each label."""
    return [[column.cell(each) for column in columns] for each in labels]


def _score_column(row: Metric, marked: bool) -> Column:
    def cell(each: LabelTrials) -> str:
        text = mean_and_interval(each.estimate(test_score(row.name)), numbers.score)
        return text + (mark(each) if marked else "")

    return Column(row.title, cell)


def _measured(title: str, measure: Measure, form: Format) -> Column:
    return Column(title, lambda each: mean_and_interval(each.estimate(measure), form))


def _paced(title: str, measure: Measure, form: Format) -> Column:
    """A measure that the number of ranks changes: a dash where there were several."""
    return Column(
        title,
        lambda each: mean_and_interval(each.estimate(measure) if are_alike(each.trials) else None, form),
    )


def _target_cell(each: LabelTrials) -> str:
    """Mean seconds to the target where all trials reached it, else how many did."""
    reached = sum(trial.times.train_s_to_target is not None for trial in each.trials)
    if 0 < reached < len(each.trials):
        return f"reached by {reached}/{len(each.trials)}"
    return mean_and_interval(each.estimate(lambda trial: trial.times.train_s_to_target), numbers.seconds)


def _mean(each: LabelTrials, measure: Measure, form: Callable[[float], str]) -> str:
    found = each.estimate(measure)
    return numbers.DASH if found is None else form(found.mean)


def _two(value: float) -> str:
    return f"{value:,.2f}"


def _kilo(value: float | None) -> float | None:
    return None if value is None else value / 1000


def _co2e(joules: float | None, factor: float) -> float | None:
    return None if joules is None else co2e_kg(joules, factor)
