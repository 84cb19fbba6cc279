"""Specifications that earlier versions of grambench have written into run folders and checkpoints."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from grambench.config.renamed import with_new_names
from grambench.config.spec import Spec
from grambench.errors import ConfigError

_SETTINGS_BEFORE: dict[str, dict[str, Any]] = {
    "data": {"repeated_answers": "keep", "column_names": "exact"},
    "encoder": {"layout": "buckets"},
    "engine": {"graphs": "off"},
    "gram_auto": {"measure": "norm"},
    "speedyfeed": {"draw": "item", "expiry": 20},
    "crcf": {"start": "random"},
    "nofinetune": {"pooling": "untrained"},
    "training": {"order": "same"},
    "filter": {"lstm": {"masks": "torch"}},
}
"""Table -> settings that version 0.1 did not have or whose default was another, with what it did."""
_FREE_VECTORS = ("crcf", "nocontent")
"""Tables whose `optimizer` version 0.1 did not have: `filter_optimizer` trained the free item vectors."""


def read_kept(written: Mapping[str, Any]) -> Spec:
    """Build the specification of a run folder or a checkpoint from its JSON values.

    Settings that the writing version did not have get the values with which this version trains as that one
    did, which are not always today's defaults.

    Raises:
        ValueError: it is not a specification, or a newer one.
        ConfigError: a strategy is not known here, as without its plug-in.
    """
    tables, _ = with_new_names(written)
    tables = _completed(tables, _SETTINGS_BEFORE)
    if "filter_optimizer" in tables:
        for table in _FREE_VECTORS:
            tables[table] = {"optimizer": tables["filter_optimizer"], **tables.get(table, {})}
    try:
        return Spec.model_validate_json(json.dumps(tables))
    except ValidationError as error:
        problem = error.errors()[0]
        if problem["loc"][:2] != ("training", "strategies") or problem["type"] != "value_error":
            raise
        raise ConfigError(
            f"The run cannot be resumed: {problem['msg'].removeprefix('Value error, ')}.",
            "Install the plug-ins that the run was started with.",
        ) from error


def _completed(written: Any, before: Any) -> Any:
    """What was written, with settings that it lacks from `before`."""
    if not isinstance(before, dict):
        return written
    return {**before, **{name: _completed(value, before.get(name)) for name, value in written.items()}}


def as_kept(asked: Any, kept: Any, written: Any, default: Any = None) -> Any:
    """The specification asked for, with settings newer than a kept run at the values which train as it did.

    Args:
        asked: what today's command line asks for, JSON values.
        kept: the run's specification as `read_kept` reads it, JSON values.
        written: as its version wrote it, under today's names.
        default: today's defaults.
    """
    if default is None:
        default = Spec().model_dump(mode="json")
    if not isinstance(asked, dict):
        return written if asked == f"own-or-{written}" else asked  # a pooling that 0.1 could not leave open
    found = {}
    for name, value in asked.items():
        if isinstance(kept, Mapping) and name in kept and isinstance(default, Mapping) and name in default:
            if isinstance(written, Mapping) and name in written:
                value = as_kept(value, kept[name], written[name], default[name])
            elif value == default[name]:
                value = kept[name]
        found[name] = value
    return found
