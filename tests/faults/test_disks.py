"""Disks that are full, read-only or torn."""

import contextlib
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from crashes import LONGER, OFTEN, numbers_of, reported
from disks import fill, small_disk
from live_runs import (
    ENDLESS,
    Bench,
    assert_nothing_is_left,
    complaint,
    report_of,
    supervisor_process,
    trained,
    until,
)

from grambench.events.buffered_journal import PATIENCE
from grambench.events.reader import read_run
from grambench.reports.build import build_report

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RUN = ("--strategies", "gram-1s", *OFTEN, *LONGER)


@pytest.fixture(scope="module")
def whole(bench: Bench) -> Path:
    """A run that nothing has disturbed."""
    command = bench.run("--plain", *RUN)
    assert command.wait().code == 0
    return command.run


def test_a_disk_that_is_full_for_a_while_costs_nothing(bench: Bench, whole: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "16m") as disk:
        settings = ("--set", "training.epochs=40", "--set", "training.patience=40")
        command = bench.start(
            *("run", "--plain", "--preset", bench.preset, "--strategies", "gram-1s", *OFTEN, *settings),
            *("--out", disk / "runs"),
        )
        run = until(lambda: next((disk / "runs").glob("*"), None), "the run")
        until(lambda: trained(run, "gram-1s.s0", 5), "some steps")
        ballast = fill(disk)
        with contextlib.suppress(AssertionError):  # it may be done before
            until(lambda: False, "a while", timeout_s=2.0)
        ballast.unlink()
        ended = command.wait()
        assert ended.code == 0, ended.err
        state = read_run(run)
        assert state.trials["gram-1s.s0"].outcome in ("completed", "early-stopped")
        warnings = {**state.warnings, **state.trials["gram-1s.s0"].warnings}
        assert {"disk-full", "checkpoint-failed"} & set(warnings)
        assert_nothing_is_left(run)


def test_a_run_folder_that_cannot_be_written_is_exit_code_4(bench: Bench, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        fill(disk)
        ended = bench.call("run", "--preset", bench.preset, "--plain", "--out", disk / "runs")
        assert ended.code == 4
        assert "The run folder cannot be created" in complaint(ended.err)
        assert "--out" in ended.err


def test_a_disk_that_stays_full_interrupts_a_run_that_can_be_resumed(
    bench: Bench, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PATIENCE, "1")
    with small_disk(tmp_path / "disk", "16m") as disk:
        command = bench.run("--plain", *RUN, "--out", disk / "runs")
        run = until(lambda: next((disk / "runs").glob("*"), None), "the run")
        until(lambda: trained(run, "gram-1s.s0", 2), "some steps")
        ballast = fill(disk)
        ended = command.wait()
        assert ended.code == 75, ended.err
        assert "Traceback" not in ended.err
        assert "cannot be written: " in ended.err
        assert "No space left on device" in ended.err
        assert f"resume it with `grambench run --resume {run}`" in ended.err
        assert_nothing_is_left(run)
        full = bench.call("run", "--plain", "--resume", run)
        assert full.code == 4
        assert "No space left on device. Free some space" in complaint(full.err)
        ballast.unlink()
        again = bench.call("run", "--plain", "--resume", run)
        assert again.code == 0, again.err
        assert numbers_of(run) == numbers_of(whole)


@pytest.mark.parametrize("room", [8 << 10, 64 << 10])
def test_a_disk_that_is_full_from_the_start_leaves_no_run(bench: Bench, tmp_path: Path, room: int) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        fill(disk, room)
        ended = bench.call("run", "--preset", bench.preset, "--plain", "--out", disk / "runs")
        assert ended.code == 4
        assert "The run folder cannot be created" in complaint(ended.err)
        assert "No space left on device. Free some space" in ended.err
        assert list((disk / "runs").iterdir()) == []


def test_a_read_only_run_cannot_be_resumed_but_reported(bench: Bench, whole: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        run = disk / "run"
        shutil.copytree(whole, run)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        ended = bench.call("run", "--plain", "--resume", run)
        assert ended.code == 4
        assert "cannot be written: Read-only file system." in ended.err
        assert "Traceback" not in ended.err
        assert bench.call("report", run).code == 0
        assert bench.call("watch", run, "--plain").code == 0


def test_two_supervisors_never_share_a_run(bench: Bench) -> None:
    command = bench.run("--plain", "--strategies", "gram-1s", *ENDLESS)
    run, progress = command.run, command.training("gram-1s.s0").progress
    ended = bench.call("run", "--resume", run)
    assert ended.code == 4
    pid, host = supervisor_process(run).pid, platform.node()
    assert f"is already running: process {pid} on {host} holds it since 20" in complaint(ended.err)
    assert progress is not None
    until(lambda: trained(run, "gram-1s.s0", progress.step + 5), "the first one to go on")
    assert bench.call("stop", run).code == 0
    assert command.wait().code == 130


def test_a_last_record_torn_at_any_byte_leaves_a_report(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    wanted = numbers_of(whole)["gram-1s.s0"]
    for name in ("supervisor.jsonl", "gram-1s.s0/events.jsonl"):
        log = run / name
        data = log.read_bytes()
        last = data.rstrip(b"\n").rfind(b"\n") + 1
        for end in range(last, len(data)):
            log.write_bytes(data[:end])
            report = build_report(run)
            (trial,) = report.trials
            assert trial.steps == wanted["steps"]
            assert report.partial or trial.outcome_reason == ""
        log.write_bytes(data)
    assert reported(run)["trials"] == report_of(whole)["trials"]


def test_a_torn_log_is_healed_when_the_run_goes_on(bench: Bench, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    log = run / "gram-1s.s0" / "events.jsonl"
    data = log.read_bytes()
    place = data.find(b'"type":"progress"', len(data) // 2)
    log.write_bytes(data[:place])  # in the middle of a record, with all that followed lost
    supervisor = run / "supervisor.jsonl"
    kept = [line for line in supervisor.read_bytes().splitlines(True) if b"worker_exited" not in line]
    supervisor.write_bytes(b"".join(kept[:-1]))
    ended = bench.start("run", "--plain", "--resume", run).wait()
    assert ended.code == 0, ended.err
    assert numbers_of(run) == numbers_of(whole)
    assert all(line.startswith(b"{") and line.endswith(b"}") for line in log.read_bytes().splitlines())
