"""Digests of specifications, and the differences between two specifications or other JSON values."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def spec_digest(spec: Mapping[str, Any]) -> str:
    """Hex SHA-256 of the canonical JSON of a specification as its version of grambench wrote it."""
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """`name: A, now B` for every leaf that differs."""
    if _labels(before) == _labels(now) != []:
        before, now = ({row["label"]: row for row in rows} for rows in (before, now))
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys((*before, *now))
        parts = [differences(before.get(k), now.get(k), f"{name}.{k}" if name else str(k)) for k in keys]
        return [line for part in parts for line in part]
    return [] if before == now else [f"{name}: {json.dumps(before)}, now {json.dumps(now)}"]


def _labels(value: Any) -> list[str]:
    """Labels of a specification's trials; empty if the value is something else."""
    rows = value if isinstance(value, list) else []
    return [row["label"] for row in rows if isinstance(row, dict) and "label" in row]
