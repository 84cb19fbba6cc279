"""`[[trials]]`: the trials of a run, each with its own label and settings."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from grambench.config.reads import is_read
from grambench.config.refusals import refusal
from grambench.config.table import Table, setting_names
from grambench.config.trial_name import NULL

if TYPE_CHECKING:
    from grambench.config.spec import Spec

LONGEST_LABEL = 24
_LABEL = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_LABEL - 1}}}")
_RESERVED = "setup"
MAY_DIFFER: dict[str, tuple[str, ...] | None] = {
    "encoder": (
        "adapt",
        "cache",
        "cache_gib",
        "freeze.layers",
        "lora.rank",
        "lora.alpha",
        "lora.scaling",
        "lora.targets",
        "lora.frozen_layers",
        "side.layers",
        "side.pool",
        "side.width",
    ),
    "encoder_optimizer": None,
    "filter_optimizer": None,
    "multi_step": None,
    "gram_auto": None,
    "speedyfeed": None,
    "crcf": None,
    "nocontent": None,
    "nofinetune": None,
    "training": ("epochs", "batch_size", "patience", "micro_batch", "encoder_chunk", "free_rows"),
}
"""Table -> the settings that may differ between the trials of a run; None: all of them.

They define how a trial is trained. All trials of a run share data, splits, model, evaluation and engine, and
are therefore comparable.
"""


class TrialEntry(Table):
    """One `[[trials]]` entry."""

    label: str = ""
    """Label of the trial, up to 24 letters, digits, `.`, `_` and `-`; default: the strategy's name."""
    strategy: str
    """As in `training.strategies`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Dotted key -> value that overrides the run's; in a preset written as `encoder_optimizer.lr = 3e-4`."""

    @model_validator(mode="before")
    @classmethod
    def _collected(cls, written: Any) -> Any:
        """Collect all tables except label and strategy into `settings`."""
        if not isinstance(written, dict):
            return written
        known = {name: written[name] for name in ("label", "strategy") if name in written}
        settings = {name: value for name, value in written.items() if name not in cls.model_fields}
        nested = written.get("settings", {})
        if not isinstance(nested, Mapping):
            return written
        strategy = known.get("strategy")
        label = known.get("label") or (strategy if isinstance(strategy, str) else "")
        return {**known, "label": label, "settings": dict(_flat({**settings, **nested}))}

    @model_validator(mode="after")
    def _safe_label(self) -> "TrialEntry":
        if self.label == self.strategy:
            return self
        if not _LABEL.fullmatch(self.label):
            raise ValueError(
                f"{self.label!r} cannot be a label, which names a folder; use up to 24 letters, digits, '.',"
                " '_' and '-', a letter or digit first"
            )
        if self.label.startswith(NULL) or self.label == _RESERVED:
            raise ValueError(f"the label {self.label!r} is reserved; choose another label")
        return self

    def table(self) -> dict[str, Any]:
        """The entry as written in a preset."""
        return {"label": self.label, "strategy": self.strategy, **self.settings}


def own_tables(entry: TrialEntry, tables: Mapping[str, Any]) -> dict[str, BaseModel]:
    """The tables that an entry changes, with its settings applied.

    Args:
        entry: already checked by `require_settings`.
        tables: the run's tables, by name.

    Raises:
        ValueError: invalid value of a setting.
    """
    changes: dict[str, dict[str, Any]] = {}
    for key, value in entry.settings.items():
        table, *path = key.split(".")
        values = changes.setdefault(table, tables[table].model_dump())
        for part in path[:-1]:
            values = values[part]
        values[path[-1]] = value
    return {table: _changed(entry, table, type(tables[table]), values) for table, values in changes.items()}


def _changed(entry: TrialEntry, table: str, model: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem, *others = error.errors()
        place = (table, *map(str, problem["loc"]))
        own = (key for key in entry.settings if place[: key.count(".") + 1] == tuple(key.split(".")))
        key = next(own, ".".join(place[:2]))
        depth = key.count(".")
        name = problem["loc"][:depth]
        why = refusal([problem, *(other for other in others if other["loc"][:depth] == name)])
        raise ValueError(f"{entry.label}: {key}: {why}") from error


def require_settings(entry: TrialEntry, run: type[BaseModel], tables: Mapping[str, Any]) -> None:
    """Reject settings that are unknown, shared by all trials of a run, or invalid.

    Args:
        entry: an entry of `[[trials]]`.
        run: the model of the whole specification.
        tables: the run's tables, by name.

    Raises:
        ValueError: names the first such setting; for an unknown key also the closest match.
    """
    for key in entry.settings:
        if words := why_not_own(key, run, tables):
            raise ValueError(f"{entry.label}: {words}")
    own_tables(entry, tables)


def why_not_own(key: str, run: type[BaseModel], tables: Mapping[str, Any]) -> str:
    """Why a setting may not differ between trials, as for an unknown one; empty: it may."""
    allowed = [
        f"{table}.{name}"
        for table, names in MAY_DIFFER.items()
        for name in names or setting_names(type(tables[table]))
    ]
    if key in allowed:
        return ""
    if _is_setting(run, key, tables):
        return (
            f"{key} may not differ between the trials of a run, which share data, model, evaluation and"
            " engine; set it for the whole run"
        )
    near = difflib.get_close_matches(key, [*allowed, *TrialEntry.model_fields], n=1)
    meant = f"did you mean {near[0]!r}" if near else "write table.key, such as encoder_optimizer.lr"
    return f"there is no setting {key!r}; {meant}"


def require_read(entry: TrialEntry, spec: "Spec") -> None:
    """Refuse settings that would change nothing in a trial.

    Args:
        entry: an entry of `[[trials]]`.
        spec: the run's, with the entry's own settings.

    Raises:
        ValueError: the first of them.
    """
    for key in entry.settings:
        if not is_read(spec, key, (entry.strategy,)):
            table, kind, *name = key.split(".")
            fix = f"set encoder.adapt={kind} beside it" if table == "encoder" and name else "remove it"
            raise ValueError(f"{entry.label}: {key} has no effect on this trial of {entry.strategy}; {fix}")


def require_distinct(entries: Sequence[TrialEntry]) -> None:
    """Reject labels that would share a folder, also on case-insensitive file systems.

    Raises:
        ValueError: two trials have the same label.
    """
    seen: dict[str, str] = {}
    for entry in entries:
        if entry.label.lower() in seen:
            raise ValueError(f"two trials are called {entry.label!r}; give each its own label")
        seen[entry.label.lower()] = entry.label


def _is_setting(run: type[BaseModel], key: str, tables: Mapping[str, Any]) -> bool:
    table, _, name = key.partition(".")
    return name in type(tables[table]).model_fields if table in MAY_DIFFER else table in run.model_fields


def _flat(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten nested tables to dotted keys; lists, as kept in JSON, to tuples."""
    for name, value in tables.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", tuple(value) if isinstance(value, list) else value
