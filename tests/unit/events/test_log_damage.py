"""What is wrong with a log never stops a reader, and is always told."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from log_damage import KINDS, cut_the_end, damage
from random_events import NAMES, random_event
from report_logs import Run, run_started

from grambench.events import types as ev
from grambench.events.codec import Record, Stamp, decode, encode, read_line
from grambench.events.fields import FieldError, build
from grambench.events.fold import Fold
from grambench.events.journal import Follower, Journal
from grambench.events.reader import RunReader, log_of, read_run
from grambench.reports.build import build_report, report_json
from grambench.runner.run_index import read_row

KEPT = Path(__file__).parents[2] / "kept_runs" / "0.1" / "kept-20261127-123413"
E2E, GRAM = "e2e.s0", "gram-1s.s0"


def marks(count: int, first: int = 0) -> list[bytes]:
    """Lines of a log whose events say their numbers."""
    numbers = range(first, first + count)
    return [encode(ev.Marked(str(n)), Stamp(n, 10**9 + n * 1000, "boot", "wall")) for n in numbers]


def read(path: Path, lines: list[bytes]) -> tuple[list[int], list[str]]:
    """Numbers of the records of a log, and what is wrong with it."""
    path.write_bytes(b"".join(lines))
    follower = Follower(path)
    numbers = [int(record.event.text) for record in follower.read() if isinstance(record.event, ev.Marked)]
    return numbers, follower.check.complaints("the log", ended=True)


# --- whole runs --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of grambench 0.1 with the checksums that its lines would have today."""
    folder = tmp_path_factory.mktemp("runs") / "kept"
    shutil.copytree(KEPT, folder, ignore=shutil.ignore_patterns("best", "checkpoints", "state.json"))
    for path in folder.glob("**/*.jsonl"):
        records = [decode(line) for line in path.read_bytes().splitlines()]
        path.write_bytes(b"".join(encode(r.event, r.stamp) for r in records if r is not None))
    return folder


def test_damage_never_raises_and_is_told(recorded: Path) -> None:
    clean = report_json(build_report(recorded))
    assert not read_run(recorded).log_complaints
    for seed in range(36):
        rng = random.Random(seed)
        kind = KINDS[seed % len(KINDS)]
        intact = {path: path.read_bytes() for path in recorded.glob("**/*.jsonl")}
        path = damage(rng, recorded, kind)
        report, row = build_report(recorded), read_row(recorded)
        told = [caution.message for caution in report.warnings if caution.code == "damaged-log"]
        whose = path.parent.name if path.name == "events.jsonl" else "the supervisor's log"
        was_cut = kind is cut_the_end and not report.run.finished
        assert was_cut or any(whose in message for message in told) or report_json(report) == clean
        assert bool(told) == bool(row.complaints)
        assert not (told or was_cut) or report.partial
        path.write_bytes(intact[path])


def test_logs_without_checksums_are_survived_too(tmp_path: Path) -> None:
    shutil.copytree(KEPT, tmp_path / "run", ignore=shutil.ignore_patterns("best", "checkpoints"))
    for seed in range(4):
        rng = random.Random(seed)
        for _ in range(20):
            damage(rng, tmp_path / "run", KINDS[rng.randrange(len(KINDS) - 1)])
        assert build_report(tmp_path / "run").partial


def test_any_sequence_of_well_typed_events_folds_and_reports(tmp_path: Path) -> None:
    Run(tmp_path)
    rng = random.Random(1)
    for _ in range(12):
        numbers: dict[str, int] = {}
        for path in tmp_path.glob("**/*.jsonl"):
            path.unlink()
        for _ in range(150):
            source = rng.choice(("", "setup", E2E, GRAM, "null-e2e.s0"))
            number = numbers[source] = numbers.get(source, -1) + 1
            event = run_started(E2E, GRAM, "null-e2e.s0") if not number and not source else random_event(rng)
            path = log_of(tmp_path, source)
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file:
                file.write(encode(event, Stamp(number, rng.randrange(2**62), "b", "w")))
        report_json(build_report(tmp_path))
        json.dumps(vars(read_row(tmp_path)), allow_nan=False)


def test_events_of_trials_that_the_run_does_not_have_are_left_out_and_told() -> None:
    fold = Fold()
    events = [run_started(E2E), *(ev.WorkerSpawned(name, 1) for name in NAMES if name != "setup")]
    for number, event in enumerate(events):
        fold.apply("", Record(Stamp(number, number, "b", "w"), event))
    assert list(fold.state.trials) == [E2E]
    assert "does not have" in fold.state.warnings["unknown-trial"]


def test_trials_are_found_without_the_line_that_names_them(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, run_started(E2E), ev.WorkerSpawned(E2E, 1))
    run.log(E2E, 1, ev.PhaseEntered("train"))
    run.log("../outside.s0", 1, ev.PhaseEntered("train"))
    data = run.path("").read_bytes()
    run.path("").write_bytes(b"x" + data)
    state = read_run(tmp_path)
    assert state.trials[E2E].phase == "train"
    assert state.log_complaints == ["1 line of the supervisor's log is damaged, skipped"]


def test_a_start_cannot_name_a_log_outside_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    run = Run(tmp_path / "run")
    run.log("", 0, run_started("../outside.s0", "/etc/x.s0", "\0.s0", E2E))
    run.log("../outside.s0", 1, ev.PhaseEntered("train"))
    assert list(read_run(tmp_path / "run").trials) == [E2E]


# --- one log -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "numbers", "complaints"),
    [
        (lambda lines: lines, range(20), []),
        (
            lambda lines: lines[:3] + lines[14:],
            [0, 1, 2, *range(14, 20)],
            ["lines 4 to 14 of the log are missing"],
        ),
        (lambda lines: lines[1:], range(1, 20), ["line 1 of the log is missing"]),
        (
            lambda lines: [*lines[:3], b"junk\n", *lines[4:]],
            [0, 1, 2, *range(4, 20)],
            ["1 line of the log is damaged, skipped"],
        ),
        (
            lambda lines: [*lines[:3], b"junk\n", *lines[6:]],
            [0, 1, 2, *range(6, 20)],
            ["1 line of the log is damaged, skipped", "2 lines of the log are missing, of lines 4 to 6"],
        ),
        (lambda lines: lines[:9] + lines[4:], range(20), ["5 lines of the log are repeated, applied once"]),
        (lambda lines: lines + lines, range(20), ["20 lines of the log are repeated, applied once"]),
        (
            lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]],
            range(20),
            ["2 lines of the log are out of order"],
        ),
        (
            lambda lines: [*lines[1:], lines[0]],
            range(20),
            ["20 lines of the log are out of order"],
        ),
        (lambda lines: [*lines, b'{"v":1,'], range(20), ["the last line of the log is cut off"]),
        (
            lambda lines: [*lines[:4], lines[4].replace(b'"v":1', b'"v":2')[:-19] + b"}\n", *lines[5:]],
            [*range(4), *range(5, 20)],
            ["1 line of the log is of a newer version of grambench, skipped"],
        ),
        (
            lambda lines: [*lines[:4], lines[4].replace(b"marked", b"nodded")[:-19] + b"}\n", *lines[5:]],
            [*range(4), *range(5, 20)],
            ["1 line of the log is of an unknown type, skipped"],
        ),
        (
            lambda lines: [*lines[:4], lines[4].replace(b'"seq":4', b'"seq":44')[:-19] + b"}\n", *lines[5:]],
            range(20),
            ["1 line of the log is damaged, skipped"],
        ),
    ],
)
def test_what_is_wrong_with_a_log_is_told_in_lines(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], numbers: Any, complaints: list[str]
) -> None:
    assert read(tmp_path / "log", change(marks(20))) == (list(numbers), complaints)


def test_lines_exchanged_far_apart_are_told(tmp_path: Path) -> None:
    lines = marks(200)
    lines[10], lines[150] = lines[150], lines[10]
    numbers, complaints = read(tmp_path / "log", lines)
    assert sorted(numbers) == list(range(200))
    assert any("out of order" in complaint for complaint in complaints)


def test_a_log_that_has_lost_a_line_is_continued_without_a_number_twice(tmp_path: Path) -> None:
    path, lines = tmp_path / "log", marks(6)
    path.write_bytes(b"".join(lines[:2] + lines[3:]) + b"junk\n")
    with Journal(path) as log:
        assert log.lines == 6
        log.append(ev.Marked("7"))
    follower = Follower(path)
    assert [record.stamp.seq for record in follower.read()] == [0, 1, 3, 4, 5, 7]
    assert follower.check.complaints("it", ended=True) == [
        "1 line of it is damaged, skipped",
        "line 3 of it is missing",
    ]


def test_a_log_that_was_numbered_anew_loses_nothing(tmp_path: Path) -> None:
    lines = marks(6)
    later = [encode(ev.Marked(str(n)), Stamp(n - 1, 10**10 + n, "boot", "wall")) for n in (6, 7)]
    assert read(tmp_path / "log", lines[:2] + lines[3:] + later)[0] == [0, 1, 3, 4, 5, 6, 7]


def test_a_log_that_cannot_be_read_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, run_started(E2E, GRAM))
    run.log(GRAM, 1, ev.PhaseEntered("train"))
    run.path(E2E).mkdir(parents=True)
    state = read_run(tmp_path)
    assert state.trials[GRAM].phase == "train"
    assert state.log_complaints == [f"{E2E} cannot be read: Is a directory"]


def test_a_log_that_becomes_shorter_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, run_started(E2E), ev.Marked("1"))
    reader = RunReader(tmp_path)
    reader.poll()
    run.path("").write_bytes(run.path("").read_bytes()[:-9])
    reader.poll()
    (complaint,) = reader.state.log_complaints
    assert complaint == "the supervisor's log cannot be read: it became shorter while it was read"


# --- one line ----------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_line_is_noticed_or_harmless() -> None:
    event, stamp = ev.Progress(1, 2, 3.5, 1.5, 4, 5, 6, 7, 8, 0.25, 1e-4, 1e-3), Stamp(9, 10, "boot", "wall")
    line = encode(event, stamp)[:-1]
    assert read_line(line) == Record(stamp, event)
    for place in range(len(line)):
        for bit in range(8):
            flipped = line[:place] + bytes([line[place] ^ 1 << bit]) + line[place + 1 :]
            assert read_line(flipped) in ("damaged", Record(stamp, event))


VALUES = [None, True, 1, -1, 1.5, "text", [], {}, ["a"], {"a": "b"}, {"a": 1.0}, {"a": {"b": []}}, 2**70]


@pytest.mark.parametrize(
    ("cls", "field", "accepted"),
    [
        (ev.Progress, "step", [1, -1]),
        (ev.Progress, "train_s", [1, -1, 1.5]),
        (ev.Progress, "loss", [None, 1, -1, 1.5]),
        (ev.PhaseEntered, "phase", []),
        (ev.Marked, "text", ["text"]),
        (ev.RunStarted, "trials", [[], ["a"]]),
        (ev.RunStarted, "spec", [{}, {"a": "b"}, {"a": 1.0}, {"a": {"b": []}}]),
        (ev.Evaluated, "metrics", [{}, {"a": 1.0}]),
        (ev.Evaluated, "best", [True]),
        (ev.WorkerStarted, "allocator", [None, {}, {"a": "b"}]),
        (ev.EngineChosen, "candidates", [[]]),
    ],
)
def test_a_value_has_the_type_of_its_field(cls: type[ev.Event], field: str, accepted: list[Any]) -> None:
    rng = random.Random(0)
    while (event := random_event(rng)).type != cls.type:
        pass
    fields = json.loads(encode(event, Stamp(0, 0, "b", "w")))
    taken = []
    for value in VALUES:
        try:
            build(cls, fields | {field: value})
        except FieldError:
            continue
        taken.append(value)
    assert [(type(value), value) for value in taken] == [(type(value), value) for value in accepted]


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999", b"9" * 30, b"1e150", b"null"])
def test_a_number_that_cannot_be_measured_is_damage(number: bytes) -> None:
    line = encode(ev.HostSample(12.5, 2, 3), Stamp(0, 0, "b", "w"))[:-19] + b"}"
    assert decode(line) is not None
    assert decode(line.replace(b"12.5", number)) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"seq":0', b'"seq":-1'), (b'"t_ns":5', b'"t_ns":1' + b"0" * 30), (b'"w"', b"7"), (b'"b"', b"null")],
)
def test_a_stamp_is_checked_too(old: bytes, new: bytes) -> None:
    line = encode(ev.HostSample(12.5, 2, 3), Stamp(0, 5, "b", "w"))[:-19] + b"}"
    assert old in line
    assert read_line(line.replace(old, new)) == "damaged"


def test_a_renamed_optional_field_is_damage_and_an_added_one_is_not() -> None:
    line = encode(ev.HostSample(12.5, 2, 3, 4, 5), Stamp(0, 5, "b", "w"))[:-19] + b"}"
    assert decode(line.replace(b"disk_free", b"disk_tree")) is None
    assert decode(line[:-1] + b',"swap_bytes":1}') == decode(line)
    assert decode(line.replace(b',"disk_free_bytes":4', b"")) is not None


def test_undecodable_text_reaches_the_report_readable(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, run_started(E2E))
    run.log("setup", 1, ev.DataPrepared("/data/\udcff", "f" * 64, {"items": 1}, 1.0, False))
    report = build_report(tmp_path)
    assert report.data is not None
    assert report.data.folder == "/data/\N{REPLACEMENT CHARACTER}"
    report_json(report).encode()
