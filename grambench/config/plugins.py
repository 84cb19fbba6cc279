"""Strategies from other packages: entry points of the group `grambench.strategies`.

An entry point is named after its strategy and refers to a `StrategyRow`. Entry points are read only when a
name is not a built-in strategy.
"""

import re
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from grambench.config.strategies import StrategyRow

GROUP = "grambench.strategies"
_NAME = re.compile(r"(?!null-)[a-z][a-z0-9-]{0,39}")
"""Names that are safe within a trial's folder name."""


def plugin_names() -> list[str]:
    """The strategies that installed packages provide."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


@cache
def plugin_row(name: str) -> StrategyRow | None:
    """The row of a plug-in's strategy; None if no installed package provides it.

    Raises:
        ValueError: the strategy cannot be used; the message gives the reason.
    """
    entries = list(entry_points(group=GROUP, name=name))
    if not entries:
        return None
    packages = [_package(entry) for entry in entries]
    if len(entries) > 1:
        raise ValueError(f"strategy {name!r} is in {' and in '.join(packages)}; uninstall all but one")
    strategy = f"strategy {name!r} of the plug-in {packages[0]}"
    if not _NAME.fullmatch(name):
        raise ValueError(f"{strategy} has a name that is not 1 to 40 lower-case letters, digits and hyphens")
    try:
        row = entries[0].load()
    except Exception as error:  # another package's code can raise anything
        reason = f"{strategy} cannot be loaded: {type(error).__name__}: {error}"
        raise ValueError(f"{reason}; reinstall the plug-in or remove it") from error
    if not isinstance(row, StrategyRow) or row.name != name or not row.factory:
        problem = f"{entries[0].value} is not a StrategyRow of this name with a factory"
        raise ValueError(f"{strategy} is broken: {problem}")
    return replace(row, package=packages[0])


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value
