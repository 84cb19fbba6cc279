"""Help pages: aligned columns, in colour on a terminal; and usage errors, in one sentence like all others.

Typer can print the pages too, but loads rich's markdown for it, which takes longer than the rest of
`grambench --help`.
"""

import inspect
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from grambench.errors import ExitCode

if TYPE_CHECKING:
    from typer._click import Command, Context, Parameter

DATA_DIR_HELP = "Folder of your data, in any format of docs/data.md; `run` and `tune` then need no --preset."
"""Of `--data-dir`; docs/data.md has the formats."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_PLAIN, _BOLD, _DIM = "", "1", "2"
_ACCENT = "1;38;5;67"
"""The dashboard's accent colour, in a shade of the 256 colours that is legible on dark and on light."""
_WIDEST, _NARROWEST = 100, 40
_MARGIN, _GAP = "  ", "  "
_TEXT_ROOM = 28
"""Columns kept for the meanings; a name that would leave fewer gets its own line."""
_STEP = 4
"""Indentation of the meanings if every name gets its own line."""


class App(typer.Typer):
    """An application whose groups and commands have these help pages."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=HelpfulGroup, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[_Function], _Function]:
        """As in typer."""
        return super().command(name, cls=HelpfulCommand, **settings)


class HelpfulCommand(TyperCommand):
    """A command with these help pages."""

    def get_help(self, ctx: "Context") -> str:
        """The whole page."""
        return help_page(ctx)


class HelpfulGroup(TyperGroup):
    """A group with these help pages."""

    def get_help(self, ctx: "Context") -> str:
        """The whole page."""
        return help_page(ctx)

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """As in typer; a group without a command prints its help to stdout and exits with a usage error."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), color=ctx.color)
            ctx.exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)


class Word(NamedTuple):
    """Text that is never broken across lines."""

    text: str
    style: str = _PLAIN
    """Parameters of the SGR escape sequence that switches it on."""


class Row(NamedTuple):
    """A name and what it means."""

    name: Sequence[Word]
    meaning: Sequence[Word]


def usage_error(error: Exception) -> str:
    """What is wrong with a command line, and what shows the right one; empty: not typer's error."""
    if not hasattr(error, "format_message"):
        return ""
    words, context = error.format_message(), getattr(error, "ctx", None)
    if near := getattr(error, "possibilities", None):
        words = f"{getattr(error, 'message', words)}. Did you mean {' or '.join(sorted(near))}?"
    elif problems := getattr(error.__cause__, "errors", None):
        from grambench.config.refusals import refusal

        why = refusal(problems()[:1])
        words = f"{_given_as(getattr(error, 'param', None))}{' ' if why.startswith('must') else ': '}{why}"
    words = " ".join(words.split())
    fix = f" `{context.command_path} --help` shows the usage." if context is not None else ""
    return f"{words if words.endswith(('.', '?')) else f'{words}.'}{fix}"


def _given_as(param: Any) -> str:
    """How a command line gives a parameter: `--seed`, `NAME`."""
    option = getattr(param, "param_type_name", "") == "option"
    return str(param.opts[-1] if option else getattr(param, "name", "the value"))


def help_page(ctx: "Context") -> str:
    """The help of the context's command, for the width of the terminal (80 columns without one).

    It is coloured only if stdout is a terminal and NO_COLOR is unset or empty, or if FORCE_COLOR is set.
    """
    ctx.color = coloured = _wants_colour()
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    return "\n".join("".join(_painted(line, coloured)) for line in _page(ctx, width))


def _wants_colour() -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    on_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return on_terminal or bool(os.environ.get("FORCE_COLOR"))


def _page(ctx: "Context", width: int) -> Iterator[Sequence[Word]]:
    command = ctx.command
    yield from _usage(ctx, width)
    for paragraph in _paragraphs(command.help):
        yield ()
        yield from _filled(_words(paragraph), width)
    shown = [param for param in command.get_params(ctx) if not getattr(param, "hidden", False)]
    for title, rows in (
        ("Arguments", [_argument(param) for param in shown if param.param_type_name == "argument"]),
        ("Commands", list(_commands(command, ctx))),
        ("Options", [_option(param) for param in shown if param.param_type_name == "option"]),
    ):
        if rows:
            yield ()
            yield (Word(title, _BOLD),)
            yield from _table(rows, width)
    for paragraph in _paragraphs(command.epilog):
        yield ()
        yield from _filled(_words(paragraph), width)


def _usage(ctx: "Context", width: int) -> Iterator[Sequence[Word]]:
    name = Word(f"Usage: {ctx.command_path}", _BOLD)
    indent = " " * (len(name.text) + 1)
    pieces = [Word(piece, _DIM) for piece in ctx.command.collect_usage_pieces(ctx)]
    for number, line in enumerate(_filled(pieces, width - len(indent))):
        yield (Word(indent), *line) if number else (name, Word(" "), *line)


def _commands(command: "Command", ctx: "Context") -> Iterator[Row]:
    if isinstance(command, TyperGroup):
        for name in command.list_commands(ctx):
            member = command.get_command(ctx, name)
            if member is not None and not member.hidden:
                about = next(_paragraphs(member.short_help or member.help), "")
                yield Row([Word(name, _ACCENT)], _words(about))


def _argument(param: "Parameter") -> Row:
    return Row([Word(param.metavar or param.name, _ACCENT)], _meaning(param))


def _option(param: Any) -> Row:
    """Short names come before long ones, which are aligned in one column."""
    names = sorted((*param.opts, *param.secondary_opts), key=len)
    words = [] if len(names[0]) == 2 else [Word("   ")]
    words += [Word(f"{name},", _ACCENT) for name in names[:-1]] + [Word(names[-1], _ACCENT)]
    if not param.is_flag:
        words.append(Word(param.metavar or param.name.upper(), _DIM))
    return Row(_spaced(words), _meaning(param))


def _meaning(param: Any) -> list[Word]:
    words = _words(param.help or "")
    if param.required:
        words.append(Word("[required]", _DIM))
    elif param.show_default and param.default not in (None, False):
        words.append(Word(f"[default: {param.default}]", _DIM))
    return words


def _table(rows: Sequence[Row], width: int) -> Iterator[Sequence[Word]]:
    """Names on the left, meanings aligned in a second column."""
    sizes = [_size(row.name) for row in rows]
    longest = width - len(_MARGIN + _GAP) - _TEXT_ROOM
    column = max((size for size in sizes if size <= longest), default=_STEP)
    indent = Word(_MARGIN + " " * column + _GAP)
    for row, size in zip(rows, sizes, strict=True):
        lines = list(_filled(row.meaning, width - len(indent.text)))
        if size <= column and lines:
            yield (Word(_MARGIN), *row.name, Word(" " * (column - size) + _GAP), *lines.pop(0))
        else:
            yield (Word(_MARGIN), *row.name)
        for line in lines:
            yield (indent, *line)


def _paragraphs(text: str | None) -> Iterator[str]:
    return (part for part in inspect.cleandoc(text or "").split("\n\n") if part.strip())


def _words(text: str) -> list[Word]:
    return [Word(word) for word in text.split()]


def _spaced(words: Iterable[Word]) -> list[Word]:
    """The words, separated by spaces."""
    return [part for word in words for part in (Word(" "), word)][1:]


def _filled(words: Iterable[Word], width: int) -> Iterator[Sequence[Word]]:
    """Lines of at most `width` columns; a longer word gets its own line."""
    line: list[Word] = []
    for word in words:
        if line and _size(line) + 1 + len(word.text) > width:
            yield line
            line = []
        line += [Word(" "), word] if line else [word]
    if line:
        yield line


def _size(words: Iterable[Word]) -> int:
    return sum(len(word.text) for word in words)


def _painted(line: Iterable[Word], coloured: bool) -> Iterator[str]:
    for style, words in groupby(line, key=lambda word: word.style):
        text = "".join(word.text for word in words)
        yield f"\x1b[{style}m{text}\x1b[0m" if coloured and style else text
