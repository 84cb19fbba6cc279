"""`grambench report`: reports of runs, built anew from their logs, in every form."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grambench.cli.complete import run_names
from grambench.cli.fail_on import FailOnOption
from grambench.cli.output import say, say_json
from grambench.cli.run import OutOption
from grambench.errors import ConfigError, MachineError
from grambench.reports.render.renderings import Rendering, names, rendering

if TYPE_CHECKING:
    from grambench.reports.schema import Report


def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Names or folders of runs, `last` (the default), or report.json files.",
            autocompletion=run_names,
        ),
    ] = None,
    format_: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help=f"{', '.join(names())}.", autocompletion=names),
    ] = "json",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="File to write instead of stdout; of svg and png a folder."
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show the HTML page in the browser.")] = False,
    figure: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this figure, of html, svg and png.")
    ] = None,
    co2_per_kwh: Annotated[
        float | None,
        typer.Option(metavar="GRAMS", min=0, help="Add CO2e by your factor, where energy was measured."),
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema and stop.")] = False,
    fail_on: FailOnOption = None,
    out: OutOption = Path("runs"),
) -> None:
    """Print reports of runs, and write each run's report.json (docs/reports.md)."""
    import json

    from grambench.cli.fail_on import exit_if_any_holds, parsed
    from grambench.reports.namespace import numbers_of
    from grambench.reports.render.options import Options
    from grambench.reports.schema import json_schema

    form = rendering(format_)
    if schema:
        say_json(json.dumps(json_schema(), indent=1))
        return
    conditions = parsed(fail_on)
    _require_sense(form, open_=open_, co2=co2_per_kwh is not None)
    found = [report_of(word, out) for word in runs or ["last"]]
    for _, folder in found:
        _write_json(folder)
    reports = [each for each, _ in found]
    made = form.load()(reports, Options(co2_per_kwh, figure))
    beside = found[0][1] if len(found) == 1 else None
    if isinstance(made, str):
        _write_text(made, _page(form, output, beside) if open_ else output, form)
    else:
        _write_files(made, output, beside, single=figure is not None)
    if open_:
        _open(_page(form, output, beside))
    exit_if_any_holds(
        conditions,
        [(each.run.name if len(reports) > 1 else "", *numbers_of(each)) for each in reports],
    )


def report_of(word: str, out: Path) -> "tuple[Report, Path | None]":
    """The report of a run, built anew from its logs, and the run's folder; or that of a file, and None."""
    from grambench.reports.build import build_report
    from grambench.reports.read import read_report
    from grambench.runner.rundir import find_run

    path = Path(word).expanduser()
    if path.is_file():
        return read_report(path), None
    folder = find_run(word, out)
    return build_report(folder), folder


def _require_sense(form: Rendering, *, open_: bool, co2: bool) -> None:
    if open_ and form.name != "html":
        raise ConfigError("--open shows the HTML page.", "Add --format html.")
    if co2 and not form.has_co2:
        others = ", ".join(row for row in names() if rendering(row).has_co2)
        raise ConfigError(f"The format {form.name} has no CO2e.", f"Use one of {others}.")


def _write_json(folder: Path | None) -> None:
    from grambench.reports.build import write_report

    try:
        if folder is not None:
            write_report(folder)
    except OSError as error:
        say(f"report.json could not be written: {error.strerror or error}", err=True)


def _page(form: Rendering, output: Path | None, beside: Path | None) -> Path:
    """The file that a browser opens."""
    if output is None and beside is None:
        raise ConfigError("The page of several runs, or of a file, needs a name.", "Give it with --output.")
    path = output or Path(beside or "") / f"report.{form.suffix}"
    return path / f"report.{form.suffix}" if path.is_dir() else path


def _write_text(text: str, output: Path | None, form: Rendering) -> None:
    if output is None:
        say(text, nl=not text.endswith("\n"))
    else:
        _write(_page(form, output, None), text)


def _write_files(
    files: Mapping[str, bytes | str], output: Path | None, beside: Path | None, *, single: bool
) -> None:
    """Into a folder, by default `figures` in that of the run; a single one to a file or to stdout."""
    first, single = next(iter(files.values())), single and len(files) == 1
    if single and output is None and not sys.stdout.isatty():
        typer.echo(first, nl=False)
    elif single and output is not None and output.suffix:
        _write(output, first)
    elif output is None and beside is None:
        raise ConfigError("Figures of several runs, or of a file, need a folder.", "Give it with --output.")
    else:
        for name, content in files.items():
            if isinstance(content, str):
                say(f"{name}: {content}", err=True)
            else:
                _write((output or Path(beside or "") / "figures") / name, content)


def _write(path: Path, content: str | bytes) -> None:
    from grambench.fs import write_atomic

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    except OSError as error:
        raise MachineError(
            f"{path} cannot be written: {error.strerror or error}.", "Choose another place with --output."
        ) from error
    say(f"Written: {path}", err=True)


def _open(path: Path) -> None:
    """In the browser, if there is a display; the path has been printed."""
    import os
    import webbrowser

    has_display = sys.platform != "linux" or any(
        map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    )
    if not has_display or not webbrowser.open(path.resolve().as_uri()):
        say(f"No browser could be opened: open {path.resolve()} yourself.", err=True)
