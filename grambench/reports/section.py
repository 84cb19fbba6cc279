"""What every part of a report obeys: strict, closed, finite, and no null without its reason."""

import math
import re
from dataclasses import fields, is_dataclass, replace
from typing import Any, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from grambench.events.series import Series

_T = TypeVar("_T")
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
            raise ValueError(f"null are {sorted(nulls)}, but reasons are given for {sorted(self.reasons)}")
        return self


class GrownSection(Section):
    """A section to which later versions of grambench have added fields; their default is null.

    Its own fields must not be tuples: this validator makes lists of JSON's arrays, which strict mode refuses.
    """

    @model_validator(mode="before")
    @classmethod
    def _earlier_reports(cls, fields: Any) -> Any:
        """What a report of an earlier version does not have is null, and says so."""
        if not isinstance(fields, dict):
            return fields
        absent = [
            name for name, info in cls.model_fields.items() if name not in fields and info.default is None
        ]
        if not absent:
            return fields
        why = dict.fromkeys(absent, "the report was written before this was measured")
        return {**fields, **dict.fromkeys(absent), "reasons": {**why, **fields.get("reasons", {})}}


class Reasons(dict[str, str]):
    """Collects why fields are missing while a section is built."""

    def given(self, name: str, value: _T | None, why: str) -> _T | None:
        """`value`, or None with `why` noted when it is missing or not a finite number."""
        if value is None:
            self[name] = why
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self[name] = "the measured value is not a finite number"
            return None
        return value


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
    """A copy in which each lone surrogate of a text, as in a path of undecodable bytes, is U+FFFD.

    `value`: JSON, or dataclasses of it; what holds no such text is returned itself.
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
