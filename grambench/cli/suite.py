"""`grambench suite`: run a table of the paper and print it beside the paper's figures."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from grambench.cli.options import SetOption
from grambench.cli.run import OutOption


class Table(StrEnum):
    """Tables of the GRAM paper."""

    KNOWLEDGE_TRACING = "table4"
    NEWS = "table5"
    MEMORY = "table6"


def suite(
    table: Annotated[Table, typer.Argument(help="The table: table4, table5 or table6.")],
    datasets: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Comma-separated presets; default: those of the table."),
    ] = None,
    strategies: Annotated[
        str | None, typer.Option(metavar="LIST", help="Comma-separated rows of the table; default: all.")
    ] = None,
    data_dirs: Annotated[
        list[str] | None,
        typer.Option("--data-dir", metavar="PRESET=DIR", help="Folder of a preset's data; may be repeated."),
    ] = None,
    assignments: SetOption = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Probe a few steps, print what would run, and exit.")
    ] = False,
    out: OutOption = Path("runs"),
) -> None:
    """Run a table of the GRAM paper and print its figures with ours beside them.

    The rows of a missing data set are left blank, with the reason.
    """
    from grambench.cli.screen import Screen
    from grambench.cli.suite_runs import Settings, planned, results
    from grambench.cli.suite_tables import print_plan, print_results
    from grambench.reports.suites import SUITES

    chosen = SUITES[table.value]
    presets = chosen.presets if datasets is None else tuple(name.strip() for name in datasets.split(","))
    settings = Settings.of(data_dirs or [], assignments or [], out, strategies)
    console = Screen(width=None if Screen().is_terminal else 160)
    if plan:
        print_plan(chosen, planned(chosen, presets, settings), console)
        return
    code, found = results(chosen, presets, settings)
    print_results(chosen, found, console)
    raise typer.Exit(code)
