"""The forms in which reports can be printed: one row each, which `grambench report --format` reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from grambench.errors import ConfigError

if TYPE_CHECKING:
    from grambench.reports.render.options import Options
    from grambench.reports.schema import Report

    Made = str | Mapping[str, bytes | str]
    """A text; or files by name, each a content, or a sentence that says why it is not made."""
    Make = Callable[[Sequence[Report], Options], Made]


@dataclass(frozen=True, slots=True)
class Rendering:
    """One form."""

    name: str
    """For `--format`."""
    function: str
    """`module:function` that makes a text, or files by name, of one or several `Report`s and the `Options`;
    imported only when it is asked for."""
    suffix: str
    """Of its files."""
    has_co2: bool = True
    """Whether it shows CO2e by the user's factor."""

    def load(self) -> "Make":
        """The function."""
        module, _, name = self.function.partition(":")
        function: Make = getattr(import_module(module), name)
        return function


_HERE = "grambench.reports.render"
RENDERINGS = (
    Rendering("json", f"{_HERE}.plain_json:render_json", "json", has_co2=False),
    Rendering("markdown", f"{_HERE}.markdown:render_reports", "md"),
    Rendering("html", f"{_HERE}.html:render_html", "html"),
    Rendering("csv", f"{_HERE}.long_csv:render_csv", "csv"),
    Rendering("latex", f"{_HERE}.latex:render_latex", "tex"),
    Rendering("svg", f"{_HERE}.pictures:render_svg", "svg", has_co2=False),
    Rendering("png", f"{_HERE}.pictures:render_png", "png", has_co2=False),
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
    *others, last = names()
    raise ConfigError(f"Unknown report format {name!r}.", f"Use {', '.join(others)} or {last}.")
