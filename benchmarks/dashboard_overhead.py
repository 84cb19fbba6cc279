"""What it costs training to be watched: the dashboard and the samples of GPU, host and process.

Claim: with both, training keeps at least 0.99 of its throughput.

On: `grambench run` on a pseudo-terminal of 160x45 that is read as fast as it is written to. Off: the same
setup and trial workers without a supervisor, hence without samples, and nobody reads the log before they
have ended. Throughput is users per training second over all epochs of `gram-1s` on the demo's data, by
the worker's own clock, which excludes evaluation; the workers have their default threads. Each round runs
on, off, and off once more: off over off is what chance does to the ratio. Beside it stands the processor
time of dashboard and supervisor while the worker trained, by the kernel's count.
"""

import contextlib
import os
import pty
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.harness import Claim, Sample, bench, interleave, quiet_machine
from grambench.config.presets import load_preset
from grambench.events import types as ev
from grambench.events.journal import Follower
from grambench.events.state import SETUP
from grambench.runner.pacing import PERIOD_S
from grambench.runner.rundir import create_run
from grambench.runner.workers import Worker

TRIAL, KEPT = "gram-1s.s0", 0.99
LOOK_S, LONGEST_S = 0.5, 300.0
TINY = (
    "cpu_threads=1",
    "data.synthetic={ news = 120, users = 80, train_impressions = 300, dev_impressions = 60, topics = 4 }",
)


@dataclass
class Runs:
    """Runs of one specification; all but the first find their data prepared."""

    settings: list[str]
    scratch: Path
    train_s: list[float] = field(default_factory=list)
    watching: list[float] = field(default_factory=list)
    """Processor seconds of dashboard and supervisor per second of training, of each watched run."""

    def on(self) -> float:
        """Users per training second, watched."""
        out = Path(tempfile.mkdtemp(dir=self.scratch))
        words = [word for setting in self.settings for word in ("--set", setting)]
        command = [str(Path(sys.executable).with_name("grambench")), "run", "--preset", "demo", *words]
        spent: list[tuple[int, float]] = []
        with on_terminal([*command, "--out", str(out)]) as (dashboard, terminal):
            while not list(out.glob("*/report.json")):
                if len(spent) * LOOK_S > LONGEST_S or dashboard.status() == psutil.STATUS_ZOMBIE:
                    raise RuntimeError("the watched run left no report")
                time.sleep(LOOK_S)
                times = [one.cpu_times() for one in (dashboard, *dashboard.children())]
                spent.append((time.monotonic_ns(), sum(one.user + one.system for one in times)))
            time.sleep(2.0)  # before it has seen the end, the dashboard asks what leaving means
            os.write(terminal, b"q")
            if dashboard.wait(LONGEST_S):
                raise RuntimeError("the watched run failed")
        return self._throughput(next(out.glob("*/run.json")).parent, spent)

    def off(self) -> float:
        """Users per training second, unwatched."""
        folder = create_run(load_preset("demo", self.settings), "demo", self.scratch, sys.argv)
        for name in (SETUP, TRIAL):
            worker = Worker(folder, name)
            worker.grant(1)
            code = worker.wait(LONGEST_S)
            worker.terminate()
            worker.close()
            if code != 0:
                raise RuntimeError(f"{name} ended with {code}: {worker.log_tail()}")
        return self._throughput(folder, [])

    def _throughput(self, folder: Path, spent: list[tuple[int, float]]) -> float:
        records = list(Follower(folder / TRIAL / "events.jsonl").read())
        began_ns = next(record.stamp.t_ns for record in records if record.event == ev.PhaseEntered("train"))
        epochs = [record.event for record in records if isinstance(record.event, ev.EpochFinished)]
        ended_ns = max(record.stamp.t_ns for record in records if isinstance(record.event, ev.EpochFinished))
        within = [one for one in spent if began_ns <= one[0] <= ended_ns]
        if len(within) > 1:
            (first_ns, first_s), (last_ns, last_s) = within[0], within[-1]
            self.watching.append((last_s - first_s) / (last_ns - first_ns) * 1e9)
        self.train_s.append(sum(epoch.train_s for epoch in epochs))
        return sum(epoch.samples for epoch in epochs) / self.train_s[-1]


@contextlib.contextmanager
def on_terminal(command: list[str]) -> Iterator[tuple[psutil.Process, int]]:
    """A command on a pseudo-terminal that is drained until the command has ended."""

    def drain() -> None:
        with contextlib.suppress(OSError):  # the other side is closed
            while os.read(terminal, 65536):
                pass

    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    termios.tcsetwinsize(terminal, (45, 160))
    reader = threading.Thread(target=drain)
    reader.start()
    process = psutil.Process(pid)
    try:
        yield process, terminal
    finally:
        with contextlib.suppress(psutil.Error):  # it has ended, as it should
            for one in (*process.children(recursive=True), process):
                one.kill()
        reader.join()
        os.close(terminal)


def main() -> int:
    result, given = bench("dashboard_overhead", "What watching costs training", rounds=4, epochs=6)
    epochs, rounds, warm_ups = (2, 1, 0) if result.smoke else (given.epochs, given.rounds, 1)
    settings = ['training.strategies=["gram-1s"]', "training.patience=100000", f"training.epochs={epochs}"]
    quiet_machine()
    os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with tempfile.TemporaryDirectory(prefix="grambench-watched-") as scratch:
        os.environ["GRAMBENCH_CACHE"] = str(Path(scratch) / "cache")
        runs = Runs([*settings, 'device="cpu"', *(TINY if result.smoke else ())], Path(scratch))
        rates = interleave({"on": runs.on, "off": runs.off, "off again": runs.off}, rounds, warm_ups)
    kept, chance = rates["on"].over(rates["off"]), rates["off again"].over(rates["off"])
    result.row(run="dashboard and samples", users_per_s=rates["on"], over_neither=kept)
    result.row(run="neither", users_per_s=rates["off"], over_neither=1)
    result.row(run="neither, once more", users_per_s=rates["off again"], over_neither=chance)
    result.facts |= {
        "epochs": epochs,
        "train_s_per_run": [round(min(runs.train_s), 1), round(max(runs.train_s), 1)],
        "sampling_period_s": PERIOD_S,
        "terminal": "160x45",
    }
    result.samples |= {f"{side}, users/s": sample.values for side, sample in rates.items()}
    result.samples |= {"on over off": kept.values, "off again over off": chance.values}
    result.samples["dashboard and supervisor, processor seconds per second"] = tuple(runs.watching)
    note = f"on over off {kept}; off over off {chance}"
    if runs.watching:
        note += f"; dashboard and supervisor use {Sample(tuple(runs.watching))} of a core"
    result.claim(Claim("throughput that a watched run keeps", kept.median, KEPT, "at least", note=note))
    return result.finish()


if __name__ == "__main__":
    sys.exit(main())
