"""Base class of all tables of a specification, and the bounds their fields share."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Positive = Annotated[int, Field(ge=1, le=2**53)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Table(BaseModel):
    """A TOML table: strict types, no unknown keys, finite numbers, immutable once validated."""

    model_config = ConfigDict(
        allow_inf_nan=False,  # JSON has none
        extra="forbid",
        frozen=True,
        strict=True,
        validate_default=True,
        use_attribute_docstrings=True,
    )


def settings(table: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every setting of a table and of the tables inside it: dotted key, value, meaning."""
    for name, info in type(table).model_fields.items():
        value = getattr(table, name)
        if isinstance(value, BaseModel):
            yield from settings(value, f"{prefix}{name}.")
        else:
            if name == "trials":
                value = tuple(trial.table() for trial in value)
            elif name == "space":
                value = table.model_dump()[name]
            yield f"{prefix}{name}", value, (info.description or "").replace("\n", " ")


def inner_table(info: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a table, perhaps an optional one."""
    options = (info.annotation, *get_args(info.annotation))
    return next((kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def meanings(table: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every setting of a table and of the tables inside it, optional ones included: dotted key, meaning."""
    for name, info in table.model_fields.items():
        inner = inner_table(info)
        if inner is None:
            yield f"{prefix}{name}", " ".join((info.description or "").split())
        elif name != "trials":  # has an option of its own
            yield from meanings(inner, f"{prefix}{name}.")


def setting_names(table: type[BaseModel]) -> Iterator[str]:
    """Dotted keys of a table's settings, the optional tables inside it as one."""
    for name, info in table.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (f"{name}.{inner}" for inner in setting_names(kind))
        else:
            yield name
