"""SKILL.md and docs/scripting.md: every command exists with its options, every key is there."""

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

from grambench.cli.app import app, main
from grambench.errors import MEANINGS, ExitCode
from grambench.events.types import AuditFinished, DataPrepared
from grambench.reports.compare import RunsCompared
from grambench.reports.merge import MergedRuns
from grambench.runner.doctor import Finding
from grambench.runner.run_index import RunRow

ROOT = Path(__file__).parents[3]
SKILL = (ROOT / "SKILL.md").read_text()
SCRIPTING = (ROOT / "docs" / "scripting.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"^```\n(.*?)^```", SKILL, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


def row(command: str) -> list[str]:
    """The words in backticks that docs/scripting.md lists for a command."""
    (line,) = [line for line in SCRIPTING.splitlines() if line.startswith(f"| `{command}`")]
    return re.findall(r"`([^`]+)`", line.split("|")[2])


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_a_recipe_is_understood(line: str) -> None:
    words = shlex.split(line.partition(" > ")[0])
    assert words.pop(0) == "grambench"
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)  # refuses an unknown option or value


def test_the_recipes_name_commands_of_every_kind() -> None:
    used = {line.split()[1] for line in COMMANDS}
    assert used >= {"run", "runs", "watch", "stop", "report", "export", "compare", "merge", "suite", "audit"}
    assert used >= {"presets", "data", "doctor"}


def test_the_table_of_exit_codes_is_that_of_the_code() -> None:
    assert set(MEANINGS) == set(ExitCode)
    rows = [f"| {code.value} | `{code.name.lower()}` | {words} |" for code, words in MEANINGS.items()]
    assert "\n".join(rows) in SCRIPTING
    assert len(re.findall(r"^\| \d+ \|", SCRIPTING, re.MULTILINE)) == len(rows)


def test_listed_keys_are_those_of_the_documents() -> None:
    assert row("runs") == [each.name for each in fields(RunRow)]
    assert row("audit") == [*(each.name for each in fields(AuditFinished)), "vectors"]
    assert row("data prepare") == [*(each.name for each in fields(DataPrepared)), "warnings"]
    assert set(row("compare")) == set(RunsCompared.model_fields)
    assert row("merge") == list(MergedRuns.model_fields)
    assert row("doctor") == ["prevents_runs", "findings", *(each.name for each in fields(Finding))]


def printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["grambench", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("run", "--preset", "demo", "--dry-run", "--no-probe"), "run --dry-run"),
        (("tune", "--preset", "demo", "--dry-run"), "tune --dry-run"),
        (("presets",), "presets"),
        (("data", "list"), "data list"),
    ],
)
def test_printed_keys_are_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], command: str
) -> None:
    code, out, err = printed(capsys, monkeypatch, *words, "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert list(document[0] if isinstance(document, list) else document) == row(command)


@pytest.mark.parametrize(
    ("words", "code", "says", "fix"),
    [
        (("run", "--preset", "dmo"), ExitCode.USAGE, "There is no preset 'dmo'.", "Did you mean 'demo'?"),
        (("runs", "--limit", "x"), ExitCode.USAGE, "'x'", ""),
        (("stop", "nothing-here"), ExitCode.DATA, "is not a run folder", "`grambench runs`"),
        (("data", "verify", "/nowhere"), ExitCode.USAGE, "", ""),
    ],
)
def test_with_json_an_error_is_one_object_on_stderr(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: ExitCode,
    says: str,
    fix: str,
) -> None:
    found, out, err = printed(capsys, monkeypatch, *words, "--json")
    error = json.loads(err.splitlines()[-1])["error"]
    assert (out, list(error)) == ("", ["code", "name", "message", "fix"])
    assert (found, error["code"], error["name"]) == (code, code, code.name.lower())
    assert says in error["message"]
    assert fix in error["fix"]


def test_the_help_names_every_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, out, _ = printed(capsys, monkeypatch, "--help")
    words = " ".join(out.split())
    assert all(f"{code.value} {words_of.partition(';')[0]}" in words for code, words_of in MEANINGS.items())
    assert "docs/scripting.md" in words
