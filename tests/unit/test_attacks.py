"""A few mutations of every format; `make attack` makes thousands."""

import io
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from attacks.__main__ import modules
from attacks.assault import assault, fault_of, mutated
from attacks.data_folders import answer_tables, packed_as, reader, table
from grambench.data.tables import compressed
from grambench.data.word_vectors import read_word_vectors
from grambench.errors import DataError
from grambench.reports.read import read_report

NOT_UTF8 = pa.array([b"\xff"]).cast(pa.string(), safe=False)


@pytest.mark.parametrize("name", [name for name in modules() if name not in ("kills", "ranks")])
def test_readers_answer_every_mutation(name: str) -> None:
    assert modules()[name].attack(4, 1) == []


def test_an_attack_finds_a_reader_that_breaks() -> None:
    def fragile(folder: Path) -> None:
        (folder / "a").read_bytes().decode("ascii")

    (fault,) = assault("fragile", {"a": b"abc 123\n" * 9}, fragile, 60, 0)
    assert "UnicodeDecodeError at" in fault


def test_mutations_are_those_of_their_seed() -> None:
    assert mutated(b"abc 1\n" * 9, random.Random(3)) == mutated(b"abc 1\n" * 9, random.Random(3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tables of answers, the second as parquet."""
    items, rows = answer_tables()
    (tmp_path / "items.csv").write_bytes(table(items, "items.csv"))
    pq.write_table(
        pa.table({name: list(values) for name, values in rows.items()}), tmp_path / "interactions.parquet"
    )
    return tmp_path


@pytest.mark.parametrize(
    "column",
    [
        ("", [1]),
        ("user", ["again"]),
        ("0", [{"a": [1]}]),
        ("x" * 70_000, [1]),
        ("\x1b]0;\x07\u202e", ["x"]),
        ("split", pa.nulls(1)),
        ("split", [["train"]]),
        ("split", NOT_UTF8),
        ("User", [b"\xff"]),
    ],
    ids=lambda column: repr(column[0])[:12],
)
def test_odd_columns_of_parquet_are_ignored_or_refused(folder: Path, column: tuple[str, object]) -> None:
    path, (name, values) = folder / "interactions.parquet", column
    rows = pq.read_table(path)
    values = pa.array(values) if isinstance(values, list) else values
    pq.write_table(rows.append_column(name, pa.concat_arrays([values] * len(rows))), path)
    assert not fault_of(lambda: reader(source="tables", validation_share=0.3, test_share=0.3)(folder))


def test_parquet_without_columns_is_refused(folder: Path) -> None:
    pq.write_table(pa.table({}), folder / "interactions.parquet")
    with pytest.raises(DataError, match=r"interactions\.parquet: found the columns"):
        reader(source="tables")(folder)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_bomb_is_not_read_to_its_end(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "_ALWAYS_BYTES", 1 << 20)
    path = tmp_path / f"items.csv.{suffix}"
    path.write_bytes(packed_as(b"a" * (1 << 24), suffix))
    with pytest.raises(DataError, match=r"more than 200 times its size\. If that is right"):
        compressed.read(path)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_cut_file_says_what_to_do(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"items.csv.{suffix}"
    whole = random.Random(0).randbytes(5000)
    path.write_bytes(packed_as(whole, suffix))
    assert compressed.read(path) == whole
    with compressed.opened(path) as file:
        assert file.read(7) + file.read() == whole
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"Truncated compressed stream\. Copy or download it again"):
        compressed.read(path)


def test_a_report_of_ten_thousand_levels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("[" * 10_000)
    with pytest.raises(DataError, match=r"report\.json is not a report"):
        read_report(path)


@pytest.mark.parametrize("shape", ["((((", f"({9**40}, 3)}}"])
def test_a_damaged_header_of_an_array_is_refused(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}"
    content = io.BytesIO(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    (tmp_path / "v.npy").write_bytes(content.getvalue())
    (tmp_path / "v.vocab").write_text("a\n")
    with pytest.raises(DataError, match=r"v\.npy cannot be read as a \.npy matrix"):
        read_word_vectors(tmp_path / "v.npy", ["a"])


def test_a_column_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    path = folder / "interactions.parquet"
    path.write_bytes(path.read_bytes().replace(b"correct", b"\xe3orrect"))
    with pytest.raises(DataError, match=r"interactions\.parquet"):
        reader(source="tables")(folder)
