"""What the command line loads: it must start in a blink, without torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_LOADED = """
import json, sys
try:
    from grambench.cli.app import main
    if sys.argv[1:]:
        main()
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""
HEAVY = {"torch", "transformers", "tokenizers", "textual", "textual_plot"}
ARRAYS = {"pyarrow", "numpy"}
SLOW = {"psutil", "rich", "jinja2"}
MODELS = {"pydantic", "pydantic_core"}


def loaded_by(folder: Path, *arguments: str) -> set[str]:
    """The packages in memory when a command has ended."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", _LOADED, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    *said, modules = ended.stderr.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert not any("Traceback" in line for line in said)
    return set(json.loads(modules))


@pytest.mark.parametrize(
    "command",
    ["--help", "--version", "presets", "presets demo", "run --help", "runs", "doctor", "export --help"],
)
def test_commands_that_train_nothing_load_neither_torch_nor_textual(tmp_path: Path, command: str) -> None:
    loaded = loaded_by(tmp_path, *command.split())
    assert "grambench" in loaded
    assert not loaded & HEAVY


def test_the_command_line_itself_loads_no_arrays(tmp_path: Path) -> None:
    loaded = loaded_by(tmp_path)
    assert "grambench" in loaded
    assert not loaded & (HEAVY | ARRAYS)


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_what_the_start_is_timed_by_loads_nothing_that_is_slow(tmp_path: Path, command: str) -> None:
    assert not loaded_by(tmp_path, command) & (HEAVY | ARRAYS | SLOW | MODELS)


@pytest.mark.parametrize("command", ["data --help", "run --help", "data synth --help"])
def test_the_help_of_commands_loads_only_what_typer_loads(tmp_path: Path, command: str) -> None:
    """Typer itself asks pydantic what `--install-completion` is before it comes to a command."""
    assert not loaded_by(tmp_path, *command.split()) & (HEAVY | ARRAYS | SLOW)
