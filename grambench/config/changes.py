"""What differs between two specifications, or any two JSON values."""

import json
from typing import Any


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """`name: A, now B` for every leaf that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys((*before, *now))
        parts = [differences(before.get(k), now.get(k), f"{name}.{k}" if name else str(k)) for k in keys]
        return [line for part in parts for line in part]
    return [] if before == now else [f"{name}: {json.dumps(before)}, now {json.dumps(now)}"]
