"""`grambench presets`: the list, and one preset as a preset."""

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from grambench.cli.app import main
from grambench.cli.preset_tables import explained
from grambench.config.presets import load_preset, preset_names, validate
from grambench.config.reads import settings_read
from grambench.config.spec import Spec

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def presets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `grambench presets ARGUMENTS`: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["grambench", "presets", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_all_presets_are_listed_with_their_descriptions(presets: Command) -> None:
    code, out, _ = presets("--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["name"] for row in rows] == preset_names()
    assert all(row["description"] for row in rows)
    code, table, _ = presets()
    assert code == 0
    assert all(name in table for name in preset_names())
    assert max(map(len, table.splitlines())) <= 80


@pytest.mark.parametrize("name", preset_names())
def test_what_is_shown_of_a_preset_is_that_preset(presets: Command, name: str) -> None:
    code, out, _ = presets(name)
    assert code == 0
    spec = load_preset(name)
    read = list(settings_read(spec))
    assert list(settings_read(validate(tomllib.loads(out), "stdout"))) == read
    lines = out.splitlines()
    assert max(len(line) for line in lines if not line.startswith("  { label = ")) <= 80
    assert max(map(len, lines)) <= 100, "a trial is an inline table, which TOML keeps on one line"
    assert all(key.rpartition(".")[2] in out for key, _, _ in read)
    explained = presets(name, "--explain")[1]
    assert list(settings_read(validate(tomllib.loads(explained), "stdout"))) == read
    assert all(key in explained for key, _, _ in read)


def test_a_preset_is_shown_within_a_screen(presets: Command) -> None:
    for name in ("mind-small", "duolingo-es", "goodreads"):
        assert len(presets(name)[1].splitlines()) <= 45


def test_every_meaning_is_explained_whole(presets: Command) -> None:
    comments = " ".join(comment[2:] for _, comment in explained(load_preset("demo"), 80) if comment)
    for _, _, meaning in settings_read(load_preset("demo")):
        assert " ".join(meaning.split()) in comments


def test_json_is_the_resolved_specification(presets: Command) -> None:
    code, out, _ = presets("demo", "--json", "--set", "training.epochs=3")
    assert code == 0
    assert Spec.model_validate_json(out) == load_preset("demo", ["training.epochs=3"])
    assert json.loads(out)["training"]["epochs"] == 3


def test_set_changes_what_is_shown(presets: Command) -> None:
    code, out, _ = presets("mind-small", "--set", "training.seeds=[4, 5]", "--set", "data.dir=/some where/x")
    assert code == 0
    assert tomllib.loads(out)["training"]["seeds"] == [4, 5]
    assert tomllib.loads(out)["data"]["dir"] == "/some where/x"


@pytest.mark.parametrize(
    "description",
    ["\x1b[2J\x9b\u202e", 'quo"te \\ back', "two  blanks " * 12, "word " * 40 + '"end" \\', "é\u00a0x" * 40],
)
def test_hostile_values_are_escaped_and_come_back(presets: Command, tmp_path: Path, description: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f"description = {json.dumps(description)}\n")
    code, out, _ = presets(path)
    assert code == 0
    assert tomllib.loads(out)["description"] == description
    assert all(character.isprintable() or character == "\n" for character in out)
    assert json.loads(presets(path, "--json")[1])["description"] == description


def test_a_misspelt_name_or_key_is_a_usage_error(presets: Command) -> None:
    code, out, err = presets("dmo")
    assert (code, out) == (2, "")
    assert "Did you mean 'demo'?" in err
    code, _, err = presets("demo", "--set", "training.epoch=3")
    assert code == 2
    assert "training.epochs" in err


def test_set_without_a_preset_is_a_usage_error(presets: Command) -> None:
    code, out, err = presets("--set", "training.epochs=3")
    assert (code, out) == (2, "")
    assert "presets NAME" in err
