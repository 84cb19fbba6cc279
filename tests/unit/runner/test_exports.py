"""The supervisor's exports: real processes, which fail alone."""

import os
import signal
from pathlib import Path

import pytest
from exported_runs import WrittenRun
from live_runs import until

from grambench.events import types as ev
from grambench.export.tensorboard import _written
from grambench.runner import exports as module
from grambench.runner.exports import Exports


@pytest.fixture
def run(tmp_path: Path) -> WrittenRun:
    written = WrittenRun.of(tmp_path)
    written.start()
    written.train(2, 10)
    return written


def test_a_failed_export_is_a_warning_and_the_others_write_to_the_end(
    run: WrittenRun, tmp_path: Path
) -> None:
    said: list[ev.Event] = []
    (tmp_path / "file").write_text("")
    made = Exports(run.folder, [f"tensorboard:{tmp_path}/file"], said.append)
    good = Exports(run.folder, [f"tensorboard:{tmp_path}/out"], said.append)
    until(lambda: (made.look(), said)[1], "the export to fail")
    why = f"Not a directory: {tmp_path}/file/{run.folder.name}/e2e.s0"
    words = f"the export to tensorboard failed; the run goes on: {why}"
    assert said == [ev.Warned("export-tensorboard", words)]
    run.train(3, 20)
    run.finish(4)
    good.finish()
    made.finish()
    assert len(said) == 1
    (written,) = (tmp_path / "out" / run.folder.name / "e2e.s0").iterdir()
    assert [step for series, step in _written(written) if series == "train/loss"] == [10, 20]


def test_an_export_that_is_killed_is_mentioned_once(run: WrittenRun, tmp_path: Path) -> None:
    said: list[ev.Event] = []
    made = Exports(run.folder, [f"tensorboard:{tmp_path}/out"], said.append)
    (export,) = made._exports
    os.kill(export.process.pid, signal.SIGKILL)
    export.process.wait()
    made.look()
    made.look()
    made.finish()
    words = "the export to tensorboard failed; the run goes on: its process was ended by signal 9"
    assert said == [ev.Warned("export-tensorboard", words)]


def test_an_ended_run_waits_for_nobody_for_ever(run: WrittenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TRACKERS_S", 0.1)
    made = Exports(run.folder, ["tensorboard:/tmp/never-written"], [].append)
    (export,) = made._exports
    os.kill(export.process.pid, signal.SIGSTOP)
    made.finish()
    assert export.process.poll() is None
    export.process.kill()
    export.process.wait()
