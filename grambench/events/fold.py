"""The one fold: `events -> RunState`. Every view shows what it holds, and nothing else.

What an event changes stands in `folding/`, in the module that has the name of its type's; what the log for
people says of it in `folding/sentences.py`.
"""

from collections.abc import Iterable

from grambench.events.codec import Record
from grambench.events.folding import machine, ranks, run, setup, trial, worker
from grambench.events.folding.folded import Folded
from grambench.events.folding.sentences import SENTENCES
from grambench.events.state import LogLine, RunState

LOG_KEPT = 500
_OF_WORKERS = setup.HANDLERS | worker.HANDLERS | trial.HANDLERS | ranks.HANDLERS
HANDLERS = run.HANDLERS | machine.HANDLERS | _OF_WORKERS


class Fold:
    """Applies records, in any interleaving of the logs that keeps each log's own order."""

    def __init__(self, known: Folded | None = None) -> None:
        self.known = known or Folded()
        self.state = self.known.state
        self._start_ns = self.known.start_ns

    def apply(self, source: str, record: Record) -> None:
        """Take one record of the log `source` (empty: the supervisor's, else a trial's name)."""
        self._tick(record)
        event = record.event
        handler = HANDLERS.get(type(event))
        if handler is not None:
            handler(self.known, source, event)
        sentence = SENTENCES.get(type(event))
        logged = sentence and sentence(event, self.state.trials.get(source), self.state.metric)
        if logged:
            line = LogLine(record.stamp.wall, self._elapsed(record), getattr(event, "trial", source), *logged)
            self.state.log.append(line)
            del self.state.log[:-LOG_KEPT]

    def moment_s(self, record: Record) -> float:
        """Seconds of the run at which `apply` would take the record now."""
        begun = record.stamp.boot in self._start_ns
        return max(self.state.elapsed_s, self._elapsed(record)) if begun else self.state.elapsed_s

    def _tick(self, record: Record) -> None:
        if not self._start_ns:
            self.state.started_wall = record.stamp.wall
        if record.stamp.boot not in self._start_ns:  # resumed after a reboot: the clock continues
            self._start_ns[record.stamp.boot] = record.stamp.t_ns - round(self.state.elapsed_s * 1e9)
        self.state.elapsed_s = max(self.state.elapsed_s, self._elapsed(record))

    def _elapsed(self, record: Record) -> float:
        return max(0.0, (record.stamp.t_ns - self._start_ns[record.stamp.boot]) / 1e9)


def fold(records: Iterable[tuple[str, Record]]) -> RunState:
    """Fold records given as (source, record)."""
    folding = Fold()
    for source, record in records:
        folding.apply(source, record)
    return folding.state
