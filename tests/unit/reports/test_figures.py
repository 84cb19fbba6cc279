"""What figures show: where the numbers come from, and what they say where one is missing."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import report_logs as logs
from report_logs import Run
from rich_report import rich_report

from grambench import reports
from grambench.errors import ConfigError
from grambench.reports.build import build_report, report_json
from grambench.reports.render.figures.bars import factors_of
from grambench.reports.render.figures.chart import (
    Axis,
    Bars,
    Chart,
    Key,
    amount_axis,
    keys_of,
    log_axis,
    value_axis,
)
from grambench.reports.render.figures.curves import over_seeds
from grambench.reports.render.figures.figures import FIGURES, figures_of
from grambench.reports.render.figures.svg import described_in_words, marker, svg_document
from grambench.reports.render.labels import by_label, estimate_of
from grambench.reports.schema import Report
from grambench.reports.section import OLDER_REPORT
from grambench.views.palette import DARK, LIGHT, MARKERS, looks

KEY = Key("a", "#000000", "#ffffff", "●", "")


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return rich_report(tmp_path_factory.mktemp("rich"))


def chart(report: Report, name: str) -> Chart:
    (figure,) = figures_of(report, name)
    assert isinstance(figure.chart, Chart)
    return figure.chart


def test_several_seeds_are_read_linearly_where_all_have_values() -> None:
    curve = over_seeds(KEY, [[(1.0, 0.0), (3.0, 2.0)], [(2.0, 3.0), (4.0, 5.0)]])
    assert curve.points == ((2.0, 2.0), (3.0, 3.0))
    assert curve.band == ((2.0, 1.0, 3.0), (3.0, 2.0, 4.0))


def test_one_seed_has_no_band() -> None:
    assert over_seeds(KEY, [[(1.0, 0.5), (2.0, 0.6)]]).band == ()


def test_scores_over_joules_are_those_over_seconds_at_the_energy_of_then(rich: Report) -> None:
    seconds, joules = chart(rich, "score-over-seconds"), chart(rich, "score-over-joules")
    for over_s, over_kj in zip(seconds.curves, joules.curves, strict=True):
        assert over_kj.points[-1][0] == pytest.approx(over_s.points[-1][0] * 0.2)  # 200 W
        assert over_kj.points[-1][1] == pytest.approx(over_s.points[-1][1])


def test_dominated_labels_are_hollow(rich: Report) -> None:
    hollow = {dot.key.label: dot.hollow for dot in chart(rich, "quality-over-cost").dots}
    assert hollow == {"e2e": True, "gram-1s": True, "gram-10s": False, "gram-1e": False}


def test_where_markers_are_open_those_that_none_dominates_are_ringed(rich: Report) -> None:
    slow = {"label": "slow", "strategy": "gram-1s"}
    trials = [t.model_copy(update=slow if t.strategy == "gram-10s" else {}) for t in rich.trials]
    report = rich.model_copy(update={"trials": trials})
    dots = chart(report, "quality-over-cost").dots
    assert {dot.key.label: dot.key.marker for dot in dots}["slow"] == "□"
    assert {dot.key.label for dot in dots if dot.ringed} == {"slow", "gram-1e"}
    assert not any(dot.hollow for dot in dots)
    (figure,) = figures_of(report, "quality-over-cost")
    assert figure.caption.startswith("Ringed:")
    assert svg_document(figure).count("<circle") == 2


@pytest.mark.parametrize("dark", [True, False])
def test_every_look_of_many_labels_is_drawn_with_contrast(dark: bool) -> None:
    ground = "#0f1419" if dark else "#fbfcfd"
    for strategy in ("e2e", "gram-1s", "gram-1e", "gram-10s", "gram-auto"):
        for look in looks({f"label-{n}": strategy for n in range(5)}, dark).values():
            assert contrast(look.colour, ground) >= 3, look
    drawn = {marker(Key("a", "#000000", "#ffffff", sign, "")) for sign in MARKERS}
    assert len(drawn) == len(MARKERS)


def test_speedups_stand_at_their_reuse_ratio_under_the_line(rich: Report) -> None:
    found = chart(rich, "speedup-over-reuse")
    assert {dot.key.label: round(dot.x, 1) for dot in found.dots} == {
        "gram-1s": 2.3,
        "gram-10s": 6.0,
        "gram-1e": 29.6,
    }
    assert all(dot.y < dot.x for dot in found.dots)
    assert found.line is not None
    assert all(x == y for x, y in found.line[:2])


@pytest.mark.parametrize("with_batches", [True, False])
def test_the_product_of_the_factors_is_the_speedup(with_batches: bool, rich: Report) -> None:
    labels = [each for each in by_label(rich) if with_batches or each.label != "gram-1s"]
    for each in labels:
        if not each.is_reference:
            factors = factors_of(each, labels)
            assert ("distinct items of a batch" in factors) == with_batches
            assert each.speedup is not None
            assert math.prod(factors.values()) == pytest.approx(each.speedup[0], rel=1e-9)


def test_another_encoder_under_e2e_shares_no_items(rich: Report) -> None:
    labels = by_label(rich)
    reference = next(each for each in labels if each.is_reference)
    frozen = replace(reference, label="freeze-e2e", is_reference=False)
    factors = factors_of(frozen, [*labels, frozen])
    assert factors["distinct items of a batch"] == factors["distinct items of a window"] == 1.0


def test_factors_are_left_out_where_a_rate_is_missing(rich: Report) -> None:
    fields = json.loads(report_json(rich))
    for trial in fields["trials"]:
        trial["times"]["encoder_s"], trial["times"]["reasons"]["encoder_s"] = None, "not measured"
    (figure,) = figures_of(Report.model_validate_json(json.dumps(fields)), "factors")
    assert figure.chart is None
    assert figure.caption.startswith("Not drawn: ")


def test_bars_of_memory_are_the_largest_of_a_label(rich: Report) -> None:
    (figure,) = figures_of(rich, "memory")
    assert isinstance(figure.chart, Bars)
    assert [bar.text for bar in figure.chart.bars] == ["2.95 GiB", "2.89 GiB", "2.70 GiB", "1.50 GiB"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("score-over-joules", "the trial ran on cpu, whose energy is not measured"),
        ("drift", "no window was closed"),
        ("factors", "of no other label"),
        ("quality-over-cost", "the test part was not scored"),
        ("score-over-seconds", "no validation was recorded"),
        ("speedup-over-reuse", "not measured, or zero, for gram-1s.s0"),
        ("memory", "no sample of the process was taken"),
    ],
)
def test_a_figure_without_numbers_says_why(name: str, why: str, tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("e2e.s0", "gram-1s.s0"))
    for trial in ("e2e.s0", "gram-1s.s0"):
        run.log(trial, 1, logs.worker_started(trial))
    (figure,) = figures_of(build_report(tmp_path), name)
    assert figure.chart is None
    assert figure.caption.startswith(f"Not drawn: {why}")


@pytest.mark.parametrize("name", FIGURES)
def test_a_run_without_trials_has_no_figures(name: str, tmp_path: Path) -> None:
    Run(tmp_path)
    assert figures_of(build_report(tmp_path), name)[0].chart is None


def test_energy_of_an_older_report_has_no_curve(rich: Report) -> None:
    fields = json.loads(report_json(rich))
    for trial in fields["trials"]:
        del trial["curves"]["energy"]
    (figure,) = figures_of(Report.model_validate_json(json.dumps(fields)), "score-over-joules")
    assert figure.caption == f"Not drawn: {OLDER_REPORT}."


def test_an_unknown_figure_is_refused_with_those_that_exist(rich: Report) -> None:
    with pytest.raises(ConfigError, match=r"no figure 'auc'. Use one of score-over-seconds, "):
        figures_of(rich, "auc")


def test_labels_differ_by_marker_or_dashes_not_by_colour_alone(rich: Report) -> None:
    keys = keys_of(by_label(rich)).values()
    assert len({(key.marker, key.dash) for key in keys}) == len(keys)


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2) of `#rgb` or `#rrggbb`."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * each for each in colour[1:])
    shares = [each / 255 for each in bytes.fromhex(digits)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares]
    return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_words_have_contrast_in_both_schemes(scheme: int) -> None:
    """axe cannot tell the ground behind words in SVG and in sticky cells."""
    css = (Path(reports.__file__).parent / "templates" / "report.css").read_text()
    colours = dict(re.findall(r"--([a-z]+):(#[0-9a-f]+)", re.findall(r":root\{([^}]*)\}", css)[scheme]))
    for name in ("text", "muted", "link", "good", "bad", "warn"):
        assert contrast(colours[name], colours["ground"]) >= 4.5, name
    tones = (LIGHT, DARK)[scheme]
    assert min(contrast(each, colours["ground"]) for each in (tones.text, tones.muted)) >= 4.5


@pytest.mark.parametrize(
    "strategy",
    ["e2e", "e2e-gc", "e2e-cand", "e2e-unique", "gram-1s", "gram-10s", "gram-1e", "gram-auto", "nrms"],
)
def test_colours_of_labels_have_contrast_in_both_schemes(strategy: str) -> None:
    for dark, ground in ((False, "#ffffff"), (True, "#0f1419")):
        (look,) = looks({"a": strategy}, dark).values()
        assert contrast(look.colour, ground) >= 3


def test_a_figure_is_described_in_words(rich: Report) -> None:
    (figure,) = figures_of(rich, "quality-over-cost")
    assert "gram-1e: 0.6449 at 3.69." in described_in_words(figure)
    assert "gram-1e: 0.6449 at 3.69." in svg_document(figure)


LOGARITHMIC = [log_axis("t", values) for values in ([0.4, 30], [3.3], [7.4, 7.5], [1e-9, 1e9])]


@pytest.mark.parametrize(
    "axis", [value_axis("t", [0.65, 0.652]), amount_axis("t", [8.0], "kJ"), *LOGARITHMIC]
)
def test_ticks_of_an_axis_lie_on_it(axis: Axis) -> None:
    assert len(axis.ticks) >= 2
    assert all(0 <= share <= 1 for share, _ in axis.ticks)


@pytest.mark.parametrize("axis", LOGARITHMIC)
def test_ticks_of_a_logarithmic_axis_are_round(axis: Axis) -> None:
    digits = {f"{float(label.replace(',', '')):.3e}"[:5] for _, label in axis.ticks}
    assert digits <= {"1.000", "2.000", "5.000"}


def test_a_mean_of_two_seeds_has_no_interval_and_of_three_that_of_t() -> None:
    two, three = estimate_of([1.0, 3.0]), estimate_of([1.0, 2.0, 3.0])
    assert two is not None
    assert two.half is None
    assert three is not None
    assert three.half == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert estimate_of([]) is None
