"""A real process on a real pseudo-terminal that goes away."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tui.logs import build

_SHOW = (
    "import sys; from pathlib import Path; from grambench.tui.app import show; print(show(Path(sys.argv[1])))"
)


def _started(folder: Path) -> tuple["subprocess.Popen[str]", int]:
    """A dashboard on a pseudo-terminal, drawn at least once; SIGHUP is ignored as under nohup."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _SHOW, str(folder)],
        stdin=slave,
        stderr=slave,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    os.close(slave)
    seen = b""
    limit = time.monotonic() + 20
    while b"leaderboard" not in seen and time.monotonic() < limit:
        seen += os.read(master, 65536)
    assert b"leaderboard" in seen
    return process, master


@pytest.mark.parametrize("way", ["closed", "hangup", "terminate"])
def test_a_lost_terminal_ends_the_dashboard_and_leaves_the_run(tmp_path: Path, way: str) -> None:
    process, master = _started(build("mid", tmp_path / "run"))
    try:
        if way == "closed":
            os.close(master)
        else:
            process.send_signal(signal.SIGHUP if way == "hangup" else signal.SIGTERM)
        out, _ = process.communicate(timeout=300)
        assert out.strip() == "detach"
    finally:
        process.kill()
        if way != "closed":
            os.close(master)


def test_without_a_terminal_nothing_is_drawn(tmp_path: Path) -> None:
    folder = build("mid", tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", _SHOW, str(folder)], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 1
    assert b"\x1b" not in done.stderr
    assert b"needs a terminal" in done.stderr
