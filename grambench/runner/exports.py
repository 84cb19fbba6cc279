"""The processes that export a run while it lasts: trackers, metrics and alerts.

They follow the logs on their own, so that nothing they do reaches a trial's clock. One that fails is
mentioned once in the log, and the run goes on; one that is still writing when the run has ended goes on too.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grambench.events import types as ev
from grambench.export.destinations import trackers

EXPORTS_LOG = "exports.log"
"""What the processes and their libraries print."""
_TRACKERS_S, _OTHERS_S = 15.0, 2.0
"""Seconds for which an ended run waits for what trackers, metrics and alerts still have to write."""
_POLL_S = 0.02


def inherited(targets: Sequence[str]) -> tuple[int, ...]:
    """Descriptors that targets name, for the process that gets them: the listening socket of metrics."""
    parts = (target.partition(":") for target in targets)
    return tuple(int(argument) for name, _, argument in parts if name == "prometheus")


@dataclass(slots=True)
class _Export:
    """One process."""

    name: str
    process: "subprocess.Popen[bytes]"
    said: bytes = b""
    reported: bool = False
    """Its end was looked at."""


class Exports:
    """Starts an export for each target, and passes on what fails."""

    def __init__(self, folder: Path, targets: Sequence[str], emit: Callable[[ev.Event], None]) -> None:
        """`targets`: as `export.destinations` takes them."""
        self._folder, self._emit = folder, emit
        self._exports: list[_Export] = []
        for target in targets:
            name = target.partition(":")[0]
            try:
                self._exports.append(_Export(name, self._start(target)))
            except OSError as error:
                self._warn(name, f"its process cannot be started: {error.strerror or error}")
        for descriptor in inherited(targets):
            os.close(descriptor)

    def _start(self, target: str) -> "subprocess.Popen[bytes]":
        with (self._folder / EXPORTS_LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "grambench.export", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                pass_fds=inherited([target]),
            )
        assert process.stdin
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{target}\n".encode())
            process.stdin.flush()
        return process

    def look(self) -> None:
        """Log what has failed since the last call; never waits."""
        for export in self._exports:
            if not export.reported:
                code = export.process.poll()
                self._listen(export)
                if code is not None:
                    export.reported = True
                    if code < 0:
                        self._warn(export.name, f"its process was ended by signal {-code}")

    def _listen(self, export: _Export) -> None:
        assert export.process.stdout
        with contextlib.suppress(BlockingIOError):
            while data := os.read(export.process.stdout.fileno(), 4096):
                export.said += data
        *sentences, export.said = export.said.split(b"\n")
        for sentence in sentences:
            self._warn(export.name, sentence.decode(errors="replace"))

    def _warn(self, name: str, sentence: str) -> None:
        words = f"the export to {name} failed; the run goes on: {sentence.removesuffix('.')}"
        self._emit(ev.Warned(f"export-{name}", words))

    def finish(self) -> None:
        """The run has ended: let the processes write the rest, and wait for them, within limits."""
        for export in self._exports:
            with contextlib.suppress(BrokenPipeError):
                assert export.process.stdin
                export.process.stdin.close()
        began = time.monotonic()
        while any(self._is_awaited(export, time.monotonic() - began) for export in self._exports):
            self.look()
            time.sleep(_POLL_S)
        self.look()

    @staticmethod
    def _is_awaited(export: _Export, waited_s: float) -> bool:
        limit_s = _TRACKERS_S if export.name in trackers() else _OTHERS_S
        return not export.reported and waited_s < limit_s
