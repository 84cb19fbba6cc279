"""`grambench suite`: run a table or figure of the paper, and print its numbers beside ours."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from grambench.cli.options import JsonOption, SetOption
from grambench.cli.output import say, say_json
from grambench.cli.run import OutOption


class Table(StrEnum):
    """Tables and figures of the GRAM paper."""

    KNOWLEDGE_TRACING = "table4"
    NEWS = "table5"
    MEMORY = "table6"
    CONVERGENCE = "figure4"


def suite(
    table: Annotated[Table, typer.Argument(help="table4, table5, table6 or figure4.")],
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
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="DIR",
            help="As --out, but runs of the same settings there are used if done, and resumed if not.",
        ),
    ] = None,
    json_: JsonOption = False,
    out: OutOption = Path("runs"),
) -> None:
    """Run a table or figure of the GRAM paper and print its numbers with ours beside them.

    The rows of a missing data set are left blank, with the reason. figure4 also writes its curves, as SVG and
    CSV, into the folder of the runs.
    """
    import json

    from grambench.cli.screen import Screen
    from grambench.cli.suite_figures import write_figures
    from grambench.cli.suite_runs import Settings, planned, results
    from grambench.cli.suite_tables import plan_document, print_plan, print_results, results_document
    from grambench.reports.suites import SUITES

    chosen = SUITES[table.value]
    presets = chosen.presets if datasets is None else tuple(name.strip() for name in datasets.split(","))
    folder = resume or out
    settings = Settings.of(data_dirs or [], assignments or [], folder, strategies, resume is not None)
    console = Screen(width=None if Screen().is_terminal else 160)
    head = {"suite": table.value, "title": chosen.title}
    if plan:
        rows = planned(chosen, presets, settings)
        if json_:
            say_json(json.dumps(head | {"rows": plan_document(rows)}))
        else:
            print_plan(chosen, rows, console)
        return
    code, found = results(chosen, presets, settings)
    files = write_figures(table.value, found, folder) if chosen.has_figure else []
    if json_:
        runs = [str(folder / report.run.name) for ours in found for report in ours.reports]
        document = {"exit_code": code, "runs": runs, "rows": results_document(chosen, found), "files": files}
        say_json(json.dumps(head | document))
    else:
        print_results(chosen, found, console)
        for file in files:
            say(file)
    raise typer.Exit(code)
