"""Small whole data folders of every format, and the commands that read them."""

import gzip
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from grambench.config.data import Data
from grambench.domains.recognise import candidates
from grambench.domains.registry import domain_of

_ITEMS = 12
Columns = Mapping[str, Sequence[object]]


def reader(**settings: object) -> Callable[[Path], None]:
    """What `data verify` and a run's preparation read of a folder in the format of `data.source`."""
    data = Data().model_copy(update={"repeated_answers": "keep", "unknown_items": "drop", **settings})
    domain = domain_of(data.domain)

    def read(folder: Path) -> None:
        candidates(folder)
        domain.verify(folder, data)
        domain.read(folder, data, lambda *_: None)

    return read


def news_tables() -> tuple[Columns, Columns]:
    """Items and impressions."""
    items = {"id": [f"a{n}" for n in range(_ITEMS)], "title": [f'Title "{n}", x' for n in range(_ITEMS)]}
    rows = range(30)
    impressions = {
        "user": [f"u{n % 7}" for n in rows],
        "history": [f"a{n % 5} a{n % 3 + 5}" if n % 4 else "" for n in rows],
        "candidates": [f"a{n % _ITEMS}-1 a{(n + 1) % _ITEMS}-0 a{(n + 5) % _ITEMS}-0" for n in rows],
        "time": [f"2024-05-{1 + n // 3:02}T10:{n:02}:00Z" for n in rows],
    }
    return items, impressions


def answer_tables() -> tuple[Columns, Columns]:
    """Items and interactions."""
    items = {"id": [f"q{n}" for n in range(_ITEMS)], "text": [f"What is {n}?" for n in range(_ITEMS)]}
    rows = range(60)
    interactions: dict[str, Sequence[object]] = {
        "user": [f"s{n // 6}" for n in rows],
        "item": [f"q{n % _ITEMS}" for n in rows],
        "correct": [int(n % 3 > 0) for n in rows],
        "time": [1_714_557_600 + 60 * n for n in rows],
    }
    return items, interactions


def table(columns: Columns, name: str) -> bytes:
    """A table in the form that its file's name says."""
    stem, _, packed = name.partition(".")[2].partition(".")
    content = io.BytesIO()
    arrays = pa.table({key: list(values) for key, values in columns.items()})
    if stem == "parquet":
        pq.write_table(arrays, content)
    elif stem == "tsv":
        rows = zip(*columns.values(), strict=True)
        lines = ["\t".join(columns), *("\t".join(map(str, row)) for row in rows)]
        content.write("\n".join([*lines, ""]).encode())
    else:
        pacsv.write_csv(arrays, content)
    return packed_as(content.getvalue(), packed)


def packed_as(content: bytes, suffix: str) -> bytes:
    """Compressed as `gz` or `zst`."""
    if suffix == "gz":
        return gzip.compress(content)
    if suffix == "zst":
        return bytes(pa.compress(content, codec="zstd", asbytes=True))
    return content
