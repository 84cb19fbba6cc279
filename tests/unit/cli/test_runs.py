"""`grambench runs`: every run is listed, in whatever condition its neighbours are."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from report_logs import Run, run_started, write_whole
from typer.testing import CliRunner

from grambench.cli.app import app


def listed(out: Path, *options: str) -> tuple[str, str]:
    done = CliRunner().invoke(app, ["runs", "--out", str(out), *options])
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def flip(path: Path, place: int = 40) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def put_a_folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_a_loop_in_its_place(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def change_a_setting(path: Path) -> None:
    run = json.loads(path.read_bytes())
    run["spec"]["training"]["batch_size"] += 1
    path.write_text(json.dumps(run))


@pytest.mark.parametrize(
    ("file", "harm", "words"),
    [
        ("supervisor.jsonl", flip, "1 line of the supervisor's log is damaged, skipped"),
        ("e2e.s0/events.jsonl", flip, "1 line of e2e.s0 is damaged, skipped"),
        (
            "supervisor.jsonl",
            put_a_folder_in_its_place,
            "the supervisor's log cannot be read: Is a directory",
        ),
        ("e2e.s0/events.jsonl", put_a_loop_in_its_place, "e2e.s0 cannot be read: Too many levels"),
        ("run.json", put_a_folder_in_its_place, "run.json cannot be read (Is a directory)"),
        ("run.json", lambda path: path.write_bytes(b"\xff\0"), "run.json is damaged"),
        ("run.json", lambda path: path.write_bytes(b"[" * 100_000), "run.json is damaged"),
        ("run.json", change_a_setting, "the spec in run.json was edited or damaged"),
        ("supervisor.pid", lambda path: path.write_text('{"pid": 1e400, "started": 1}'), ""),
        ("supervisor.pid", lambda path: path.write_text("[" * 100_000), ""),
        ("state.json", lambda path: path.write_text("[" * 100_000), ""),
    ],
)
def test_a_damaged_run_is_told_and_the_others_are_listed(
    tmp_path: Path, file: str, harm: Callable[[Path], object], words: str
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        write_whole(tmp_path / name)
        os.utime(tmp_path / name / "run.json", (ord(name), ord(name)))
    harm(tmp_path / "b" / file)
    rows = {row["run"]: row for row in json.loads(listed(tmp_path, "--json")[0])}
    assert set(rows) == {"a", "b", "c"}
    assert [rows[name]["complaints"] for name in "ac"] == [[], []]
    assert all(row["state"] != "running" for row in rows.values())
    table, notes = listed(tmp_path)
    assert {line.split()[0] for line in table.splitlines()[1:]} == {"a", "b", "c"}
    assert words in "".join(rows["b"]["complaints"])
    assert bool(notes) == bool(words)
    assert words in notes


def test_a_run_without_a_readable_log_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Run(tmp_path / "a")
    (tmp_path / "a" / "supervisor.jsonl").mkdir()
    assert json.loads(listed(tmp_path, "--json")[0])[0]["state"] == "unreadable"


def test_names_of_runs_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[31m"
    folder.mkdir()
    Run(folder).log("", 0, run_started("e2e.s0"))
    flip(folder / "supervisor.jsonl")
    table, notes = listed(tmp_path)
    assert "\x1b" not in table + notes
