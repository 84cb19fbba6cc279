"""Well-typed events with values that no run has ever written."""

import dataclasses
import random
import types
from typing import Any, Literal, Union, get_args, get_origin

from grambench.events.codec import REGISTRY
from grambench.events.types import Event

NAMES = ("e2e.s0", "gram-1s.s0", "null-e2e.s0", "setup", "", "gram-1t.s0", "../x.s1", "e2e.sx", "\ud800")
FLOATS = (0.0, -1.0, 1.0, 1e-300, 1e100, -1e100, 3, 2**62, 0.5)
INTS = (0, 1, -1, 7, 10, 2**63 - 1, -(2**63) + 1)


def random_event(rng: random.Random) -> Event:
    """Any event."""
    cls = rng.choice(sorted(REGISTRY.values(), key=lambda cls: cls.type))
    return cls(**{f.name: _value(rng, f.name, f.type) for f in dataclasses.fields(cls)})


def _value(rng: random.Random, name: str, annotation: Any) -> Any:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType, Literal):
        chosen = rng.choice(parts)
        return chosen if origin is Literal else _value(rng, name, chosen)
    if origin is list:
        return [_value(rng, name, parts[0]) for _ in range(rng.randrange(4))]
    if origin is dict:
        keys = rng.sample(("auc", "mrr", "seconds", "why", "memory_used_bytes", "encoder.precision"), 2)
        return {key: _value(rng, key, parts[1]) for key in keys}
    simple = {float: FLOATS, int: INTS, bool: (True, False), types.NoneType: (None,), str: NAMES}
    if annotation is Any:
        return rng.choice((None, 1e100, 7, "text", [1, "x"], {"a": None}))
    return rng.choice(simple[types.NoneType if annotation is None else annotation])
