"""Escape sequences from names, files, settings and variables never reach the terminal."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EVIL = "\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\u202eevil\u2066\x1b]8;;http://x\x1b\\"
"""The clipboard, a cleared screen, C1, direction overrides, a link; what is left of it reads `evil`."""
OURS = re.compile(r"\x1b\[([\d;]*m|\?25[lh]|1A|2K)")
"""Colours, and how a spinner moves the cursor."""
LOUD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
KEPT = Path(__file__).parents[1] / "kept_runs" / "0.1" / "kept-20261127-123413"
DRIVER = """
import json, os, sys, warnings
from grambench.cli.app import main
show = warnings.showwarning
for number, (argv, variables) in enumerate(json.load(open("commands.json"))):
    warnings.showwarning = show
    os.environ.update(variables)
    sys.argv = ["grambench", *argv]
    print("==", number, flush=True)
    try:
        main()
    except SystemExit as ended:
        print("== exit", ended.code, flush=True)
    for name in variables:
        del os.environ[name]
"""
"""The command, once for each line of arguments, in one process: starting it takes longer than its work."""


def hostile_files(folder: Path) -> None:
    """Data, presets and a run full of it."""
    (folder / "own.toml").write_text(f'extends = "demo"\n[training]\n{json.dumps(EVIL)} = 1\n')
    (folder / "value.toml").write_text(f'extends = "demo"\nschedule = {json.dumps(EVIL)}\n')
    (folder / "broken.toml").write_text(f'extends = "demo"\n[training]\nepochs = {EVIL}\n')
    (folder / f"{EVIL.replace('/', '')}.toml").write_text("x")
    for name, header, row in (
        ("columns", f"id,{EVIL}", "a1,x"),
        ("ids", "id,title", f'a1,"{EVIL}"\na1,other {EVIL}'),
        ("times", "id,title", "a1,x"),
    ):
        (folder / name).mkdir()
        (folder / name / "items.csv").write_text(f"{header}\n{row}\n")
        (folder / name / "impressions.csv").write_text(
            f"user,history,candidates,time\nu1,a1,a1-1 {EVIL}-0,2024-05-01T10:00:00Z\nu2,,a1-0 a1-1,{EVIL}\n"
        )
    run = Path(shutil.copytree(KEPT, folder / "runs" / "kept"))
    about = json.loads((run / "run.json").read_bytes()) | {"preset": EVIL, "command": [EVIL]}
    (run / "run.json").write_text(json.dumps(about))
    texts = {"message", "text", "reason", "model", "dataset", "preset"}
    for log in run.rglob("*.jsonl"):
        lines = [json.loads(line) for line in log.read_bytes().splitlines()]
        for line in lines:
            line.pop("crc", None)
            for key, value in line.items():
                if isinstance(value, str) and key in texts:
                    line[key] = f"{value}{EVIL}"
        log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (folder / "report.json").write_text(json.dumps({"schema_version": EVIL}))


def commands(folder: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Arguments and variables, each with text from another place."""
    demo = ["run", "--preset", "demo"]
    name = EVIL.replace("/", "")
    return [
        (["run", "--preset", EVIL], {}),
        (["run", "--preset", f"{name}.toml"], {}),
        ([EVIL], {}),
        (["runs", f"--{EVIL}"], {}),
        ([*demo, "--set", f"training.{EVIL}=1"], {}),
        ([*demo, "--set", f"training.epochs={EVIL}"], {}),
        ([*demo, "--set", EVIL], {}),
        ([*demo, "--trial", f"{EVIL}: gram-1e"], {}),
        ([*demo, "--strategies", EVIL], {}),
        ([*demo, "--device", EVIL], {}),
        ([*demo, "--seeds", EVIL], {}),
        ([*demo, "--fail-on", f"speedup.{EVIL} < 1"], {}),
        ([*demo, "--dry-run", "--set", f"data.dataset={EVIL}", "--set", f"encoder.model={EVIL}"], {}),
        ([*demo], {"GRAMBENCH_WORKER_START": EVIL}),
        (["run", "--resume", EVIL], {}),
        (["run", "--preset", "own.toml"], {}),
        (["run", "--preset", "value.toml"], {}),
        (["run", "--preset", "broken.toml"], {}),
        (["presets", EVIL], {}),
        (["presets", "demo", "--set", f"data.dataset={EVIL}"], {}),
        (["data", "verify", EVIL], {}),
        (["data", "verify", "columns"], {}),
        (["data", "verify", "ids"], {}),
        (["data", "verify", "times"], {}),
        (["data", "list"], {"GRAMBENCH_CACHE": f"{folder}/{name}"}),
        (["runs"], {}),
        (["runs", "--out", EVIL], {}),
        (["watch", "kept", "--plain"], {}),
        (["report", "kept", "--format", "markdown"], {}),
        (["report", "kept"], {}),
        (["report", "kept", "--format", EVIL], {}),
        (["report", EVIL], {}),
        (["compare", "report.json", "kept"], {}),
        (["replay", "kept", "--demo"], {}),
    ]


def on_terminal(folder: Path, argv: list[str], environment: dict[str, str]) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment, start_new_session=True
    )
    os.close(theirs)
    written = b""
    try:
        while data := os.read(ours, 65536):
            written += data
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return written.decode()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each command wrote."""
    folder = tmp_path_factory.mktemp("hostile")
    hostile_files(folder)
    (folder / "commands.json").write_text(json.dumps(commands(folder)))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
    written = on_terminal(folder, [sys.executable, "-c", DRIVER], environment)
    return re.split(r"== \d+\r\n", written)[1:]


def test_no_escape_sequence_of_the_input_is_written(shown: list[str]) -> None:
    found = commands(Path())
    assert len(shown) == len(found) >= 30
    for (argv, variables), text in zip(found, shown, strict=True):
        rest = OURS.sub("", text).replace("\r\n", "\n")
        assert not LOUD.search(rest), (argv, variables, LOUD.findall(rest))
        assert "Traceback" not in text, (argv, text)


def test_most_of_them_show_what_is_left_of_it(shown: list[str]) -> None:
    assert sum("evil" in text for text in shown) >= 20


def test_each_refusal_is_one_line_with_a_code_of_the_table(shown: list[str]) -> None:
    codes = [int(re.search(r"== exit (\d+)", text)[1]) for text in shown]  # type: ignore[index]
    assert set(codes) <= {0, 2, 3, 4, 6, 8}
    assert codes.count(0) < len(codes) / 2
