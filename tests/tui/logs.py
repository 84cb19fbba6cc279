"""Run folders as a real run leaves them, with frozen clocks: `python -m tests.tui.logs finished OUT`."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from grambench.config.changes import spec_digest
from grambench.config.spec import Spec
from grambench.events import types as ev
from grambench.events.codec import Stamp, encode
from grambench.events.types import Event, Outcome

GIB = 1 << 30
UUID = "GPU-5f2a1c9e-0000-0000-0000-000000000001"
HOSTILE = "[/b] \x1b[31mred\x9b2J [VIDEO] \u202eevil\u2028next\tline " + "x" * 10_000


@dataclass(frozen=True)
class Course:
    """How a trial goes: numbers in the manner of facts.md section 2."""

    strategy: str
    epoch_s: float
    aucs: tuple[float, ...]
    reuse: float
    memory: float
    """Peak in GiB."""
    window: int = 1


COURSES = {
    "e2e": Course("e2e", 61.0, (0.5512, 0.6021, 0.6342, 0.6531, 0.6617, 0.6650), 1.0, 9.6),
    "e2e-unique": Course("e2e-unique", 17.1, (0.5512, 0.6021, 0.6342, 0.6531, 0.6617, 0.6650), 3.4, 4.9),
    "gram-1s": Course("gram-1s", 22.4, (0.5512, 0.6021, 0.6342, 0.6531, 0.6617, 0.6650), 3.4, 5.1),
    "gram-10s": Course("gram-10s", 14.3, (0.5493, 0.5987, 0.6290, 0.6488, 0.6570, 0.6602), 7.8, 3.3, 10),
    "gram-0.5e": Course("gram-0.5e", 6.2, (0.5431, 0.5902, 0.6248, 0.6440, 0.6529, 0.6581), 48.0, 2.4, 79),
    "gram-1e": Course("gram-1e", 4.4, (0.5402, 0.5871, 0.6203, 0.6402, 0.6511, 0.6561), 87.3, 2.2, 157),
    "nofinetune": Course("nofinetune", 2.1, (0.5301, 0.5522, 0.5574, 0.5590, 0.5588, 0.5591), 1.0, 1.1),
}
STEPS, BATCH = 157, 64


@dataclass
class Recorder:
    """Writes the logs of one folder on one artificial clock."""

    folder: Path
    gpu: bool = True
    now: float = 0.0
    seqs: dict[str, int] = field(default_factory=dict)
    sampled: float = 0.0

    def write(self, source: str, event: Event) -> None:
        """Append an event; `source` is empty for the supervisor."""
        path = self.folder / source / "events.jsonl" if source else self.folder / "supervisor.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        seq = self.seqs.get(source, 0)
        self.seqs[source] = seq + 1
        minutes, rest = divmod(self.now, 60)
        wall = f"2026-03-01T12:{int(minutes) % 60:02d}:{rest:06.3f}+00:00"
        with path.open("ab") as file:
            file.write(encode(event, Stamp(seq, int(self.now * 1e9), "boot-0", wall)))

    def sample(self, trial: str, used: float, busy: float) -> None:
        """What the supervisor measures about once in two seconds."""
        if self.now - self.sampled < 2:
            return
        self.sampled = self.now
        wave = math.sin(self.now / 7)
        self.write("", ev.HostSample(31.0 + 9 * wave, int(21.4 * GIB), 128 * GIB))
        if self.gpu:
            self.write(
                "",
                ev.GpuSample(
                    UUID,
                    0,
                    "NVIDIA H200",
                    int((used + 0.9) * GIB),
                    int(139.8 * GIB),
                    busy,
                    180 + 4 * busy + 9 * wave,
                    41 + busy / 6,
                    1000 * self.now,
                ),
            )
        self.write("", ev.ProcessSample(trial, 4242, int((1.1 + used / 8) * GIB), 99.0, None))


def start(
    to: Recorder,
    trials: list[str],
    labels: tuple[str, str, str] | None = None,
    strategies: dict[str, str] | None = None,
) -> None:
    """The supervisor's first events."""
    preset, model, data = labels or (
        "mind-small",
        "nreimers/TinyBERT_L-6_H-768_v2",
        "MIND small, titles of 24 tokens",
    )
    to.write("", ev.RunStarted("run-1", preset, trials, 1, model, data, strategies=strategies or {}))
    if not to.gpu:
        to.write("", ev.GpuAbsent("no NVIDIA driver on this machine"))
    to.write("", ev.WorkerSpawned("setup", 4242))
    to.sampled = -9
    to.sample("setup", 0.2, 1.0)


def prepare(to: Recorder, done: int = 51_282) -> None:
    """Data preparation, up to `done` titles."""
    to.write("setup", ev.PhaseEntered("prepare"))
    for part in range(1, 6):
        to.now += 1.2
        to.write("setup", ev.PrepareProgress("tokenising titles", done * part // 5, 51_282))
        to.sample("setup", 0.3, 3.0)
    if done == 51_282:
        counts = {"items": 51_282, "tokens": 701_204}
        to.write("setup", ev.DataPrepared("prepared", "9f31c0ffee" * 4, counts, 6.0, reused=False))


def audit(to: Recorder) -> None:
    """The audit and the end of setup."""
    to.write("setup", ev.PhaseEntered("audit"))
    to.now += 2.5
    to.write("setup", ev.AuditFinished(True, 1e-10, 16, 912, 401, 3e-17, 3.1e-15, 2e-17, 1.2e-15, 2.1))
    to.write("setup", ev.TrialFinished("completed"))
    to.write("", ev.WorkerExited("setup", 0))


def trial(
    to: Recorder,
    course: Course,
    seed: int = 0,
    epochs: float = 6.0,
    ends: Outcome | None = "completed",
    reason: str = "",
    test: bool = True,
    shift: float = 0.0,
    ranks: tuple[int, int] | None = None,
    label: str = "",
) -> None:
    """One trial: `epochs` of 6, then `ends` (None: it goes on); `ranks`: their number, and that of nodes."""
    name = f"{label or course.strategy}.s{seed}"
    to.write("", ev.WorkerSpawned(name, 4300))
    to.write("", ev.TurnGranted(name, 1))
    device, uuid = ("NVIDIA H200", UUID) if to.gpu else ("AMD EPYC 9554", None)
    versions = {"python": "3.11.9", "torch": "2.9.0"}
    to.write(
        name, ev.WorkerStarted(name, 4300, "cuda:0" if to.gpu else "cpu", device, uuid, versions, 8, "bf16")
    )
    if ranks:
        _meet(to, name, *ranks)
    to.write(name, ev.PhaseEntered("load"))
    to.now += 2.0
    to.write(
        name,
        ev.TrialPlanned(
            course.strategy,
            seed,
            STEPS,
            6 * STEPS,
            BATCH,
            course.window,
            66_955_010,
            2_400_000,
            why="fits at once",
        ),
    )
    to.write(name, ev.PhaseEntered("train"))
    train_s = 0.0
    for index in range(round(epochs * 10)):
        wave = 1 + 0.3 * math.sin(index * 1.7 + course.window) * math.sin(index * 0.31)
        train_s += course.epoch_s / 10 * wave
        to.now += course.epoch_s / 10 * wave
        step = round(STEPS * (index + 1) / 10)
        used = course.memory * (0.86 + 0.1 * math.sin(index))
        to.write(name, _progress(course, index // 10 + 1, step, train_s, used, to.gpu))
        if ranks:
            _sample_ranks(to, name, ranks[0], course, step, train_s)
        to.sample(name, used, min(99.0, 60 + course.memory * 4))
        if course.window > 1 and step % course.window < STEPS / 10:
            drift = 0.34 / (1 + 0.1 * index)
            to.write(name, ev.WindowClosed(index, step, course.window, 4000, 9000, drift, 0.1, 0.4))
        if index % 10 == 9:
            _epoch(to, name, course, index // 10, step, train_s, shift)
    if ends is None:
        return
    if test and ends in ("completed", "early-stopped"):
        to.write(name, ev.PhaseEntered("test"))
        to.now += 1.5
        auc = course.aucs[-1] + shift - 0.004
        metrics: dict[str, float | None] = {
            "auc": auc,
            "mrr": auc - 0.36,
            "ndcg@5": auc - 0.33,
            "ndcg@10": auc - 0.27,
        }
        to.write(name, ev.Evaluated("test", 6, 6 * STEPS, train_s, metrics, 73_152, 0, False, 1.5, True))
    to.write(name, ev.TrialFinished(ends, reason, 1 if ends == "failed" else 0))
    to.write("", ev.WorkerExited(name, 1 if ends == "failed" else 0))


def _meet(to: Recorder, name: str, size: int, nodes: int) -> None:
    to.write("", ev.RanksLaunched(name, size // nodes, nodes, "", "meeting", 3))
    to.write(name, ev.GroupFormed(size, nodes, "gloo", 0))
    for rank in range(size):
        node, local = divmod(rank, size // nodes)
        to.write(name, ev.RankStarted(rank, local, f"box-{node + 1}", 4300 + rank, "cpu"))


def _sample_ranks(to: Recorder, name: str, size: int, course: Course, step: int, train_s: float) -> None:
    """The higher its number, the less a rank has to wait; every seventh is far behind."""
    occurrences = step * BATCH * 27
    for rank in range(size):
        share = 0.02 + 0.06 * (size - rank) / size if rank % 7 != 5 else 0.0
        if size > 16:
            share += 0.35 * (rank % 7 != 5) * abs(math.sin(rank))
        items = round(occurrences / course.reuse / size)
        counts = (int(1.2e5 * step), items, None, BATCH * 27 // size, BATCH * 19 // size, BATCH * 8)
        to.write(name, ev.RankSample(rank, train_s, share * train_s, *counts))


def _progress(course: Course, epoch: int, step: int, train_s: float, used: float, gpu: bool) -> ev.Progress:
    occurrences = step * BATCH * 27
    unique = round(occurrences / course.reuse)
    memory = (
        (int(used * GIB), int(course.memory * GIB), int(course.memory * 1.1 * GIB)) if gpu else (None,) * 3
    )
    loss = 1.5 - 0.3 * (1 - math.exp(-train_s / course.epoch_s))
    return ev.Progress(
        epoch,
        step,
        train_s,
        0.8 * train_s,
        step * BATCH,
        occurrences,
        unique,
        unique,
        unique * 13,
        loss,
        1e-4,
        1e-4,
        *memory,
    )


def _epoch(
    to: Recorder, name: str, course: Course, index: int, step: int, train_s: float, shift: float
) -> None:
    counts = (STEPS * BATCH, STEPS * BATCH * 27, 40_000, 40_000, 520_000)
    to.write(name, ev.EpochFinished(index + 1, STEPS, course.epoch_s, *counts))
    to.write(name, ev.PhaseEntered("evaluate"))
    to.now += 1.1
    auc = course.aucs[min(index, len(course.aucs) - 1)] + shift
    metrics: dict[str, float | None] = {
        "auc": auc,
        "mrr": auc - 0.36,
        "ndcg@5": auc - 0.33,
        "ndcg@10": auc - 0.27,
    }
    best = auc >= max(course.aucs[: index + 1]) + shift
    to.write(name, ev.Evaluated("validation", index + 1, step, train_s, metrics, 8_000, 12, False, 1.1, best))
    to.write(name, ev.PhaseEntered("train"))


def finish(to: Recorder, code: int = 0) -> None:
    """The supervisor's last event, and the report."""
    to.now += 1.0
    to.write("", ev.RunFinished(code, to.now))
    (to.folder / "report.json").write_text("{}")


def write_run_file(folder: Path) -> None:
    """What the runner records before training, for the self-grade."""
    spec = Spec().model_dump(mode="json")
    content = {
        "schema_version": 1,
        "run": "run-1",
        "preset": "mind-small",
        "spec": spec,
        "spec_sha256": spec_digest(spec),
        "created": "2026-03-01T12:00:00Z",
        "command": ["grambench", "run"],
        "host": {"hostname": "box", "git_changed": 0},
    }
    (folder / "run.json").write_text(json.dumps(content))


# --- the states that tests and eyes look at ---------------------------------------------------------

THREE = ["e2e.s0", "gram-1s.s0", "gram-1e.s0"]


def empty(_: Recorder) -> None:
    """A folder without a log yet."""


def setup(to: Recorder) -> None:
    """Titles are being tokenised."""
    start(to, THREE)
    prepare(to, 12_000)


def auditing(to: Recorder) -> None:
    """Data ready, audit under way."""
    start(to, THREE)
    prepare(to)
    to.write("setup", ev.PhaseEntered("audit"))


def first(to: Recorder) -> None:
    """The first trial trains, no validation yet."""
    start(to, THREE)
    prepare(to)
    audit(to)
    trial(to, COURSES["e2e"], epochs=0.7, ends=None)


def mid(to: Recorder) -> None:
    """e2e and 1S done, 1E in its fourth epoch."""
    start(to, THREE)
    prepare(to)
    audit(to)
    trial(to, COURSES["e2e"], test=False)
    message = "validation scores 8,000 of 37,460 impressions (evaluation.max_impressions)"
    to.write("e2e.s0", ev.Warned("sampled-evaluation", message))
    trial(to, COURSES["gram-1s"], test=False)
    trial(to, COURSES["gram-1e"], epochs=3.4, ends=None)


def paused(to: Recorder) -> None:
    """`mid`, and somebody has pressed p."""
    mid(to)
    to.write("", ev.RunPaused())


def one(to: Recorder) -> None:
    """A single strategy, in its third epoch."""
    start(to, ["gram-1s.s0"])
    prepare(to)
    audit(to)
    trial(to, COURSES["gram-1s"], epochs=2.6, ends=None)


def cpu(to: Recorder) -> None:
    """`mid` on a machine without a GPU."""
    to.gpu = False
    mid(to)


def ranks(to: Recorder) -> None:
    """`mid` on a machine without a GPU, two ranks each."""
    to.gpu = False
    start(to, THREE)
    prepare(to)
    audit(to)
    trial(to, COURSES["e2e"], test=False, ranks=(2, 1))
    trial(to, COURSES["gram-1s"], test=False, ranks=(2, 1))
    trial(to, COURSES["gram-1e"], epochs=3.4, ends=None, ranks=(2, 1))


def many_ranks(to: Recorder) -> None:
    """A strategy that 48 ranks on 6 machines train."""
    to.gpu = False
    start(to, ["gram-1s.s0"])
    prepare(to)
    audit(to)
    trial(to, COURSES["gram-1s"], epochs=2.6, ends=None, ranks=(48, 6))


def failing(to: Recorder) -> None:
    """e2e failed, the others go on."""
    start(to, THREE)
    prepare(to)
    audit(to)
    reason = "CUDA out of memory: tried 9.3 GiB, 2.1 GiB free"
    trial(to, COURSES["e2e"], epochs=0.4, ends="failed", reason=reason)
    trial(to, COURSES["gram-1s"], epochs=2.3, ends=None)


def finished(to: Recorder) -> None:
    """Three trials with test metrics."""
    start(to, THREE)
    prepare(to)
    audit(to)
    trial(to, COURSES["e2e"])
    trial(to, COURSES["gram-1s"])
    trial(to, COURSES["gram-1e"], ends="early-stopped", reason="no better AUC for 2 evaluations")
    finish(to)


def six(to: Recorder) -> None:
    """Three strategies with six seeds each, and the run's own file."""
    start(to, [f"{name.split('.')[0]}.s{seed}" for seed in range(6) for name in THREE])
    prepare(to)
    audit(to)
    for seed in range(6):
        for name in ("e2e", "gram-1s", "gram-1e"):
            course = COURSES[name]
            pace = 1 + 0.01 * math.sin(7 * seed + len(name))
            trial(to, replace(course, epoch_s=course.epoch_s * pace), seed, shift=0.0011 * math.sin(5 * seed))
    finish(to)
    write_run_file(to.folder)


def seven(to: Recorder) -> None:
    """Every strategy once."""
    names = list(COURSES)
    start(to, [f"{name}.s0" for name in names])
    prepare(to)
    audit(to)
    for name in names:
        trial(to, COURSES[name])
    finish(to)


def eight(to: Recorder) -> None:
    """Four strategies with two seeds, the last one under way."""
    names = ["e2e", "gram-1s", "gram-10s", "gram-1e"]
    start(to, [f"{name}.s{seed}" for seed in (0, 1) for name in names])
    prepare(to)
    audit(to)
    for seed in (0, 1):
        for name in names:
            last = seed == 1 and name == "gram-1e"
            shift = 0.0031 * seed
            trial(
                to,
                COURSES[name],
                seed,
                2.5 if last else 6.0,
                None if last else "completed",
                test=False,
                shift=shift,
            )


def modern(to: Recorder) -> None:
    """Twelve labels: three strategies with four ways to adapt the encoder, the last one under way."""
    paces = {"": 1.0, "freeze": 0.5, "lora": 0.8, "side": 0.35}
    labels = {
        f"{way}-{name.removeprefix('gram-')}" if way else name: (way, name)
        for way in paces
        for name in ("e2e", "gram-1s", "gram-1e")
    }
    own = {label: name for label, (_, name) in labels.items() if label != name}
    start(to, [f"{label}.s0" for label in labels], strategies=own)
    prepare(to)
    audit(to)
    for index, (label, (way, name)) in enumerate(labels.items()):
        course = replace(COURSES[name], epoch_s=COURSES[name].epoch_s * paces[way])
        last = index == len(labels) - 1
        epochs, ends = (2.5, None) if last else (6.0, "completed")
        trial(to, course, epochs=epochs, ends=ends, test=False, shift=-0.012 * (index // 3), label=label)


def trouble(to: Recorder) -> None:
    """One diverged, one failed, one fine; no GPU."""
    to.gpu = False
    start(to, ["e2e.s0", "gram-10s.s0", "gram-1e.s0"])
    prepare(to)
    audit(to)
    trial(to, COURSES["e2e"], epochs=6)
    trial(to, COURSES["gram-10s"], epochs=1.3, ends="diverged", reason="the loss of window 3 is not finite")
    trial(
        to,
        COURSES["gram-1e"],
        epochs=0.2,
        ends="failed",
        reason="CUDA out of memory: tried 9.3 GiB, 2.1 GiB free",
    )
    finish(to, 5)


def hostile(to: Recorder) -> None:
    """Names, warnings and reasons that try to break the screen."""
    start(to, THREE, (HOSTILE, HOSTILE, "עברית \u2067rtl\u2069 [red]data " + HOSTILE))
    prepare(to)
    to.write("setup", ev.Warned("hostile", HOSTILE))
    audit(to)
    trial(to, COURSES["e2e"], epochs=1.5, ends="failed", reason=HOSTILE)
    to.write("gram-1s.s0", ev.Warned("wide", "新闻标题 " * 30 + "[bold]"))
    trial(to, COURSES["gram-1s"], epochs=2.2, ends=None)


STATES: dict[str, Callable[[Recorder], None]] = {
    state.__name__: state
    for state in (
        empty,
        setup,
        auditing,
        first,
        mid,
        paused,
        one,
        cpu,
        ranks,
        many_ranks,
        failing,
        finished,
        six,
        seven,
        eight,
        modern,
        trouble,
        hostile,
    )
}


def build(name: str, folder: Path) -> Path:
    """Write the logs of a state into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    STATES[name](Recorder(folder))
    return folder


if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]))
