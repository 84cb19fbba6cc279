import json
import math
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grambench.events import journal, types
from grambench.events.codec import REGISTRY, SCHEMA_VERSION, Record, Stamp, decode, encode
from grambench.events.journal import Follower, Journal, boot_id
from grambench.events.reader import read_run
from grambench.events.types import Event, HostSample, PhaseEntered, Warned

STAMP = Stamp(0, 1, "boot", "wall")
FULL = """
import resource, signal, sys
from pathlib import Path
from grambench.events.journal import Journal
from grambench.events.types import Warned
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
journal.append(Warned("a", "before"))
size = Path(sys.argv[1]).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 60, resource.RLIM_INFINITY))
for code in ("b", "c"):
    try:
        journal.append(Warned(code, "x" * 500))
    except OSError as error:
        print(type(error).__name__)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(Warned("d", "after"))
journal.close()
"""


def warned(path: Path) -> list[tuple[int, str]]:
    """(seq, code) of a log's records."""
    records = Follower(path).read()
    return [(r.stamp.seq, r.event.code) for r in records if isinstance(r.event, Warned)]


def write(path: Path, *codes: str) -> None:
    with Journal(path) as log:
        for code in codes:
            log.append(Warned(code, "message"))


class Wall:
    """A wall clock that somebody sets."""

    now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    @classmethod
    def set(cls, hour: int) -> None:
        cls.now = cls.now.replace(hour=hour)


def test_a_wall_clock_that_is_set_back_is_a_label_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "datetime", SimpleNamespace(now=lambda _: Wall.now))
    with Journal(tmp_path / "supervisor.jsonl") as log:
        for hour in (12, 9, 15):
            Wall.set(hour)
            log.append(types.Marked(f"at {hour}"))
    state = read_run(tmp_path)
    assert [text for _, text in state.marks] == ["at 12", "at 9", "at 15"]
    assert [line.wall[11:13] for line in state.log] == ["12", "09", "15"]
    assert 0 < state.elapsed_s < 60
    assert [seconds for seconds, _ in state.marks] == sorted(seconds for seconds, _ in state.marks)


# --- lines -------------------------------------------------------------------------------------


def test_a_line_is_one_json_object_with_its_stamp(tmp_path: Path) -> None:
    write(tmp_path / "log", "a")
    data = (tmp_path / "log").read_bytes()
    assert data.endswith(b"\n")
    line = json.loads(data)
    assert line.pop("t_ns") > 0
    assert line.pop("wall").endswith("+00:00")
    assert len(line.pop("crc")) == 8
    assert line == {
        "v": SCHEMA_VERSION,
        "seq": 0,
        "boot": boot_id(),
        "type": "warned",
        "code": "a",
        "message": "message",
    }


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_becomes_null(number: float) -> None:
    event = REGISTRY["evaluated"].from_fields(
        {
            "part": "test",
            "epoch": 1,
            "step": 1,
            "train_s": number,
            "metrics": {"auc": number, "mrr": 0.5},
            "impressions": 1,
            "skipped": 0,
            "sampled": False,
            "seconds": 1.0,
            "best": False,
        }
    )
    fields = json.loads(encode(event, STAMP))
    assert fields["train_s"] is None
    assert fields["metrics"] == {"auc": None, "mrr": 0.5}


texts = st.text(st.characters())


numbers = st.integers(0, 2**63 - 1)


@given(code=texts, message=texts, seq=numbers, t_ns=numbers)
def test_any_text_survives_the_line(code: str, message: str, seq: int, t_ns: int) -> None:
    stamp = Stamp(seq, t_ns, "boot", "wall")
    line = encode(Warned(code, message), stamp)
    assert line.count(b"\n") == 1
    assert decode(line) == Record(stamp, Warned(code, message))


@given(st.binary(max_size=80))
def test_junk_is_no_record_and_no_error(junk: bytes) -> None:
    assert decode(junk) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
)


@given(json_values)
def test_json_that_is_no_event_is_no_record(value: Any) -> None:
    assert decode(json.dumps(value).encode()) is None
    assert decode(json.dumps({"seq": 0, "t_ns": 0, "boot": "", "wall": "", "type": value}).encode()) is None


@pytest.mark.parametrize("line", [b"[" * 200_000, b'{"type": "no_such_event"}', b"\xff\xfe", b"\x00"])
def test_damaged_lines_are_skipped(line: bytes) -> None:
    assert decode(line) is None


def test_fields_of_a_newer_writer_are_ignored_and_missing_ones_damage_the_line() -> None:
    line = json.loads(encode(HostSample(1.0, 2, 3), STAMP))
    newer = decode(json.dumps(line | {"swap_bytes": 4}).encode())
    assert newer is not None
    assert newer.event == HostSample(1.0, 2, 3)
    del line["memory_used_bytes"]
    assert decode(json.dumps(line).encode()) is None


def test_every_event_has_its_own_name_in_the_log() -> None:
    written = {c for c in vars(types).values() if isinstance(c, type) and issubclass(c, Event)}
    assert set(REGISTRY.values()) == written - {Event}
    assert all(name == event.type for name, event in REGISTRY.items())


# --- the writer --------------------------------------------------------------------------------


def test_each_event_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    real = os.write

    def count(descriptor: int, data: bytes) -> int:
        writes.append(data)
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", count)
    write(tmp_path / "log", "a", "b")
    assert len(writes) == 2
    assert all(data.endswith(b"\n") and data.count(b"\n") == 1 for data in writes)


def test_seq_continues_when_a_log_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, "a", "b")
    write(path, "c")
    assert warned(path) == [(0, "a"), (1, "b"), (2, "c")]


def test_a_tail_torn_at_any_byte_is_healed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, "a", "b")
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        lines = (cut >= first) + (cut == len(whole))
        write(path, "c")
        kept = [0, first, len(whole)][lines]
        assert warned(path) == [*[(0, "a"), (1, "b")][:lines], (lines, "c")]
        assert path.read_bytes()[:kept] == whole[:kept]


@pytest.mark.parametrize("torn", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_a_tail_longer_than_a_block_is_healed(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "log"
    write(path, *["a" * 30_000] * 5)
    path.write_bytes(path.read_bytes() + b"x" * torn)
    write(path, "c")
    assert [seq for seq, _ in warned(path)] == [0, 1, 2, 3, 4, 5]


def test_a_full_disk_loses_only_the_events_that_did_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "log"
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["OSError", "OSError"]
    assert warned(path) == [(0, "a"), (1, "d")]
    assert path.read_bytes().count(b"\n") == 2


def test_threads_may_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Journal(path) as log:

        def write_many(code: str) -> None:
            for _ in range(200):
                log.append(Warned(code, "m"))

        threads = [threading.Thread(target=write_many, args=(code,)) for code in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    records = list(Follower(path).read())
    assert [record.stamp.seq for record in records] == list(range(1600))
    times = [record.stamp.t_ns for record in records]
    assert times == sorted(times)


def test_a_closed_log_refuses_events_instead_of_writing_elsewhere(tmp_path: Path) -> None:
    log = Journal(tmp_path / "log")
    log.close()
    log.close()
    with (tmp_path / "other").open("wb"), pytest.raises(OSError, match="closed"):
        log.append(Warned("a", "m"))
    assert (tmp_path / "other").read_bytes() == b""


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Journal(tmp_path / "none" / "log")


def test_the_boot_is_named_without_the_kernels_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert boot_id().startswith("boot-")
    assert boot_id() == boot_id()


# --- the reader --------------------------------------------------------------------------------


def test_a_follower_waits_for_a_log_to_exist_and_reads_each_record_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    follower = Follower(path)
    assert list(follower.read()) == []
    with Journal(path) as log:
        for code in "abc":
            log.append(Warned(code, "m"))
            assert [record.event for record in follower.read()] == [Warned(code, "m")]
            assert list(follower.read()) == []


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 600), max_size=12), codes=st.lists(texts, max_size=5))
def test_a_log_growing_byte_by_byte_gives_each_record_once(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], codes: list[str]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    data = b"".join(encode(Warned(code, "m"), Stamp(n, n, "b", "w")) for n, code in enumerate(codes))
    follower, seen, grown = Follower(path), [], 0
    for cut in [*sorted(cuts), len(data)]:
        with path.open("ab") as file:
            file.write(data[grown:cut])
        grown = max(grown, min(cut, len(data)))
        seen += [record.event for record in follower.read()]
    assert seen == [Warned(code, "m") for code in codes]


def test_line_separators_of_unicode_do_not_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    message = "one\u2028two\u2029three\x85four\x0bfive\r\n"
    raw = json.dumps(
        {"v": 1, "seq": 0, "t_ns": 0, "boot": "", "wall": ""}
        | {"type": "warned", "code": "a", "message": message},
        ensure_ascii=False,
    )
    path.write_bytes(raw.encode() + b"\n")
    assert [record.event for record in Follower(path).read()] == [Warned("a", message)]


def test_a_damaged_line_does_not_hide_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    line = encode(PhaseEntered("train"), STAMP)
    path.write_bytes(line + b"\x00junk\n\n{}\n" + encode(PhaseEntered("test"), STAMP))
    follower = Follower(path)
    assert [record.event for record in follower.read()] == [PhaseEntered("train"), PhaseEntered("test")]
    assert follower.check.damaged == 3


def test_a_follower_keeps_its_place_when_a_torn_tail_is_cut_back(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, "a")
    path.write_bytes(path.read_bytes() + b'{"torn')
    follower = Follower(path)
    assert len(list(follower.read())) == 1
    write(path, "b")
    assert [record.event for record in follower.read()] == [Warned("b", "message")]
