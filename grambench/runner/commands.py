"""Commands from watchers to a run's supervisor: one file each, taken in the order they were sent.

Any number of watchers may write, none blocks another, and a watcher that dies leaves either a complete
command or none.
"""

import contextlib
import itertools
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from grambench.errors import ConfigError, MachineError
from grambench.fs import own_folder, read_regular, write_atomic
from grambench.runner.rundir import supervisor_of

FOLDER = "commands"
Action = Literal["pause", "resume", "skip", "stop", "mark"]
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    `pause` withholds all turns, `resume` grants them again, `skip` ends one trial, `stop` ends the run after
    the current step, `mark` adds a note to the log.
    """

    action: Action
    trial: str = ""
    """The trial to skip; empty: the one that has the turn."""
    text: str = ""
    """The text of a mark."""


def send(folder: Path, command: Command) -> None:
    """Send a command to the supervisor of the run in `folder`, which polls a few times a second.

    Raises:
        ConfigError: the run is not in progress. MachineError: the command cannot be written.
    """
    supervisor = supervisor_of(folder)
    if supervisor is None:
        raise ConfigError(f"The run {folder.name} is not running.", "`grambench runs` lists the runs.")
    box = folder / FOLDER
    name = f"{time.monotonic_ns():020d}-{os.getpid()}-{next(_numbers)}.json"
    try:
        own_folder(box)
        write_atomic(box / name, json.dumps(asdict(command)))
    except OSError as error:
        raise MachineError(
            f"The command cannot be written into {box}: {error.strerror or error}.",
            f"Free some space or ask its owner; `kill {supervisor.pid}` interrupts it, to be resumed later.",
        ) from error


def take(folder: Path) -> list[Command]:
    """The commands sent since the last call; anything else is dropped."""
    taken = []
    for path in sorted((folder / FOLDER).glob("[0-9]*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            fields = json.loads(read_regular(path))
            if fields["action"] in get_args(Action):
                taken.append(Command(fields["action"], str(fields["trial"]), str(fields["text"])))
        with contextlib.suppress(OSError):
            path.unlink()
    return taken
