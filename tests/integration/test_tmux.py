"""The real thing in a real terminal: `grambench run` inside tmux, driven by its keys."""

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from live_runs import ENDLESS, Bench, assert_nothing_is_left, finished, grambench, trained, until

from grambench.events.reader import read_run

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
LONGEST_S = 60.0
SMALL, LARGE = (80, 24), (160, 45)


@dataclass
class Tmux:
    """One window of a server of its own."""

    socket: Path

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self.socket), *words], capture_output=True, text=True, check=True, timeout=300
        )
        return done.stdout

    @property
    def screen(self) -> list[str]:
        """What the window shows, row by row."""
        return self("capture-pane", "-p").splitlines()

    def press(self, *keys: str) -> None:
        self("send-keys", *keys)

    def until_shows(self, *words: str) -> list[str]:
        rows: list[str] = []

        def look() -> list[str] | None:
            rows[:] = self.screen
            text = "\n".join(rows)
            return rows if all(word in text for word in words) else None

        try:
            return until(look, f"{words} in tmux", LONGEST_S)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *rows])) from None

    def resize(self, size: tuple[int, int]) -> None:
        self("resize-window", "-x", str(size[0]), "-y", str(size[1]))


@pytest.fixture
def tmux(bench: Bench, tmp_path: Path) -> Iterator[Tmux]:
    server = Tmux(tmp_path / "tmux")
    settings = [f"-e{name}={value}" for name, value in bench.environment.items()]
    shell = ["env", "-u", "COLUMNS", "-u", "LINES", "PS1=ready> ", "sh"]  # the size is that of the window
    size = ["-x", str(SMALL[0]), "-y", str(SMALL[1])]
    server("-f", "/dev/null", "new-session", "-d", *size, *settings, *shell)
    yield server
    server("kill-server")


def test_a_session_of_an_engineer(bench: Bench, tmux: Tmux) -> None:
    out = bench.folder / "runs-tmux"  # what is left over is ended with the bench
    command = [grambench(), "run", "--preset", str(bench.preset), "--out", str(out), *ENDLESS]
    tmux.until_shows("ready>")
    tmux.press(shlex.join(command), "Enter")
    rows = tmux.until_shows("grambench", "● e2e", "■ gram-1s", "leaderboard")
    assert len(rows) == SMALL[1]
    run = until(lambda: next((path.parent for path in out.glob("*/run.json")), None), "a run")
    until(lambda: trained(run, "e2e.s0", 20), "e2e to train")

    tmux.resize(LARGE)
    rows = tmux.until_shows("validation AUC over training time", "samples/s", "memory, GiB", "log")
    assert len(rows) == LARGE[1]
    assert max(map(len, rows)) <= LARGE[0]
    tmux.press("v")
    tmux.until_shows("loss of a user", "learning rate of the encoder", "encoder's share of the time")
    tmux.press("y")
    tmux.until_shows("memory by process", "RAM")
    tmux.press("j")
    tmux.until_shows("worker", "started")
    tmux.press("Escape")
    tmux.until_shows("leaderboard")
    tmux.press("n")
    tmux.until_shows("A note for the log")
    tmux.press("lunch", "Enter")
    until(lambda: read_run(run).marks, "the mark")
    tmux.press("s")
    tmux.until_shows("Skip e2e")
    tmux.press("y")
    until(lambda: trained(run, "gram-1s.s0", 2), "gram-1s to train")

    tmux.press("d")
    tmux.until_shows("keeps running", "ready>")
    tmux.press(shlex.join([grambench(), "watch", str(run)]), "Enter")
    tmux.until_shows("leaderboard", "skipped")
    tmux.press("x")
    tmux.until_shows("End the run after the current step?")
    tmux.press("y")
    state = until(lambda: finished(run), "the end of the run")
    tmux.until_shows("stopped after")
    tmux.press("q")
    tmux.until_shows("ready>")
    assert_nothing_is_left(run)
    assert state.exit_code == 130
    assert state.trials["e2e.s0"].outcome == "skipped"
    assert [text for _, text in state.marks] == ["lunch"]
    assert "Traceback" not in tmux("capture-pane", "-p", "-S", "-")
