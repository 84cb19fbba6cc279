"""Lines of several runs."""

from pathlib import Path

import pytest

from grambench.cli.follow_several import follow_several
from grambench.events import types as ev
from grambench.events.journal import Journal


def test_every_line_begins_with_its_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [tmp_path / "one-20260101-000000", tmp_path / "two-20260101-000000"]
    for folder in folders:
        folder.mkdir()
        with Journal(folder / "supervisor.jsonl") as journal:
            journal.append(ev.RunStarted(folder.name, "demo", ["e2e.s0"], 1, "model", "data"))
            journal.append(ev.RunFinished(0, 1.0))
    follow_several(folders, "plain")
    shown = capsys.readouterr()
    assert shown.out == ""
    for name in ("one", "two"):
        own = [line for line in shown.err.splitlines() if line.startswith(f"{name} [")]
        assert any("run finished" in line for line in own)
    assert {line.split()[0] for line in shown.err.splitlines()} == {"one", "two"}
