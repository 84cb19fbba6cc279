"""A small script in the place of `python`, which starts and preloads workers as the real one does."""

import sys
from pathlib import Path

REAL = sys.executable
_SCRIPT = """#!{real}
import os, signal, sys, time
from pathlib import Path

sys.executable = {place!r}

def load():
{load}

def work(arguments):
{work}
    return 0

del sys.argv[1:4]  # -P -m grambench.worker
if sys.argv[1] == "preload":
    from grambench.worker import preload
    sys.exit(preload.serve(sys.argv[2:], load, work))
sys.exit(work(sys.argv[1:]))
"""


def write_fake_python(folder: Path, work: str, load: str = "pass") -> str:
    """The path of a `python` whose worker does `work`, the body of a function of `arguments`.

    `load`: the body of the function in the place of the libraries' import.
    """
    place = folder / "python"
    bodies = {name: _indented(body) for name, body in (("load", load), ("work", work))}
    place.write_text(_SCRIPT.format(real=REAL, place=str(place), **bodies))
    place.chmod(0o755)
    return str(place)


def _indented(body: str) -> str:
    return "\n".join(f"    {line}" for line in body.splitlines())
