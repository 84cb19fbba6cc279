"""A run whose processes are stopped for a while, whose report is read meanwhile, and whose GPU is full."""

import json
import signal
import time
from pathlib import Path

import jsonschema
import psutil
import pytest
from crashes import LONGER, OFTEN
from live_runs import (
    Bench,
    assert_nothing_is_left,
    report_of,
    supervisor_process,
    trained,
    until,
    worker_of,
)

from grambench.reports.build import build_report, report_json
from grambench.reports.schema import json_schema

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_HOOK = """
import signal, sys
def fail(*_):
    raise sys.modules["torch"].cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
signal.signal(signal.SIGUSR1, fail)
"""


class FullBench(Bench):
    """A worker that is sent SIGUSR1 raises what torch raises when a GPU's memory is full."""

    @property
    def environment(self) -> dict[str, str]:
        hooks = self.folder / "hooks"
        hooks.mkdir(exist_ok=True)
        (hooks / "sitecustomize.py").write_text(_HOOK)
        return {**super().environment, "PYTHONPATH": str(hooks)}


def stopped_and_continued(process: psutil.Process) -> None:
    """SIGSTOP, a moment, and SIGCONT."""
    process.suspend()
    until(lambda: process.status() == psutil.STATUS_STOPPED, "the stop")
    time.sleep(0.3)
    process.resume()


def test_stops_reports_and_a_full_gpu(tmp_path: Path) -> None:
    bench, validator = FullBench(tmp_path), jsonschema.Draft202012Validator(json_schema())
    strategies = ("--strategies", "gram-1s,gram-1e", *OFTEN, *LONGER, "--set", "training.epochs=60")
    command = bench.run("--plain", *strategies, "--set", "training.patience=60")
    command.training("gram-1s.s0")
    worker = worker_of(command.run, "gram-1s.s0")
    front_end = psutil.Process(command.process.pid)
    for process in (worker, supervisor_process(command.run), front_end):
        stopped_and_continued(process)
    steps = set()
    for number in range(50):
        report = json.loads(report_json(build_report(command.run)))
        validator.validate(report)
        assert report["partial"]
        steps.add(report["trials"][0]["steps"])
        if number == 40:
            worker.send_signal(signal.SIGUSR1)
    assert len(steps) > 2
    until(lambda: trained(command.run, "gram-1e.s0", 2), "the other trial")
    ended = command.wait()
    assert ended.code == 5, ended.err
    assert "Traceback" not in ended.err
    first, second = report_of(command.run)["trials"]
    assert (first["outcome"], second["outcome"]) == ("failed", "completed")
    assert first["outcome_reason"].startswith("The device ran out of memory. Use --set training.micro_batch")
    assert f"gram-1s.s0 failed: {first['outcome_reason']}" in ended.err
    assert "OutOfMemoryError" in (command.run / "gram-1s.s0" / "worker.log").read_text()
    assert_nothing_is_left(command.run)
    bench.end_everything()
