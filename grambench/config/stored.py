"""The specification that a run folder holds, also one that an earlier version of grambench wrote."""

import json
from collections.abc import Mapping
from typing import Any

from grambench.config.spec import Spec

_BEFORE: dict[str, dict[str, Any]] = {"multi_step": {"auto_measure": "norm"}}
"""Table -> field that earlier versions did not have -> what they did, where today's default is another."""


def stored_spec(tables: Mapping[str, Any]) -> Spec:
    """The specification as the version acted by it that wrote it.

    Raises:
        ValueError: it has fields or values that this version does not know.
    """
    filled = dict(tables)
    for name, earlier in _BEFORE.items():
        if isinstance(filled.get(name), dict):
            filled[name] = {**earlier, **filled[name]}
    return Spec.model_validate_json(json.dumps(filled))
