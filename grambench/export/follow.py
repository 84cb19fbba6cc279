"""Follows a run's logs through the fold, and gives a sink every record with the state that it led to."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from grambench.events.codec import Record
from grambench.events.fold import Fold
from grambench.events.reader import RunReader
from grambench.events.state import RunState


class Sink(Protocol):
    """Takes what a run logs; whatever it raises ends the export, not the run."""

    period_s: float
    """Seconds between two looks at the logs."""

    def take(self, source: str, record: Record, state: RunState) -> None:
        """A record of the log `source`, which `state` already includes."""

    def flush(self, state: RunState) -> str:
        """Everything that was logged so far has been taken; what could not be delivered, in a sentence."""

    def close(self, state: RunState) -> str:
        """The run has ended, or nobody supervises it any more; likewise."""


def follow(
    folder: Path, sink: Sink, ended: Callable[[float], bool], say: Callable[[str], None] = lambda _: None
) -> None:
    """Read the logs of a run from their first line to their end.

    Args:
        folder: of the run.
        sink: what takes the records.
        ended: waits for at most the seconds that it gets; True: nothing more will be logged.
        say: takes the sentences of the sink.
    """
    reader, fold = RunReader(folder, use_snapshot=False), Fold()
    over = False
    while not over:
        over = ended(sink.period_s)
        for source, record in reader.read():
            fold.apply(source, record)
            sink.take(source, record, fold.state)
        say(sink.flush(fold.state))
    say(sink.close(fold.state))
