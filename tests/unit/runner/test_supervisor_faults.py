"""A machine that sleeps, a race that does not fit, workers that end badly: what the supervisor does."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grambench.config.presets import load_preset
from grambench.errors import ExitCode
from grambench.events import types as ev
from grambench.events.control import Alive, NoRoom, TurnOver
from grambench.runner import commands
from grambench.runner import supervisor as module
from grambench.runner.rundir import create_run
from grambench.runner.schedule import Race, Seat, Sequential, Start, Turn
from grambench.runner.supervisor import Supervisor


class FakeWorker:
    """A process that ends when it is terminated."""

    def __init__(self, code: int | None = None) -> None:
        self.code, self.read_fd, self.said, self.pid = code, 0, [], 1
        self.tells: list[object] = []

    def pids(self) -> list[int]:
        return [self.pid]

    def wait(self, _timeout_s: float) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.code = -signal.SIGKILL if self.code is None else self.code

    def stop(self, how: str) -> None:
        self.said.append(how)

    def messages(self) -> list[object]:
        return self.tells

    def grant(self, turn: int, seconds: float | None) -> None:
        self.said.append(f"turn {turn}")

    def close(self) -> None:
        self.said.append("closed")

    def log_tail(self) -> str:
        return ""


class SlowStarts:
    """Libraries that take so many looks to load."""

    def __init__(self, looks: int, meanwhile: Callable[[], None]) -> None:
        self.looks, self.meanwhile = looks, meanwhile

    def are_ready(self, _timeout_s: float) -> bool:
        self.looks -= 1
        self.meanwhile()
        return self.looks < 0


class Watched(Supervisor):
    """A supervisor that starts nothing and shows what it emits."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.events: list[Any] = []
        self.asked: list[str] = []  # of the sampler
        self.kills = 0


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    folder = create_run(load_preset("demo", ['schedule="race"', "hang_s=5"]), "demo", tmp_path, [])
    supervisor = Watched(folder)
    supervisor._emit = supervisor.events.append
    supervisor._sampler = SimpleNamespace(
        unwatch=lambda _: None,
        edge=lambda: supervisor.asked.append("edge"),
        settle=lambda: supervisor.asked.append("settle"),
    )
    supervisor._selector = SimpleNamespace(unregister=lambda _: None)
    monkeypatch.setattr(module, "oom_kills", lambda: supervisor.kills)
    return supervisor


def running(supervisor: Watched, trial: str, code: int | None = None, **facts: object) -> FakeWorker:
    worker = FakeWorker(code)
    supervisor._running[trial] = module._Running(worker, Seat(trial), **facts)
    return worker


def exits(supervisor: Watched) -> list[ev.WorkerExited]:
    return [event for event in supervisor.events if isinstance(event, ev.WorkerExited)]


def test_a_machine_that_slept_is_mentioned(made: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    asleep_s = made._slept_s
    for more in (0.5, 0.4, 3600.0, 0.0):
        asleep_s += more
        monkeypatch.setattr(module, "_asleep_s", lambda now=asleep_s: now)
        made._notice_sleep()
    (warned,) = made.events
    assert warned.code == "suspended"
    assert warned.message == "the machine slept for 3,600 s; no trial's clock has counted them"


@pytest.mark.parametrize(
    ("loaded", "waiting", "first"),
    [
        (["e2e.s0"], ["gram-1s.s0", "gram-1e.s0"], []),  # e2e is the first to load, and trains last
        (["e2e.s0", "gram-1s.s0"], ["gram-1e.s0"], []),
        (["e2e.s0", "gram-1e.s0"], ["gram-1s.s0"], ["gram-1e.s0"]),
    ],
)
def test_a_race_that_does_not_fit_goes_on_one_by_one_with_the_cheapest_first(
    loaded: list[str], waiting: list[str], first: list[str], made: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = {trial: running(made, trial) for trial in loaded}
    pending = [*waiting]
    monkeypatch.setattr(module, "read_run", lambda _: None)
    monkeypatch.setattr(module, "race_needs", lambda *_: "a race needs more")
    assert isinstance(made._schedule, Race)
    assert not made._race_fits(pending)
    assert isinstance(made._schedule, Sequential)
    assert [*first, *pending] == ["gram-1e.s0", "gram-1s.s0", "e2e.s0"]
    assert {trial: worker.code for trial, worker in workers.items()} == {
        trial: None if trial in first else -9 for trial in loaded
    }
    assert list(made._running) == first
    assert made._schedule.start(pending, {trial: run.seat for trial, run in made._running.items()}) == (
        None if first else Start("gram-1e.s0")
    )
    warned = next(event for event in made.events if isinstance(event, ev.Warned))
    assert warned == ev.Warned("race-memory", "a race needs more; the trials run one after the other")


def test_a_race_that_fits_goes_on(made: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    running(made, "e2e.s0")
    monkeypatch.setattr(module, "read_run", lambda _: None)
    monkeypatch.setattr(module, "race_needs", lambda *_: None)
    assert made._race_fits(["gram-1s.s0"])
    assert isinstance(made._schedule, Race)


def test_the_sampler_is_told_of_a_turns_edges_and_asked_for_memory(
    made: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "_selector", SimpleNamespace(select=lambda _: []))
    worker = running(made, "e2e.s0")
    made._grant(Turn("e2e.s0", 30.0))
    assert made.asked == ["edge"]
    worker.tells = [TurnOver(1, 5.0)]
    made._listen()
    assert made.asked == ["edge", "edge"]
    worker.tells = [TurnOver(99, 5.0), Alive()]
    made._listen()
    assert made.asked == ["edge", "edge"]
    monkeypatch.setattr(module, "read_run", lambda _: made.asked.append("read"))
    monkeypatch.setattr(module, "race_needs", lambda *_: None)
    made._race_fits(["gram-1s.s0"])
    assert made.asked[2:] == ["settle", "read"]


def test_silence_counts_only_with_a_turn(made: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "monotonic", lambda: 100.0)
    waiting = running(made, "e2e.s0", heard_s=1.0)
    working = running(made, "gram-1s.s0", heard_s=94.0)
    made._running["gram-1s.s0"].seat.has_turn = True
    assert made._reap("e2e.s0") is None
    assert waiting.code is None
    assert made._reap("gram-1s.s0") == -9
    assert working.code == -9
    (exited,) = exits(made)
    assert exited.why == "no heartbeat for 6 s: it was killed"
    assert not exited.stopped


def test_a_stopped_worker_is_silent_and_does_not_hang(made: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    now, how = [100.0], ["stopped by a signal or a debugger"]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "how_stopped", lambda _: how[0])
    running(made, "e2e.s0", heard_s=98.0)
    made._running["e2e.s0"].seat.has_turn = True
    for _ in range(1000):
        assert made._reap("e2e.s0") is None
        now[0] += 1.0
    (warned,) = made.events
    assert warned.code == "worker-stopped"
    assert "e2e.s0 was found stopped" in warned.message
    assert "`kill -CONT 1`" in warned.message
    how[0] = ""
    for _ in range(5):  # it has all of `hang_s` to wake up
        assert made._reap("e2e.s0") is None
        now[0] += 1.0
    now[0] += 2.0
    assert made._reap("e2e.s0") == -9


def test_a_supervisor_that_was_stopped_itself_kills_nobody(
    made: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    made._selector.select = lambda _: []
    worker = running(made, "e2e.s0", heard_s=99.0, deadline_s=130.0)
    made._running["e2e.s0"].seat.has_turn = True
    made._listened_s = 100.0
    now[0] = 700.0
    made._listen()
    assert made._reap("e2e.s0") is None
    now[0] += 29.0
    made._running["e2e.s0"].heard_s = now[0]
    assert made._reap("e2e.s0") is None
    now[0] += 2.0
    assert made._reap("e2e.s0") == -9
    assert worker.code == -9


def test_a_worker_killed_for_want_of_memory_says_so(made: Watched) -> None:
    running(made, "e2e.s0", code=-9, oom_kills=0)
    made.kills = 1
    made._reap("e2e.s0")
    running(made, "gram-1s.s0", code=-9, oom_kills=1)
    made._reap("gram-1s.s0")
    assert [event.why for event in exits(made)] == ["the system ran out of memory and killed it", ""]


def test_a_worker_that_does_not_end_in_time_is_killed(made: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [10.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s[0])
    worker = running(made, "e2e.s0", heard_s=10.0)
    made._stop_all("interrupted")
    made._stop_all("interrupted")
    assert worker.said == ["interrupted"]
    assert made._reap("e2e.s0") is None
    now_s[0] += module.STOP_GRACE_S + 1
    assert made._reap("e2e.s0") == -9
    assert exits(made)[0].stopped


def test_a_second_signal_kills_at_once(made: Watched) -> None:
    worker = running(made, "e2e.s0", heard_s=1e12)
    made._stop_all("interrupted")
    made._kill = True
    assert made._reap("e2e.s0") == -9
    assert worker.code == -9


def test_skipping_takes_the_holder_or_a_trial_that_waits(made: Watched) -> None:
    holder, other = running(made, "e2e.s0"), running(made, "gram-1s.s0")
    made._running["e2e.s0"].seat.has_turn = True
    pending = ["gram-1e.s0"]
    made._skip("", pending)
    assert (holder.said, other.said) == (["skipped"], [])
    made._skip("gram-1e.s0", pending)
    assert pending == []
    assert made.events == [ev.TrialDropped("gram-1e.s0")]
    made._skip("nobody.s0", pending)
    assert len(made.events) == 1


def test_commands_are_obeyed_while_the_libraries_load(made: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "supervisor_of", lambda _: made)
    sent = iter([commands.Command("mark", text="early"), commands.Command("stop")])
    made._starts = starts = SlowStarts(10, lambda: commands.send(made.folder, next(sent)))
    assert made._set_up() == ExitCode.STOPPED
    assert starts.looks == 8
    assert made.events == [ev.Marked("early")]
    assert made._ending == "stopped"


def test_a_signal_while_the_libraries_load_starts_no_worker(made: Watched) -> None:
    def interrupt() -> None:
        made._ending = "interrupted"

    made._starts = starts = SlowStarts(10, interrupt)
    assert made._set_up() == ExitCode.STOPPED
    assert starts.looks == 9
    assert made.events == []


def test_exit_codes_are_not_lost_to_a_parent_that_ignored_the_end_of_children(made: Watched) -> None:
    numbers = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        made._catch_signals()
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_disk_without_room_for_a_trial_is_waited_for_and_then_interrupts_the_run(
    made: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(made, "_spawn", full)
    pending = ["gram-1s.s0"]
    made._advance(pending)
    assert (pending, made._ending, made.events) == (["gram-1s.s0"], None, [])
    made._full_since_s -= made._patience_s
    made._advance(pending)
    assert (pending, made._ending, made.resumable) == (["gram-1s.s0"], "interrupted", True)
    assert made.events[0].code == module.NO_ROOM
    assert made.events[0].message.endswith("for 600 s: gram-1s.s0 cannot start: No space left on device")


def test_a_worker_whose_weights_find_no_room_interrupts_the_run(made: Watched) -> None:
    made._selector = SimpleNamespace(select=lambda _: [])
    running(made, "e2e.s0").tells = [NoRoom("the best weights cannot be written: disk quota exceeded")]
    made._listen()
    made._listen()
    assert (made._ending, made.resumable) == ("interrupted", True)
    (warned,) = made.events
    assert warned.message.endswith(": the best weights cannot be written: disk quota exceeded")


def test_a_log_that_waits_too_long_interrupts_the_run(made: Watched) -> None:
    made._selector = SimpleNamespace(select=lambda _: [])
    made._log = SimpleNamespace(waited_s=599.0, why="Input/output error")
    made._listen()
    assert made._ending is None
    made._log.waited_s = 601.0
    made._listen()
    assert made._ending == "interrupted"
    assert made.events[0].message.endswith("the log cannot be written: Input/output error")
