"""`grambench doctor`: is everything there that a run needs?"""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from grambench.cli.options import JsonOption
from grambench.cli.output import say_json
from grambench.cli.run import OutOption
from grambench.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grambench.cli.screen import Screen
    from grambench.runner.doctor import Finding, Status

_WIDEST = 100


def doctor(
    out: OutOption = Path("runs"),
    json_: JsonOption = False,
) -> None:
    """Examine GPU, torch, model hub, caches, disk and terminal, and say what mends what is missing.

    The exit code is 4 if something prevents every run, else 0.
    """
    import json
    from dataclasses import asdict

    from grambench.cli.screen import Screen
    from grambench.runner.doctor import examine

    console = Screen()
    if json_:
        findings = [*examine(out)]
        document = {"prevents_runs": any(each.prevents_runs for each in findings)}
        say_json(json.dumps(document | {"findings": [asdict(each) for each in findings]}))
    else:
        findings = _print(examine(out), console)
    if any(finding.prevents_runs for finding in findings):
        raise typer.Exit(int(ExitCode.ENVIRONMENT))


def _print(findings: "Iterable[Finding]", console: "Screen") -> "list[Finding]":
    """A row for each finding as soon as it is there, and the conclusion."""
    from rich.text import Text

    shown = []
    for finding in findings:
        shown.append(finding)
        console.print(_row(finding, console))
    hindrances = sum(finding.prevents_runs for finding in shown)
    words = (
        "Everything is there that a run needs: grambench run --preset demo"
        if not hindrances
        else f"No run can work before {'this is' if hindrances == 1 else 'these are'} mended."
    )
    console.print(Text(f"\n{words}", style="red" if hindrances else "green"))
    return shown


def _row(finding: "Finding", console: "Screen") -> object:
    from rich.table import Table
    from rich.text import Text

    from grambench.text import safe_text

    unicode = console.encoding.startswith("utf")
    marks: dict[Status, tuple[str, str]] = {
        "ok": ("✓" if unicode else "ok", "green"),
        "note": ("•" if unicode else "note", "yellow"),
        "problem": ("✗" if unicode else "PROBLEM", "bold red"),
    }
    mark, style = marks[finding.status]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1 if unicode else 7)
    grid.add_column(width=17, no_wrap=True)
    grid.add_column(ratio=1, overflow="fold")
    text = Text(safe_text(finding.text, 400))
    if finding.fix:
        text.append(f"\n{'→' if unicode else '->'} {safe_text(finding.fix)}", "cyan")
    if not unicode:
        text = Text(text.plain.encode("ascii", "replace").decode())
    grid.add_row(Text(mark, style), Text(finding.name, "bold"), text)
    return grid
