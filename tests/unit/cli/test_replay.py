"""`grambench replay`: which run it plays, before there is a screen."""

import pytest
from typer.testing import CliRunner

from grambench.cli.app import app
from grambench.errors import ConfigError, GrambenchError, MachineError


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["somewhere", "--demo"], ConfigError, "Leave out either RUN or --demo"),
        (["--demo"], MachineError, "needs a terminal"),  # it is found from any folder
    ],
)
def test_the_demo_plays_a_run_of_its_own(
    arguments: list[str], error: type[GrambenchError], words: str
) -> None:
    done = CliRunner().invoke(app, ["replay", *arguments])
    assert isinstance(done.exception, error)
    assert words in str(done.exception)
