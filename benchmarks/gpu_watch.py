"""The product's sampler thread in a process of its own, as the runner has it; turned on and off by lines.

`python -m benchmarks.gpu_watch PID PERIOD_S` reads "on" and "off" from stdin. It answers "on" with a line
once the first sample is there, and "off" with what it saw, as JSON. It loads no torch.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from grambench.events import types as ev
from grambench.runner.telemetry import SamplerThread

FIRST_S = 10.0
"""Longest wait for the first sample."""


class Seen:
    """Events counted by type, the last readings, and the reasons for missing ones."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}
        self.last: dict[str, dict[str, Any]] = {}
        self.first = threading.Event()

    def __call__(self, event: ev.Event) -> None:
        self.counts[type(event).__name__] += 1
        if isinstance(event, (ev.GpuSample, ev.ProcessSample)):
            self.reasons |= event.reasons
            self.last[event.type] = dataclasses.asdict(event)
        if isinstance(event, ev.GpuAbsent):
            self.reasons["gpu"] = event.reason
        if isinstance(event, ev.Warned):
            self.reasons["warned"] = event.message
        self.first.set()


@contextlib.contextmanager
def sampling(pid: int, period_s: float) -> Iterator[Seen]:
    """Sample the GPUs, the host and a process in a thread of this process."""
    seen = Seen()
    thread = SamplerThread(seen, period_s)
    thread.watch("probe", pid)
    thread.start()
    seen.first.wait(FIRST_S)
    try:
        yield seen
    finally:
        thread.stop()


class Watcher:
    """The other process, seen from here."""

    def __init__(self, pid: int, period_s: float) -> None:
        command = [sys.executable, "-m", "benchmarks.gpu_watch", str(pid), str(period_s)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, word: str) -> Any:
        """Send "on" or "off"; the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the watching process ended with {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait(FIRST_S)


def watch(pid: int, period_s: float) -> None:
    """Serve until stdin ends."""
    for _on in sys.stdin:
        with sampling(pid, period_s) as seen:
            print(json.dumps("sampling"), flush=True)
            sys.stdin.readline()
        print(json.dumps({"events": seen.counts, "reasons": seen.reasons, "last": seen.last}), flush=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]), float(sys.argv[2]))
