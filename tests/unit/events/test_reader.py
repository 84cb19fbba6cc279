from itertools import pairwise
from pathlib import Path

import pytest
from tui.logs import STATES, build

from grambench.events import journal
from grambench.events import types as ev
from grambench.events.codec import Stamp, encode
from grambench.events.fold import Fold
from grambench.events.reader import RunReader, log_of, read_records, read_run

E2E = "e2e.s0"


def log(folder: Path, source: str, t: float, event: ev.Event, boot: str = "b1") -> None:
    path = log_of(folder, source)
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(encode(event, Stamp(0, round(t * 1e9), boot, "wall")))


def started(*trials: str) -> ev.RunStarted:
    return ev.RunStarted("run", "demo", list(trials), 1)


def test_logs_are_merged_by_time_in_blocks_smaller_than_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build("eight", tmp_path / "run")
    whole = read_records(folder)
    monkeypatch.setattr(journal, "_READ_BYTES", 7)
    assert read_records(folder) == whole
    assert all(a.stamp.t_ns <= b.stamp.t_ns for (_, a), (_, b) in pairwise(whole))
    lines = sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.jsonl"))
    assert len(whole) == lines


def test_a_trial_that_slept_through_a_boot_is_merged_after_it(tmp_path: Path) -> None:
    log(tmp_path, "", 100, started(E2E), "b1")
    log(tmp_path, "", 50, started(E2E), "b2")
    log(tmp_path, "", 10, started(E2E), "b3")
    log(tmp_path, E2E, 101, ev.PhaseEntered("train"), "b1")
    log(tmp_path, E2E, 11, ev.PhaseEntered("test"), "b3")
    assert [record.stamp.boot for _, record in read_records(tmp_path)] == ["b1", "b1", "b2", "b3", "b3"]
    assert read_run(tmp_path).trials[E2E].phase == "test"


def test_a_start_is_found_among_lines_that_only_speak_of_one(tmp_path: Path) -> None:
    log(tmp_path, "", 1, ev.Marked('"type":"run_started"'))
    log(tmp_path, "", 2, started(E2E))
    log(tmp_path, E2E, 3, ev.PhaseEntered("load"))
    with log_of(tmp_path, "").open("ab") as file:
        file.write(b'{"type":"run_started", torn')
    assert [source for source, _ in read_records(tmp_path)] == ["", "", E2E]


def test_a_damaged_start_is_passed_over(tmp_path: Path) -> None:
    log_of(tmp_path, "").write_bytes(b'{"v":1,"type":"run_started"}\n[]\n')
    log(tmp_path, "", 2, started(E2E))
    assert list(read_run(tmp_path).trials) == [E2E]


@pytest.mark.parametrize("state", sorted(STATES))
def test_reading_in_parts_ends_like_reading_at_once(tmp_path: Path, state: str) -> None:
    folder = build(state, tmp_path / "run")
    reader, parts = RunReader(folder), 0
    while reader.poll(0.0) and reader.share_read < 1:
        assert reader.snapshot() is None
        parts += 1
    reader.poll()
    assert reader.share_read == 1
    assert reader.state == read_run(folder)
    if state == "eight":
        assert parts > 3


def test_the_share_read_grows_from_0_to_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_READ_BYTES", 4096)
    folder = build("eight", tmp_path / "run")
    reader, shares = RunReader(folder), []
    reader.poll(0.0)
    while reader.share_read < 1 and len(shares) < 1000:
        shares.append(reader.share_read)
        reader.poll(0.0)
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert reader.share_read == 1


def test_records_come_as_the_fold_takes_them(tmp_path: Path) -> None:
    folder = build("mid", tmp_path / "run")
    fold = Fold()
    for source, record in read_records(folder):
        fold.apply(source, record)
    assert fold.state == read_run(folder)
