"""Recognise the data in a folder by its files' names and headers."""

from dataclasses import dataclass
from pathlib import Path

from grambench.domains.base import Source
from grambench.domains.registry import PACKAGES, domain_of
from grambench.errors import ConfigError, DataError
from grambench.text import safe_text

_SHOWN = 5
"""Names of files that are listed if none is known."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """Data of a known format."""

    domain: str
    source: str
    """`data.source`."""
    holds: str
    """Description of the folder's content."""
    settings: tuple[str, ...]
    """Assignments that select it, such as `data.source=mind`."""


def recognise(folder: Path) -> Recognised:
    """The data that a folder holds.

    Raises:
        DataError: there is no such folder.
        ConfigError: it holds data of no known format, or of several.
    """
    if not folder.is_dir():
        raise DataError(f"The data folder {folder} does not exist.", "Name the folder that holds your data.")
    found = candidates(folder)
    if len(found) == 1:
        return found[0]
    if found:
        named = " and ".join(f"{one.source} ({', '.join(one.settings[1:]) or one.holds})" for one in found)
        fixes = " or ".join(f"`--set {one.settings[-1]}`" for one in found)
        raise ConfigError(f"{folder} holds data of several formats: {named}.", f"Choose one with {fixes}.")
    known = "; ".join(f"{name}: {source.holds}" for _, name, source in _sources())
    others = sorted(path.name for path in folder.iterdir())
    names = f", only {', '.join(map(safe_text, others[:_SHOWN]))}" if others else ""
    raise ConfigError(
        f"{folder} holds no data of a known format{names}{', …' if len(others) > _SHOWN else ''}.",
        f"It may hold one of these: {known}.",
    )


def candidates(folder: Path) -> list[Recognised]:
    """All data that a folder holds."""
    return [
        Recognised(domain, name, source.holds, tuple(filter(None, (f"data.source={name}", setting))))
        for domain, name, source in _sources()
        for setting in source.recognised(folder)
    ]


def _sources() -> list[tuple[str, str, Source]]:
    """Domain, name and row of every source that is not generated."""
    return [
        (domain, name, source)
        for domain in PACKAGES
        for name, source in domain_of(domain).sources.items()
        if source.generate is None
    ]
