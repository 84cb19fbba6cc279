"""Events of `encoder.adapt`: what is frozen is computed once."""

from dataclasses import dataclass
from typing import ClassVar

from grambench.events.types.base import Event


@dataclass(frozen=True, slots=True)
class StatesCached(Event):
    """States of the encoder's frozen part, of all items, are at hand."""

    type: ClassVar[str] = "states_cached"
    items: int
    rows: int
    """Tokens of all items; beneath a side network, the items."""
    features: int
    """Numbers in a row."""
    bytes: int
    dtype: str
    on_device: bool
    """They lie on the device; else in a mapped file."""
    seconds: float
    """Seconds that computing them took; the trial's clock starts from there."""
    built: bool
    """This trial computed them; else an earlier one of the run."""
