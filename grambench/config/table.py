"""The base of every table of a specification."""

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A TOML table: strict types, no unknown keys, immutable once validated."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        validate_default=True,
        use_attribute_docstrings=True,
    )
