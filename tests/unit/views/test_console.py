"""The plain printer and the final table."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from report_logs import write_seeds
from rich.console import Console
from tui.logs import COURSES, STATES, Recorder, audit, build, finish, prepare, start, trial

from grambench.analysis import comparison
from grambench.events import types as ev
from grambench.events.log_check import LogCheck
from grambench.events.reader import RunReader, read_run
from grambench.events.state import RunState
from grambench.views import numbers
from grambench.views.comparison_table import columns, ordered, place, standings
from grambench.views.console import PlainPrinter, summary_table
from grambench.views.label_table import label_table


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def printed(folder: Path) -> str:
    stream = io.StringIO()
    PlainPrinter(stream, Clock()).update(read_run(folder))
    return stream.getvalue()


def test_prints_setup_trials_evaluations_and_outcomes(tmp_path: Path) -> None:
    text = printed(build("finished", tmp_path / "run"))
    for part in (
        "mind-small, nreimers/TinyBERT_L-6_H-768_v2, MIND small",
        "3 trials: e2e, gram-1s, gram-1e",
        "data prepared in 6.0 s",
        "audit: gram-1s and e2e are equivalent",
        "e2e: 942 steps, 157 per epoch, batch 64",
        "gram-1e: epoch 6: validation AUC 0.6561, the best so far",
        "gram-1e: epoch 6: test AUC 0.6521",
        "gram-1e: early-stopped: no better AUC for 2 evaluations",
        "run finished in",
    ):
        assert part in text
    assert "\x1b" not in text


def test_trials_of_several_seeds_are_named_once(tmp_path: Path) -> None:
    start(Recorder(tmp_path), ["e2e.s0", "gram-1s.s0", "gram-1s.s1", "e2e.s1"])
    assert "] 4 trials: e2e, gram-1s; each 2 times\n" in printed(tmp_path)


def test_the_end_of_setup_is_left_to_its_log_line(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    start(recorder, ["e2e.s0"])
    prepare(recorder, 12_000)
    recorder.write("setup", ev.PhaseEntered("audit"))
    assert "setup: audit" in printed(tmp_path)
    recorder.write("setup", ev.PhaseEntered("done"))
    assert "setup: done" not in printed(tmp_path)


def test_prints_only_what_is_new_and_progress_every_five_seconds(tmp_path: Path) -> None:
    recorder, clock, stream = Recorder(tmp_path), Clock(), io.StringIO()
    reader, printer = RunReader(tmp_path), PlainPrinter(stream, clock)
    start(recorder, ["e2e.s0"])
    prepare(recorder, 12_000)

    def update() -> list[str]:
        stream.truncate(0)
        stream.seek(0)
        reader.poll()
        printer.update(reader.state)
        return stream.getvalue().splitlines()

    assert any("tokenising titles 12,000 / 51,282" in line for line in update())
    assert update() == []
    audit(recorder)
    trial(recorder, COURSES["e2e"], epochs=0.5, ends=None)
    assert sum("samples/s" in line for line in update()) == 1
    assert update() == []
    trial(recorder, COURSES["e2e"], epochs=0.8, ends=None)
    assert not any("samples/s" in line for line in update())
    clock.now = 5.0
    lines = update()
    assert len(lines) == 1
    assert "step 126/942" in lines[0]
    finish(recorder)
    assert len(update()) == 1


def test_hostile_text_stays_one_line_without_controls(tmp_path: Path) -> None:
    text = printed(build("hostile", tmp_path / "run"))
    assert not set("\x1b\x9b\u202e\u2067\u2028") & set(text)
    assert max(len(line) for line in text.split("\n")) < 500
    assert all(line.startswith("[") for line in text.rstrip("\n").split("\n"))


def test_speedups_of_the_table_are_those_of_the_report(tmp_path: Path) -> None:
    state = read_run(build("seven", tmp_path / "run"))
    stream = io.StringIO()
    Console(file=stream, width=250).print(summary_table(state))
    rows = {line.split()[0]: line for line in stream.getvalue().splitlines() if line.strip()}
    for one in state.trials.values():
        assert numbers.ratio(comparison.speedup(state, one)) in rows[one.strategy].split()
    assert "nDCG@10" in rows["strategy"]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_many_trials_are_a_table_of_labels_that_fits(tmp_path: Path, width: int) -> None:
    folder = write_seeds(tmp_path / "run", tuple(range(13)))
    stream = io.StringIO()
    Console(file=stream, width=width).print(summary_table(read_run(folder), width))
    lines = [line.strip() for line in stream.getvalue().splitlines() if line.strip()]
    assert "…" not in stream.getvalue()
    assert all(len(line) <= width for line in lines)
    heads, _, first, second = (re.split(r"\s{2,}", line) for line in lines[:4])
    row = dict(zip(heads, first, strict=True))
    assert (row["strategy"], row["test AUC ▾"], row["± sd"], second[0]) == (
        "gram-1s",
        "0.6606",
        "0.0004",
        "e2e",
    )
    assert row.get("scored", "13") == "13"
    assert row.get("s/epoch", "4.2") == "4.2"
    assert lines[4].startswith("26 trials; ")


def test_a_table_of_labels_tells_long_names_apart_and_counts_what_was_scored(tmp_path: Path) -> None:
    state = read_run(write_seeds(tmp_path / "run", (0, 1, 2)))
    trials = {
        name: replace(trial, name=f"{'x' * 30}-{name}", test=None if name == "e2e.s2" else trial.test)
        for name, trial in state.trials.items()
    }
    table = label_table(replace(state, trials=trials), 200)
    assert [len(set(table.rows)), table.heads[:2]] == [2, ("strategy", "scored")]
    assert {row[1] for row in table.rows} == {"2", "3"}


def test_order_is_by_test_auc_and_seeds_stand_together(tmp_path: Path) -> None:
    state = read_run(build("eight", tmp_path / "run"))
    names = [one.name for one in ordered(state)]
    assert names[:4] == ["e2e.s0", "e2e.s1", "gram-1s.s0", "gram-1s.s1"]
    assert [one.strategy for one in ordered(read_run(build("seven", tmp_path / "b")))][-1] == "nofinetune"


@pytest.mark.parametrize(
    ("state", "places"),
    [
        ("finished", {"e2e.s0": 3, "gram-1s.s0": 2, "gram-1e.s0": 1}),
        ("mid", {"e2e.s0": 2, "gram-1s.s0": 1, "gram-1e.s0": None}),
        ("trouble", {"e2e.s0": 1, "gram-10s.s0": None, "gram-1e.s0": None}),
    ],
)
def test_places_are_by_training_seconds_of_those_that_came_to_the_end(
    state: str, places: dict[str, int | None], tmp_path: Path
) -> None:
    run = read_run(build(state, tmp_path / "run"))
    assert {name: place(run, trial) for name, trial in run.trials.items()} == places


def test_equal_training_seconds_share_a_place(tmp_path: Path) -> None:
    run = read_run(build("seven", tmp_path / "run"))
    first, second = list(run.trials.values())[:2]
    assert first.progress is not None
    second.progress = first.progress
    assert place(run, first) == place(run, second) == 6


def test_places_outlast_fine_numbers_on_a_narrow_screen_and_wait_for_the_first_end(tmp_path: Path) -> None:
    run = read_run(build("finished", tmp_path / "run"))
    all_heads = [column.head for column in standings(run, 1000).columns]
    needed = next(w for w in range(60, 300) if len(standings(run, w).columns) == len(all_heads))
    fewer = [column.head for column in standings(run, needed - 1).columns]
    assert "place" in fewer
    assert fewer == [head for head in all_heads if head != "nDCG@5"]
    running = read_run(build("first", tmp_path / "first"))
    assert "place" not in {column.head for column in columns(running)}


@pytest.mark.parametrize("name", ["first", "mid", "finished", "six", "seven", "eight"])
def test_the_column_that_sorts_is_marked_and_always_there(tmp_path: Path, name: str) -> None:
    state = read_run(build(name, tmp_path / "run"))
    for width in (60, 200):
        table = standings(state, width)
        marked = [index for index, column in enumerate(table.columns) if column.head.endswith(" ▾")]
        if name == "first":  # no score yet
            assert not marked
            continue
        (sorting,) = marked
        means: dict[str, list[float]] = {}
        for label, cells in zip(table.names, table.cells, strict=True):
            means.setdefault(label, []).append(float(cells[sorting]))
        averages = [sum(scores) / len(scores) for scores in means.values()]
        assert averages == sorted(averages, reverse=True)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.98912, 1.02034, "0.989–1.020"),
        (7.42, 8.41, "7.42–8.41"),
        (7.0, 8.5, "7.0–8.5"),
        (141.2, 177.9, "141–178"),
        (2.1, 2.1, "2.1000–2.1000"),
    ],
)
def test_an_interval_has_digits_enough_to_tell_its_ends_apart(low: float, high: float, text: str) -> None:
    assert numbers.interval(low, high) == text


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_narrow_table_keeps_the_important_columns_and_its_width(tmp_path: Path, width: int) -> None:
    state = read_run(build("eight", tmp_path / "run"))
    table = standings(state, width)
    heads = [column.head for column in table.columns]
    assert "× e2e" in heads
    assert 2 + table.name_width + sum(size + 2 for size in table.widths) <= width
    assert all(len(row) == len(heads) for row in table.cells)


@pytest.mark.parametrize("name", list(STATES))
def test_every_state_can_be_printed(tmp_path: Path, name: str) -> None:
    folder = build(name, tmp_path / "run")
    printed(folder)
    Console(file=io.StringIO()).print(summary_table(read_run(folder)))


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (numbers.clock, 42, "0:42"),
        (numbers.clock, 3723, "1:02:03"),
        (numbers.clock, 200_000, "2 d 07:33"),
        (numbers.clock, None, "–"),
        (numbers.ratio, 6.44, "6.4"),
        (numbers.ratio, 146.2, "146"),
        (numbers.ratio, 0.281, "0.28"),
        (numbers.count, 51_282, "51,282"),
        (numbers.tolerance, 3.1e-15, "3e-15"),
        (numbers.tolerance, 9.7e-16, "1e-15"),
        (numbers.tolerance, 0.0, "0"),
        (numbers.gib, 3.2 * numbers.GIB, "3.20"),
        (numbers.gib, None, "–"),
    ],
)
def test_numbers_are_written_for_people(write: object, value: float | None, text: str) -> None:
    assert callable(write)
    assert write(value) == text


def test_sparkline_is_bounded_and_empty_without_data() -> None:
    assert numbers.sparkline([], 10) == ""
    assert numbers.sparkline([1.0, 2.0], 0) == ""
    assert len(numbers.sparkline([float(i) for i in range(100)], 12)) == 12
    assert numbers.sparkline([0.0, float("nan"), 4.0], 5)[-1] > numbers.sparkline([0.0, 4.0], 5)[0]


def test_what_is_wrong_with_a_log_is_printed_once_and_when_it_changes() -> None:
    stream, state = io.StringIO(), RunState()
    state.logs["e2e.s0"] = LogCheck(damaged=1)
    printer = PlainPrinter(stream)
    printer.update(state)
    printer.update(state)
    assert stream.getvalue().count("warning: 1 line of e2e.s0 is damaged, skipped") == 1
    state.logs["e2e.s0"].damaged = 2
    printer.update(state)
    assert stream.getvalue().count("2 lines of e2e.s0 are damaged") == 1
