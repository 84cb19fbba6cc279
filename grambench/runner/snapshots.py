"""The supervisor's thread that keeps the snapshot of a long run up to date."""

import contextlib
import threading
from pathlib import Path

from grambench.events.reader import RunReader
from grambench.events.snapshot import save

PERIOD_S = 30.0
WORTH_BYTES = 4 << 20
"""Growth of the logs in bytes that is worth a snapshot: about a tenth of a second to read."""
_JOIN_S = 30.0


class SnapshotKeeper(threading.Thread):
    """Follows the run's logs and writes `state.json` whenever they have grown by `worth_bytes`."""

    def __init__(self, folder: Path, period_s: float = PERIOD_S, worth_bytes: int = WORTH_BYTES) -> None:
        super().__init__(name="grambench-snapshots", daemon=True)
        self._folder, self._period_s, self._worth_bytes = folder, period_s, worth_bytes
        self._ending = threading.Event()

    def run(self) -> None:
        """The thread's body; use `start`."""
        reader = RunReader(self._folder)
        saved = reader.bytes_read
        while True:
            last = self._ending.wait(self._period_s)
            with contextlib.suppress(OSError, ValueError):  # it is only a cache
                reader.poll()
                if reader.bytes_read - saved >= self._worth_bytes:
                    snapshot = reader.snapshot()
                    assert snapshot is not None  # the poll had no limit
                    saved = reader.bytes_read
                    save(self._folder, snapshot)
            if last:
                return

    def stop(self) -> None:
        """Write a last snapshot if it is due, and end."""
        self._ending.set()
        if self.is_alive():
            self.join(_JOIN_S)
