"""Watching a run of a day: 8 strategies, 10 events a second each, samples twice a second.

Claims: `grambench watch` shows it within 1.5 s of its start; a frame takes at most 30 ms; a day of log
holds no more memory than an hour of it; watching takes at most 5 % of a core.

The log is generated: about 8.6 million lines, which need 4 GB of disk and some minutes. Opening and
processor time are those of the real command on a pseudo-terminal of 160x45, from the start of its process
to the first frame that shows the newest score; meanwhile this process goes on writing at the rate of the day.
The snapshot is the one that the supervisor keeps of every long run.
"""

import asyncio
import contextlib
import json
import os
import pty
import shutil
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from benchmarks.harness import Claim, Sample, bench, quiet_machine
from grambench.config.presets import load_preset
from grambench.events import types as ev
from grambench.events.codec import Stamp, encode
from grambench.events.journal import boot_id
from grambench.events.reader import RunReader, log_of
from grambench.events.snapshot import FILE, save
from grambench.runner.rundir import create_run
from grambench.tui.app import Dashboard

STRATEGIES = ("e2e", "e2e-unique", "gram-1s", "gram-10s", "gram-100s", "gram-0.5e", "gram-1e", "gram-auto")
TRIALS = [f"{strategy}.s0" for strategy in STRATEGIES]
RATE_HZ, SAMPLES_HZ = 10, 2
EVALUATED_EVERY_S, WINDOW_EVERY_S = 300, 60
GIB = 1 << 30
LAST_AUC = 0.6789
SHOWN = f"{LAST_AUC:.4f}".encode()
LONGEST_S = 60.0


class Day:
    """The logs of a run, written as if time had passed."""

    def __init__(self, folder: Path, hours: float) -> None:
        self.folder, self.boot = folder, boot_id()
        self.start_ns = time.monotonic_ns() - round(hours * 3600e9)
        self.seconds = round(hours * 3600)
        self._numbers: dict[str, int] = {}

    @property
    def lines(self) -> int:
        """Of all logs."""
        return sum(self._numbers.values())

    def line(self, name: str, event: ev.Event, second: float) -> bytes:
        """The next line of a log at a moment of the run."""
        number = self._numbers.get(name, 0)
        self._numbers[name] = number + 1
        return encode(event, Stamp(number, self.start_ns + round(second * 1e9), self.boot, "12:00"))

    def write(self) -> None:
        """All of it."""
        for name in TRIALS:
            log_of(self.folder, name).parent.mkdir(exist_ok=True)
            with log_of(self.folder, name).open("wb") as log:
                log.write(self._beginning(name))
                for second in range(self.seconds):
                    log.write(b"".join(self.of_trial(name, second)))
        with log_of(self.folder, "").open("wb") as log:
            log.write(self.line("", ev.RunStarted("day", "demo", TRIALS, os.getpid(), "TinyBERT", "MIND"), 0))
            for name in TRIALS:
                log.write(self.line("", ev.WorkerSpawned(name, 1), 0))
            for second in range(self.seconds):
                log.write(b"".join(self.of_machine(second)))

    def _beginning(self, name: str) -> bytes:
        strategy = name.removesuffix(".s0")
        window = 100 if strategy.startswith("gram-1") else 1
        events: list[ev.Event] = [
            ev.WorkerStarted(name, 1, "cuda:0", "NVIDIA H200", "GPU-0", {"torch": "2.11"}, 8, "bf16"),
            ev.TrialPlanned(strategy, 0, 4000, 4_000_000, 64, window, 66_955_010, 2_400_000),
            ev.PhaseEntered("train"),
        ]
        return b"".join(self.line(name, event, 0) for event in events)

    def of_trial(self, name: str, second: int) -> Iterator[bytes]:
        """What one worker writes within a second."""
        place = TRIALS.index(name)
        for tick in range(RATE_HZ):
            at = second + (tick + place / 10) / RATE_HZ
            step = second * 4 + tick // 3 + 1
            counts = (step * 64, step * 1700, step * 400 + place, step * 400, step * 5200)
            loss = 1.2 + 0.3 / (1 + at / 9000) + 0.01 * (step * 2654435761 % 97 / 97)
            memory = ((4 + place) * GIB + step % 1000, (5 + place) * GIB, (6 + place) * GIB)
            done = ev.Progress(step // 4000 + 1, step, at, 0.7 * at, *counts, loss, 1e-4, 1e-4, *memory)
            yield self.line(name, done, at)
        end = second + 0.99
        if second % WINDOW_EVERY_S == 0:
            closed = ev.WindowClosed(second // 60, step, 100, 4000, 9000, 0.3, 0.1, 0.4)
            yield self.line(name, closed, end)
        if second % EVALUATED_EVERY_S == 0:
            last = second + EVALUATED_EVERY_S >= self.seconds
            auc = LAST_AUC if last else 0.66 - 0.1 / (1 + second / 3000) - 0.002 * place
            metrics: dict[str, float | None] = {"auc": auc, "mrr": 0.3, "ndcg@5": 0.3, "ndcg@10": 0.4}
            scored = ev.Evaluated(
                "validation", step // 4000 + 1, step, end, metrics, 8000, 0, False, 1.1, True
            )
            yield self.line(name, scored, end)

    def of_machine(self, second: int) -> Iterator[bytes]:
        """What the supervisor samples within a second."""
        for tick in range(SAMPLES_HZ):
            at = second + tick / SAMPLES_HZ
            watts = 400.0 + second % 90
            gpu = ev.GpuSample("GPU-0", 0, "NVIDIA H200", 60 * GIB, 140 * GIB, 97.0, watts, 61.0, 500 * at)
            yield self.line("", gpu, at)
            yield self.line("", ev.HostSample(40.0, 60 * GIB, 128 * GIB, 900 * GIB, 2000 * GIB), at)
            for name in TRIALS:
                yield self.line("", ev.ProcessSample(name, 1, 2 * GIB + second % 1000, 99.0, 8 * GIB), at)

    def go_on(self, until: Callable[[], bool]) -> int:
        """Write on at the rate of the day until told to end; returns the seconds written."""
        logs = {name: log_of(self.folder, name).open("ab", buffering=0) for name in ("", *TRIALS)}
        second, begun_s = self.seconds, time.monotonic()
        with contextlib.ExitStack() as stack:
            for log in logs.values():
                stack.enter_context(log)
            while not until():
                for name in TRIALS:
                    for line in self.of_trial(name, second):
                        logs[name].write(line)
                for line in self.of_machine(second):
                    logs[""].write(line)
                second += 1
                time.sleep(max(0.0, begun_s + second - self.seconds - time.monotonic()))
        written = second - self.seconds
        self.seconds = second
        return written


def read_whole(folder: Path, day: Day) -> tuple[float, Sample]:
    """Seconds to read the day without a snapshot, and resident MiB after each hour of it; saves one."""
    process, reader = psutil.Process(), RunReader(folder, use_snapshot=False)
    began_s, resident, hour = time.monotonic(), [], 0
    behind = True
    while behind:
        reader.poll(0.5)
        behind = reader.share_read < 1
        if reader.state.elapsed_s >= 3600 * (hour + 1) or not behind:
            hour += 1
            resident.append(process.memory_info().rss / (1 << 20))
    seconds = time.monotonic() - began_s
    snapshot = reader.snapshot()
    assert snapshot is not None
    save(folder, snapshot)
    assert reader.state.elapsed_s >= day.seconds - 2
    assert not reader.state.log_complaints
    return seconds, Sample(tuple(resident))


def watch(folder: Path, day: Day, seconds: float) -> tuple[float, float, Sample]:
    """The real command: seconds to its first frame, then its share of a core, and its resident MiB."""
    command = [str(Path(sys.executable).with_name("grambench")), "watch", str(folder)]
    began_s = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.pop("CI", None)  # lines instead of the dashboard
        os.execv(command[0], command)
    termios.tcsetwinsize(terminal, (45, 160))
    watcher, shown, seen = psutil.Process(pid), threading.Event(), bytearray()
    opened_s = 0.0

    def drain() -> None:
        nonlocal opened_s
        with contextlib.suppress(OSError):  # the other side is closed
            while data := os.read(terminal, 65536):
                if not shown.is_set():
                    seen.extend(data)
                    if SHOWN in seen:
                        opened_s = time.monotonic() - began_s
                        shown.set()

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    try:
        if not shown.wait(LONGEST_S):
            raise RuntimeError(f"no score within {LONGEST_S:.0f} s: {bytes(seen[-2000:])!r}")
        resident, before = [], watcher.cpu_times()
        from_s = time.monotonic()

        def over() -> bool:
            resident.append(watcher.memory_info().rss / (1 << 20))
            return time.monotonic() - from_s >= seconds

        day.go_on(over)
        after, passed_s = watcher.cpu_times(), time.monotonic() - from_s
        share = (after.user + after.system - before.user - before.system) / passed_s
    finally:
        watcher.kill()
        reader.join(5)
        os.close(terminal)
        os.waitpid(pid, 0)
    return opened_s, share, Sample(tuple(resident))


async def frames(folder: Path, day: Day, count: int) -> Sample:
    """Milliseconds of this process for each frame on 160x45: reading what is new, drawing everything."""
    app, spent = Dashboard(folder), []
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.pause()
        for _ in range(count):
            day.go_on(_once())
            await pilot.pause()
            began_s = time.process_time()
            app.redraw()
            await pilot.pause(0)
            spent.append(1000 * (time.process_time() - began_s))
    return Sample(tuple(spent))


def _once() -> Callable[[], bool]:
    """False, then True."""
    answers = iter((False, True))
    return lambda: next(answers)


def main() -> int:
    result, given = bench("day_of_log", "Watching a run of a day", hours=24.0, seconds=60.0, frames=40)
    hours, seconds, count = (0.02, 2.0, 2) if result.smoke else (given.hours, given.seconds, given.frames)
    quiet_machine()
    os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with tempfile.TemporaryDirectory(prefix="grambench-day-") as scratch:
        settings = [f"training.strategies={json.dumps(STRATEGIES)}", 'device="cpu"']
        folder = create_run(load_preset("demo", settings), "demo", Path(scratch), sys.argv)
        day = Day(folder, hours)
        day.write()
        size = sum(log_of(folder, name).stat().st_size for name in ("", *TRIALS))
        lines = day.lines
        whole_s, resident = read_whole(folder, day)
        snapshot_bytes = (folder / FILE).stat().st_size
        opened = [watch(folder, day, 0.0)[0] for _ in range(1 if result.smoke else 5)]
        _, share, watched = watch(folder, day, seconds)
        drawn = asyncio.run(frames(folder, day, count))
        shutil.rmtree(folder)
    first, last = resident.values[0], resident.values[-1]
    result.row(what="open, from the start of the process", measured=f"{Sample(tuple(opened))} s")
    result.row(what="frame, 160x45, all panels", measured=f"{drawn} ms")
    result.row(what="watcher's share of a core", measured=f"{share:.1%}")
    result.row(what="watcher's resident memory", measured=f"{watched} MiB")
    result.row(what="whole log without a snapshot", measured=f"{whole_s:.0f} s")
    result.row(what="reader's resident memory by hour", measured=f"{resident} MiB")
    result.facts |= {
        "hours": hours,
        "lines": lines,
        "log_bytes": size,
        "snapshot_bytes": snapshot_bytes,
        "watched_s": seconds,
        "terminal": "160x45",
    }
    result.samples |= {
        "open, s": tuple(opened),
        "frame, ms": drawn.values,
        "watcher resident, MiB": watched.values,
        "reader resident by hour, MiB": resident.values,
    }
    result.claim(Claim("a day of log opens in", Sample(tuple(opened)).median, 1.5, "at most", " s"))
    result.claim(Claim("a frame takes", drawn.median, 30.0, "at most", " ms"))
    result.claim(Claim("memory after the day over after an hour", last / first, 1.2, "at most", "×"))
    result.claim(Claim("watching takes of a core", share, 0.05, "at most"))
    return result.finish()


if __name__ == "__main__":
    sys.exit(main())
