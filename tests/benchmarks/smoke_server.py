"""Loads the libraries once, and runs each benchmark that a line of stdin names in a fork of itself.

A line is `NAME OUTPUT`; the answer on stdout is the exit code, and OUTPUT holds what the script printed. That
spares each of two dozen scripts the seconds of importing torch and transformers.
"""

import os
import runpy
import sys
import traceback
from pathlib import Path

from grambench.worker.preload import load_libraries


def main() -> None:
    """Serve until stdin ends."""
    load_libraries()
    for line in sys.stdin:
        name, output = line.split()
        child = os.fork()
        if child == 0:
            os._exit(_run(name, Path(output)))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(name: str, output: Path) -> int:
    """`python -m benchmarks.NAME --smoke`, its output in a file; the exit code."""
    target = os.open(output, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(target, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = [name, "--smoke"]
    try:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    main()
