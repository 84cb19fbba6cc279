"""Help pages: whole, aligned and within the terminal's width, in colour only where it is shown."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from grambench.cli.app import app
from grambench.cli.help import App, help_page

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
REPORT_AT_60 = """\
Usage: grambench report [OPTIONS] [RUN]...

Print reports of runs, and write each run's report.json
(docs/reports.md).

Arguments
  RUN  Names or folders of runs, `last` (the default), or
       report.json files.

Options
      --format FORMAT      json, markdown, html, csv, latex,
                           svg, png. [default: json]
  -o, --output PATH        File to write instead of stdout;
                           of svg and png a folder.
      --open               Show the HTML page in the
                           browser.
      --figure NAME        Only this figure, of html, svg
                           and png.
      --co2-per-kwh GRAMS  Add CO2e by your factor, where
                           energy was measured.
      --schema             Print the JSON Schema and stop.
      --fail-on CONDITION  Exit with code 6 if this holds,
                           such as 'speedup.gram-1e < 5';
                           may be repeated.
      --out DIR            Folder that holds the runs.
                           [default: runs]
  -h, --help               Show this message and exit."""
REPORT_AT_100 = """\
Usage: grambench report [OPTIONS] [RUN]...

Print reports of runs, and write each run's report.json (docs/reports.md).

Arguments
  RUN  Names or folders of runs, `last` (the default), or report.json files.

Options
      --format FORMAT      json, markdown, html, csv, latex, svg, png. [default: json]
  -o, --output PATH        File to write instead of stdout; of svg and png a folder.
      --open               Show the HTML page in the browser.
      --figure NAME        Only this figure, of html, svg and png.
      --co2-per-kwh GRAMS  Add CO2e by your factor, where energy was measured.
      --schema             Print the JSON Schema and stop.
      --fail-on CONDITION  Exit with code 6 if this holds, such as 'speedup.gram-1e < 5'; may be
                           repeated.
      --out DIR            Folder that holds the runs. [default: runs]
  -h, --help               Show this message and exit."""


def contexts(command: Any, parent: Any = None) -> Iterator[Any]:
    """A context of a command, and of every command in it."""
    settings = {"help_option_names": ["-h", "--help"]} if parent is None else {}
    ctx = typer.Context(command, info_name=command.name, parent=parent, **settings)
    yield ctx
    for member in getattr(command, "commands", {}).values():
        yield from contexts(member, ctx)


PAGES = {ctx.command_path: ctx for ctx in contexts(typer.main.get_command(app))}
every_page = pytest.mark.parametrize("ctx", PAGES.values(), ids=PAGES)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def show_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stdout be a terminal."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)


def meaning_columns(section: str) -> set[int]:
    """Where the second column of a table begins, in all of its lines that have one."""
    return {
        match.end()
        for line in section.splitlines()[1:]
        if (match := re.match(r" {7,}(?=\S)|(?: {2}\S| {6}--).*? {2,}", line))
    }


@pytest.mark.parametrize(
    ("columns", "page"), [(60, REPORT_AT_60), (100, REPORT_AT_100), (120, REPORT_AT_100)]
)
def test_names_and_meanings_are_columns(monkeypatch: pytest.MonkeyPatch, columns: int, page: str) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert help_page(PAGES["grambench report"]) == page


@every_page
@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_every_page_is_whole_and_keeps_to_the_width(
    monkeypatch: pytest.MonkeyPatch, ctx: Any, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    page = help_page(ctx)
    assert max(map(len, page.splitlines())) <= columns
    assert not any(line != line.rstrip() for line in page.splitlines())
    for section in page.split("\n\n"):
        if section.startswith(("Arguments", "Commands", "Options")):
            assert len(meaning_columns(section)) == 1, section
    said = " ".join(page.split())
    for param in ctx.command.get_params(ctx):
        assert " ".join((param.help or "").split()) in said
        assert all(name in said for name in param.opts)
    for member in getattr(ctx.command, "commands", {}).values():
        assert " ".join(member.help.partition("\n\n")[0].split()) in said


def test_a_name_without_room_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = help_page(PAGES["grambench data synth"]).splitlines()
    at = lines.index("      --like mind-small|mind-demo")
    assert lines[at + 1].strip() == "Start from the size of a real"


@every_page
def test_a_page_has_no_escape_sequence_and_no_markup_without_a_terminal(ctx: Any) -> None:
    page = help_page(ctx)
    assert "\x1b" not in page
    assert not re.search(r"\[/|\[(bold|dim|italic|red|green|yellow|blue|magenta|cyan)", page)


@every_page
def test_colour_changes_nothing_but_the_colour(monkeypatch: pytest.MonkeyPatch, ctx: Any) -> None:
    show_colour(monkeypatch)
    coloured = help_page(ctx)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = help_page(ctx)
    assert "\x1b" not in plain
    assert ESCAPES.sub("", coloured) == plain
    assert "\x1b[1mOptions\x1b[0m" in coloured
    assert "\x1b[1;38;5;67m--help\x1b[0m" in coloured


def test_a_dumb_terminal_gets_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    show_colour(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in help_page(PAGES["grambench"])


def test_colour_can_be_asked_for_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1mOptions\x1b[0m" in help_page(PAGES["grambench"])
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in help_page(PAGES["grambench"])


@every_page
def test_what_takes_a_value_says_which(ctx: Any) -> None:
    valued = [
        param for param in ctx.command.params if param.param_type_name == "option" and not param.is_flag
    ]
    assert all(param.metavar for param in valued)


def test_what_is_hidden_is_not_shown_and_an_epilog_is() -> None:
    own = App(name="own", add_completion=False)

    @own.command(epilog="For example:\n\nown seen --yes")
    def seen(secret: str = typer.Option("", hidden=True)) -> None:
        """A command that is seen."""

    @own.command(hidden=True)
    def unseen() -> None:
        """Not for everyone."""

    top, shown, _ = contexts(typer.main.get_command(own))
    assert "unseen" not in help_page(top)
    assert "secret" not in help_page(shown)
    assert help_page(shown).endswith("\n\nFor example:\n\nown seen --yes")
