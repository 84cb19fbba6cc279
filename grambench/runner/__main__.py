"""`python -m grambench.runner RUN [-]`: the supervisor process of one run folder.

`-`: a JSON list of targets to which the run is exported is read from standard input; they may hold secrets.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from grambench.errors import ExitCode, GrambenchError
from grambench.reports.build import write_report
from grambench.runner.supervisor import Supervisor


def main(folder: Path, *, foreground: bool = False, exports: Sequence[str] = ()) -> int:
    """Run to the end and write the report; the exit code is the run's."""
    try:
        code = int(Supervisor(folder, foreground=foreground, exports=exports).run())
    except GrambenchError as error:
        _say(str(error))
        return int(error.exit_code)
    except OSError as error:
        _say(f"The run's log could not be completed: {error}.")
        return int(ExitCode.ENVIRONMENT)
    try:
        write_report(folder)
    except OSError as error:  # the logs hold everything: `grambench report` can build it at any time
        _say(f"The report could not be written: {error}.")
    return code


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201 - goes to the supervisor's own log


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), exports=json.load(sys.stdin) if sys.argv[2:] == ["-"] else ()))
