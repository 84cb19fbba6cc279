"""Rules for every part of a report: strict, closed, finite, and no null without a reason."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from grambench.events.series import Series

_T = TypeVar("_T")
OLDER_LOG = "an older log does not say"
OLDER_REPORT = "the report was written before this was measured"
_NO_REASONS: Mapping[str, str] = MappingProxyType({})
_SURROGATE = re.compile("[\ud800-\udfff]")


class Model(BaseModel):
    """Strict, immutable, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Section(Model):
    """A part of a report whose fields may be null; each null has its reason."""

    reasons: dict[str, str] = Field(default_factory=dict)
    """Field that is null -> why it is missing."""

    @model_validator(mode="after")
    def _nulls_have_reasons(self) -> Self:
        nulls = {name for name in type(self).model_fields if getattr(self, name) is None}
        if nulls != set(self.reasons):
            raise ValueError(f"{sorted(nulls)} are null, but reasons are given for {sorted(self.reasons)}")
        return self


_S = TypeVar("_S", bound=Section)


class Grown(Model):
    """A part to which later versions of grambench have added fields; their default is null.

    Its own fields must not be tuples: the validator turns JSON arrays into lists, refused in strict mode.
    """

    @model_validator(mode="before")
    @classmethod
    def _earlier_reports(cls, fields: Any) -> Any:
        """Fields that a report of an earlier version lacks are null, with that reason."""
        if not isinstance(fields, dict):
            return fields
        absent = [
            name for name, info in cls.model_fields.items() if name not in fields and info.default is None
        ]
        reasons = fields.get("reasons", {})
        if not absent or not isinstance(reasons, dict):
            return fields
        why = dict.fromkeys(absent, OLDER_REPORT)
        return {**fields, **dict.fromkeys(absent), "reasons": {**why, **reasons}}


class GrownSection(Section, Grown):
    """A section to which later versions of grambench have added fields."""


def build_section(
    cls: type[_S],
    *sources: object,
    reasons: Mapping[str, str] = _NO_REASONS,
    otherwise: str = OLDER_LOG,
    **fields: Any,
) -> _S:
    """A section whose fields take their values from its sources, by name.

    Args:
        cls: the section.
        *sources: events, states or other objects; the first one that has the name is used. None: all its
            values are missing.
        reasons: field -> why it is missing, if it is; recorded in this order, before all others.
        otherwise: the same for fields that `reasons` does not name.
        **fields: values that no source has under the field's name.

    Raises:
        AttributeError: a field is neither given nor in a source.
    """
    values, why = dict(fields), {}
    for name in dict.fromkeys((*reasons, *cls.model_fields)):
        if name == "reasons":
            continue
        found = fields[name] if name in fields else _held(cls, name, sources)
        values[name] = finite(found)
        if found is None:
            why[name] = reasons.get(name, otherwise)
        elif values[name] is None:
            why[name] = "the measured value is not a finite number"
    return cls(**values, reasons=why)


def _held(cls: type, name: str, sources: Sequence[object]) -> Any:
    for source in sources:
        if hasattr(source, name):
            return getattr(source, name)
    if None in sources:
        return None
    raise AttributeError(f"{cls.__name__}.{name} is neither given nor in a source")


def finite(value: Any) -> Any:
    """The JSON value with every NaN and infinity replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def printable(value: _T) -> _T:
    """A copy with U+FFFD for each lone surrogate of a text, as in a path of undecodable bytes.

    `value`: JSON, or dataclasses of it; returned unchanged if it holds no such text.
    """
    return cast(_T, _printable(value))


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, Series) or not is_dataclass(value) or isinstance(value, type):
        return value
    before = {each.name: getattr(value, each.name) for each in fields(value) if each.init}
    after = {name: _printable(item) for name, item in before.items()}
    return value if after == before else replace(value, **after)
