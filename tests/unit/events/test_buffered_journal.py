"""A log on a disk that is full for a while."""

from pathlib import Path

import pytest

from grambench.errors import ConfigError
from grambench.events import types as ev
from grambench.events.buffered_journal import MOST_WAITING, PATIENCE, BufferedJournal, disk_patience_s
from grambench.events.journal import Follower, Journal


class Disk:
    """Takes events, or does not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full, self.now_s, self.slept = False, 0.0, 0
        append = Journal.append

        def write(journal: Journal, event: ev.Event) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            append(journal, event)

        monkeypatch.setattr(Journal, "append", write)

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept += 1
        if self.slept == 3:
            self.full = False


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def journal(path: Path, disk: Disk, patience_s: float = 30.0) -> BufferedJournal:
    return BufferedJournal(path, patience_s=patience_s, clock=disk.clock, sleep=disk.sleep)


def events(path: Path) -> list[ev.Event]:
    return [record.event for record in Follower(path).read()]


def mark(number: int) -> ev.Marked:
    return ev.Marked(str(number))


def test_events_wait_and_come_in_order_with_a_warning(tmp_path: Path, disk: Disk) -> None:
    path = tmp_path / "log"
    with journal(path, disk) as log:
        log.append(mark(0))
        disk.full = True
        log.append(mark(1))
        disk.now_s = 42.0
        log.append(mark(2))
        assert events(path) == [mark(0)]
        disk.full = False
        log.append(mark(3))
    *marks, warning = events(path)
    assert marks == [mark(n) for n in range(4)]
    assert warning == ev.Warned(
        "disk-full", "the log could not be written for 42 s (No space left on device); events came late"
    )


def test_the_end_waits_for_room(tmp_path: Path, disk: Disk) -> None:
    path = tmp_path / "log"
    with journal(path, disk) as log:
        disk.full = True
        log.append(mark(1))
    assert mark(1) in events(path)
    assert disk.slept == 3


def test_patience_ends(tmp_path: Path, disk: Disk) -> None:
    log = journal(tmp_path / "log", disk, patience_s=2.0)
    disk.full = True
    log.append(mark(1))
    with pytest.raises(OSError, match="1 events could not be written: No space left on device"):
        log.close()


def test_samples_are_given_up_before_anything_else(tmp_path: Path, disk: Disk) -> None:
    path = tmp_path / "log"
    sample = ev.HostSample(1.0, 2, 3)
    with journal(path, disk) as log:
        disk.full = True
        log.append(mark(1))
        for _ in range(MOST_WAITING):
            log.append(sample)
        disk.full = False
        log.append(mark(2))
    first, second, warning = events(path)
    assert (first, second) == (mark(1), mark(2))
    assert isinstance(warning, ev.Warned)
    assert "10,000 samples are lost" in warning.message


def test_lines_that_were_there_are_counted(tmp_path: Path, disk: Disk) -> None:
    for expected in (0, 1):
        with journal(tmp_path / "log", disk) as log:
            assert log.lines == expected
            log.append(mark(1))


def test_it_says_how_long_its_oldest_event_has_waited(tmp_path: Path, disk: Disk) -> None:
    with journal(tmp_path / "log", disk) as log:
        log.append(mark(0))
        assert log.waited_s == 0
        disk.full = True
        log.append(mark(1))
        disk.now_s = 7.0
        log.append(mark(2))
        assert (log.waited_s, log.why) == (7.0, "No space left on device")
        disk.full = False
        log.append(mark(3))
        assert log.waited_s == 0


@pytest.mark.parametrize(("value", "seconds"), [("", 600), ("2.5", 2.5), ("inf", float("inf"))])
def test_patience_is_a_number_of_seconds(monkeypatch: pytest.MonkeyPatch, value: str, seconds: float) -> None:
    monkeypatch.setenv(PATIENCE, value)
    assert disk_patience_s() == seconds


@pytest.mark.parametrize("value", ["0", "-1", "nan", "long"])
def test_another_patience_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(PATIENCE, value)
    with pytest.raises(ConfigError, match=f"{PATIENCE} is '{value}'"):
        disk_patience_s()
