"""Settings whose names have changed: the old ones are read until version 0.3."""

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "filter.heads": "filter.nrms.heads",
    "filter.query": "filter.nrms.query",
    "filter.layers": "filter.lstm.layers",
    "filter.dropout": "filter.lstm.dropout",
    "data.track": "data.duolingo.track",
    "multi_step.auto_measure": "gram_auto.measure",
    "multi_step.auto_drift": "gram_auto.drift",
    "multi_step.auto_floor": "gram_auto.floor",
    "multi_step.auto_ceiling": "gram_auto.ceiling",
    "multi_step.pull": "crcf.pull",
    "crcf_optimizer": "crcf.optimizer",
    "nocontent_optimizer": "nocontent.optimizer",
}
"""Old dotted key, of a setting or a table -> new."""


def new_key(key: str) -> str:
    """Today's name of a dotted key."""
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return key


def with_new_names(tables: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Tables with today's names, and the old names that they had -> the new ones.

    Raises:
        ValueError: a setting is given under both names.
    """
    renamed = {name: dict(table) if isinstance(table, Mapping) else table for name, table in tables.items()}
    used: dict[str, str] = {}
    for old, new in RENAMED.items():
        if not _holds(renamed, old):
            continue
        if _holds(renamed, new):
            raise ValueError(f"{old} and {new} are the same setting, and both are given; keep {new}")
        _put(renamed, new, _taken(renamed, old))
        used[old] = new
    for i, trial in enumerate(renamed.get("trials") or ()):
        if isinstance(trial, Mapping):
            renamed["trials"] = [*renamed["trials"][:i], _trial(trial, used), *renamed["trials"][i + 1 :]]
    return renamed, used


def _trial(trial: Mapping[str, Any], used: dict[str, str]) -> dict[str, Any]:
    """An entry of `[[trials]]`, whose settings stand in tables of its own or as dotted keys."""
    renamed, names = with_new_names(trial)
    used |= names
    settings = renamed.get("settings")
    if isinstance(settings, Mapping):
        used |= {key: new_key(key) for key in settings if new_key(key) != key}
        renamed["settings"] = {new_key(key): value for key, value in settings.items()}
    return renamed


def _holds(tables: Mapping[str, Any], key: str) -> bool:
    table, _, rest = key.partition(".")
    if table not in tables:
        return False
    return not rest or (isinstance(tables[table], Mapping) and _holds(tables[table], rest))


def _taken(tables: dict[str, Any], key: str) -> Any:
    """The value of a key of at most two parts, which is then no longer there; nor is a table left empty."""
    table, _, name = key.partition(".")
    value = tables[table].pop(name) if name else tables.pop(table)
    if name and not tables[table]:
        del tables[table]
    return value


def _put(tables: dict[str, Any], key: str, value: Any) -> None:
    table, _, rest = key.partition(".")
    if not rest:
        tables[table] = value
        return
    inner = tables.get(table)
    tables[table] = inner = dict(inner) if isinstance(inner, Mapping) else {}
    _put(inner, rest, value)
