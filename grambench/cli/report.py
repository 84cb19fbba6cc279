"""`grambench report`: a run's report, built anew from its logs."""

from pathlib import Path
from typing import Annotated

import typer

from grambench.cli.fail_on import FailOnOption
from grambench.cli.output import say, say_json
from grambench.cli.run import OutOption
from grambench.cli.runs import RunArgument
from grambench.reports.render.renderings import names, rendering


def report(
    run: RunArgument = "last",
    format_: Annotated[
        str,
        typer.Option("--format", metavar="|".join(names()), help="How it is printed.", autocompletion=names),
    ] = "json",
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema and stop.")] = False,
    fail_on: FailOnOption = None,
    out: OutOption = Path("runs"),
) -> None:
    """Print a run's report to stdout, and write its report.json."""
    import json

    from grambench.cli.fail_on import exit_if_any_holds, parsed
    from grambench.reports.build import build_report, write_report
    from grambench.reports.namespace import numbers_of
    from grambench.reports.schema import json_schema
    from grambench.runner.rundir import find_run

    form = rendering(format_)
    if schema:
        say_json(json.dumps(json_schema(), indent=1))
        return
    conditions = parsed(fail_on)
    folder = find_run(run, out)
    built = build_report(folder)
    try:
        write_report(folder)
    except OSError as error:
        say(f"grambench: report.json could not be written: {error.strerror or error}.", err=True)
    text = form.load()(built)
    if format_ == "json":
        say_json(text)
    else:
        say(text, nl=not text.endswith("\n"))
    exit_if_any_holds(conditions, [("", *numbers_of(built))])
