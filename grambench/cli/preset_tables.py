"""What `grambench presets` prints: the list, or one preset as TOML."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

from grambench.cli.output import say_json
from grambench.cli.screen import Screen
from grambench.config.presets import load_preset, preset_names
from grambench.config.reads import is_read, settings_read
from grambench.config.spec import Spec
from grambench.config.table import settings
from grambench.text import safe_text

_MEANING_AT = 40
"""Furthest column in which the meanings begin."""
_WIDEST = 100


def print_presets(as_json: bool) -> None:
    """Every preset and what it is for."""
    rows = [{"name": name, "description": load_preset(name).description} for name in preset_names()]
    if as_json:
        say_json(json.dumps(rows, indent=1))
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for row in rows:
        grid.add_row(Text(safe_text(row["name"]), style="bold"), Text(safe_text(row["description"])))
    Screen().print(grid)


def print_preset(spec: Spec, as_json: bool, explain: bool = False) -> None:
    """The settings of a preset that its run reads."""
    if as_json:
        say_json(json.dumps(spec.model_dump(mode="json"), indent=1, allow_nan=False))
        return
    console = Screen()
    width = min(console.width, _WIDEST)
    lines = explained(spec, width) if explain else listing(spec, width)
    for setting, comment in lines:
        console.print(Text.assemble(setting, (comment, "dim")), soft_wrap=True)


def listing(spec: Spec, width: int) -> Iterator[tuple[str, str]]:
    """Lines of valid TOML: what the preset sets, then the defaults of the other settings that its run reads.

    Args:
        spec: a resolved specification.
        width: columns that the comments keep to; a long value may need more.

    Yields:
        the setting and the comment of a line; the two make up the line.
    """
    defaults: dict[str, list[str]] = {}
    for key, value, _ in settings_read(spec):
        if _is_set(spec, key):
            yield _setting(key, value, width), ""
        else:
            table, _, name = key.rpartition(".") if "." not in key else key.partition(".")
            said = f"{name} unset" if value is None else f"{name} = {_toml(value)}"
            defaults.setdefault(table, []).append(said)
    alike: dict[str, list[str]] = {}
    for table, pairs in defaults.items():
        alike.setdefault(", ".join(pairs), []).append(table)
    yield "", ""
    yield "", "# The run also reads these defaults (`--explain` says what each setting means):"
    for said, tables in alike.items():
        yield from _comment(": ".join(filter(None, (" and ".join(tables), said))), width)
    given = [key for key, _, _ in settings(spec) if _is_set(spec, key) and key != "training.strategies"]
    unread = [key for key in given if not is_read(spec, key)]
    if unread:
        yield "", ""
        yield from _comment(f"Set, but not read by this run: {', '.join(unread)}.", width)


def _comment(words: str, width: int) -> Iterator[tuple[str, str]]:
    for line in textwrap.wrap(words, width - 2, subsequent_indent="  ", break_on_hyphens=False):
        yield "", f"# {line}"


def explained(spec: Spec, width: int) -> Iterator[tuple[str, str]]:
    """As `listing`, but one setting after the other, each with its meaning as a comment beside it."""
    rows = [(key, _setting(key, value, width), meaning) for key, value, meaning in settings_read(spec)]
    fitting = [len(left) for _, left, _ in rows if len(left) <= _MEANING_AT - 2]
    column = max(fitting, default=0) + 2
    table = ""
    for key, left, meaning in rows:
        if table != (table := key.partition(".")[0] if "." in key else ""):
            yield "", ""
        lines = [
            f"# {line}"
            for line in textwrap.wrap(meaning, max(width - column - 2, 20), break_on_hyphens=False)
        ]
        if len(left) > column - 2:
            yield left, ""
            left = ""
        for line in lines or [""]:
            yield f"{left:<{column}}" if line else left, line
            left = ""


def _is_set(table: BaseModel, key: str) -> bool:
    """Whether a setting was given, rather than left at its default."""
    name, _, rest = key.partition(".")
    return name in table.model_fields_set and (not rest or _is_set(getattr(table, name), rest))


def _setting(key: str, value: Any, width: int) -> str:
    """`key = value`; a setting that is not set is a comment, as TOML has no word for it."""
    if value is None:
        return f"# {key} is unset"
    line = f"{key} = {_toml(value)}"
    if len(line) <= width or not isinstance(value, str) or " ".join(value.split()) != value:
        return line
    words = _quoted(value)[1:-1]
    parts = textwrap.wrap(words, width - 5, break_long_words=False, break_on_hyphens=False)
    return f'{key} = """\\\n' + " \\\n".join(f"  {part}" for part in parts) + '"""'


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple) and value and isinstance(value[0], dict):
        return "".join(("[\n", *(f"  {_toml(row)},\n" for row in value), "]"))
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(own)}' for key, own in value.items())} }}"
    return repr(value)


def _quoted(text: str) -> str:
    """A basic string of TOML in which every character that is not printable is escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{"".join(map(_printable, escaped))}"'


def _printable(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"
