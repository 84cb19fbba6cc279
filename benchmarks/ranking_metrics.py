"""Ranking metrics of all dev impressions of MIND-small, against one scikit-learn call per impression.

Claims: AUC, MRR, nDCG@5 and nDCG@10 of 73,152 impressions (2.8 million scores) take at most 1 s on one
core; that is at least 100 times faster than the usual loop (`roc_auc_score`, `ndcg_score` twice and a
NumPy MRR per impression); and both give the same numbers.

Sizes and clicks follow the laws measured on MIND (`grambench/domains/news/synthetic.py`), scores are random
float32. The process is bound to one core. The loop runs over a random sample of the impressions, and its
time is scaled by the number of impressions; the two sides take turns. Scores tied within an impression
have a rule of our own, so an impression that holds a tie is left out of the sample, and counted.
"""

import os
import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import ndcg_score, roc_auc_score

from benchmarks.harness import Claim, Sample, bench, interleave, quiet_machine
from grambench.data.draws import Stream, WeightedIndex, starts
from grambench.domains.news import synthetic
from grambench.metrics.ranking import RankingScores, ranking_scores

LAWS = synthetic.LIKE["mind-small"]
FASTER, SAME = 100.0, 1e-9
Impression = tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]


def main() -> int:
    result, given = bench("ranking_metrics", "Ranking metrics on one core", rounds=7, sampled=300)
    impressions = 400 if result.smoke else LAWS.dev_impressions
    rounds, sampled = (1, 20) if result.smoke else (given.rounds, given.sampled)
    quiet_machine()
    labels, scores, offsets = world(impressions)
    chosen = np.random.default_rng(1).permutation(impressions)[:sampled]
    pieces = {i: (labels[offsets[i] : offsets[i + 1]], scores[offsets[i] : offsets[i + 1]]) for i in chosen}
    untied = {i: piece for i, piece in pieces.items() if np.unique(piece[1]).size == piece[1].size}

    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    measured = interleave(
        {
            "grambench": lambda: discard(ranking_scores(labels, scores, offsets)),
            "loop": lambda: discard(one_by_one(list(untied.values()))),
        },
        rounds,
    )
    ours = ranking_scores(labels, scores, offsets)
    theirs = one_by_one(list(untied.values()))
    os.sched_setaffinity(0, cores)

    scaled = Sample(tuple(s / len(untied) * impressions for s in measured["loop"].values))
    speed_ups = scaled.over(measured["grambench"])
    result.row(side="grambench, all impressions at once", seconds=measured["grambench"], times="1")
    result.row(side="scikit-learn, one by one, scaled", seconds=scaled, times=speed_ups)
    result.facts |= {
        "impressions": impressions,
        "scores": scores.size,
        "sampled_impressions": len(untied),
        "sampled_and_left_out_for_ties": len(pieces) - len(untied),
        "cores_used": 1,
    }
    result.samples |= {
        "grambench_s": measured["grambench"].values,
        "scikit_learn_sample_s": measured["loop"].values,
        "speed_up": speed_ups.values,
    }
    result.claim(Claim("all metrics of the dev part", measured["grambench"].median, 1.0, "at most", " s"))
    how = f"{len(untied)} random impressions, scaled by their number"
    result.claim(
        Claim("faster than scikit-learn per impression", speed_ups.median, FASTER, "at least", "×", how)
    )
    apart = largest_difference(ours, list(untied), theirs)
    result.claim(Claim("largest difference from scikit-learn", apart, SAME, "at most"))
    return result.finish()


def world(impressions: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Labels, scores and offsets with MIND's laws of candidates and clicks."""
    more = synthetic._lengths(
        synthetic._EXTRA_CANDIDATES, LAWS.candidates_mean - 2, Stream(0, "size"), impressions
    )
    sizes = 2 + more
    wheel = WeightedIndex(np.asarray(synthetic._CLICKS) / sum(synthetic._CLICKS))
    clicks = np.minimum(1 + wheel.draw(Stream(0, "clicks").uniform(impressions)), sizes - 1)
    place = np.arange(sizes.sum()) - np.repeat(starts(sizes), sizes)
    labels = (place < np.repeat(clicks, sizes)).astype(np.int8)
    scores = np.random.default_rng(0).standard_normal(labels.size, np.float32)
    return labels, scores, np.concatenate(([0], np.cumsum(sizes)))


def one_by_one(impressions: Sequence[Impression]) -> npt.NDArray[np.float64]:
    """[S, 4] AUC, MRR, nDCG@5, nDCG@10: the loop that most published code has."""
    rows = []
    for labels, scores in impressions:
        ranks = 1 + np.flatnonzero(labels[np.argsort(-scores)])
        ndcg = [ndcg_score(labels[None], scores[None], k=cutoff) for cutoff in (5, 10)]
        rows.append([roc_auc_score(labels, scores), np.mean(1 / ranks), *ndcg])
    return np.array(rows)


def largest_difference(ours: RankingScores, chosen: Sequence[int], theirs: npt.NDArray[np.float64]) -> float:
    if ours.skipped:
        raise ValueError("every impression has both classes")
    table = np.stack([ours.auc, ours.mrr, ours.ndcg5, ours.ndcg10], axis=1)
    return float(np.abs(table[list(chosen)] - theirs).max())


def discard(_: object) -> None:
    """Only the time counts."""


if __name__ == "__main__":
    sys.exit(main())
