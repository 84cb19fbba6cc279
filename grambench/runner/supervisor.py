"""The supervisor of one run: setup, then the trials by schedule, samples, outcomes."""

import fcntl
import os
import selectors
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from grambench import fs
from grambench.config.labels import data_label, model_label
from grambench.config.ranks import Ranks
from grambench.errors import ExitCode, MachineError
from grambench.events import types as ev
from grambench.events.buffered_journal import BufferedJournal, disk_patience_s
from grambench.events.control import Ending, NoRoom, Restarted, TurnOver
from grambench.events.reader import read_run
from grambench.events.state import SETUP, STATES, RunState
from grambench.reports.tuning import trials_tried
from grambench.runner import commands
from grambench.runner.agents import AgentStart, launched
from grambench.runner.decision import Decision
from grambench.runner.exports import Exports
from grambench.runner.groups import how_stopped
from grambench.runner.host import HostSampler, oom_kills
from grambench.runner.names import cheapest_first, trial_names
from grambench.runner.race_memory import race_needs
from grambench.runner.rundir import SUPERVISOR_LOG, held_by, read_spec, write_pid
from grambench.runner.schedule import Race, Seat, Sequential, Start, Turn, make_schedule
from grambench.runner.snapshots import SnapshotKeeper
from grambench.runner.starts import WorkerStarts, worker_environment
from grambench.runner.telemetry import SamplerThread
from grambench.runner.workers import Worker

STOP_GRACE_S = 60.0
"""Seconds that a worker has to end by itself, checkpoint included, before it is killed."""
_POLL_S = 0.1
_QUIET_S = 3.0
"""Seconds of silence after which the supervisor checks whether a worker is stopped."""
_DEAF_S = 1.0
"""A longer gap between two looks at the workers means that the supervisor was stopped or had no CPU."""
_SLEPT_S = 2.0
"""A larger difference of the clocks means that the machine slept."""
NO_ROOM = "no-room"
"""Code of the warning that says why a run was interrupted: its disk stayed full."""
_NOT_AGAIN = ("completed", "early-stopped", "skipped", "diverged")
"""Outcomes of trials that a resumed run leaves as they are."""


@dataclass(slots=True)
class _Running:
    """A worker and what the supervisor knows of it."""

    worker: Worker
    seat: Seat
    turn: int = 0
    before_s: float = 0.0
    """Training seconds before its ranks started again."""
    told: Ending | None = None
    """How it was told to end."""
    heard_s: float = 0.0
    """When its last heartbeat came, or it was last seen to be stopped."""
    stopped: bool = False
    """It was found stopped or frozen since its last message."""
    deadline_s: float | None = None
    """When it is killed, after it was told to end."""
    killed: bool = False
    why: str = ""
    oom_kills: int = 0
    """The control group's count at its start."""


class Supervisor:
    """Supervises the run of one folder to its end; the only log it writes is its own."""

    def __init__(
        self,
        folder: Path,
        *,
        foreground: bool = False,
        exports: Sequence[str] = (),
        ranks: Ranks | None = None,
    ) -> None:
        """
        Args:
            folder: of the run.
            foreground: it shares the user's terminal, and ends with it.
            exports: targets to which the run is exported while it lasts.
            ranks: in place of the specification's.
        """
        self.folder, self._foreground, self._targets = folder, foreground, exports
        self._exports: Exports | None = None
        self.preset, self.spec = read_spec(folder)
        if ranks is not None:
            self.spec = self.spec.model_copy(update={"ranks": ranks})
        self._schedule = make_schedule(self.spec)
        self._ending: Ending | None = None
        """How the whole run is to end after the current steps."""
        self._kill = False
        """Set by the second signal: end now."""
        self._paused = False
        self._turns = 0
        self._launches = 0
        self._running: dict[str, _Running] = {}
        self._selector = selectors.DefaultSelector()
        self._patience_s = disk_patience_s()
        self.resumable = False
        """The run is over, or its disk stays full: a resumed run makes up for what its log lacks."""
        self._log: BufferedJournal | None = None
        self._full_since_s: float | None = None
        """Since when the disk has had no room for a worker."""
        self._slept_s = _asleep_s()
        self._listened_s = time.monotonic()
        self._quiet_s = min(_QUIET_S, self.spec.hang_s / 2)

    def run(self) -> ExitCode:
        """Setup, every trial that is not done yet, and the last line of the log.

        Raises:
            MachineError: another supervisor holds the folder, or its log cannot be written.
        """
        began = time.monotonic_ns()
        with self._alone(), self._journal() as journal:
            self._catch_signals()  # before anyone can learn the pid
            write_pid(self.folder)
            self._log, self._emit = journal, journal.append
            before = read_run(self.folder)
            self._emit(self._started())
            self._exports = Exports(self.folder, self._targets, self._emit)
            self._starts = WorkerStarts(self.folder, self.spec, self._emit)
            self._sampler = SamplerThread(
                journal.append, host=HostSampler(disk=self.folder), folder=self.folder
            )
            self._sampler.start()
            snapshots = SnapshotKeeper(self.folder)
            snapshots.start()
            try:
                if self._set_up() == ExitCode.OK:
                    self._decision = Decision(self.spec, before.looks)
                    self._train(_left_over(before, trial_names(self.spec)))
            finally:
                for trial in list(self._running):
                    self._end(trial, self._running[trial].worker.wait(0) or -signal.SIGKILL)
                self._starts.close()
                self._sampler.stop()
            code = exit_code(read_run(self.folder), self._ending, self._kill)
            if code == ExitCode.OK:
                fs.discard(self.folder / STATES)  # gigabytes, and computed again if they are ever needed
            self.resumable = True
            self._emit(ev.RunFinished(int(code), (time.monotonic_ns() - began) / 1e9))
            snapshots.stop()
            self._exports.finish()
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
            spec=self.spec.model_dump(mode="json"),
            strategies={entry.label: entry.strategy for entry in self.spec.trials},
            tuned=trials_tried(self.folder),
        )

    # --- setup and trials ----------------------------------------------------------------------

    def _set_up(self) -> int:
        """Preparation and audit, from start to end, once the libraries are loaded."""
        while not self._starts.are_ready(_POLL_S):
            self._handle_commands([])
            if self._ending is not None:
                return ExitCode.STOPPED
        self._spawn(SETUP, None)
        self._grant(Turn(SETUP, None))
        code: int | None = None
        while code is None:
            self._listen()
            self._handle_commands([])
            if self._ending is not None:
                self._running[SETUP].deadline_s = 0.0  # there is no step to finish, and nothing is lost
            code = self._reap(SETUP)
        return code

    def _train(self, pending: list[str]) -> None:
        """Every pending trial, as the schedule says."""
        self._leave_out(pending)
        while pending or self._running:
            self._handle_commands(pending)
            if self._ending is not None:
                pending.clear()
                self._stop_all(self._ending)
            elif not self._paused:
                self._advance(pending)
            self._listen()
            for trial in list(self._running):
                self._reap(trial)
            if self._ending is None and self._decision.is_due(unfinished := (*pending, *self._running)):
                self._emit(self._decision.look(read_run(self.folder), unfinished))
                self._leave_out(pending)

    def _leave_out(self, pending: list[str]) -> None:
        """Drop the trials that a decided run does not need; those under way go on to their end."""
        for trial in self._decision.left_out(pending):
            pending.remove(trial)
            self._emit(ev.TrialDropped(trial, self._decision.decided_after))

    def _advance(self, pending: list[str]) -> None:
        """Start and grant whatever the schedule allows now."""
        seats = {trial: running.seat for trial, running in self._running.items()}
        while start := self._schedule.start(pending, seats):
            if isinstance(self._schedule, Race) and seats and not self._race_fits(pending):
                return
            if not self._has_room(start):
                return
            pending.remove(start.trial)
            seats[start.trial] = self._running[start.trial].seat
        while turn := self._schedule.turn(seats):
            self._grant(turn)

    def _has_room(self, start: Start) -> bool:
        """Start a trial; False while the disk has no room for its folder."""
        try:
            self._spawn(start.trial, start.device)
        except OSError as error:
            if error.errno not in fs.NO_ROOM:
                raise
            now = time.monotonic()
            self._full_since_s = self._full_since_s or now
            if now - self._full_since_s > self._patience_s:
                self._give_up(f"{start.trial} cannot start: {error.strerror}")
            return False
        self._full_since_s = None
        return True

    def _race_fits(self, pending: list[str]) -> bool:
        """True if the pending trials fit into memory; else the trials run one after the other."""
        self._sampler.settle()  # includes the worker that has just warmed up
        shortage = race_needs(read_run(self.folder), list(self._running), pending)
        if shortage is None:
            return True
        self._emit(ev.Warned("race-memory", f"{shortage}; the trials run one after the other"))
        self._schedule = Sequential()
        pending[:] = cheapest_first([*self._running, *pending], self.spec)
        if pending[0] in self._running:
            pending.pop(0)
        for trial in [trial for trial in pending if trial in self._running]:  # they start later
            self._running[trial].worker.terminate()
            self._end(trial, self._running[trial].worker.wait(_POLL_S) or -signal.SIGKILL, stopped=True)
        return False

    # --- workers -------------------------------------------------------------------------------

    def _spawn(self, trial: str, device: str | None) -> None:
        how = None
        if trial != SETUP and self.spec.ranks.size > 1:
            self._launches += 1
            how = launched(trial, self.spec.ranks, self._launches)
        start = self._starts if how is None else self._agent(device, how)
        worker = Worker(self.folder, trial, device, start)
        running = _Running(worker, Seat(trial, device), heard_s=time.monotonic(), oom_kills=oom_kills() or 0)
        self._running[trial] = running
        self._selector.register(worker.read_fd, selectors.EVENT_READ)
        self._emit(ev.WorkerSpawned(trial, worker.pid))
        if how is not None:
            self._emit(how)
        self._sampler.watch(trial, worker.pid)

    def _agent(self, device: str | None, how: ev.RanksLaunched) -> AgentStart:
        return AgentStart(self.folder, device or self.spec.device, how, worker_environment(self.spec))

    def _tell_again(self, running: _Running) -> None:
        """The ranks have started again: they have no turn, and do not know whether they are to end."""
        running.before_s = running.seat.train_s
        running.seat.has_turn = running.seat.is_ready = False
        if running.told is not None:
            running.worker.stop(running.told)

    def _grant(self, turn: Turn) -> None:
        running = self._running[turn.trial]
        self._turns += 1
        running.turn, running.seat.has_turn, running.heard_s = self._turns, True, time.monotonic()
        self._emit(ev.TurnGranted(turn.trial, self._turns, turn.seconds))
        self._sampler.edge()
        running.worker.grant(self._turns, turn.seconds)

    def _listen(self) -> None:
        """Wait briefly for messages from workers."""
        self._selector.select(_POLL_S)
        self._discount_own_stop()
        if self._exports is not None:
            self._exports.look()
        for running in self._running.values():
            for message in running.worker.messages():
                running.heard_s, running.stopped = time.monotonic(), False
                if isinstance(message, NoRoom):
                    self._give_up(message.reason)
                if isinstance(message, Restarted):
                    self._tell_again(running)
                if isinstance(message, TurnOver) and message.turn == running.turn:
                    running.seat.has_turn = False
                    running.seat.is_ready |= message.begun
                    running.seat.train_s = running.before_s + message.train_s
                    self._sampler.edge()
        if self._log is not None and self._log.waited_s > self._patience_s:
            self._give_up(f"the log cannot be written: {self._log.why}")
        self._notice_sleep()

    def _give_up(self, reason: str) -> None:
        """Interrupt the run, which can be resumed, because its disk stays full."""
        if self._ending is None:
            self._ending, self.resumable = "interrupted", True
            words = f"the run was interrupted after the disk was full for {self._patience_s:,.0f} s: {reason}"
            self._emit(ev.Warned(NO_ROOM, words))

    def _reap(self, trial: str) -> int | None:
        """The worker's exit code once it has ended; kills it if it hangs or is past its deadline."""
        running, now = self._running[trial], time.monotonic()
        if running.seat.has_turn and (running.stopped or now - running.heard_s > self._quiet_s):
            self._look_for_stop(trial, running)
        silent_s = now - running.heard_s
        if running.deadline_s is not None and (self._kill or now > running.deadline_s):
            running.killed = True
            running.worker.terminate()
        elif running.seat.has_turn and silent_s > self.spec.hang_s and not running.why:
            running.why = f"no heartbeat for {silent_s:.0f} s: it was killed"
            running.worker.terminate()
        code = running.worker.wait(0)
        if code is not None:
            self._end(trial, code, stopped=running.killed)
        return code

    def _look_for_stop(self, trial: str, running: _Running) -> None:
        """A worker that was stopped or frozen from outside is silent but does not hang."""
        pids = running.worker.pids()
        state, pid = next(((found, pid) for pid in pids if (found := how_stopped(pid))), ("", 0))
        if not state:
            return
        running.heard_s = time.monotonic()
        if not running.stopped:
            running.stopped = True
            thaw = f"`kill -CONT {pid}`" if "signal" in state else "thawing the group"
            words = f"the process of {trial} was found {state}; the run waits until {thaw} lets it continue"
            self._emit(ev.Warned("worker-stopped", words))

    def _discount_own_stop(self) -> None:
        """Do not count the time in which the supervisor itself was stopped against workers."""
        now = time.monotonic()
        absent_s, self._listened_s = now - self._listened_s, now
        if absent_s > _DEAF_S:
            for running in self._running.values():
                running.heard_s = min(now, running.heard_s + absent_s)
                if running.deadline_s:
                    running.deadline_s += absent_s

    def _end(self, trial: str, code: int, stopped: bool = False) -> None:
        running = self._running.pop(trial)
        self._selector.unregister(running.worker.read_fd)
        running.worker.terminate()  # its children
        running.worker.close()
        self._sampler.unwatch(trial)
        why = running.why
        if code == -signal.SIGKILL and not why and not stopped and (oom_kills() or 0) > running.oom_kills:
            why = "the system ran out of memory and killed it"
        tail = running.worker.log_tail() if code else ""
        self._emit(ev.WorkerExited(trial, code, tail, stopped, why))

    def _stop_all(self, ending: Ending) -> None:
        for running in self._running.values():
            if running.deadline_s is None:
                running.told = ending
                running.worker.stop(ending)
                running.deadline_s = time.monotonic() + STOP_GRACE_S

    def _notice_sleep(self) -> None:
        """Warn if the machine slept: the monotonic clock stood still, the boot-time clock did not."""
        slept_s = _asleep_s()
        if slept_s - self._slept_s > _SLEPT_S:
            words = (
                f"the machine slept for {slept_s - self._slept_s:,.0f} s; no trial's clock has counted them"
            )
            self._emit(ev.Warned("suspended", words))
        self._slept_s = slept_s

    # --- watchers and signals ------------------------------------------------------------------

    def _handle_commands(self, pending: list[str]) -> None:
        for command in commands.take(self.folder):
            match command.action:
                case "pause" if not self._paused:
                    self._paused = True
                    self._emit(ev.RunPaused())
                    for running in self._running.values():
                        running.worker.hold()
                case "resume" if self._paused:
                    self._paused = False
                    self._emit(ev.RunResumed())
                case "skip":
                    self._skip(command.trial, pending)
                case "stop":
                    self._ending = self._ending or "stopped"
                case "mark":
                    self._emit(ev.Marked(command.text))
                case _:  # paused twice, or resumed twice
                    continue

    def _skip(self, trial: str, pending: list[str]) -> None:
        holders = [name for name, running in self._running.items() if running.seat.has_turn]
        trial = trial or (holders[-1] if holders else "")
        running = self._running.get(trial)
        if trial in pending:
            pending.remove(trial)
            self._emit(ev.TrialDropped(trial))
        elif running is not None and trial != SETUP and running.deadline_s is None:
            running.told = "skipped"
            running.worker.stop("skipped")
            running.deadline_s = time.monotonic() + STOP_GRACE_S

    def _catch_signals(self) -> None:
        def interrupt(_signal: int, _frame: FrameType | None) -> None:
            self._kill = self._ending is not None
            self._ending = self._ending or "interrupted"

        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if ignored, workers' exit codes would be lost
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, interrupt)
        signal.signal(signal.SIGHUP, interrupt if self._foreground else signal.SIG_IGN)

    # --- the folder ----------------------------------------------------------------------------

    def _journal(self) -> BufferedJournal:
        try:
            return BufferedJournal(self.folder / SUPERVISOR_LOG)
        except OSError as error:
            raise MachineError(
                f"{self.folder / SUPERVISOR_LOG} cannot be written: {error.strerror or error}.",
                "Make the folder writable, or copy the run to one that is.",
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            lock = os.fdopen(fs.open_owned(self.folder / ".lock"), "ab")
        except OSError as error:
            raise MachineError(
                f"{self.folder} cannot be written: {error.strerror or error}.",
                "Make the folder writable, or copy the run to one that is.",
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise held_by(self.folder) from error
            yield


def exit_code(state: RunState, ending: Ending | None = None, killed: bool = False) -> ExitCode:
    """The exit code of a run."""
    setup = state.setup
    if ending == "interrupted":
        return ExitCode.STOPPED if killed else ExitCode.INTERRUPTED
    if ending is not None:
        return ExitCode.STOPPED
    if setup.outcome != "completed":
        code = setup.exit_code or ExitCode.BUG
        known = code in {member.value for member in ExitCode}
        return ExitCode(code) if known else ExitCode.BUG
    needed = (trial.outcome for trial in state.trials.values() if trial.decided_after is None)
    if any(outcome not in ("completed", "early-stopped") for outcome in needed):
        return ExitCode.PARTIAL
    if setup.audit is None or not setup.audit.passed:
        return ExitCode.NOT_EQUIVALENT
    return ExitCode.OK


def _left_over(before: RunState, names: list[str]) -> list[str]:
    """Trials that no earlier supervisor has finished."""
    outcomes = {name: trial.outcome for name, trial in before.trials.items()}
    return [name for name in names if outcomes.get(name) not in _NOT_AGAIN]


def _asleep_s() -> float:
    """Seconds that the machine has slept since it booted."""
    boot = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux only
    return time.clock_gettime(boot) - time.clock_gettime(time.CLOCK_MONOTONIC)
