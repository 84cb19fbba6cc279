"""`[tune]`: the settings that `grambench tune` varies, and where it looks."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from grambench.config.table import Rate, Table


class Range(Table):
    """From `low` to `high`, evenly on a logarithmic scale."""

    low: Rate
    """Smallest value."""
    high: Rate
    """Largest value."""
    relative: bool = False
    """Both are factors of the run's own value."""

    @model_validator(mode="after")
    def _not_empty(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        return self


Choices = tuple[bool | int | float | str, ...]


class Tune(Table):
    """What `grambench tune` varies."""

    space: dict[str, Range | Choices] = Field(default_factory=dict)
    """Dotted setting -> `{ low, high }`, with `relative = true` as factors of the run's own value, or a list
    of choices; in a preset written as `encoder_optimizer.lr = { low = 1e-5, high = 3e-3 }`. Unset: learning
    rates."""

    @model_validator(mode="before")
    @classmethod
    def _collected(cls, written: Any) -> Any:
        """Collect the tables of settings into `space`."""
        if not isinstance(written, Mapping):
            return written
        nested = written.get("space", {})
        if not isinstance(nested, Mapping):
            return written
        tables = {name: table for name, table in written.items() if name != "space"}
        return {"space": {**dict(_flat(nested)), **dict(_flat(tables))}}

    @field_validator("space")
    @classmethod
    def _choices_differ(cls, space: dict[str, Range | Choices]) -> dict[str, Range | Choices]:
        for key, values in space.items():
            if isinstance(values, tuple) and len(set(values)) < max(2, len(values)):
                raise ValueError(f"{key} needs two or more choices, each given once")
        return space


def _flat(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted setting -> its range or choices."""
    for name, value in tables.items():
        known = Range.model_fields.keys()
        if not isinstance(value, Mapping) or not value.keys().isdisjoint(known):
            if isinstance(value, Mapping) and (other := value.keys() - known):
                raise ValueError(f"{prefix}{name} is a range of {', '.join(known)}, not {min(other)!r}")
            yield f"{prefix}{name}", tuple(value) if isinstance(value, list) else value
        else:
            yield from _flat(value, f"{prefix}{name}.")


DEFAULT_SPACE: dict[str, Range] = {
    "encoder_optimizer.lr": Range(low=0.1, high=30, relative=True),
    "filter_optimizer.lr": Range(low=0.125, high=8, relative=True),
    "multi_step.table_lr": Range(low=0.125, high=8, relative=True),
    "multi_step.relative_lr": Range(low=0.125, high=8, relative=True),
    "nocontent.optimizer.lr": Range(low=0.125, high=8, relative=True),
    "crcf.optimizer.lr": Range(low=0.125, high=8, relative=True),
}
"""Learning rates. The encoder's range also holds those of adapters and side networks, which want 5 to 20
times the rate of full fine-tuning."""
