"""What the intervals and verdicts of a report cover, through the functions that reports use.

Claims: over seeds and processes, t and pooled intervals cover .95 ± .02 of normal, heavy-tailed and
process-offset noise, and sign-flip intervals at least their own level - .02; the interval of a race holds at
every look in at least .95 of the cases under every noise of the machine; a verdict is wrong to one side in at
most .03. For skew, clumps, a strategy's own drift and load on one side the shares are known limits, published
in the table: they must be within .02 of what was found when the methods were chosen, with the same draws.
Those of load on one side were found for means of log ratios; a race uses ratios of sums, which cover less.

Noise is simulated, and its sizes are assumptions. A share of .95 of 2,000 draws has an error of .005.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks import noise
from benchmarks.harness import Bench, Claim, bench
from grambench.analysis.anytime import anytime_interval, anytime_median, block_log_ratios
from grambench.analysis.clustered import auc_difference_interval, clustered_interval
from grambench.analysis.confidence import ConfidenceInterval, two_sided_t
from grambench.analysis.paired import (
    order_statistics_interval,
    repeated_interval,
    seed_interval,
    sign_flip_interval,
    t_interval,
)
from grambench.analysis.processes import null_pair_interval, pooled_interval
from grambench.analysis.time_to_target import Wait, arrival, compare_waits
from grambench.analysis.verdict import verdict

TRUTH = math.log(noise.RATIO)
NEAR = 0.02
COVER, HOLD, LIMIT, WRONG, BIAS = (
    "t, pooled and clustered intervals that do not cover .95 ± .02",
    "distribution-free and anytime intervals that cover less than they promise",
    "known limits more than .02 from the ones published",
    "verdicts wrong to one side in more than .03",
    "readings of a ratio that are biased",
)
"""What rows are judged by; each is a claim that no row misses."""
SEED_LIMITS = {
    "skewed": {3: 0.881, 6: 0.885, 10: 0.900, "flip 6": 0.938, "flip 8": 0.911, "flip 10": 0.907},
    "two clumps": {3: 0.751, 6: 0.955, 10: 0.948, "flip 6": 0.965, "flip 8": 0.953, "flip 10": 0.959},
}
"""Coverage when the methods were chosen, of t and sign-flip intervals by number of seeds."""
WELCH_LIMITS = {0.003: 0.852, 0.01: 0.465, 0.03: 0.165}


@dataclass(slots=True)
class Judge:
    """Adds rows to a bench, each with what was wanted of it."""

    bench: Bench
    draws: int
    missed: dict[str, list[str]] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)

    def row(self, claim: str, case: str, method: str, share: float, low: float, high: float) -> None:
        """One row, judged by `low` ≤ share ≤ `high`."""
        passed = low <= share <= high
        wanted = f"{low:.3f} to {high:.3f}" if high < 1 and low > 0 else ""
        wanted = wanted or (f"at least {low:.3f}" if low > 0 else f"at most {high:.3f}")
        result = "pass" if passed else "miss"
        self.bench.row(noise=case, method=method, share=f"{share:.3f}", wanted=wanted, result=result)
        self.judged[claim] = self.judged.get(claim, 0) + 1
        if not passed:
            self.missed.setdefault(claim, []).append(f"{case}, {method}: {share:.3f}")

    def covers(self, case: str, method: str, share: float, limit: float | None = None) -> None:
        """An interval that covers .95, or what was published as its limit."""
        centre = 0.95 if limit is None else limit
        self.row(COVER if limit is None else LIMIT, case, method, share, centre - NEAR, centre + NEAR)

    def holds(self, case: str, method: str, share: float, least: float) -> None:
        """An interval that covers at least so much."""
        self.row(HOLD, case, method, share, least, 1.0)

    def claims(self) -> None:
        """One claim for each kind of row."""
        for claim, rows in self.judged.items():
            missed = self.missed.get(claim, [])
            note = "; ".join(missed) if missed else f"{rows} rows"
            self.bench.claim(Claim(claim, len(missed), 0, "at most", note=note))


def main() -> int:
    result, given = bench("inference", "Coverage of intervals and verdicts, simulated", draws=2000)
    judge = Judge(result, 12 if result.smoke else given.draws)
    for part in (seeds, processes, race, foreign, lumps, clusters, target, verdicts, decided):
        part(judge)
    result.facts |= {"draws": judge.draws, "rounds_of_a_race": 240, "rounds_of_a_block": 4}
    judge.claims()
    return result.finish()


def share(intervals: Iterable[ConfidenceInterval | None], truth: float = 0.0) -> float:
    """Of the intervals, those that hold the truth."""
    return float(np.mean([i is not None and i.low <= truth <= i.high for i in intervals]))


def seeds(judge: Judge) -> None:
    """Paired differences over seeds: of the mean, and by order statistics of the median."""
    for kind in ("normal", "t(3)", "skewed", "two clumps"):
        limits = SEED_LIMITS.get(kind, {})
        for n in (3, 6, 10):
            covered = share(map(t_interval, noise.differences(kind, judge.draws, n)))
            judge.covers(f"{kind}, {n} seeds", "t", covered, limits.get(n))
        for n in (6, 8, 10):
            rows = noise.differences(kind, judge.draws, n)
            flips = [sign_flip_interval(row) for row in rows]
            case, covered, limit = f"{kind}, {n} seeds", share(flips), limits.get(f"flip {n}")
            if limit is None:
                judge.holds(case, "sign-flip", covered, flips[0].level - NEAR if flips[0] else 1.0)
            else:
                judge.covers(case, "sign-flip", covered, limit)
            median = math.log(2) - 1 if kind == "skewed" else 0.0
            orders = [order_statistics_interval(row) for row in rows]
            level = orders[0].level if orders[0] else 1.0
            judge.holds(case, "order statistics, median", share(orders, median), level - NEAR)


def processes(judge: Judge) -> None:
    """Offsets between processes: what whole processes and epochs of one process cover."""
    for offset in (0.0, 0.003, 0.01, 0.03):
        rng, case = np.random.default_rng(4), f"processes differ by {offset:.1%}"
        costs = noise.processes(rng, offset, judge.draws, 4, 6)
        means, nulls = (
            costs.mean(-1),
            np.diff(noise.processes(rng, offset, judge.draws, 3, 2).mean(-1))[..., 0],
        )
        paired = means[:, 1] - means[:, 0]
        for n in (2, 3, 6):
            judge.covers(case, f"paired t, {n} processes", share(map(t_interval, paired[:, :n])))
        judge.holds(case, "sign-flip, 6 processes", share(map(sign_flip_interval, paired)), 0.969 - NEAR)
        for n in (2, 3):
            pooled = [pooled_interval(row[0], row[1], row[2:]) for row in means[:, :, :n]]
            judge.covers(case, f"pooled t, 4 strategies × {n}", share(pooled))
        for n in (1, 3):
            one_pair = [
                null_pair_interval(float(d), row) for d, row in zip(paired[:, 0], nulls[:, :n], strict=True)
            ]
            judge.covers(case, f"1 process, {n} null pair{'s' * (n > 1)}", share(one_pair))
        if offset in WELCH_LIMITS:
            welch = [_welch(row[0], row[1]) for row in costs[:, :2, 0]]
            judge.covers(case, "Welch over 10 epochs (not used)", share(welch), WELCH_LIMITS[offset])


def _welch(own: noise.Floats, reference: noise.Floats) -> ConfidenceInterval:
    parts = [float(side.var(ddof=1)) / len(side) for side in (own, reference)]
    freedom = int(sum(parts) ** 2 / sum(part**2 / (len(own) - 1) for part in parts))
    half, centre = (
        two_sided_t(0.95, max(1, freedom)) * math.sqrt(sum(parts)),
        float(reference.mean() - own.mean()),
    )
    return ConfidenceInterval(centre - half, centre + half, 0.95, len(own), "Welch")


def race(judge: Judge) -> None:
    """Races of 240 rounds: whether the truth is in the interval at every look from 8 blocks on."""
    for kind in (*noise.MACHINE, *noise.OWN):
        sides = zip(*noise.race(kind, judge.draws, 240), strict=True)
        shares = np.mean([_held(_blocks(own, reference), TRUTH) for own, reference in sides], 0)
        limits = noise.OWN.get(kind, (None, None))
        for method, found, limit in zip(("anytime t", "anytime median"), shares, limits, strict=True):
            if limit is None:
                judge.holds(f"race: {kind}", method, float(found), 0.95)
            else:
                judge.covers(f"race: {kind}", method, float(found), limit)


def _blocks(own: noise.Floats, reference: noise.Floats, left_out: Iterable[int] = ()) -> list[float]:
    """Of a race in which every turn closes a window of one sample, from the log costs of its rounds."""
    samples = range(1, len(own) + 1)
    closed = [list(zip(np.cumsum(np.exp(side)).tolist(), samples, strict=True)) for side in (own, reference)]
    return block_log_ratios(closed[0], closed[1], left_out)


def _held(blocks: Sequence[float], truth: float) -> tuple[bool, bool]:
    """Whether the anytime interval and the anytime median hold the truth at every look."""
    held = []
    for interval in (anytime_interval, anytime_median):
        looks = (interval(blocks[:n]) for n in range(8, len(blocks) + 1))
        held.append(all(look is None or look.low <= truth <= look.high for look in looks))
    return held[0], held[1]


def foreign(judge: Judge) -> None:
    """A foreign process slows the candidate more; rounds in which the sampler saw it are left out."""
    for seen in (0.0, 0.5, 0.8, 0.95, 1.0):
        rng, held = np.random.default_rng(6), []
        for _ in range(judge.draws):
            level = noise.bursts(rng, 1, 480)[0].reshape(240, 2)
            logs = 0.01 * math.sqrt(2) * rng.normal(size=240)
            logs = TRUTH + logs - level[:, 1] * math.log(1.5) + level[:, 0] * math.log(1.2)
            noticed = ((level > 0) & (rng.random((240, 2)) < seen)).any(1)
            blocks = _blocks(-logs, np.zeros(240), np.flatnonzero(noticed).tolist())
            held.append(_held(blocks, TRUTH)[0])
        case, found = f"race: one-sided load, {seen:.0%} of it seen and left out", float(np.mean(held))
        if seen:
            judge.holds(case, "anytime t", found, 0.95)
        else:
            judge.covers(case, "anytime t", found, 0.597)


def lumps(judge: Judge) -> None:
    """Windows of 6 s opening, 30 s of steps and 14 s closing, cut by turns of 10 s; the ratio is 8."""
    rng, means = np.random.default_rng(3), []
    for _ in range(judge.draws):
        seconds = 10 * np.cumsum(np.exp(0.02 * rng.normal(size=(60, 2))), 0)
        closed = [5 * ((i + 1) // 5) for i in range(60)]
        own = [(float(seconds[end - 1, 0]) if end else 0.0, 200.0 * end) for end in closed]
        reference = [(float(seconds[i, 1]), 25.0 * (i + 1)) for i in range(60)]
        means.append(float(np.mean(block_log_ratios(own, reference))))
    bias = abs(math.exp(float(np.mean(means))) / 8 - 1)
    judge.row(BIAS, "race: turns that cut windows", "blocks of whole windows, bias", bias, 0.0, 0.002)


def clusters(judge: Judge) -> None:
    """One seed: other users or students."""
    for effect in (0.0, 0.05, 0.12):
        rng = np.random.default_rng(7)
        found = share(clustered_interval(*noise.impressions(rng, effect)) for _ in range(judge.draws))
        judge.covers(f"news, 400 users, user effect {effect:g} of .25", "clustered", found)
    for count in (40, 150, 600):
        rng = np.random.default_rng(9)
        found = share(auc_difference_interval(*noise.answers(rng, count)) for _ in range(judge.draws))
        judge.covers(f"knowledge tracing, pooled AUC, {count} students", "clustered", found)


def target(judge: Judge) -> None:
    """Time to the target: bias of the median ratio (true 8) by validations before it, and censored pairs."""
    for counts in ((5.5, 5.5), (5.5, 44.0), (20.0, 160.0)):
        rng = np.random.default_rng(13)
        logs = [
            math.log(_seconds(rng, 1000.0, counts[0]) / _seconds(rng, 125.0, counts[1]))
            for _ in range(judge.draws)
        ]
        bias = abs(math.exp(float(np.median(logs))) / 8 - 1)
        judge.row(
            BIAS, f"{counts[0]:g} and {counts[1]:g} validations", "time to target, bias", bias, 0.0, NEAR
        )
    for n in (6, 10):
        for censored in (0.0, 0.2, 0.5):
            found = share(_waits(judge.draws, n, censored), TRUTH)
            judge.holds(f"{censored:.0%} of the reference censored, {n} seeds", "time to target", found, 0.95)


def _seconds(rng: np.random.Generator, tau: float, validations: float) -> float:
    """To .671 of a curve that saturates at .680, with an error of .003 in each validation."""
    every = tau * 3 / validations * rng.uniform(0.8, 1.25)
    seconds = np.arange(1, int(12 * tau / every)) * every
    scores = 0.5 + 0.18 * (1 - np.exp(-seconds / tau)) + 0.003 * rng.normal(size=len(seconds))
    found = arrival(seconds.tolist(), scores.tolist(), 0.5 + 0.18 * (1 - math.exp(-3)))
    return found.seconds if found else float(seconds[-1])


def _waits(draws: int, n: int, censored: float) -> Iterable[ConfidenceInterval | None]:
    rng = np.random.default_rng(14)
    own, reference = (
        np.exp(math.log(s) + 0.3 * rng.normal(size=(draws, n))) for s in (400, 400 * noise.RATIO)
    )
    budget = float(np.quantile(reference, 1 - censored)) if censored else math.inf
    for ours, theirs in zip(own.tolist(), reference.tolist(), strict=True):
        waits = [Wait(seconds if seconds <= budget else None, budget) for seconds in theirs]
        compared = compare_waits([Wait(seconds, math.inf) for seconds in ours], waits)
        yield compared.interval if compared else None


def verdicts(judge: Judge) -> None:
    """Wrong to one side: better or worse where equal, as good where lower by the margin of .002."""
    for kind in ("normal", "t(3)"):
        for n in (3, 6, 10):
            x = 0.002 * noise.differences(kind, judge.draws, n, seed=12)
            wrong = _wrong([verdict(seed_interval(row)) for row in x], "better", "worse")
            wrong += _wrong([verdict(seed_interval(row - 0.002)) for row in x], "as good")
            judge.row(WRONG, f"{kind}, {n} seeds", "verdict, worst of three", max(wrong), 0.0, 0.03)


def _wrong(words: list[str], *wrong: str) -> list[float]:
    counted = [words.count(word) + (words.count("better") if word == "as good" else 0) for word in wrong]
    return [count / len(words) for count in counted]


def decided(judge: Judge) -> None:
    """Until decided: looks after each seed from 6 to 20, stopped at the first verdict; margin 1 sd."""
    for kind in ("normal", "t(3)", "skewed"):
        x = noise.differences(kind, judge.draws, 20, seed=16)
        looks = [[repeated_interval(row[:n], 20) for n in range(6, 21)] for row in x]
        if kind == "normal":
            ever = np.mean([all(i and i.low <= 0 <= i.high for i in row) for row in looks])
            judge.covers("normal, every look from 6 to 20 seeds", "repeated t", float(ever))
        lower = [[repeated_interval(row[:n] - 1, 20) for n in range(6, 21)] for row in x]
        wrong = _wrong(_stopped(looks), "better", "worse") + _wrong(_stopped(lower), "as good")
        case, method = f"{kind}, until decided, 20 seeds at most", "repeated t, verdict, worst of three"
        if kind == "skewed":
            judge.covers(case, method, max(wrong), 0.052)
        else:
            judge.row(WRONG, case, method, max(wrong), 0.0, 0.03)


def _stopped(looks: list[list[ConfidenceInterval | None]]) -> list[str]:
    words = ([verdict(interval, 1.0) for interval in row] for row in looks)
    return [next((word for word in row if word != "undecided"), "undecided") for row in words]


if __name__ == "__main__":
    sys.exit(main())
