"""U: how many distinct items a number of draws contains, counted on data and as a law of two parameters.

    U(n) = Σ_i 1 − (1 − p_i)^n,  p_i ∝ (i + q)^−s,  i = 1 … I

Draws are taken as independent; they are not (nobody reads an item twice in one history), which is part of the
fit's error. Only numpy is needed, except to count on generated data.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from grambench.domains.training import TrainSampler

Floats = NDArray[np.float64]
HISTORY, NEGATIVES = 50, 4
"""What a sample of news reads beside its click."""
_BINS = 1000
_GRIDS = 7
_STEPS = np.linspace(-1, 1, 7)
_DRAWS = 8
"""Batches that are counted, at most."""


@dataclass(frozen=True, slots=True)
class Law:
    """Popularity of a catalogue."""

    items: int
    s: float
    q: float

    def distinct(self, draws: float) -> float:
        """U: distinct items among independent draws."""
        count_K, chance_K = _popularity(self.items, self.s, self.q)
        return float(-(count_K * np.expm1(draws * np.log1p(-np.minimum(chance_K, 1 - 1e-12)))).sum())

    def error(self, counted: Mapping[float, float]) -> float:
        """Root mean square of log U(n), law over count."""
        ratios = [np.log(self.distinct(draws) / found) for draws, found in counted.items()]
        return float(np.sqrt(np.mean(np.square(ratios))))


@dataclass(frozen=True, slots=True)
class Counted:
    """Distinct items of batches of a data set."""

    items: int
    """That are ever read."""
    samples: int
    """Of an epoch."""
    occurrences: float
    """Items that a sample reads, mean."""
    distinct: dict[int, float]
    """Users of a batch -> its distinct items, mean; the last is the epoch."""

    def law(self) -> Law:
        """The best law, by grids that narrow around the best so far."""
        counted = {self.occurrences * users: found for users, found in self.distinct.items()}
        s, q, reach = 2.0, math.sqrt(self.items), 1.9
        for _ in range(_GRIDS):
            grid = product(s + reach * _STEPS, q * self.items ** (reach / 4 * _STEPS))
            laws = [Law(self.items, float(a), float(b)) for a, b in grid]
            best = min(laws, key=lambda law: law.error(counted))
            s, q, reach = best.s, best.q, reach / 2
        return Law(self.items, round(s, 2), float(f"{q:.3g}"))

    def error(self) -> float:
        """Of the best law."""
        return self.law().error({self.occurrences * users: found for users, found in self.distinct.items()})


@functools.lru_cache(maxsize=32)
def _popularity(items: int, s: float, q: float) -> tuple[Floats, Floats]:
    """Items of each bin, and the chance of one of them; bins hold one item each in the head."""
    edges = np.arange(1, items + 2) if items <= _BINS else np.geomspace(1, items + 1, _BINS).round()
    edges = np.unique(edges.astype(np.int64))
    count, middle = np.diff(edges).astype(float), np.sqrt(edges[:-1] * (edges[1:] - 1.0))
    weight = (middle + q) ** -s
    return count, weight / (count * weight).sum()


def counted_in_sampler(sampler_of: "Callable[[int], TrainSampler]", sizes: tuple[int, ...]) -> Counted:
    """Batches of these users as a trial draws them, and an epoch.

    Args:
        sampler_of: batch size -> its sampler.
        sizes: users of a batch, ascending.
    """
    distinct: dict[int, float] = {}
    for size in sizes:
        sampler = sampler_of(size)
        steps = range(0, sampler.steps_per_epoch, max(1, sampler.steps_per_epoch // _DRAWS))
        views = [sampler.batch(step).unique() for step in steps if size * (step + 1) <= sampler.samples]
        distinct[size] = float(np.mean([len(view.host_items_N) for view in views]))
        occurrences = float(np.mean([view.occurrences for view in views])) / size
    epoch = len(sampler.items_ahead(0, sampler.steps_per_epoch))
    return Counted(epoch, sampler.samples, occurrences, {**distinct, sampler.samples: float(epoch)})


def counted_in_rows(behaviors: Path, sizes: tuple[int, ...], items: int | None = None) -> Counted:
    """Clicks of a file in MIND's format: the latest `HISTORY` clicks, the click, and `NEGATIVES` others.

    `items` of the catalogue, if the file is only a sample of what reads it; None: those that it reads.
    """
    rng = np.random.default_rng(0)
    samples = list(_samples(behaviors, rng))
    distinct = {}
    for size in (size for size in sizes if size <= len(samples)):
        starts = range(0, len(samples) - size + 1, max(size, len(samples) // _DRAWS))
        order = rng.permutation(len(samples))
        batches = [set().union(*(samples[i] for i in order[at : at + size])) for at in starts]
        distinct[size] = float(np.mean([len(batch) for batch in batches]))
    occurrences = float(np.mean([len(sample) for sample in samples]))
    all_items = len(set().union(*samples))
    distinct[len(samples)] = float(all_items)
    return Counted(items or all_items, len(samples), occurrences, distinct)


def _samples(behaviors: Path, rng: np.random.Generator) -> Iterator[list[str]]:
    for line in behaviors.read_text().splitlines():
        *_, history, shown = line.split("\t")
        news = [entry.rpartition("-") for entry in shown.split()]
        others = [name for name, _, clicked in news if clicked == "0"]
        for name, _, clicked in news:
            if clicked == "1":
                chosen = rng.permutation(len(others))[:NEGATIVES]
                yield [*history.split()[-HISTORY:], name, *(others[i] for i in chosen)]
