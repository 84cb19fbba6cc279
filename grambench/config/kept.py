"""Specifications that earlier versions of grambench have written into run folders and checkpoints."""

import json
from collections.abc import Mapping
from typing import Any

from grambench.config.spec import Spec


def read_kept(written: Mapping[str, Any]) -> Spec:
    """The specification of a run folder or a checkpoint, JSON values.

    Settings that the writing version did not have get the values with which this version trains as that one
    did, which are not always today's defaults.

    Raises:
        ValueError: it is not a specification, or a newer one.
    """
    tables = {**_as_before(written), **written}
    tables["speedyfeed"] = {"draw": "item", "expiry": 20, **written.get("speedyfeed", {})}
    return Spec.model_validate_json(json.dumps(tables))


def _as_before(written: Mapping[str, Any]) -> dict[str, Any]:
    """Tables that version 0.1 did not have, with what it did instead."""
    before: dict[str, Any] = {"crcf": {"start": "random"}, "nofinetune": {"pooling": "untrained"}}
    if "filter_optimizer" in written:  # free vectors had its rates
        before |= dict.fromkeys(("crcf_optimizer", "nocontent_optimizer"), written["filter_optimizer"])
    return before
