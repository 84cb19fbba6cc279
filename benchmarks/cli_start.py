"""`grambench --help`, against the libraries that it cannot do without.

Claim: at most 1.6 times the time of `python -c "import typer, rich"` with the same interpreter.

Both are whole processes with their output on a pipe, from start to exit, in an empty folder; they take
turns. The first ones are not counted: they warm the page cache and compile bytecode.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Claim, Sample, bench, interleave, quiet_machine

RATIO = 1.6
ROUNDS = 15


def main() -> int:
    result, given = bench("cli_start", "Start of the command line", rounds=ROUNDS)
    quiet_machine()
    commands = {
        "grambench --help": [str(Path(sys.executable).with_name("grambench")), "--help"],
        'python -c "import typer, rich"': [sys.executable, "-c", "import typer, rich"],
    }
    with tempfile.TemporaryDirectory() as folder:
        sides = {name: lambda command=command: call(command, folder) for name, command in commands.items()}
        measured = interleave(sides, 1 if result.smoke else given.rounds, warm_ups=2)
    ours, theirs = measured.values()
    ratio = ours.median / theirs.median
    for name, sample in measured.items():
        result.row(command=name, milliseconds=Sample(tuple(1000 * s for s in sample.values)))
        result.samples[f"{name}, s"] = sample.values
    result.row(command="ratio of the medians", milliseconds=f"{ratio:.2f}")
    result.claim(Claim("start over that of its libraries", ratio, RATIO, "at most", "×"))
    return result.finish()


def call(command: list[str], folder: str) -> None:
    """From start to exit.

    Raises:
        subprocess.CalledProcessError: it failed, so its time means nothing.
    """
    subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=True)


if __name__ == "__main__":
    sys.exit(main())
