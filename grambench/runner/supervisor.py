"""The supervisor of one run: setup, then the trials in turn, samples, outcomes, the report."""

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from grambench.config.labels import data_label, model_label
from grambench.config.spec import Spec
from grambench.errors import ExitCode, MachineError
from grambench.events import types as ev
from grambench.events.fold import read_run
from grambench.events.journal import Journal
from grambench.events.state import SETUP, RunState
from grambench.runner.rundir import SUPERVISOR_LOG, read_spec, write_pid
from grambench.runner.sampler import SamplerThread
from grambench.runner.workers import Worker

STOP_GRACE_S = 20.0
"""Seconds that a worker has to end after `Stop` before it is killed."""
_POLL_S = 0.1


def trial_names(spec: Spec) -> list[str]:
    """Trials in running order: every strategy of a seed before the next seed."""
    return [f"{name}.s{seed}" for seed in spec.training.seeds for name in spec.training.strategies]


class Supervisor:
    """Runs one run folder to its end; the log is the only thing it leaves beside the workers'."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.preset, self.spec = read_spec(folder)
        self._stop = threading.Event()
        """Set by the first signal: end after the step under way."""
        self._kill = threading.Event()
        """Set by the second one: end now."""
        self._turns = 0

    def run(self) -> ExitCode:
        """Setup, every trial, the report, and the last line of the log.

        Raises:
            MachineError: another supervisor holds the folder.
        """
        began = time.monotonic_ns()
        with self._alone(), Journal(self.folder / SUPERVISOR_LOG) as journal:
            self._catch_signals()  # before anyone can learn the pid
            write_pid(self.folder)
            self._emit = journal.append
            self._emit(self._started())
            self._sampler = SamplerThread(journal.append)
            self._sampler.start()
            try:
                setup = self._run_worker(SETUP)
                if setup == ExitCode.OK:
                    for trial in trial_names(self.spec):
                        if not self._stop.is_set():
                            self._run_worker(trial)
            finally:
                self._sampler.stop()
            code = exit_code(read_run(self.folder), self._stop.is_set())
            self._emit(ev.RunFinished(int(code), (time.monotonic_ns() - began) / 1e9))
        return code

    def _started(self) -> ev.RunStarted:
        return ev.RunStarted(
            run=self.folder.name,
            preset=self.preset,
            trials=trial_names(self.spec),
            pid=os.getpid(),
            model_label=model_label(self.spec),
            data_label=data_label(self.spec),
            schedule=self.spec.schedule,
        )

    def _run_worker(self, trial: str) -> int:
        """One worker from start to end, with an endless turn."""
        worker = Worker(self.folder, trial)
        self._emit(ev.WorkerSpawned(trial, worker.pid))
        self._sampler.watch(trial, worker.pid)
        try:
            self._turns += 1
            self._emit(ev.TurnGranted(trial, self._turns))
            worker.grant(self._turns)
            code, killed = self._await(worker)
        finally:
            worker.terminate()
            worker.close()
            self._sampler.unwatch(trial)
        self._emit(ev.WorkerExited(trial, code, worker.log_tail() if code else "", killed))
        return code

    def _await(self, worker: Worker) -> tuple[int, bool]:
        """Its exit code, and whether it was killed: after a stop it has `STOP_GRACE_S` to end by itself."""
        deadline: float | None = None
        killed = False
        while (code := worker.wait(_POLL_S)) is None:
            if self._stop.is_set() and deadline is None:
                worker.stop()
                # data preparation has no steps to stop between, so it ends at once
                grace_s = 0.0 if worker.trial == SETUP else STOP_GRACE_S
                deadline = time.monotonic() + grace_s
            if self._kill.is_set() or (deadline is not None and time.monotonic() > deadline):
                worker.terminate()
                killed = True
        return code, killed

    def _catch_signals(self) -> None:
        def stop(_signal: int, _frame: FrameType | None) -> None:
            if self._stop.is_set():
                self._kill.set()
            self._stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / ".lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise MachineError(
                    f"Another process is running {self.folder}.", "Watch it, or start a new run."
                ) from error
            yield


def exit_code(state: RunState, stopped: bool) -> ExitCode:
    """What a run's end says to the shell."""
    setup = state.setup
    if stopped or any(trial.outcome == "stopped" for trial in state.trials.values()):
        return ExitCode.STOPPED
    if setup.outcome != "completed":
        code = setup.exit_code or ExitCode.BUG
        known = code in {member.value for member in ExitCode}
        return ExitCode(code) if known else ExitCode.BUG
    if any(trial.outcome not in ("completed", "early-stopped") for trial in state.trials.values()):
        return ExitCode.PARTIAL
    if setup.audit is None or not setup.audit.equivalent:
        return ExitCode.NOT_COMPARABLE
    return ExitCode.OK
