"""Preparing data of MIND-small's size, and mapping what was prepared.

Claims: from `news.tsv` and `behaviors.tsv` to arrays takes at most 8 s without the tokeniser's own work;
the next run has them mapped after at most 0.3 s.

The files are generated (`LIKE["mind-small"]`, not timed). Both times are those of one call of `prepare`
and one of `open_prepared` in a fresh process, its start and imports left out. The first call of a round
finds an empty cache folder: it digests the files, parses them, and writes the arrays. The second one
finds them. The tokeniser gives every text one fixed token.
"""

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.harness import Claim, Sample, bench, quiet_machine
from grambench.config.data import SyntheticData
from grambench.config.presets import load_preset
from grambench.data.prepared.manifest import PartCounts
from grambench.domains.news.synthetic import LIKE, generate
from grambench.domains.prepared import PrepareRequest, open_prepared, prepare

COLD_S, AGAIN_S = 8.0, 0.3


class OneToken:
    """The same token for every text."""

    fingerprint = "one-token-1"
    vocabulary_size = 4
    cls_id, sep_id = 1, 2

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        return np.full(len(texts), 3, np.int32), np.arange(len(texts) + 1)


def main() -> int:
    result, given = bench("prepare", "Preparing data of MIND-small's size", rounds=3)
    rounds = 1 if result.smoke else given.rounds
    small = SyntheticData(news=200, users=100, train_impressions=300, dev_impressions=100)
    quiet_machine()
    with tempfile.TemporaryDirectory(prefix="grambench-prepare-") as scratch:
        data, cache = Path(scratch) / "data", Path(scratch) / "cache"
        generate(small if result.smoke else LIKE["mind-small"], data)
        os.sync()  # what was generated is on disk, and in the page cache, before the first round
        cold, again = [], []
        for _ in range(rounds):
            cold.append(in_fresh_process(timed, data, cache))
            again.append(in_fresh_process(timed, data, cache))
            result.facts |= sizes(data, cache)
            shutil.rmtree(cache)
    first, second = Sample(tuple(cold)), Sample(tuple(again))
    result.row(step="prepare, empty cache folder", seconds=first)
    result.row(step="map again, in a new process", seconds=second)
    result.facts["page_cache"] = "warm"
    result.samples |= {"cold_s": first.values, "again_s": second.values}
    note = "page cache warm, digests included"
    result.claim(Claim("prepared without tokenising", first.median, COLD_S, "at most", " s", note))
    result.claim(Claim("mapped again", second.median, AGAIN_S, "at most", " s", "page cache warm"))
    return result.finish()


def in_fresh_process(work: Callable[..., float], *folders: Path) -> float:
    """What `work` returns; a spawned interpreter has imported this module before `work` begins."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *folders).result()


def timed(data: Path, cache: Path) -> float:
    """Seconds from the request to mapped arrays."""
    request = request_for(data)
    began_ns = time.monotonic_ns()
    open_prepared(prepare(request, cache, unheard))
    return (time.monotonic_ns() - began_ns) / 1e9


def request_for(data: Path) -> PrepareRequest:
    """The worker's, with the options of the preset `mind-small`."""
    options = load_preset("mind-small").data
    return PrepareRequest(data=options, folder=data, tokenizer=OneToken())


def unheard(phase: str, done: int, total: int) -> None:
    """Progress is reported, and nobody listens."""


def sizes(data: Path, cache: Path) -> dict[str, object]:
    """Of the source files, and of what was made of them."""
    made = open_prepared(prepare(request_for(data), cache, unheard))
    return {
        "source_bytes": sum(path.stat().st_size for path in data.rglob("*.tsv")),
        "prepared_bytes": sum(path.stat().st_size for path in made.folder.iterdir()),
        "items": len(made.token_offsets) - 1,
        "impressions": {
            name: part.counts.impressions
            for name, part in made.manifest.parts.items()
            if isinstance(part.counts, PartCounts)
        },
    }


if __name__ == "__main__":
    sys.exit(main())
