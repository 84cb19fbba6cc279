"""`grambench --help` and usage errors, as real processes."""

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

_MAIN = "import sys; from grambench.cli.app import main; sys.argv[0] = 'grambench'; main()"
GRAMBENCH = [sys.executable, "-P", "-c", _MAIN]


def call(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`grambench ARGUMENTS` with its output on pipes."""
    return subprocess.run(
        [*GRAMBENCH, *arguments],
        cwd=folder,
        env=clean(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def on_terminal(folder: Path, *arguments: str, **environment: str) -> str:
    """What `grambench ARGUMENTS` writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*GRAMBENCH, *arguments], cwd=folder, env=clean(environment), stdin=theirs, stdout=theirs
    ):
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
            while piece := os.read(ours, 4096):
                written += piece
        os.close(ours)
    return written.decode()


def clean(environment: dict[str, str]) -> dict[str, str]:
    """This process's environment without what changes colours."""
    kept = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR"}}
    return {**kept, "COLUMNS": "80", "TERM": "xterm-256color", **environment}


@pytest.mark.parametrize("command", ["--help", "-h", "data --help", "run -h"])
def test_help_in_a_pipe_is_plain_text(tmp_path: Path, command: str) -> None:
    ended = call(tmp_path, *command.split())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Usage: ")
    assert "\x1b" not in ended.stdout


def test_help_on_a_terminal_is_in_colour_unless_that_is_refused(tmp_path: Path) -> None:
    assert "\x1b[1mCommands\x1b[0m" in on_terminal(tmp_path, "--help")
    refused = on_terminal(tmp_path, "--help", NO_COLOR="1")
    assert "\x1b" not in refused
    assert refused.replace("\r\n", "\n") == call(tmp_path, "--help").stdout


@pytest.mark.parametrize("group", [(), ("data",)])
def test_a_group_alone_prints_its_help_and_ends_with_the_code_of_a_usage_error(
    tmp_path: Path, group: tuple[str, ...]
) -> None:
    ended = call(tmp_path, *group)
    assert (ended.returncode, ended.stderr) == (2, "")
    assert ended.stdout == call(tmp_path, *group, "--help").stdout


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("rnu", "No such command 'rnu'. Did you mean 'run'?"),
        ("data lst", "No such command 'lst'. Did you mean 'list'?"),
        ("watch --ouy x", "No such option: --ouy. Did you mean --out?"),
    ],
)
def test_a_usage_error_is_one_sentence_and_what_shows_the_usage(
    tmp_path: Path, command: str, sentence: str
) -> None:
    ended = call(tmp_path, *command.split())
    assert (ended.returncode, ended.stdout) == (2, "")
    shows = {"rnu": "grambench", "data lst": "grambench data"}.get(command, "grambench watch")
    assert ended.stderr == f"grambench: {sentence} `{shows} --help` shows the usage.\n"


def test_completion_is_still_there(tmp_path: Path) -> None:
    asked = {"_GRAMBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "grambench wat", "COMP_CWORD": "1"}
    assert call(tmp_path, **asked).stdout.split() == ["watch"]
    assert "--install-completion" in call(tmp_path, "--help").stdout
