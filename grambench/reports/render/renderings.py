"""The forms in which a report can be printed: one row each, which `grambench report --format` reads."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from grambench.errors import ConfigError

if TYPE_CHECKING:
    from grambench.reports.schema import Report


@dataclass(frozen=True, slots=True)
class Rendering:
    """One form."""

    name: str
    """For `--format`."""
    function: str
    """`module:function` that makes the text of a `Report`; imported only when it is asked for."""

    def load(self) -> "Callable[[Report], str]":
        """The function."""
        module, _, name = self.function.partition(":")
        function: Callable[[Report], str] = getattr(import_module(module), name)
        return function


RENDERINGS = (
    Rendering("json", "grambench.reports.build:report_json"),
    Rendering("markdown", "grambench.reports.render.markdown:render_markdown"),
)


def names() -> list[str]:
    """What `--format` accepts."""
    return [row.name for row in RENDERINGS]


def rendering(name: str) -> Rendering:
    """The row of a name.

    Raises:
        ConfigError: there is none.
    """
    for row in RENDERINGS:
        if row.name == name:
            return row
    raise ConfigError(f"Unknown report format {name!r}.", f"Use {' or '.join(names())}.")
