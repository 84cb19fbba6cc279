"""Shows several runs until they have ended, or the user leaves: as one dashboard, or as prefixed lines."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from grambench.cli.follow import Mode, print_detached
from grambench.events.reader import RunReader
from grambench.runner.rundir import supervisor_of

_POLL_S = 0.2


def follow_several(folders: Sequence[Path], mode: Mode) -> None:
    """Show the runs; leaving ends none of them, and says which of them keep running.

    Raises:
        KeyboardInterrupt: the user leaves the lines.
    """
    if mode == "dashboard":
        from grambench.tui.several import RunsDashboard

        RunsDashboard(folders).run()
        for folder in folders:
            if supervisor_of(folder) is not None:
                print_detached(folder)
        return
    _print_lines(folders)


def _print_lines(folders: Sequence[Path]) -> None:
    from grambench.views.console import PlainPrinter
    from grambench.views.short_names import short_names

    readers = [RunReader(folder) for folder in folders]
    printers = [PlainPrinter(sys.stderr, prefix=f"{name} ") for name in short_names(folders)]
    while True:
        alive = [supervisor_of(folder) is not None for folder in folders]
        for reader, printer in zip(readers, printers, strict=True):
            if reader.poll():
                printer.update(reader.state)
        if not any(alive):
            return
        time.sleep(_POLL_S)
