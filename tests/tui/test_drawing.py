"""The pure parts of the screen: axes, bars, digits, looks."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.content import Content

from grambench.events.state import RunState
from grambench.tui.line_parts import bar, big_digits, fill, pair, styled
from grambench.tui.plots import metric_plot
from grambench.tui.scene import Scene
from grambench.views.axes import thin, time_axis, x_scale, x_ticks, y_scale
from grambench.views.palette import MARKERS, looks

finite = st.floats(-1e9, 1e9)


@example([-4.679646323943428e-246, -4.2517785238722947e-246], 4, False)
@example([0.0, 1e9], 2, True)
@example([0.0], 5, False)
@given(st.lists(finite, min_size=1, max_size=20), st.integers(2, 60), st.booleans())
def test_a_scale_holds_its_values_and_has_ticks_on_whole_rows(
    values: list[float], rows: int, zero: bool
) -> None:
    scale = y_scale(values, rows, zero)
    top = scale.bottom + (rows - 1) * scale.per_row
    slack = 1e-5 * (top - scale.bottom)
    assert scale.bottom <= min(values) + slack
    assert top >= max(values) - slack
    assert 2 <= len(scale.ticks) <= max(2, min(6, (rows + 1) // 2))
    assert all(scale.place(value) == pytest.approx(row + 0.5, abs=1e-3) for row, value in scale.ticks)
    assert len(set(scale.labels)) == len(scale.ticks)


@example([12.0, 300.0], 6)
@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=20), st.integers(2, 60))
def test_a_logarithmic_scale_has_real_values_on_whole_rows(values: list[float], rows: int) -> None:
    scale = y_scale(values, rows, zero=True, logarithmic=True)
    assert len(scale.ticks) >= 2
    assert all(scale.place(value) == pytest.approx(row + 0.5, abs=0.125) for row, value in scale.ticks)
    places = [scale.place(value) for value in sorted(values)]
    assert places == sorted(places, reverse=True)
    assert scale.place(0.0) == rows - 0.5


@pytest.mark.parametrize(
    ("values", "rows", "logarithmic", "labels"),
    [
        ((0.54, 0.68), 6, False, ["0.6", "0.7"]),
        ((0.54, 0.7269), 18, False, ["0.55", "0.60", "0.65", "0.70", "0.75"]),
        ((0.0, 2300.0), 9, False, ["0", "1,000", "2,000"]),
        ((165.0, 4786.0), 7, True, ["100", "1,000", "10,000"]),
        ((12.0, 300.0), 20, True, ["20", "50", "100", "200"]),
    ],
)
def test_tick_labels_show_the_decimals_that_differ(
    values: tuple[float, ...], rows: int, logarithmic: bool, labels: list[str]
) -> None:
    assert y_scale(values, rows, logarithmic=logarithmic).labels == labels


@example(290.0, 2, "s", False)
@example(4.9, 2, "steps", False)
@given(st.floats(0.01, 1e7), st.integers(2, 12), st.sampled_from(["s", "steps", "J"]), st.booleans())
def test_an_x_axis_has_two_ticks_at_least(high: float, most: int, unit: str, logarithmic: bool) -> None:
    scale = x_scale([(high, 8)], [high / 1.1, high], 40, logarithmic)
    ticks = [tick for tick, _ in x_ticks(scale, unit, most)]
    assert len(ticks) >= 2
    assert all(scale.low * 0.999 <= tick <= scale.high * 1.001 for tick in ticks)


@given(st.floats(0.01, 1e7), st.integers(2, 12))
def test_time_ticks_begin_at_zero_and_carry_their_unit(high: float, most: int) -> None:
    ticks = time_axis(high, most)
    assert ticks[0][0] == 0
    assert len(ticks) <= most + 1
    assert all(value <= high * 1.001 for value, _ in ticks)
    assert all(label.endswith((" s", " min", " h")) for _, label in ticks[1:])


@given(st.lists(finite, max_size=300), st.integers(2, 60))
def test_thinning_bounds_the_points_and_keeps_the_newest(ys: list[float], most: int) -> None:
    points = [(float(x), y) for x, y in enumerate(ys)]
    kept = thin(points, most, max)
    assert len(kept) <= most
    assert not points or kept[-1] == points[-1]
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)


@given(st.text(max_size=40), st.text(max_size=40), st.integers(1, 60))
def test_a_pair_is_exactly_as_wide_as_asked(left: str, right: str, width: int) -> None:
    one, other = Content(left.replace("\n", " ")), Content(right.replace("\n", " "))
    if other.cell_length < width:
        assert pair(one, other, width).cell_length == width


def test_a_bar_is_readable_without_colour() -> None:
    assert bar(0.5, 8, "", "").plain == "━━━━────"
    assert bar(None, 4, "", "").plain == "────"
    assert bar(7.0, 4, "", "").plain == "━━━━"


def test_what_matters_least_goes_first() -> None:
    parts = [(3, styled("aaaa")), (1, styled("bbbb")), (2, styled("cccc"))]
    assert fill(parts, 20).plain == "aaaa  bbbb  cccc"
    assert fill(parts, 12).plain == "aaaa  cccc"
    assert fill(parts, 3).plain == "aa…"


def test_big_digits_are_three_even_rows() -> None:
    for text in ("6.4", "146", "–", "0.28"):
        rows = big_digits(text)
        assert len(rows) == 3
        assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize("dark", [True, False])
def test_every_strategy_of_a_run_looks_different(dark: bool) -> None:
    names = ["e2e", "e2e-unique", "gram-1s", "gram-10s", "gram-50s", "gram-0.5e", "gram-1e", "gram-auto"]
    names += ["e2e-gc", "e2e-cand"]
    found = looks({name: name for name in (*names, "nofinetune", "nocontent")}, dark)
    assert len({(look.colour, look.marker) for look in found.values()}) == len(names) + 2
    assert found["gram-1e"] == looks({"gram-1e": "gram-1e"}, dark)["gram-1e"]


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("strategy", ["e2e", "gram-1s", "gram-1e", "gram-auto", "speedyfeed"])
def test_trials_of_one_strategy_have_colours_of_their_own(strategy: str, dark: bool) -> None:
    found = looks(dict.fromkeys(("slow", "middle", "fast", "faster", strategy), strategy), dark)
    assert len({look.colour for look in found.values()}) == 5


BUILTIN = ("e2e", "gram-1s", "gram-1e", "gram-10s", "e2e-unique", "gram-auto", "e2e-gc", "nofinetune")


@pytest.mark.parametrize("count", [2, 4, 8, 12, 16, 30])
@pytest.mark.parametrize("strategies", [BUILTIN, BUILTIN[:3], BUILTIN[:1]], ids=len)
def test_markers_alone_tell_labels_apart(strategies: tuple[str, ...], count: int) -> None:
    labels = {f"label-{n}": strategies[n % len(strategies)] for n in range(count)}
    found = looks(labels)
    assert list(found) == list(labels)
    assert len({look.marker for look in found.values()}) == count
    assert all(cell_len(look.marker) == 1 for look in found.values())
    for label, strategy in [*labels.items()][: len(strategies)]:
        if strategy not in ("gram-10s", "e2e-gc"):  # e2e and gram-1s come first in no family but their own
            assert found[label] == looks({strategy: strategy})[strategy]


def test_more_labels_than_markers_are_drawn() -> None:
    found = looks({f"label-{n}": "e2e" for n in range(40)})
    assert len({look.marker for look in found.values()}) == len(MARKERS)
    assert len({(look.marker, look.colour) for look in found.values()}) == 40


def test_the_plot_names_the_metric_that_selects() -> None:
    plot = metric_plot(Scene.of(RunState(select_by="ndcg@5"), dark=True), 60)
    assert plot.title == "validation nDCG@5 over training time"
