"""Run folders: made whole, found again, and never mistaken for a living run."""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from grambench.config.presets import load_preset
from grambench.config.spec import Spec
from grambench.errors import ConfigError, DataError, MachineError
from grambench.runner import rundir
from grambench.runner.commands import Command, send
from grambench.runner.resume import check_resumable
from grambench.runner.rundir import create_run, find_run, list_runs, read_spec, supervisor_of


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return create_run(load_preset("demo"), "demo", tmp_path / "runs", ["grambench", "run"])


def test_a_run_holds_what_was_asked_and_where(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    canonical = json.dumps(facts["spec"], sort_keys=True, separators=(",", ":"))
    assert facts["spec_sha256"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert (facts["run"], facts["preset"], facts["schema_version"]) == (run.name, "demo", 1)
    assert facts["command"] == ["grambench", "run"]
    assert facts["host"]["logical_cores"] == psutil.cpu_count()
    assert read_spec(run) == ("demo", load_preset("demo"))


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path) -> None:
    made = {create_run(Spec(name="twin"), "p", tmp_path, []) for _ in range(4)}
    assert len(made) == 4
    assert all(folder.name.startswith("twin-") for folder in made)


@pytest.mark.parametrize("name", ["../../etc", "a/b c", "", "...", "-\x1b[2J"])
def test_a_hostile_name_stays_inside_the_folder(tmp_path: Path, name: str) -> None:
    folder = create_run(Spec(name=name), "p", tmp_path / "runs", [])
    assert folder.parent == (tmp_path / "runs").resolve()
    assert folder.name.isprintable()
    assert not folder.name.startswith(".")


def test_a_folder_that_cannot_be_made_is_an_error_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="--out"):
        create_run(Spec(), "p", tmp_path / "file", [])


def test_runs_are_found_by_path_name_and_last(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    runs = [create_run(Spec(name=name), "p", out, []) for name in ("b", "a")]
    for age, folder in enumerate(reversed(runs)):
        os.utime(folder / "run.json", ns=(0, 10**18 - age * 10**9))
    assert list_runs(out) == runs
    assert find_run("last", out) == runs[1]
    assert find_run(runs[0].name, out) == runs[0]
    assert find_run(str(runs[0]), tmp_path) == runs[0]


def test_a_run_is_named_by_the_beginning_of_its_name(tmp_path: Path) -> None:
    for name in ("demo-1", "demo-12", "demo-2\x1b[31m", "demo-3", "demo-4", "demo-5", "demo-6", "mind-1"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run.json").touch()
        os.utime(folder / "run.json", ns=(0, 10**18 + len(list(tmp_path.iterdir()))))
    (tmp_path / "mind-no-run").mkdir()
    assert find_run("mi", tmp_path) == tmp_path / "mind-1"
    assert find_run("demo-1", tmp_path) == tmp_path / "demo-1", "a whole name is no beginning"
    with pytest.raises(ConfigError) as refused:
        find_run("de", tmp_path)
    assert "7 runs begin with 'de': demo-6, demo-5, demo-4, demo-3, demo-2\ufffd" in str(refused.value)
    assert str(refused.value).endswith(" and 2 more. Give more of the name.")
    with pytest.raises(DataError):
        find_run("", tmp_path)


def test_what_is_no_run_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("last", "empty", "absent"):
        with pytest.raises(DataError):
            find_run(name, tmp_path)
    assert list_runs(tmp_path) == []
    assert list_runs(tmp_path / "absent") == []
    (tmp_path / "file").touch()
    assert list_runs(tmp_path / "file") == []


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", "[" * 100_000, '{"preset": "p"}', '{"preset": "p", "spec": {"x": 1}}']
)
def test_a_damaged_run_file_is_a_data_error(run: Path, text: str | None) -> None:
    (run / "run.json").unlink()
    if text is not None:
        (run / "run.json").write_text(text)
    with pytest.raises(DataError, match=r"run\.json"):
        read_spec(run)


def test_the_supervisor_is_told_from_a_later_process_with_its_pid(run: Path) -> None:
    assert supervisor_of(run) is None
    rundir.write_pid(run)
    found = supervisor_of(run)
    assert found is not None
    assert found.pid == os.getpid()
    identity = json.loads((run / rundir.PID_FILE).read_text())
    (run / rundir.PID_FILE).write_text(json.dumps({**identity, "started": identity["started"] + "0"}))
    assert supervisor_of(run) is None


def test_a_clock_that_is_set_back_hides_no_supervisor(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rundir.write_pid(run)
    created = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: created - 3600)  # as psutil would tell it
    assert supervisor_of(run) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"pid": 1}',
        '{"pid": "x", "started": ""}',
        '{"pid": 1e999, "started": ""}',
    ],
)
def test_a_damaged_pid_file_is_no_supervisor(run: Path, text: str) -> None:
    (run / rundir.PID_FILE).write_text(text)
    assert supervisor_of(run) is None
    with pytest.raises(ConfigError, match="not running"):
        send(run, Command("stop"))


def test_a_supervisor_that_nobody_has_waited_for_has_ended(run: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = rundir._start_of(process.pid)
    (run / rundir.PID_FILE).write_text(json.dumps({"pid": process.pid, "started": started}))
    assert supervisor_of(run) is not None
    process.terminate()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert supervisor_of(run) is None
    assert process.wait(5) == -15


def test_runs_of_one_second_are_made_at_once_without_sharing_a_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = [*threads.map(lambda _: create_run(load_preset("demo"), "demo", tmp_path, []), range(16))]
    assert len(set(made)) == 16
    assert all(read_spec(folder)[0] == "demo" for folder in made)


@pytest.mark.parametrize("version", ["0.1", "now"])
def test_a_run_in_progress_names_its_holder(run: Path, version: str) -> None:
    rundir.write_pid(run)
    if version == "0.1":  # wrote neither host nor time
        known = json.loads((run / rundir.PID_FILE).read_bytes())
        (run / rundir.PID_FILE).write_text(json.dumps({name: known[name] for name in ("pid", "started")}))
    with pytest.raises(MachineError) as raised:
        check_resumable(run)
    holder = rf"process {os.getpid()} on {re.escape(platform.node())} holds it since 20\d\d-\S+\+00:00"
    assert re.fullmatch(f"The run {run.name} is already running: {holder}\\.", raised.value.message)


def test_a_disk_without_room_for_a_run_leaves_none(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rundir, "require_room", full)
    with pytest.raises(MachineError, match=r"created in .*: No space left on device\. Free some space"):
        create_run(load_preset("demo"), "demo", run.parent / "out", [])
    assert not list((run.parent / "out").iterdir())


def test_a_command_that_cannot_be_written_is_one_sentence(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rundir.write_pid(run)
    (run / "commands").write_text("in the way")
    with pytest.raises(MachineError, match=rf"File exists\. Free .* `kill {os.getpid()}` interrupts it"):
        send(run, Command("stop"))
