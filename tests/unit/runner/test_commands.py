"""Commands of watchers to a supervisor: whole or absent, in order, from anyone."""

from pathlib import Path

import pytest

from grambench.config.presets import load_preset
from grambench.errors import ConfigError
from grambench.runner.commands import FOLDER, Command, send, take
from grambench.runner.rundir import create_run, write_pid


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose supervisor is this process."""
    folder = create_run(load_preset("demo"), "demo", tmp_path, [])
    write_pid(folder)
    return folder


def test_commands_come_in_the_order_they_were_sent_and_once(run: Path) -> None:
    sent = [Command("pause"), Command("mark", text="hello \N{SNOWMAN}"), Command("skip", "e2e.s0")]
    for command in sent:
        send(run, command)
    assert take(run) == sent
    assert take(run) == []


def test_a_run_that_is_over_takes_no_command(tmp_path: Path) -> None:
    folder = create_run(load_preset("demo"), "demo", tmp_path, [])
    with pytest.raises(ConfigError, match="is not running"):
        send(folder, Command("stop"))
    assert take(folder) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"action": "dance", "trial": "", "text": ""}', '{"action": "stop"}', "[" * 100_000],
)
def test_what_is_no_command_is_dropped(run: Path, text: str) -> None:
    (run / FOLDER).mkdir()
    (run / FOLDER / "00000000000000000001-1-0.json").write_text(text)
    send(run, Command("pause"))
    assert take(run) == [Command("pause")]
    assert list((run / FOLDER).iterdir()) == []


def test_half_a_command_is_none(run: Path) -> None:
    (run / FOLDER).mkdir()
    (run / FOLDER / ".00000000000000000001-1-0.json.abc").write_text('{"action": "stop"')
    assert take(run) == []
    assert list((run / FOLDER).iterdir())  # its writer may still be at it
