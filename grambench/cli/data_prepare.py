"""`grambench data prepare`: fetch what may be fetched, then prepare the arrays in a worker."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast, get_args

from grambench.cli.data_sets import has_splits
from grambench.cli.steps import Steps, megabytes
from grambench.config.data import Data
from grambench.config.paths import dataset_dir
from grambench.config.spec import Spec
from grambench.errors import ExitCode, GrambenchError, MachineError
from grambench.events import types as ev
from grambench.events.journal import Follower
from grambench.events.state import SETUP

_POLL_S = 0.1
_GRACE_S = 5.0
_SCRATCH, _KEPT_S = "grambench-prepare-", 7 * 86_400.0
_PHASES = {
    "hash": "files checked",
    "read": "files read",
    "tokenize": "items tokenized",
    "write": "arrays written",
}


def fetch_if_missing(data: Data, steps: Steps) -> None:
    """Make sure that the files of `data` exist; MIND is fetched into its own folder.

    Only for a source that reads MIND's format: `data.dataset` may name tables as well.

    Raises:
        DataError: there is no data; the fix says where to put it. MachineError: no source could be reached.
    """
    from grambench.domains.locate import locate
    from grambench.domains.news.fetch import LICENCE, Dataset, fetch

    if data.is_generated:
        return
    folder = dataset_dir(data.dataset)
    is_fetched = data.source == "mind" and data.dir is None and data.dataset in get_args(Dataset)
    if is_fetched and not has_splits(folder):
        steps.note(LICENCE)
        steps.note(f"Fetching {data.dataset} into {folder}.")
        fetch(
            cast(Dataset, data.dataset),
            folder,
            lambda name, done, total: steps.show(name, done, total, megabytes),
        )
    locate(data)


def prepare_in_worker(spec: Spec, name: str, steps: Steps) -> tuple[ev.DataPrepared, list[ev.Warned]]:
    """Prepare the arrays in a worker process, which alone loads the tokenizer.

    The worker's scratch folder is removed, unless its log is needed to find a bug.

    Raises:
        GrambenchError: the worker's own error, with its exit code.
    """
    from grambench.runner.rundir import create_run

    steps.note(f"Preparing {name}.")
    _remove_scratch(Path(tempfile.gettempdir()))
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH))
    keep = False
    try:
        run = create_run(spec, name, scratch, ["grambench", "data", "prepare", name])
        log = run / "worker.log"
        with _worker(run, log) as worker:
            prepared, warned, finished = _follow(worker, run, steps)
        code = worker.returncode
        if code == ExitCode.OK and prepared is not None:
            return prepared, warned
        keep = finished is None or code == ExitCode.BUG
        raise _failure(code, finished, log)
    finally:
        if not keep:
            shutil.rmtree(scratch, ignore_errors=True)


def _remove_scratch(folder: Path) -> None:
    """Remove what preparations that were killed, or that kept their logs, left here a week ago."""
    for scratch in folder.glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError):
            found = scratch.lstat()
            if found.st_uid == os.getuid() and time.time() - found.st_mtime > _KEPT_S:
                shutil.rmtree(scratch)  # never through a link


@contextlib.contextmanager
def _worker(run: Path, log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A worker that ends with this block or this process: it exits when its standard input closes."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "grambench.worker", "prepare", str(run)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    assert process.stdin is not None
    try:
        yield process
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _follow(
    worker: "subprocess.Popen[bytes]", run: Path, steps: Steps
) -> tuple[ev.DataPrepared | None, list[ev.Warned], ev.TrialFinished | None]:
    """Show the worker's progress until it ends; what it prepared, its warnings and its last event."""
    follower = Follower(run / SETUP / "events.jsonl")
    prepared: ev.DataPrepared | None = None
    warned: list[ev.Warned] = []
    finished: ev.TrialFinished | None = None
    last: ev.PrepareProgress | None = None
    while True:
        ended = worker.poll() is not None  # polled before the read, so that no line is missed
        for record in follower.read():
            match record.event:
                case ev.PrepareProgress() as progress:
                    if last is not None and last.phase != progress.phase:
                        _show_done(last, steps)
                    last = progress
                    steps.show(_words(progress), progress.done, progress.total)
                case ev.DataPrepared() as prepared:
                    if last is not None:
                        _show_done(last, steps)
                case ev.Warned() as warning:
                    warned.append(warning)
                case ev.TrialFinished() as finished:
                    pass
        if ended:
            return prepared, warned, finished
        time.sleep(_POLL_S)


def _show_done(phase: ev.PrepareProgress, steps: Steps) -> None:
    """Progress events are rate-limited, so the last one of a phase may be missing."""
    if phase.total is not None:
        steps.show(_words(phase), phase.total, phase.total)


def _words(progress: ev.PrepareProgress) -> str:
    return _PHASES.get(progress.phase, progress.phase)


def _failure(code: int, finished: ev.TrialFinished | None, log: Path) -> GrambenchError:
    """The worker's own error with its exit code, or what is known if it gave none."""
    if finished is None:
        ending = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return MachineError(
            f"The worker that prepares the data ended with {ending} without an error message.",
            f"See {log}; SIGKILL usually means that the memory ran out.",
        )
    known = code in {member.value for member in ExitCode} and code != ExitCode.OK
    fix = f"The log is {log}." if code == ExitCode.BUG else ""
    error = GrambenchError(finished.reason, fix)
    error.exit_code = ExitCode(code) if known else ExitCode.BUG
    return error
