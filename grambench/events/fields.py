"""Builds dataclasses from decoded JSON, every value checked against the annotation of its field."""

import dataclasses
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

_T = TypeVar("_T")
_Check = Callable[[Any], bool] | None
_JsonTypes = Mapping[type, _Check]
"""Exact type of a JSON value -> a further condition on it; None: there is none."""
_LARGEST_FLOAT, _LARGEST_INT = 1e100, 2**63 - 1
"""Bounds of all counters, sizes and measurements; sums and squares of such numbers stay finite."""
_ABSENT = object()


class FieldError(ValueError):
    """A field is missing or does not have the type of its annotation."""


def build(cls: type[_T], fields: Mapping[str, Any], others: int | None = None) -> _T:
    """An instance of a dataclass from the fields of a JSON object.

    Args:
        cls: a dataclass whose fields are annotated with JSON types, `Literal`, `list` or `dict`.
        fields: decoded; names that the class does not have come from a newer writer and are ignored.
        others: number of names in `fields` that belong to something else; None: unknown.

    Raises:
        FieldError: a field without a default is missing, or a value has another type than its annotation,
            is not finite or beyond 64 bits. With `others`, also when fields are missing while there are
            unknown ones: a newer writer adds fields, damage renames one.
    """
    values, absent = [], 0
    for name, json_types, default in _plan(cls):  # type: ignore[arg-type]  # a class is hashable
        value = fields.get(name, _ABSENT)
        if value is _ABSENT:
            if default is None:
                raise FieldError(name)
            absent += 1
            values.append(default())
            continue
        check = json_types.get(type(value), _refuse)
        if check is not None and not check(value):
            raise FieldError(name)
        values.append(value)
    if absent and others is not None and len(fields) > len(values) - absent + others:
        raise FieldError("a name is damaged")
    return cls(*values)


@cache
def _plan(cls: type[Any]) -> tuple[tuple[str, _JsonTypes, Callable[[], Any] | None], ...]:
    """Name, accepted types and default (None: there is none) of every field."""
    return tuple((f.name, _json_types(f.type), _default(f)) for f in dataclasses.fields(cls))


def _default(field: "dataclasses.Field[Any]") -> Callable[[], Any] | None:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    if field.default is not dataclasses.MISSING:
        return lambda: field.default
    return None


def _json_types(annotation: Any) -> _JsonTypes:
    """The JSON types that an annotation accepts."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return {json_type: check for part in parts for json_type, check in _json_types(part).items()}
    if origin is Literal:
        return {str: frozenset(parts).__contains__}
    if origin is list:
        return {list: _every(_json_types(parts[0]))}
    if origin is dict:
        inner = _every(_json_types(parts[1]))
        return {dict: lambda value: inner(value.values())}
    if annotation is float:
        return {float: _is_finite, int: _is_short}
    if annotation is int:
        return {int: _is_short}
    if annotation is Any:
        return _ANY
    return {type(None) if annotation is None else annotation: None}


def _every(json_types: _JsonTypes) -> Callable[[Any], bool]:
    def fits(values: Any) -> bool:
        for value in values:
            check = json_types.get(type(value), _refuse)
            if check is not None and not check(value):
                return False
        return True

    return fits


def _refuse(_: Any) -> bool:
    return False


def _is_finite(value: float) -> bool:
    return -_LARGEST_FLOAT <= value <= _LARGEST_FLOAT  # false for NaN, too


def _is_short(value: int) -> bool:
    return -_LARGEST_INT <= value <= _LARGEST_INT


_ANY: dict[type, _Check] = {type(None): None, bool: None, str: None, int: _is_short, float: _is_finite}
_ANY[list] = _every(_ANY)
_ANY[dict] = lambda value: _every(_ANY)(value.values())
