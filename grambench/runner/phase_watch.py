"""Notices that a worker has entered a phase, by reading its log."""

from collections.abc import Iterable
from pathlib import Path

from grambench.events.journal import Follower
from grambench.events.reader import log_of
from grambench.events.types import PhaseEntered


class PhaseWatch:
    """Follows the logs of the watched workers. Not thread-safe."""

    def __init__(self, folder: Path | None) -> None:
        """`folder`: the run's; None: there are no logs, so no phase is noticed."""
        self._folder = folder
        self._logs: dict[str, Follower] = {}

    def changed(self, trials: Iterable[str]) -> bool:
        """True when a worker has entered a phase since the last call.

        A trial is followed from the first call that names it; what its log held before does not count.
        """
        if self._folder is None:
            return False
        self._logs = {
            trial: self._logs.get(trial) or _followed(log_of(self._folder, trial)) for trial in trials
        }
        changed = False
        for log in self._logs.values():
            for record in log.read():
                changed = changed or isinstance(record.event, PhaseEntered)
        return changed


def _followed(path: Path) -> Follower:
    return Follower(path, path.stat().st_size if path.exists() else 0)
