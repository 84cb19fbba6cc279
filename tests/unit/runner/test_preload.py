"""Workers forked from a preload process, with a small script in the place of `python`."""

import ast
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from fake_python import REAL, write_fake_python

from grambench.config.presets import load_preset
from grambench.errors import ConfigError
from grambench.events import types as ev
from grambench.runner import preload as module
from grambench.runner.preload import Forked, Preload, PreloadError
from grambench.runner.starts import CHOICE, WorkerStarts, worker_environment
from grambench.runner.workers import Worker

SPEC = load_preset("demo")
PATIENCE_S = 600.0
WAYS = pytest.mark.parametrize("way", ["fork", "spawn"])
UNTIL_EOF = "while os.read(0, 100): pass"


def until(look: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline_s, f"waited for {what}"
        time.sleep(0.01)


@dataclass
class Run:
    """A run folder whose workers do what a script says."""

    folder: Path
    patch: pytest.MonkeyPatch
    events: list[ev.Event] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    opened: list[WorkerStarts] = field(default_factory=list)

    def starts(self, work: str, way: str = "fork", load: str = "pass") -> WorkerStarts:
        """What starts its workers, ready."""
        self.patch.setattr(sys, "executable", write_fake_python(self.folder, work, load))
        self.patch.setenv(CHOICE, way)
        starts = WorkerStarts(self.folder, SPEC, self.events.append)
        self.opened.append(starts)
        until(lambda: starts.are_ready(0.05), "the libraries")
        return starts

    def worker(self, starts: WorkerStarts, trial: str = "e2e.s0", device: str | None = None) -> Worker:
        self.workers.append(Worker(self.folder, trial, device, starts))
        return self.workers[-1]

    @property
    def preload(self) -> psutil.Process:
        return psutil.Process(next(event.pid for event in self.events if isinstance(event, ev.Preloading)))

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, ev.Warned)]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    made = Run(tmp_path, monkeypatch)
    yield made
    for worker in made.workers:
        worker.terminate()
        worker.wait(PATIENCE_S)
        worker.close()
    for starts in made.opened:
        starts.close()


# --- a worker is the same, however it starts ---------------------------------------------------

ENDS = {
    "returns": ("print('said'); return 7", 7, "said"),
    "exits": ("sys.exit(5)", 5, ""),
    "exits with nothing": ("sys.exit()", 0, ""),
    "exits with words": ("sys.exit('in words')", 1, "in words"),
    "fails": ("raise OSError('what went wrong')", 1, "OSError: what went wrong"),
    "is terminated": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -signal.SIGTERM, ""),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
    "is interrupted": (
        "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
        -signal.SIGINT,
        "KeyboardInterrupt",
    ),
}


@WAYS
@pytest.mark.parametrize("end", ENDS)
def test_exit_codes_and_logs_do_not_depend_on_the_start(run: Run, way: str, end: str) -> None:
    work, code, last = ENDS[end]
    worker = run.worker(run.starts(work, way))
    assert worker.wait(PATIENCE_S) == code
    assert worker.wait(0) == code
    lines = worker.log_tail().splitlines()
    assert (lines[-1] if lines else "") == last
    assert run.warnings == []


_FACTS = """
import faulthandler
print([
    arguments, sys.argv[-len(arguments):], os.getcwd(), os.environ["PYTHONUNBUFFERED"],
    faulthandler.is_enabled(),
    sorted(fd for fd in range(256) if Path(f"/proc/self/fd/{fd}").exists()),
    [repr(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)],
    os.getppid(), os.getsid(0) == os.getpid() == os.getpgid(0),
    [word for word in Path("/proc/self/cmdline").read_text().split("\\0") if word][-len(arguments) - 3:],
])
"""


@WAYS
def test_a_worker_finds_the_same_world_however_it_starts(run: Run, way: str) -> None:
    worker = run.worker(run.starts(_FACTS, way), device="cuda:3")
    assert worker.wait(PATIENCE_S) == 0
    arguments, argv, folder, unbuffered, dumps, descriptors, handlers, parent, leads, shown = (
        ast.literal_eval(worker.log_tail())
    )
    role, where, trial, heartbeat, device = arguments
    assert (role, where, trial, device) == ("trial", str(run.folder), "e2e.s0", "cuda:3")
    assert argv == arguments
    assert shown == ["-P", "-m", "grambench.worker", *arguments]
    assert descriptors == [0, 1, 2, int(heartbeat)]
    assert handlers == [repr(signal.default_int_handler), *[repr(signal.SIG_DFL)] * 3]
    assert (folder, unbuffered, dumps) == (str(Path.cwd()), "1", False)
    assert parent == os.getpid()
    assert leads


@WAYS
def test_the_group_of_a_worker_ends_with_it(run: Run, way: str) -> None:
    worker = run.worker(
        run.starts(
            "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); return 3", way
        )
    )
    assert worker.wait(PATIENCE_S) == 3
    worker.terminate()
    sleeper = int(worker.log_tail())
    until(lambda: not _runs(sleeper), "the worker's child to end")


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# --- only forked workers -----------------------------------------------------------------------


def test_forked_workers_do_not_share_random_numbers(run: Run) -> None:
    load = "import random, numpy; random.seed(1); numpy.random.seed(1)"
    starts = run.starts("import random, numpy; print((random.random(), numpy.random.random()))", load=load)
    drawn = []
    for trial in ("a.s0", "b.s0"):
        worker = run.worker(starts, trial)
        assert worker.wait(PATIENCE_S) == 0
        drawn.append(ast.literal_eval(worker.log_tail()))
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


def test_exit_handlers_of_the_preload_process_do_not_run_in_workers(run: Run) -> None:
    load = "import atexit; atexit.register(print, 'exit handler', flush=True)"
    starts = run.starts("print('worked', end='')", load=load)
    worker = run.worker(starts)
    assert worker.wait(PATIENCE_S) == 0
    assert worker.log_tail() == "worked"


def test_each_worker_sees_the_end_of_its_own_pipe(run: Run) -> None:
    starts = run.starts(UNTIL_EOF)
    first, second, third = (run.worker(starts, trial) for trial in ("a.s0", "b.s0", "c.s0"))
    second.close()
    assert second.wait(PATIENCE_S) == 0
    assert (first.wait(0), third.wait(0)) == (None, None)
    assert run.preload.is_running()


def test_orphans_are_adopted_only_while_a_worker_is_forked(run: Run) -> None:
    libc, adopts = ctypes.CDLL(None), ctypes.c_int(-1)
    run.worker(run.starts(UNTIL_EOF))
    assert libc.prctl(37, ctypes.byref(adopts), 0, 0, 0) == 0
    assert adopts.value == 0


def test_nobody_else_is_killed_once_the_exit_code_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen([REAL, "-c", "pass"], start_new_session=True)
    forked, killed = Forked(process.pid), []
    monkeypatch.setattr(os, "killpg", lambda pid, _: killed.append((pid, forked._has_ended())))
    assert forked.wait(PATIENCE_S) == 0
    assert killed == [(process.pid, True)]  # its exit code could still be read: the pid was its own
    forked.kill()
    assert len(killed) == 1
    process.returncode = 0


def test_a_process_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ChildProcessError):
        Forked(os.getppid())


# --- the preload process fails -----------------------------------------------------------------


def test_killed_in_mid_run_it_leaves_its_workers_and_later_ones_start_plainly(run: Run) -> None:
    starts = run.starts(f"print(os.getppid(), flush=True)\n{UNTIL_EOF}")
    first = run.worker(starts, "a.s0")
    run.preload.kill()
    second, third = run.worker(starts, "b.s0"), run.worker(starts, "c.s0")
    assert run.warnings == [
        "workers are not forked but load the libraries themselves:"
        " the preload process failed (it ended with signal 9)"
    ]
    assert [worker.wait(0) for worker in (first, second, third)] == [None] * 3
    for worker in (first, second, third):
        worker.close()
        assert worker.wait(PATIENCE_S) == 0
        assert worker.log_tail() == f"{os.getpid()}\n"


FAILURES = {
    "import no_such_module": (
        "(it ended with exit code 1: ModuleNotFoundError: No module named 'no_such_module')"
    ),
    "os._exit(0)": "(it ended with exit code 0)",
    "import threading; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()": (
        "(a library has started threads, which a fork would lack: 1)"
    ),
    "preload._CUDA_FILES = '/dev/zero'; global kept; kept = open('/dev/zero')": (
        "(a library has opened /dev/zero, and CUDA does not survive a fork)"
    ),
}


@pytest.mark.parametrize("load", FAILURES)
def test_one_that_cannot_be_forked_is_said_once_and_workers_start_plainly(run: Run, load: str) -> None:
    (run.folder / module.LOG).write_text("of an earlier part of the run\n")
    starts = run.starts("print('worked')", load=load)
    for trial in ("setup", "e2e.s0"):
        worker = run.worker(starts, trial)
        assert worker.wait(PATIENCE_S) == 0
        assert worker.log_tail() == "worked\n"
    (warning,) = run.warnings
    assert warning.endswith(FAILURES[load])


def test_a_fork_that_takes_too_long_never_does_the_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.patch.setattr(sys, "executable", write_fake_python(run.folder, "print('worked')"))
    preload = Preload(run.folder, worker_environment(SPEC))
    until(lambda: preload.loaded(0.05) is not None, "the libraries")
    process = psutil.Process(preload.pid)
    process.suspend()
    monkeypatch.setattr(module, "_FORK_S", 0.05)
    with (run.folder / "log").open("wb") as log, pytest.raises(PreloadError, match="not answered within"):
        preload.fork(["trial"], 0, log.fileno(), log.fileno())
    process.resume()
    answer = preload._receive(PATIENCE_S)  # it has forked after all, when nobody waited any more
    assert answer is not None
    until(lambda: not psutil.pid_exists(answer["pid"]), "the worker to end")
    assert (run.folder / "log").read_bytes() == b""
    preload.close()


def test_a_worker_whose_cuda_was_lost_starts_plainly_in_the_same_process(run: Run) -> None:
    cuda = "types.SimpleNamespace(_is_in_bad_fork=lambda: True)"
    load = f"import types; sys.modules['torch'] = types.SimpleNamespace(cuda={cuda})"
    worker = run.worker(
        run.starts("print(os.getpid(), 'torch' in sys.modules, arguments); return 4", load=load)
    )
    assert worker.wait(PATIENCE_S) == 4
    said, did = worker.log_tail().splitlines()
    assert said == "grambench: CUDA was initialised before the fork; this worker loads the libraries itself"
    assert did.startswith(f"{worker.pid} False ['trial', ")
    assert run.warnings == []


_SUPERVISOR = """
import os, sys, time
from pathlib import Path
from grambench.config.presets import load_preset
from grambench.runner.starts import WorkerStarts
from grambench.runner.workers import Worker

sys.executable = sys.argv[1]
starts = WorkerStarts(Path(sys.argv[2]), load_preset("demo"), lambda event: None)
while not starts.are_ready(0.05):
    pass
workers = [Worker(Path(sys.argv[2]), trial, None, starts) for trial in ("a.s0", "b.s0")]
print(*(worker.pid for worker in workers), starts._preload.pid, flush=True)
time.sleep(600)
"""


def test_a_killed_supervisor_takes_preload_process_and_workers_along(tmp_path: Path) -> None:
    python = write_fake_python(tmp_path, UNTIL_EOF)
    environment = os.environ | {CHOICE: "fork"}
    supervisor = subprocess.Popen(
        [REAL, "-c", _SUPERVISOR, python, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert supervisor.stdout is not None
    pids = [int(pid) for pid in supervisor.stdout.readline().split()]
    assert len(pids) == 3
    assert all(map(_runs, pids))
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    until(lambda: not any(map(_runs, pids)), "preload process and workers to end")


def test_closing_it_leaves_its_workers_alone(run: Run) -> None:
    starts = run.starts(UNTIL_EOF)
    worker, preload = run.worker(starts), run.preload
    starts.close()
    assert not preload.is_running()
    assert worker.wait(0.2) is None
    worker.close()
    assert worker.wait(PATIENCE_S) == 0


# --- which way -----------------------------------------------------------------------------------


def test_events_tell_that_the_libraries_are_being_loaded(run: Run) -> None:
    run.starts("pass")
    begun, ended = run.events
    assert begun == ev.Preloading(run.preload.pid)
    assert isinstance(ended, ev.Preloading)
    assert ended.pid == begun.pid
    assert ended.seconds is not None


def test_spawn_has_no_preload_process(run: Run) -> None:
    run.starts("pass", "spawn")
    assert run.events == []
    assert not (run.folder / module.LOG).exists()


def test_another_system_than_linux_starts_plainly(run: Run) -> None:
    run.patch.setattr(sys, "platform", "darwin")
    run.starts("pass", "fork")
    assert run.events == []


def test_an_unknown_way_is_refused(run: Run) -> None:
    with pytest.raises(ConfigError, match="GRAMBENCH_WORKER_START is 'thread'"):
        run.starts("pass", "thread")


def test_the_users_own_variables_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert worker_environment(SPEC)["OPENBLAS_NUM_THREADS"] == "1"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    assert worker_environment(SPEC)["OPENBLAS_NUM_THREADS"] == "3"
