"""The shape of the package: lines, lengths of functions, rooms and arrows, folder by folder.

`python -m benchmarks.shape` measures `grambench/` of this checkout; `--against COMMIT` adds the difference
from that commit. Code lines are those without blanks, comments and docstrings. A function's length is from
`def` to its last line; a nested function counts once more on its own. A room is a module with code, an arrow
an import of one room by another, wherever in the file it stands; `out` are the arrows that leave the folder.
"""

import argparse
import ast
import io
import math
import statistics
import subprocess
import sys
import tarfile
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "grambench"
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
COLUMNS = ("code", "lines", "functions", "median", "p90", "longest", "rooms", "arrows", "out")


@dataclass(frozen=True, slots=True)
class Room:
    """One module with its code lines, all its lines, its functions' lengths and the names it imports."""

    folder: str
    code: int
    lines: int
    functions: tuple[int, ...]
    imports: frozenset[str]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Print the table; returns 2 for an unknown commit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shape", description=__doc__)
    parser.add_argument("--against", metavar="COMMIT", help="also the difference from this commit")
    given = parser.parse_args(arguments)
    now = shape(rooms(from_folder(root)))
    try:
        before = shape(rooms(from_commit(root, given.against))) if given.against else {}
    except subprocess.CalledProcessError as error:
        print(f"git cannot read {given.against}: {error.stderr.decode().strip()}", file=sys.stderr)
        return 2
    for line in table(now, before):
        print(line)
    return 0


def from_folder(root: Path) -> dict[str, str]:
    """The package's sources in a checkout, by path relative to it."""
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.glob(f"{PACKAGE}/**/*.py")}


def from_commit(root: Path, commit: str) -> dict[str, str]:
    """The package's sources in a commit; raises CalledProcessError with git's message for an unknown one."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", commit, PACKAGE], cwd=root, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {
            entry.name: file.read().decode()
            for entry in archive
            if entry.name.endswith(".py") and (file := archive.extractfile(entry))
        }


def rooms(sources: Mapping[str, str]) -> dict[str, Room]:
    """Every module that has code, by its dotted name."""
    made = {dotted(path): room(path, text) for path, text in sources.items()}
    return {name: one for name, one in made.items() if one.code}


def dotted(path: str) -> str:
    """`grambench/data/__init__.py` is the module `grambench.data`."""
    return ".".join(PurePosixPath(path).with_suffix("").parts).removesuffix(".__init__")


def room(path: str, text: str) -> Room:
    """Measure one file."""
    nodes = list(ast.walk(ast.parse(text)))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return Room(
        folder=PurePosixPath(path).parent.as_posix(),
        code=len(code_lines(text) - docstring_lines(nodes)),
        lines=text.count("\n"),
        functions=tuple(span(node)[-1] - node.lineno + 1 for node in functions),
        imports=frozenset(name for node in nodes for name in imported(node, path)),
    )


def span(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def code_lines(text: str) -> set[int]:
    """Lines that hold a token of code, strings included."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {row for t in tokens if t.type not in NO_CODE for row in range(t.start[0], t.end[0] + 1)}


def docstring_lines(nodes: Iterable[ast.AST]) -> set[int]:
    """Lines of strings that are statements: docstrings of modules, classes, functions and fields."""
    strings = (
        node
        for node in nodes
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
    return {row for node in strings for row in span(node)}


def imported(node: ast.AST, path: str) -> Iterator[str]:
    """Dotted names that an import may mean: `from a.b import c` is the module a.b.c, else a.b."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = PurePosixPath(path).parts[: -node.level] if node.level else ()
        module = ".".join([*above, *([node.module] if node.module else [])])
        yield from (f"{module}.{alias.name}" for alias in node.names)


def arrows(all_rooms: Mapping[str, Room]) -> set[tuple[str, str]]:
    """Pairs of importing and imported room."""
    return {
        (name, target)
        for name, one in all_rooms.items()
        for wanted in one.imports
        for target in (wanted if wanted in all_rooms else wanted.rpartition(".")[0],)
        if target in all_rooms and target != name
    }


def shape(all_rooms: Mapping[str, Room]) -> dict[str, tuple[float, ...]]:
    """The columns of each folder, and those of the whole package under `total`."""
    pairs = arrows(all_rooms)
    folders = sorted({one.folder for one in all_rooms.values()})
    return {
        name: columns({key: one for key, one in all_rooms.items() if name in ("total", one.folder)}, pairs)
        for name in [*folders, "total"]
    }


def columns(inside: Mapping[str, Room], pairs: Iterable[tuple[str, str]]) -> tuple[float, ...]:
    """One row of the table, in the order of `COLUMNS`."""
    lengths = sorted(length for one in inside.values() for length in one.functions)
    leaving = [target for name, target in pairs if name in inside]
    return (
        sum(one.code for one in inside.values()),
        sum(one.lines for one in inside.values()),
        len(lengths),
        statistics.median(lengths) if lengths else 0,
        lengths[math.ceil(0.9 * len(lengths)) - 1] if lengths else 0,
        lengths[-1] if lengths else 0,
        len(inside),
        len(leaving),
        sum(target not in inside for target in leaving),
    )


def table(now: Mapping[str, Sequence[float]], before: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """A line a folder, those that are gone included; in parentheses the difference from before."""
    nothing = (0,) * len(COLUMNS)
    lines = [["", *COLUMNS]]
    for name in [*sorted({*now, *before} - {"total"}), "total"]:
        values = now.get(name, nothing)
        olds = before.get(name, nothing) if before else values
        lines.append([name, *map(cell, values, olds)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *cells in lines:
        aligned = (text.rjust(width) for text, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *aligned])


def cell(value: float, old: float) -> str:
    """`120`, or `120 (-4)` where it was 124."""
    return f"{value:g}" if value == old else f"{value:g} ({value - old:+g})"


if __name__ == "__main__":
    sys.exit(main())
