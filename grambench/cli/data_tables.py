"""What the `data` commands print: lists and tables of counts, for 80 columns and more."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from grambench.cli.output import say_json
from grambench.cli.steps import megabytes
from grambench.data.verification import CheckedFolder, Problem
from grambench.data.verify_prepared import PreparedVerification
from grambench.domains.knowledge_tracing.verify import AnswersCheck
from grambench.domains.news.verify import Counts, Verification
from grambench.domains.news.verify_tables import TablesCheck
from grambench.events.types import DataPrepared
from grambench.text import safe_text
from grambench.views import numbers

_PATH_LIMIT = 1000
_ID_LIMIT = 24
_NAMES = {
    "unknown_history": "history ids without a row",
    "unknown_candidates": "candidate ids without a row",
    "foreign_history": "history ids of another split",
    "foreign_candidates": "candidate ids of another split",
    "unknown_ids": "ids without a row",
    "repeated_news_same_text": "repeated, same text",
    "repeated_news_other_text": "repeated, other text",
    "repeated_ids_same_text": "repeated, same text",
    "repeated_ids_other_text": "repeated, other text",
    "same_tokens": "tokens of an earlier item",
    "no_text_tokens": "without text tokens",
    "cut_items": "cut to data.fields",
    "same_item": "same user, item and time",
    "other_items": "same user and time, other item",
    "moments": "moments with several items",
    "agreeing_moments": "those with one result",
    "in_a_run": "same user, item and result as before",
}
_ORIGINS = {"official": "the published file", "differs": "not the published file", "unknown": numbers.DASH}


def print_verification(found: CheckedFolder, console: Console) -> None:
    """A table for each split and one for the folder; or one for data without splits."""
    console.print(Text(safe_text(found.data_dir, _PATH_LIMIT), style="bold"), soft_wrap=True)
    if found.contents:
        console.print(Text(found.contents))
    read: list[Counts] = []
    if isinstance(found, AnswersCheck):
        title = f"knowledge tracing ({found.format})"
        console.print(Group(_heading(title), _files(found), _problems(found)))
        console.print(Group(_heading("answers in several rows"), _problems(found.repeats)))
        if found.repeats.repeated:
            console.print(
                Text(
                    "A run stops at rows that repeat an answer, unless `--set data.repeated_answers=first`"
                    " (as in my-kt) keeps the first of each (counted), or `=keep` all of them."
                )
            )
        for reason, count in found.left_out.items():
            console.print(Text(f"left out: {numbers.count(count)} {reason}"))
    elif isinstance(found, TablesCheck):
        console.print(Group(_heading(f"news ({found.format})"), _files(found), _problems(found)))
        read = [found]
    elif isinstance(found, Verification):
        for split, check in found.splits.items():
            title = split if check.labelled else f"{split} (unlabelled)"
            console.print(Group(_heading(title), _files(check, f"{split}/"), _problems(check)))
        console.print(Group(_heading("all splits"), _problems(found)))
        read = [check for split, check in found.splits.items() if split != "test"]
    else:
        console.print(_problems(found))
    if any(check.unknown_history.occurrences or check.unknown_candidates.occurrences for check in read):
        console.print(
            Text(
                "A run stops at ids without a row, unless `--set data.unknown_items=drop` (as in my-news)"
                " leaves them out (counted), or `=blank` keeps each as an item without text."
            )
        )
    _print_cautions(found.cautions, console)


def print_prepared_checks(checks: Iterable[PreparedVerification], console: Console) -> None:
    """A line for each file of each folder."""
    for check in checks:
        console.print(Text(safe_text(check.folder, _PATH_LIMIT), style="bold"), soft_wrap=True)
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        for file in check.files:
            size = numbers.DASH if file.bytes is None else f"{file.bytes:,} bytes"
            note = f"{file.state}: {file.note}" if file.note else file.state
            table.add_row(Text(safe_text(file.path)), size, Text(safe_text(note, _PATH_LIMIT)))
        console.print(table)


def print_prepared(prepared: DataPrepared, cautions: Iterable[str], console: Console) -> None:
    """The folder, its fingerprint and its counts, parts side by side; then the cautions."""
    counts: Mapping[str, Mapping[str, Any]] = prepared.counts
    origin = "found in the cache" if prepared.reused else f"prepared in {prepared.seconds:.1f} s"
    for name, value in (("folder", prepared.folder), ("fingerprint", prepared.fingerprint), ("", origin)):
        console.print(Text(f"{name:<13}{safe_text(value, _PATH_LIMIT)}"), soft_wrap=True)
    parts = {name: part for name, part in counts.items() if name not in ("items", "repeats")}
    table = _table("", *parts)
    for key in next(iter(parts.values())):
        table.add_row(_name(key), *(Text(numbers.count(part[key])) for part in parts.values()))
    items = _table("", "items and tokens")
    for key, value in counts["items"].items():
        items.add_row(_name(key), f"{value:,.1f}" if isinstance(value, float) else numbers.count(value))
    console.print(Group(table, items))
    _print_cautions(cautions, console)


def _print_cautions(cautions: Iterable[str], console: Console) -> None:
    for caution in cautions:
        console.print(Text.assemble(("warning: ", "bold"), safe_text(caution, _PATH_LIMIT)))


def print_data_sets(rows: Iterable[Mapping[str, Any]], console: Console) -> None:
    """A few lines for each data set."""
    for row in rows:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        size = row["unpacked_bytes"]
        amount = numbers.DASH if size is None else f"{megabytes(size)} unpacked"
        for name, value in (
            ("here", "yes" if row["there"] else "no"),
            ("folder", row["folder"]),
            ("size", amount),
            ("licence", row["licence"]),
        ):
            grid.add_row(Text(f"  {name}", style="dim"), Text(safe_text(value, _PATH_LIMIT)))
        console.print(Group(_heading(row["name"], row["about"]), grid))
    console.print(Text("\nUse any other folder in MIND's format, or with tables, with --data-dir DIR."))


def print_json(value: object) -> None:
    """Print ASCII, so that no control characters of the data reach a terminal."""
    say_json(json.dumps(value, indent=1, allow_nan=False))


def _files(check: Counts | AnswersCheck, within: str = "") -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for file in check.files:
        table.add_row(f"{within}{Path(file.path).name}", f"{file.bytes:,} bytes", _ORIGINS[file.origin])
    return table


def _problems(counts: BaseModel) -> Table:
    """The counts of a model, and its problems with their first examples."""
    table = _table("", "count", "distinct")
    table.add_column("first examples", overflow="fold")
    for key in type(counts).model_fields:
        value = getattr(counts, key)
        if isinstance(value, Problem):
            examples = " ".join(safe_text(example, _ID_LIMIT) for example in value.examples)
            distinct = numbers.count(value.distinct)
            table.add_row(_name(key), numbers.count(value.occurrences), distinct, Text(examples))
        elif isinstance(value, int) and not isinstance(value, bool):
            table.add_row(_name(key), numbers.count(value))
    return table


def _table(first: str, *headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in headings:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _name(key: str) -> Text:
    return Text(_NAMES.get(key, key.replace("_", " ")))


def _heading(name: str, about: str = "") -> Text:
    return Text.assemble("\n", (safe_text(name), "bold"), "  ", safe_text(about))
