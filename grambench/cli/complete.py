"""What the shell completes: presets, runs, strategies, schedules and settings.

The functions get the word so far, which typer compares with what they give. They never raise: where something
is damaged or missing there is nothing to complete.
"""

from collections.abc import Iterator
from pathlib import Path

from typer import Context

_RUNS = 100
"""Newest runs that are offered."""


def run_names(ctx: Context, incomplete: str) -> list[str]:
    """`last`, and the newest runs of `--out`."""
    from grambench.errors import GrambenchError
    from grambench.runner.rundir import list_runs

    try:
        found = list_runs(Path(ctx.params.get("out") or "runs"), incomplete)
    except GrambenchError:
        found = []
    return ["last", *(folder.name for folder in found[: -_RUNS - 1 : -1])]


def presets() -> list[str]:
    """The presets that come with grambench."""
    from grambench.config.presets import preset_names

    return preset_names()


def strategies(incomplete: str) -> list[tuple[str, str]]:
    """Strategies with their meanings, after those that the list already has."""
    listed, comma, _ = incomplete.rpartition(",")
    taken = listed.split(",")
    return [(f"{listed}{comma}{name}", meaning) for name, meaning in _strategies() if name not in taken]


def _strategies() -> Iterator[tuple[str, str]]:
    from grambench.config.plugins import plugin_names
    from grambench.config.strategies import ROWS

    for row in ROWS:
        yield from ((name, row.meaning) for name in row.examples or (row.name,))
    yield from ((name, "from a plug-in") for name in plugin_names())


def schedules() -> list[str]:
    """The values of the setting `schedule`."""
    from typing import get_args

    from grambench.config.spec import Spec

    return list(get_args(Spec.model_fields["schedule"].annotation))


def devices() -> list[str]:
    """The common values of the setting `device`."""
    return ["auto", "cpu", "cuda", "cuda:0"]


def exports() -> list[str]:
    """Destinations of `grambench export`."""
    from grambench.cli.export_predictions import NAME
    from grambench.export.destinations import MODEL, trackers

    return [*trackers(), NAME, MODEL]


def log_targets() -> list[str]:
    """The beginnings of `--log-to`."""
    from grambench.export.destinations import trackers

    return [f"{name}:" for name in trackers()]


def keys() -> list[tuple[str, str]]:
    """Every setting as `table.key=`, with its meaning."""
    from grambench.config.spec import Spec
    from grambench.config.table import meanings

    return [(f"{key}=", meaning) for key, meaning in meanings(Spec)]
