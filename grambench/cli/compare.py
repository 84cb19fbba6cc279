"""`grambench compare` and `merge`: several runs beside each other, or as one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grambench.cli.complete import run_names
from grambench.cli.fail_on import FailOnOption
from grambench.cli.options import JsonOption
from grambench.cli.output import say_json
from grambench.cli.run import OutOption

if TYPE_CHECKING:
    from grambench.reports.comparable import Source

RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN",
        help="Names or folders of runs, `last`, or report.json files.",
        autocompletion=run_names,
    ),
]


def compare(
    runs: RunsArgument,
    across_hardware: Annotated[
        bool,
        typer.Option(
            "--across-hardware", help="Allow other hardware and versions: only scores compare then."
        ),
    ] = False,
    fail_on: FailOnOption = None,
    json_: JsonOption = False,
    out: OutOption = Path("runs"),
) -> None:
    """Compare the trials of two or more runs: what has changed since the first.

    --fail-on also knows change.samples_per_s.LABEL (a ratio) and change.auc.LABEL (a difference) of each
    later run.
    """
    from grambench.cli.compare_tables import print_compared
    from grambench.cli.fail_on import exit_if_any_holds, parsed
    from grambench.cli.screen import wide_screen
    from grambench.reports.compare import changes_by_name, compare_runs
    from grambench.reports.namespace import numbers_of

    conditions, sources = parsed(fail_on), _sources(runs, out)
    compared = compare_runs(sources, across_hardware=across_hardware)
    if json_:
        say_json(compared.model_dump_json(indent=2))
    else:
        print_compared(compared, wide_screen())
    checked = []
    for source in sources[1:]:
        (numbers, reasons), (changes, why) = numbers_of(source.report), changes_by_name(compared, source.name)
        checked.append((source.name if len(sources) > 2 else "", numbers | changes, reasons | why))
    exit_if_any_holds(conditions, checked)


def merge(
    runs: RunsArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the JSON document here.")
    ] = None,
    json_: JsonOption = False,
    folder: Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder that holds the runs.")] = Path(
        "runs"
    ),
) -> None:
    """Compare trials over several runs of the same settings, also of other machines.

    Pairs stay within a run. The same seed in two runs is two processes, but one seed.
    """
    from grambench.cli.compare_tables import print_merged
    from grambench.cli.screen import wide_screen
    from grambench.errors import MachineError
    from grambench.fs import write_atomic
    from grambench.reports.merge import merge_runs

    merged = merge_runs(_sources(runs, folder))
    text = merged.model_dump_json(indent=2)
    if json_:
        say_json(text)
    else:
        print_merged(merged, wide_screen())
    if out is not None:
        try:
            write_atomic(out, f"{text}\n")
        except OSError as error:
            raise MachineError(
                f"{out} cannot be written: {error.strerror or error}.", "Choose another file with --out."
            ) from error


def _sources(asked: list[str], out: Path) -> "list[Source]":
    """The report of each run, built anew from its logs, or read from a file."""
    from grambench.cli.report import report_of
    from grambench.reports.comparable import named_sources

    return named_sources([(word, report_of(word, out)[0]) for word in asked])
