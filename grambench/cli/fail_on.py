"""`--fail-on`: conditions on a report's numbers, for CI."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grambench.cli.output import say

if TYPE_CHECKING:
    from grambench.analysis.conditions import Condition
    from grambench.config.spec import Spec

FailOnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="CONDITION",
        help="Exit with code 6 if this holds, such as 'speedup.gram-1e < 5'; may be repeated.",
    ),
]


def parsed(texts: list[str] | None) -> "list[tuple[str, Condition]]":
    """Each condition behind its text.

    Raises:
        ConfigError: a text is not a condition.
    """
    from grambench.analysis.conditions import parse

    return [(text, parse(text)) for text in texts or ()]


def require_names(conditions: "Sequence[tuple[str, Condition]]", spec: "Spec") -> None:
    """Refuse a name that the report of a run will not have, before it begins.

    Raises:
        ConfigError: names it, and near ones.
    """
    if not conditions:
        return
    from grambench.analysis.conditions import require_known
    from grambench.reports.namespace import names_of

    names = names_of(entry.label for entry in spec.entries)
    for _, condition in conditions:
        require_known(condition, names)


def exit_if_any_holds(
    conditions: "Sequence[tuple[str, Condition]]",
    reports: Iterable[tuple[str, Mapping[str, Any], Mapping[str, str]]],
) -> None:
    """Print a line for each condition that holds.

    Args:
        conditions: from `parsed`.
        reports: name of a run, empty if it is the only one; its numbers by name; why some are None.

    Raises:
        ConfigError: a number is missing: what could not be checked does not pass.
        typer.Exit: a condition holds.
    """
    from grambench.analysis.conditions import evaluate
    from grambench.cli.failure import complain, wants_json
    from grambench.errors import ExitCode

    lines = []
    for run, numbers, reasons in reports:
        for text, condition in conditions:
            holds, values = evaluate(condition, numbers, reasons)
            if holds:
                lines.append(f"{run}: {text}: {_words(values)}" if run else f"{text}: {_words(values)}")
    for line in [] if wants_json() else lines:
        say(line, err=True)
    if lines:
        if wants_json():
            complain("; ".join(lines), code=ExitCode.GATE)
        raise typer.Exit(int(ExitCode.GATE))


def _words(values: Mapping[str, float]) -> str:
    if len(values) == 1:
        return f"it is {next(iter(values.values())):.4g}"
    return ", ".join(f"{name} is {value:.4g}" for name, value in values.items())
