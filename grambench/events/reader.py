"""Reads all logs of a run as one, in the order in which they were written, in bounded memory."""

import heapq
import mmap
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from grambench.config.trial_name import TrialName
from grambench.events import types as ev
from grambench.events.codec import Record, decode
from grambench.events.fold import Fold
from grambench.events.journal import Follower
from grambench.events.log_check import LogCheck
from grambench.events.snapshot import Snapshot, code_digest, load, mark_of
from grambench.events.state import SETUP, RunState
from grambench.fs import open_regular

_RUN_STARTED = f'"type":"{ev.RunStarted.type}"'.encode()
_LOOK_EVERY = 64  # records between two looks at the clock
_ALMOST = 0.99  # shown while the last block's records wait


class RunReader:
    """Follows all logs of a run folder through one fold.

    It starts from the run's snapshot, if there is one, so that a day of logs opens at once.
    """

    def __init__(self, folder: Path, *, use_snapshot: bool = True) -> None:
        """`use_snapshot`: False reads every line from the first one on."""
        self._folder = folder
        snapshot = load(folder) if use_snapshot else None
        self._fold = Fold(snapshot.known if snapshot else None)
        offsets = {name: mark.offset for name, mark in snapshot.marks.items()} if snapshot else {}
        self._boots = {boot: place for place, boot in enumerate(snapshot.boots)} if snapshot else {}
        """Boot -> its position in time; each one begins with a line of the supervisor."""
        self._logs: dict[str, Follower] = {}
        for name, offset in ({"": 0, SETUP: 0} | offsets).items():
            self._follow(name, offset)
        self._searched, self._size_searched = self._logs[""].offset, 0
        self._rest: Iterator[tuple[str, Record]] | None = None

    @property
    def state(self) -> RunState:
        """The state after the last `poll`."""
        return self._fold.state

    @property
    def bytes_read(self) -> int:
        """Bytes of all logs applied to the state, including those of a snapshot."""
        return sum(log.offset for log in self._logs.values())

    @property
    def share_read(self) -> float:
        """Share of the logs' bytes read so far, 0 to 1; 1 when `poll` has reached their ends."""
        if self._rest is None:
            return 1.0
        return min(_ALMOST, self.bytes_read / max(1, sum(_size(log.path) for log in self._logs.values())))

    def poll(self, limit_s: float | None = None) -> int:
        """Apply what was written since the last call; returns the number of records.

        New records of all logs are merged by their monotonic time, boot after boot. After `limit_s`
        seconds it stops; the next call continues there.
        """
        if self._rest is None:
            self._rest = self.read()
        ends_s = None if limit_s is None else monotonic() + limit_s
        count = 0
        for source, record in self._rest:
            self._fold.apply(source, record)
            count += 1
            if ends_s is not None and not count % _LOOK_EVERY and monotonic() >= ends_s:
                return count
        self._rest = None
        return count

    def read(self) -> Iterator[tuple[str, Record]]:
        """New records since the last call, merged, with the log of each; not applied."""
        self._look_for_starts()
        logs = [self._named(name, log) for name, log in self._logs.items()]
        return heapq.merge(*logs, key=lambda item: self._moment(item[1]))

    def snapshot(self) -> Snapshot | None:
        """A snapshot of the current state; None while `poll` is behind."""
        if self._rest is not None:
            return None
        marks = {name: mark_of(log.path, log.offset) for name, log in self._logs.items()}
        return Snapshot(marks, list(self._boots), self._fold.known, code_digest())

    def _follow(self, name: str, offset: int = 0) -> None:
        """Read a log from now on; what is wrong with it goes into the state."""
        if name not in self._logs:
            check = self.state.logs.setdefault(name, LogCheck())
            self._logs[name] = Follower(log_of(self._folder, name), offset, check)

    def _named(self, name: str, log: Follower) -> Iterator[tuple[str, Record]]:
        return ((name, record) for record in log.read())

    def _look_for_starts(self) -> None:
        """Find the trials and the order of the boots before a line is merged."""
        for line in self._starts():
            record = decode(line)
            if record is None or not isinstance(record.event, ev.RunStarted):
                continue
            self._boots.setdefault(record.stamp.boot, len(self._boots))
            for name in filter(TrialName.parse, record.event.trials):
                self._follow(name)
        if not self._boots:  # the line that names the trials is damaged or lost, or comes later
            for path in sorted(self._folder.glob("*/events.jsonl")):
                if TrialName.parse(path.parent.name):
                    self._follow(path.parent.name)

    def _starts(self) -> list[bytes]:
        """Lines of the supervisor's log that begin a run, found without reading the others."""
        path = self._logs[""].path
        size = _size(path)
        if size <= self._searched or size == self._size_searched:
            return []
        self._size_searched = size
        try:
            return self._searched_for_starts(path)
        except (OSError, ValueError):  # reading the log itself will report it
            return []

    def _searched_for_starts(self, path: Path) -> list[bytes]:
        lines: list[bytes] = []
        with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = max(self._searched, data.rfind(b"\n", self._searched) + 1)
            place = data.find(_RUN_STARTED, self._searched, end)
            while place >= 0:
                newline = data.find(b"\n", place)
                lines.append(data[data.rfind(b"\n", 0, place) + 1 : newline])
                place = data.find(_RUN_STARTED, newline, end)
            self._searched = end
        return lines

    def _moment(self, record: Record) -> tuple[int, int]:
        return self._boots.setdefault(record.stamp.boot, len(self._boots)), record.stamp.t_ns


def log_of(folder: Path, source: str) -> Path:
    """The log of the supervisor (empty), of `setup` or of a trial."""
    return folder / source / "events.jsonl" if source else folder / "supervisor.jsonl"


def read_records(folder: Path) -> list[tuple[str, Record]]:
    """All records of a run's logs in the order in which they were written, with the log of each."""
    return list(RunReader(folder, use_snapshot=False).read())


def read_run(folder: Path) -> RunState:
    """The current state of a run, from its logs."""
    reader = RunReader(folder)
    reader.poll()
    return reader.state


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
