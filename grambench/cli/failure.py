"""Errors on stderr: a sentence, or with `--json` one JSON object on the last line (docs/scripting.md)."""

import json
import re
import sys

from grambench.cli.output import say
from grambench.errors import ExitCode
from grambench.text import safe_text

_LONGEST = 4000
"""Characters of an error; most are below 300."""
_LONG_WORD = re.compile(r"(\S{200})\S{100,}(\S{20})")


def wants_json() -> bool:
    """Whether this command line asks for JSON."""
    return "--json" in sys.argv[1:]


def complain(message: str, fix: str = "", code: int = ExitCode.BUG) -> None:
    """Say what is wrong, and what to do about it, in one line, whatever it quotes."""
    message, fix = (safe_text(_LONG_WORD.sub(r"\1…\2", words), _LONGEST) for words in (message, fix))
    if wants_json():
        name = ExitCode(code).name.lower() if code in set(ExitCode) else "signal"
        error = {"code": int(code), "name": name, "message": message, "fix": fix}
        say(json.dumps({"error": error}), err=True)
    else:
        say(f"grambench: {message} {fix}".rstrip(), err=True)
