"""A candidate against its reference over all their pairs: cost, quality, time to the target, verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from grambench.analysis.anytime import anytime_interval, drifts
from grambench.analysis.confidence import ConfidenceInterval, mean, standard_error, to_ratio
from grambench.analysis.paired import (
    FEWEST_FOR_SIGN_FLIP,
    FEWEST_FOR_T,
    repeated_interval,
    seed_interval,
    sign_flip_p,
)
from grambench.analysis.pairs import Arrived, Pair, Target
from grambench.analysis.processes import null_pair_interval, outliers, pooled_interval
from grambench.analysis.sentences import cost_sentence, verdict_sentence
from grambench.analysis.time_to_target import compare_waits
from grambench.analysis.verdict import Comparison

FEWEST_FREEDOM = 3
"""Degrees of freedom from which a pooled interval, or one from null pairs, is worth printing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """What a race says about one pair of processes, however often it is looked at."""

    seed: int
    repeat: int
    interval: ConfidenceInterval | None
    """Of the log ratio; None below 8 blocks."""
    blocks: int
    rounds: int
    rounds_left_out: int
    drifts: bool
    """Whether the halves of the race disagree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Rates of the candidate over those of the reference; logs of ratios, above 0 the candidate is faster."""

    log_ratio: float | None
    """Mean over the pairs; None: not measured."""
    within: tuple[Within, ...]
    """One a pair that raced."""
    between: ConfidenceInterval | None
    """Over fresh processes: the 95 % interval of the speed-up."""
    why_none: str
    """Why `between` is missing; empty: it is there."""
    processes: int
    """Pairs of processes, a count."""
    outliers: tuple[tuple[int, int], ...]
    """Seed and repeat of pairs whose ratio lies far from the others': flagged, not left out."""
    process_sd: float | None
    """Standard deviation of the log cost between processes; None: fewer than two pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Everything that is said about a candidate."""

    comparison: Comparison
    cost: Cost
    p: float | None
    """Of the sign-flip test that the scores do not differ, from 6 seeds on."""
    pairs: tuple[Pair, ...]

    @property
    def sentence(self) -> str:
        """Whether it pays."""
        return verdict_sentence(self.comparison)

    @property
    def cost_sentence(self) -> str:
        """How fast it is and how surely; empty: not measured."""
        if self.cost.log_ratio is None:
            return ""
        cost, race = self.cost, self.cost.within[0] if len(self.cost.within) == 1 else None
        return cost_sentence(
            self.comparison,
            self.cost.log_ratio,
            race.interval if race else None,
            cost.between,
            cost.processes,
            race.blocks if race else None,
        )


def compare(
    candidate: str,
    reference: str,
    pairs: Sequence[Pair],
    *,
    margin: float,
    metric: str = "AUC",
    target: Target | None = None,
    others: Sequence[Sequence[float]] = (),
    nulls: Sequence[float] = (),
    most_seeds: int | None = None,
    not_comparable: str = "",
) -> Compared:
    """Compare two labels.

    Args:
        candidate: label.
        reference: label of what it is compared with.
        pairs: of both.
        margin: smallest difference of scores that matters.
        metric: title of the score.
        target: what the times wait for.
        others: log costs of the processes of further labels, one list a label: they tell the spread between
            processes.
        nulls: log ratios of strategies over themselves.
        most_seeds: of a run that ends when it is decided; its interval then holds at all looks together.
        not_comparable: why the two cannot be compared, as a clause.
    """
    firsts = list({pair.seed: pair for pair in reversed(pairs) if pair.repeat == 1}.values())[::-1]
    differences = seed_differences(pairs)
    many = len(differences) >= FEWEST_FOR_SIGN_FLIP
    comparison = Comparison(
        candidate=candidate,
        reference=reference,
        seeds=len(firsts),
        time=compare_waits(*_waits(firsts)),
        difference=mean(differences) if differences else None,
        quality=repeated_interval(differences, most_seeds) if most_seeds else _over_pairs(tuple(differences)),
        margin=margin,
        metric=metric,
        target=target.words if target else "",
        not_comparable=not_comparable,
    )
    return Compared(
        comparison=comparison,
        cost=cost_of(pairs, others, nulls),
        p=sign_flip_p(differences) if many else None,
        pairs=tuple(pairs),
    )


def seed_differences(pairs: Sequence[Pair]) -> list[float]:
    """Difference of the scores of each seed, the mean over its repeats and runs: they add no seeds."""
    found: dict[int, list[float]] = {}
    for pair in pairs:
        if pair.difference is not None:
            found.setdefault(pair.seed, []).append(pair.difference)
    return [mean(differences) for differences in found.values()]


def cost_of(
    pairs: Sequence[Pair], others: Sequence[Sequence[float]] = (), nulls: Sequence[float] = ()
) -> Cost:
    """Rates over all pairs; see `compare`."""
    known = [pair for pair in pairs if pair.log_ratio is not None]
    logs = [ratio for pair in known if (ratio := pair.log_ratio) is not None]
    between = _between(known, logs, others, nulls)
    sd = standard_error(logs) * math.sqrt(len(logs) / 2) if len(logs) > 1 else None
    return Cost(
        log_ratio=mean(logs) if logs else None,
        within=tuple(within_of(pair) for pair in pairs if pair.rounds),
        between=between,
        why_none="" if between else _why_none(len(logs)),
        processes=len(logs),
        outliers=tuple((known[i].seed, known[i].repeat) for i in outliers(logs)),
        process_sd=sd,
    )


def within_of(pair: Pair) -> Within:
    """What its race says about a pair."""
    return Within(
        seed=pair.seed,
        repeat=pair.repeat,
        interval=anytime_interval(pair.blocks),
        blocks=len(pair.blocks),
        rounds=pair.rounds,
        rounds_left_out=pair.rounds_left_out,
        drifts=drifts(pair.blocks),
    )


@lru_cache(maxsize=256)
def _over_pairs(values: tuple[float, ...]) -> ConfidenceInterval | None:
    """`seed_interval`, remembered: with many pairs it takes long, and a dashboard asks again and again."""
    return seed_interval(values)


def _between(
    pairs: Sequence[Pair], logs: list[float], others: Sequence[Sequence[float]], nulls: Sequence[float]
) -> ConfidenceInterval | None:
    if len(logs) >= FEWEST_FOR_T:
        return _over_pairs(tuple(logs))
    if not logs:
        return None
    sides = [[math.log(cost) for cost in side if cost] for side in zip(*map(_costs, pairs), strict=True)]
    freedom = sum(len(group) - 1 for group in (*sides, *others) if group)
    if freedom >= FEWEST_FREEDOM:
        return pooled_interval(sides[0], sides[1], others)
    return null_pair_interval(mean(logs), nulls) if len(nulls) >= FEWEST_FREEDOM and len(logs) == 1 else None


def _costs(pair: Pair) -> tuple[float | None, float | None]:
    return pair.candidate_cost, pair.reference_cost


def _why_none(processes: int) -> str:
    if not processes:
        return "the rate of one side was not measured"
    each = "one process" if processes == 1 else f"{processes} processes"
    return f"{each} of each: the spread between processes is unknown; add seeds or --repeats 3"


def _waits(pairs: Sequence[Pair]) -> Any:
    sides: tuple[list[Arrived], list[Arrived]] = ([], [])
    for pair in pairs:
        if pair.candidate is not None and pair.reference is not None:
            sides[0].append(pair.candidate)
            sides[1].append(pair.reference)
    return [[side.wait for side in arrivals] for arrivals in sides]


def ratio(log_ratio: float | None) -> float | None:
    """A log ratio as a ratio."""
    return None if log_ratio is None else to_ratio(log_ratio)
