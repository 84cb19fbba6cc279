"""`python -m grambench.export RUN`: the process of one export of a run in progress.

The first line of its standard input is the target, which may hold a secret; the end of that input is the end
of the run, or of its supervisor. Each line of its standard output is a sentence for the run's log.
"""

import contextlib
import os
import select
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from grambench.errors import ExitCode, GrambenchError
from grambench.export.destinations import export
from grambench.text import safe_text

_NICE = 10
"""Training goes before it."""
_SENTENCE = 400


def main(folder: Path) -> int:
    """Export to the end of the run; the exit code is that of an error."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    target, say = sys.stdin.readline().removesuffix("\n"), _voice()
    try:
        export(folder, target, _ended, say)
    except GrambenchError as error:
        say(str(error))
        return int(error.exit_code)
    except OSError as error:
        say(f"{error.strerror or error}: {error.filename or 'no file'}")
        return int(ExitCode.ENVIRONMENT)
    except Exception as error:  # of a tracker's own library
        traceback.print_exc()
        say(f"{type(error).__name__}: {error}")
        return int(ExitCode.BUG)
    return int(ExitCode.OK)


def _voice() -> Callable[[str], None]:
    """Writes sentences to the log of exports and to standard output, which libraries no longer have."""
    sys.stdout.flush()
    ours = os.dup(1)
    os.dup2(2, 1)

    def say(sentence: str) -> None:
        if sentence:
            line = f"{safe_text(sentence, _SENTENCE)}\n"
            sys.stderr.write(line)
            with contextlib.suppress(OSError):  # the supervisor is gone
                os.write(ours, line.encode())

    return say


def _ended(seconds: float) -> bool:
    return bool(select.select([sys.stdin], [], [], seconds)[0])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
