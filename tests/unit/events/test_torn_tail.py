"""A log whose end is one endless line, or many torn ones, is read in linear time."""

import os
import time
from pathlib import Path

import pytest

from grambench.events import types as ev
from grambench.events.codec import Stamp, encode
from grambench.events.journal import Follower, Journal
from grambench.events.reader import RunReader, log_of

E2E = "e2e.s0"


def line(number: int, text: str = "", t_ns: int | None = None) -> bytes:
    return encode(ev.Marked(text), Stamp(number, number if t_ns is None else t_ns, "b", "wall"))


def marks(follower: Follower) -> list[str]:
    return [record.event.text for record in follower.read() if isinstance(record.event, ev.Marked)]


@pytest.fixture
def read_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of what was read."""
    sizes, pread = list[int](), os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        data = pread(descriptor, size, offset)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    return sizes


def test_a_tail_without_a_newline_is_read_once(tmp_path: Path, read_bytes: list[int]) -> None:
    path, size = tmp_path / "log", 12 << 20
    path.write_bytes(line(0, "a") + b"x" * size)
    follower = Follower(path)
    assert marks(follower) == ["a"]
    assert follower.check.torn
    assert sum(read_bytes) < size + 1000
    read_bytes.clear()
    for _ in range(5):
        assert marks(follower) == []
        assert follower.check.torn
    assert sum(read_bytes) < 1000
    with path.open("ab") as file:
        file.write(b"\n" + line(2, "b"))
    assert marks(follower) == ["b"]
    assert (follower.check.damaged, follower.check.torn) == (1, False)


@pytest.mark.parametrize("megabytes", [40, 80])
def test_a_run_with_an_endless_last_line_opens_in_no_time(tmp_path: Path, megabytes: int) -> None:
    started = encode(ev.RunStarted("run", "demo", [E2E], 1), Stamp(0, 0, "b", "wall"))
    for source, begun in (("", started), (E2E, line(0))):
        log_of(tmp_path, source).parent.mkdir(exist_ok=True)
        log_of(tmp_path, source).write_bytes(begun + b'{"type":"run_started"' * 10_000)
        os.truncate(log_of(tmp_path, source), megabytes * 1_000_000)
    began_s = time.process_time()
    reader = RunReader(tmp_path)
    assert [reader.poll() for _ in range(10)] == [2, *[0] * 9]
    assert time.process_time() - began_s < megabytes / 40
    Journal(log_of(tmp_path, E2E)).close()
    assert log_of(tmp_path, E2E).read_bytes() == line(0)
    assert time.process_time() - began_s < megabytes / 20


def test_many_torn_lines_cost_what_whole_ones_do(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(0, "a") + (line(1)[:-9] + b"\n") * 50_000 + line(50_001, "b") + line(50_002)[:20])
    began_s = time.process_time()
    follower = Follower(path)
    assert marks(follower) == ["a", "b"]
    assert follower.check.damaged == 50_000
    assert time.process_time() - began_s < 3


@pytest.mark.parametrize("torn", [1, 30, 200])
def test_a_tail_that_another_writer_has_cut_off_is_forgotten(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(0, "a") + line(1, "lost" * 100)[:torn])
    follower = Follower(path)
    assert marks(follower) == ["a"]
    Journal(path).close()
    whole = line(1, "b", t_ns=7)
    with path.open("ab") as file:
        file.write(whole + b"x" * (torn - len(whole)))  # longer than before, without another newline
    assert marks(follower) == ["b"]
    assert not follower.check.damaged
