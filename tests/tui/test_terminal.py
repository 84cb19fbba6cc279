"""A real process on a real pseudo-terminal that goes away, or takes no more output."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tui.logs import build

_STUCK = """
import asyncio, sys
from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread
from grambench.tui.terminal import on_hangup

async def main():
    on_hangup(lambda: print("left"))
    print("ready", flush=True)
    writer = WriterThread(sys.__stderr__)
    writer.start()
    for _ in range(2 * MAX_QUEUED_WRITES):
        writer.write("x" * 2_000)
    await asyncio.sleep(0)
    writer.stop()

asyncio.run(main())
"""
"""More output than terminal and queue take, written in the event loop, as the dashboard does."""

_SHOW = (
    "import sys; from pathlib import Path; from grambench.tui.app import show; print(show(Path(sys.argv[1])))"
)


def _started(folder: Path) -> tuple["subprocess.Popen[str]", int]:
    """A dashboard on a pseudo-terminal, drawn at least once; SIGHUP is ignored as under nohup."""
    process, master = _on_terminal(_SHOW, str(folder))
    seen = b""
    limit = time.monotonic() + 120
    while b"leaderboard" not in seen and time.monotonic() < limit:
        seen += os.read(master, 65536)
    assert b"leaderboard" in seen
    return process, master


def _on_terminal(*code: str) -> tuple["subprocess.Popen[str]", int]:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", *code],
        stdin=slave,
        stderr=slave,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    os.close(slave)
    return process, master


def _fill(process: "subprocess.Popen[str]") -> None:
    """Until the terminal of the process takes no more."""
    terminal = os.open(f"/proc/{process.pid}/fd/0", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    while select.select([], [terminal], [], 0)[1]:
        with contextlib.suppress(BlockingIOError):
            os.write(terminal, bytes(64))
    os.close(terminal)


@pytest.mark.parametrize("way", ["closed", "hangup", "terminate", "full"])
def test_a_lost_terminal_ends_the_dashboard_and_leaves_the_run(tmp_path: Path, way: str) -> None:
    process, master = _started(build("mid", tmp_path / "run"))
    try:
        if way == "closed":
            os.close(master)
        else:
            if way == "full":
                _fill(process)
            process.send_signal(signal.SIGTERM if way == "terminate" else signal.SIGHUP)
        out, _ = process.communicate(timeout=300)
        assert out.strip() == "detach"
    finally:
        process.kill()
        if way != "closed":
            os.close(master)


def test_a_full_terminal_does_not_keep_the_signals_from_the_event_loop() -> None:
    process, master = _on_terminal(_STUCK)
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=300)
        assert out == "left\n"
    finally:
        process.kill()
        os.close(master)


def test_without_a_terminal_nothing_is_drawn(tmp_path: Path) -> None:
    folder = build("mid", tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", _SHOW, str(folder)], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 1
    assert b"\x1b" not in done.stderr
    assert b"needs a terminal" in done.stderr
