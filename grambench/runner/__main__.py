"""`python -m grambench.runner RUN [-]`: the supervisor process of one run folder.

`-`: a JSON object is read from standard input: `exports`, the targets to which the run is exported (they may
hold secrets), and `ranks`, in place of the specification's.
"""

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from grambench.config.ranks import Ranks
from grambench.errors import ExitCode, GrambenchError
from grambench.reports.build import write_report
from grambench.runner.supervisor import Supervisor


def main(
    folder: Path, *, foreground: bool = False, exports: Sequence[str] = (), ranks: Ranks | None = None
) -> int:
    """Run to the end and write the report; the exit code is the run's."""
    supervisor: Supervisor | None = None
    try:
        supervisor = Supervisor(folder, foreground=foreground, exports=exports, ranks=ranks)
        code = int(supervisor.run())
    except GrambenchError as error:
        _say(str(error))
        return int(error.exit_code)
    except OSError as error:
        _say(f"The run's log could not be completed: {error}.")
        resumable = supervisor is not None and supervisor.resumable
        return int(ExitCode.INTERRUPTED if resumable else ExitCode.ENVIRONMENT)
    try:
        write_report(folder)
    except OSError as error:  # the logs hold everything: `grambench report` can build it at any time
        _say(f"The report could not be written: {error}.")
    return code


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):  # its disk is full
        print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - goes to the supervisor's own log


if __name__ == "__main__":
    given = json.load(sys.stdin) if sys.argv[2:] == ["-"] else {}
    ranks = Ranks(**given["ranks"]) if given.get("ranks") else None
    sys.exit(main(Path(sys.argv[1]), exports=given.get("exports", ()), ranks=ranks))
