"""Processes killed at random moments: preparations of the same data, and a supervisor that others read."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema

from grambench.domains.prepared import open_prepared
from grambench.reports.build import build_report, report_json
from grambench.reports.schema import json_schema
from grambench.runner.rundir import supervisor_of

NAME = "kills"
WHAT = "SIGKILL at random moments: one of two `data prepare` of the same data; a supervisor that others read"

PRESET = """
extends = "demo"
name = "tiny"
schedule = "sequential"
cpu_threads = 1
data.synthetic = { news = 120, users = 80, train_impressions = 300, dev_impressions = 60, topics = 4 }
encoder.architecture = { hidden_size = 16, layers = 1, heads = 2, intermediate_size = 32 }
filter = { nrms = { heads = 2, query = 8 }, history = 5 }
training = { strategies = ["gram-1s"], epochs = 4, patience = 4, batch_size = 32, checkpoint_s = 0.05 }
"""
_PREPARE = """
import sys
from grambench.config.presets import load_preset
from grambench.worker.prepare import prepare_data
print("ready", flush=True)
print(prepare_data(load_preset(sys.argv[1]), lambda _: None))
"""
_PREPARE_S = 1.0
"""About as long as a preparation takes: the range of the moments."""
_WAIT_S = 300.0

_MUTATIONS = 500
"""A kill takes about as long."""


def attack(count: int, seed: int) -> list[str]:
    """Both kinds of kills; the faults found.

    Args:
        count: mutations of other modules in whose place a kill comes for every `_MUTATIONS`.
        seed: of the random moments.
    """
    kills = max(1, count // _MUTATIONS)
    return attack_preparation(kills, seed) + attack_supervisor(kills, seed)


def attack_preparation(count: int, seed: int) -> list[str]:
    """Two preparations at once, one killed: the other one finishes, and the next one finds all in order."""
    rng, faults = random.Random(seed), list[str]()
    with _folder() as folder:
        for number in range(count):
            cache = folder / f"cache-{number}"
            killed, other = (_preparation(folder, cache) for _ in range(2))
            time.sleep(rng.random() * _PREPARE_S)
            killed.kill()
            killed.communicate()
            faults += _faults_of(other, f"kill {number}, the other preparation")
            killed = _preparation(folder, cache := folder / f"cache-{number}-alone")
            time.sleep(rng.random() * _PREPARE_S)
            killed.kill()
            killed.communicate()
            faults += _faults_of(_preparation(folder, cache), f"kill {number}, the next preparation")
            faults += [f"kill {number} left {path}" for path in leftovers(cache)]
    return faults


def attack_supervisor(count: int, seed: int) -> list[str]:
    """A supervisor killed while reports are built and `watch` runs; the run is then resumed."""
    rng, faults = random.Random(seed), list[str]()
    with _folder() as folder:
        wanted = _scores(_run(folder, "whole"))
        for number in range(count):
            run = _begin(folder, f"killed-{number}")
            watch = subprocess.Popen([*_grambench("watch", run), "--plain"], **_quiet(folder))
            moment_s = time.monotonic() + rng.random() * 10
            while time.monotonic() < moment_s and supervisor_of(run):
                faults += _report_faults(run, f"kill {number}, before")
            if (supervisor := supervisor_of(run)) is not None:
                supervisor.kill()
            faults += _report_faults(run, f"kill {number}, after")
            if watch.wait(_WAIT_S):
                faults.append(f"kill {number}: watch ended with {watch.returncode}")
            resumed = subprocess.run([*_grambench("run", "--resume", run), "--plain"], **_quiet(folder))
            if resumed.returncode or _scores(run) != wanted:
                faults.append(
                    f"kill {number}: resumed with {resumed.returncode}, {_scores(run)} for {wanted}"
                )
    return faults


def leftovers(cache: Path) -> list[Path]:
    """What a preparation should not leave in its cache: temporary folders, and folders without a manifest."""
    hidden = [path for path in cache.rglob(".*") if path.is_dir()]
    prepared = (path for path in cache.glob("**/prepared/*") if path.is_dir() and path not in hidden)
    return hidden + [path for path in prepared if not (path / "manifest.json").is_file()]


def _report_faults(run: Path, when: str) -> list[str]:
    """What is wrong with the report of a run whose logs may be moving."""
    try:
        report = json.loads(report_json(build_report(run)))
        jsonschema.validate(report, json_schema(), jsonschema.Draft202012Validator)
    except Exception as error:
        return [f"{when}: {type(error).__name__}: {error}"]
    return []


def _faults_of(process: "subprocess.Popen[str]", name: str) -> list[str]:
    """What is wrong with a preparation and what it prepared."""
    out, err = process.communicate(timeout=_WAIT_S)
    if process.returncode:
        return [f"{name} ended with {process.returncode}: {err[-500:]}"]
    open_prepared(Path(out.splitlines()[-1]))
    return []


def _preparation(folder: Path, cache: Path) -> "subprocess.Popen[str]":
    """A preparation whose libraries are loaded."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PREPARE, str(folder / "tiny.toml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(cache),
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _begin(folder: Path, name: str) -> Path:
    """A run in progress."""
    command = _grambench("run", "--preset", folder / "tiny.toml", "--detach", "--out", folder / name)
    subprocess.run(command, check=True, **_quiet(folder))
    return next((folder / name).iterdir())


def _run(folder: Path, name: str) -> Path:
    """A run from start to end."""
    command = _grambench("run", "--preset", folder / "tiny.toml", "--plain", "--out", folder / name)
    subprocess.run(command, check=True, **_quiet(folder))
    return next((folder / name).iterdir())


def _scores(run: Path) -> list[tuple[int | None, float | None]]:
    trials = build_report(run).trials
    return [(trial.steps, trial.test.auc if trial.test else None) for trial in trials]


def _grambench(*words: object) -> list[str]:
    return [sys.executable, "-m", "grambench", *map(str, words)]


def _quiet(folder: Path) -> dict[str, Any]:
    nothing = subprocess.DEVNULL
    return {"stdout": nothing, "stderr": nothing, "stdin": nothing, "env": _environment(folder / "cache")}


def _environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "GRAMBENCH_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder with the preset; whatever still runs in it is ended with it."""
    folder = Path(tempfile.mkdtemp(prefix="grambench-kills-"))
    (folder / "tiny.toml").write_text(PRESET)
    try:
        yield folder
    finally:
        for run in folder.glob("*/*/run.json"):
            if (supervisor := supervisor_of(run.parent)) is not None:
                supervisor.send_signal(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
