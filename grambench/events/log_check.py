"""What is wrong with a log: damaged, lost, repeated and misplaced lines, counted as they are read."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from grambench.events.codec import Record, Unreadable

RANGES_KEPT = 20
_SHOWN = 3


@dataclass(slots=True)
class LogCheck:
    """The state of one log as far as it has been read.

    A line's number is the count of lines before it, and the times of a boot never fall.
    """

    expected: int | None = 0
    """Number of the next line; None: that of the first one."""
    boots: list[str] = field(default_factory=list)
    """Boots, in the order of their first lines."""
    newest_ns: int = 0
    """Monotonic time of the newest line, under the last of `boots`."""
    damaged: int = 0
    newer: int = 0
    """Lines of a newer schema version."""
    unknown: int = 0
    """Intact lines of events that this version does not know."""
    repeated: int = 0
    misplaced: int = 0
    """Lines found after a later one."""
    missing: int = 0
    """Number of missing lines."""
    ranges: list[tuple[int, int]] = field(default_factory=list)
    """First and last number of the first `RANGES_KEPT` gaps; in a gap some lines may only be damaged."""
    torn: bool = False
    """There are bytes after the last newline."""
    trouble: str = ""
    """Why the file cannot be read; empty: it can."""
    unreadable: int = 0
    """Lines without a record since the last one that has one."""
    gap_from: int | None = None
    """What was expected before the newest gap."""

    def count(self, why: Unreadable) -> None:
        """Count a line that holds no record."""
        self.unreadable += 1
        setattr(self, why, getattr(self, why) + 1)

    def is_ahead(self, record: Record) -> bool:
        """True when lines before the record are missing, or come after it."""
        return self.expected is not None and record.stamp.seq > self.expected + self.unreadable

    def take(self, record: Record, last: Record | None) -> bool:
        """Take the next record; False for one that repeats an earlier line.

        Args:
            record: the next.
            last: the record taken before.
        """
        stamp = record.stamp
        seq, expected = stamp.seq, stamp.seq if self.expected is None else self.expected
        is_current = bool(self.boots) and stamp.boot == self.boots[-1]
        if is_current and seq == expected and stamp.t_ns >= self.newest_ns and not self.unreadable:
            self.expected, self.newest_ns = seq + 1, stamp.t_ns
            return True
        is_old = stamp.t_ns < self.newest_ns if is_current else stamp.boot in self.boots
        if seq < expected and (is_old or record == last):
            if self._fill_gap(seq):
                self.misplaced += 1
                return True
            self.repeated += 1
            return False
        if seq > expected:
            self._lost(expected, seq - 1)
        elif seq < expected and self.gap_from is not None and seq == self.gap_from + 1 and self.ranges:
            self._misnumbered()
        self.misplaced += is_old
        self._move_on(record, is_current)
        return True

    def _move_on(self, record: Record, is_current: bool) -> None:
        stamp = record.stamp
        self.expected, self.newest_ns, self.unreadable = stamp.seq + 1, stamp.t_ns, 0
        if not is_current:
            if stamp.boot in self.boots:
                self.boots.remove(stamp.boot)
            self.boots.append(stamp.boot)

    def _lost(self, first: int, last: int) -> None:
        """Note a gap, less the damaged lines in it."""
        lost = last - first + 1 - self.unreadable
        self.gap_from = first
        if lost > 0:
            self.missing += lost
            if len(self.ranges) < RANGES_KEPT:
                self.ranges.append((first, last))

    def _fill_gap(self, seq: int) -> bool:
        """Take a number out of the gaps; False when it is in none."""
        for place, (first, last) in enumerate(self.ranges):
            if first <= seq <= last:
                rest = [(a, b) for a, b in ((first, seq - 1), (seq + 1, last)) if a <= b]
                self.ranges[place : place + 1] = rest
                self.missing -= 1
                return True
        return False

    def _misnumbered(self) -> None:
        """There was no gap: one line had a damaged number."""
        first, last = self.ranges[-1]
        if first == self.gap_from:
            self.ranges.pop()
            self.missing -= last - first + 1
            self.damaged += 1

    def complaints(self, name: str, ended: bool) -> list[str]:
        """What is wrong, in sentences without a full stop; lines are counted from 1.

        Args:
            name: of the log.
            ended: nothing more is written, so that a torn last line is lost.
        """
        counted = (
            (self.damaged, "damaged, skipped"),
            (self.newer, "of a newer version of grambench, skipped"),
            (self.unknown, "of an unknown type, skipped"),
            (self.repeated, "repeated, applied once"),
            (self.misplaced, "out of order"),
        )
        complaints = [f"{_lines(count, name)} {_are(count)} {what}" for count, what in counted if count]
        if self.missing:
            complaints.append(self._gaps(name))
        if self.torn and ended:
            complaints.append(f"the last line of {name} is cut off")
        if self.trouble:
            complaints.append(f"{name} cannot be read: {self.trouble}")
        return complaints

    def _gaps(self, name: str) -> str:
        sizes = sum(last - first + 1 for first, last in self.ranges)
        shown = [
            f"{first + 1:,}" if first == last else f"{first + 1:,} to {last + 1:,}"
            for first, last in self.ranges[:_SHOWN]
        ]
        where = ", ".join(shown) + (" …" if len(self.ranges) > _SHOWN else "")
        if self.missing != sizes or len(self.ranges) > _SHOWN:
            return f"{_lines(self.missing, name)} {_are(self.missing)} missing, of lines {where}"
        return f"{'line' if sizes == 1 else 'lines'} {where} of {name} {_are(sizes)} missing"


def in_order(records: list[Record]) -> list[Record]:
    """Neighbouring records of a log sorted by number, if their times agree; else unchanged."""
    by_number = sorted(records, key=lambda record: record.stamp.seq)
    numbers = {record.stamp.seq for record in records}
    return by_number if len(numbers) == len(records) and _times_agree(by_number) else records


def _times_agree(records: Iterable[Record]) -> bool:
    newest: dict[str, int] = {}
    for record in records:
        stamp = record.stamp
        if stamp.t_ns < newest.get(stamp.boot, 0):
            return False
        newest[stamp.boot] = stamp.t_ns
    return True


def _lines(count: int, name: str) -> str:
    return f"{count:,} line{'s' if count != 1 else ''} of {name}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
