"""`python -m grambench.runner RUN`: the supervisor process of one run folder."""

import sys
from pathlib import Path

from grambench.errors import GrambenchError
from grambench.reports.build import write_report
from grambench.runner.supervisor import Supervisor


def main(folder: Path, *, foreground: bool = False) -> int:
    """Run to the end and write the report; the exit code is the run's."""
    try:
        code = int(Supervisor(folder, foreground=foreground).run())
        write_report(folder)
    except GrambenchError as error:
        print(error, file=sys.stderr)  # noqa: T201 - goes to the supervisor's own log
        return int(error.exit_code)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
