"""Lines, functions, rooms and arrows of a tiny package."""

import subprocess
from pathlib import Path

import pytest

from benchmarks import shape

SOURCES = {
    "grambench/__init__.py": "",
    "grambench/text.py": '"""Text."""\n\nSEPARATOR = """a\nb"""\n',
    "grambench/data/__init__.py": "import grambench.text\n",
    "grambench/data/rows.py": '''"""Rows of
a table."""

from grambench.text import SEPARATOR  # a comment


class Rows:
    count: int
    """How many."""

    def read(self) -> None:
        """Read."""

        # another comment
        def line() -> str:
            from grambench import data
            from . import rows

            return SEPARATOR

        line()
''',
}


def columns(folder: str) -> dict[str, float]:
    return dict(zip(shape.COLUMNS, shape.shape(shape.rooms(SOURCES))[folder], strict=True))


def test_code_lines_are_those_without_blanks_comments_and_docstrings() -> None:
    assert columns("grambench")["code"] == 2  # a string of two lines that is a value
    assert columns("grambench")["lines"] == 4
    assert columns("grambench/data")["code"] == 1 + 9
    assert columns("grambench/data")["lines"] == 1 + 21


def test_a_nested_function_counts_on_its_own() -> None:
    assert columns("total")["functions"] == 2
    assert columns("total")["longest"] == 11
    assert columns("total")["median"] == (11 + 5) / 2
    assert columns("total")["p90"] == 11


def test_rooms_are_modules_with_code_and_arrows_the_imports_between_them() -> None:
    assert shape.arrows(shape.rooms(SOURCES)) == {
        ("grambench.data", "grambench.text"),
        ("grambench.data.rows", "grambench.text"),
        ("grambench.data.rows", "grambench.data"),
    }
    assert (columns("total")["rooms"], columns("grambench/data")["rooms"]) == (3, 2)
    assert (columns("grambench/data")["arrows"], columns("grambench/data")["out"]) == (3, 2)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """SOURCES committed, then one file moved and a line longer."""
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    identity = ["-c", "user.name=A", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "grambench/text.py").unlink()
    (tmp_path / "grambench/words").mkdir()
    (tmp_path / "grambench/words/text.py").write_text("A = 1\nB = 2\nC = 3\n")
    return tmp_path


def test_the_difference_from_a_commit_names_folders_that_came_and_went(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shape.main(["--against", "HEAD"], checkout) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.split() == list(shape.COLUMNS)
    by_folder = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert list(by_folder) == ["grambench", "grambench/data", "grambench/words", "total"]
    assert by_folder["grambench"].startswith("0 (-2) 0 (-4) 0 ")
    assert by_folder["grambench/words"].startswith("3 (+3) 3 (+3) 0 ")
    assert by_folder["total"].startswith("13 (+1) 25 (-1) 2 8 11 11 3 1 (-2) 0")


def test_without_a_commit_there_is_no_difference(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shape.main([], checkout) == 0
    assert "(" not in capsys.readouterr().out


def test_an_unknown_commit_is_one_sentence(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shape.main(["--against", "nowhere"], checkout) == 2
    assert capsys.readouterr().err == "git cannot read nowhere: fatal: not a valid object name: nowhere\n"
