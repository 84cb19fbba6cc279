"""Strategies of other packages: entry points of the group `grambench.strategies`.

An entry point has the strategy's name and leads to a `StrategyRow`. They are looked for only when a name is
not one of grambench's own.
"""

import re
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from grambench.config.strategies import StrategyRow

GROUP = "grambench.strategies"
_NAME = re.compile(r"(?!null-)[a-z][a-z0-9-]{0,39}")
"""Names that are safe as a part of a trial's folder."""


def plugin_names() -> list[str]:
    """The strategies that installed packages bring."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


@cache
def plugin_row(name: str) -> StrategyRow | None:
    """The row of a plug-in's strategy; None: no installed package brings it.

    Raises:
        ValueError: it cannot be used, with the reason.
    """
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        return None
    packages = [_package(entry) for entry in found]
    if len(found) > 1:
        raise ValueError(f"strategy {name!r} is in {' and in '.join(packages)}; uninstall all but one")
    of = f"strategy {name!r} of the plug-in {packages[0]}"
    if not _NAME.fullmatch(name):
        raise ValueError(f"{of} has a name that is not 1 to 40 lower-case letters, digits and hyphens")
    try:
        row = found[0].load()
    except Exception as error:  # another package's code can raise anything
        words = f"{of} cannot be loaded: {type(error).__name__}: {error}"
        raise ValueError(f"{words}; reinstall the plug-in or remove it") from error
    if not isinstance(row, StrategyRow) or row.name != name or not row.factory:
        raise ValueError(f"{of} is broken: {found[0].value} is not a StrategyRow of this name with a factory")
    return replace(row, package=packages[0])


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value
