"""What a comparison says to people, in full sentences that never claim more than its intervals do."""

import math

from grambench.analysis.anytime import FEWEST_BLOCKS
from grambench.analysis.confidence import ConfidenceInterval, to_ratio
from grambench.analysis.paired import FEWEST_FOR_SIGN_FLIP
from grambench.analysis.time_to_target import TimeToTarget
from grambench.analysis.verdict import Comparison


def verdict_sentence(comparison: Comparison) -> str:
    """Time to the target, quality, and whether the candidate pays."""
    c = comparison
    if c.not_comparable:
        return f"{c.candidate} against {c.reference} is not comparable: {c.not_comparable}."
    return f"{_time_clause(c)}; {_quality_clause(c)}{_ending(c)}"


def cost_sentence(
    comparison: Comparison,
    log_ratio: float,
    within: ConfidenceInterval | None,
    between: ConfidenceInterval | None,
    processes: int = 1,
    blocks: int | None = None,
) -> str:
    """A ratio of rates with its two spreads, neither in place of the other.

    Args:
        comparison: names both sides.
        log_ratio: log of samples/s of the candidate over those of the reference.
        within: of the log ratio within one pair of processes, from the blocks of a race.
        between: of the log ratio between processes.
        processes: of each side, a count.
        blocks: of the race, a count; None: there was none, or several.
    """
    text = f"{comparison.candidate} trains {short(to_ratio(log_ratio))} times"
    text += f" the samples/s of {comparison.reference}"
    if within:
        text += f", ± {100 * math.expm1((within.high - within.low) / 2):.1f} % within this run"
    elif blocks is not None:
        text += f" (a race of {blocks} blocks: an interval within this run takes {FEWEST_BLOCKS})"
    if between is None:
        few = f"{processes} processes of each are too few"
        few = few if processes > 1 else "Processes were not repeated"
        return f"{text}. {few}: add seeds or --repeats 3."
    low, high = map(short, between.as_ratio())
    level = f"{percent(between.level)} interval, {between.units} of each"
    return f"{text}; {low} to {high} between processes ({level})."


def _time_clause(c: Comparison) -> str:
    time, target = c.time, c.target or f"{c.reference}'s {c.metric} − {_digits(c.margin)}"
    if time is None:
        return f"{c.candidate} and {c.reference} were not compared by their time to {target}"
    once = time.interval is None
    verb = "reached" if once else "reaches"
    if not time.candidate_reached and not time.reference_reached:
        trials = f"Neither {c.candidate} nor {c.reference}"
        return f"{trials} {verb} {target} within its budget ({count(time.seeds)})"
    if time.median_low == -math.inf:
        does_not = f"{c.candidate} {'did' if once else 'does'} not reach"
        return f"{does_not} {target} within its budget ({_reached(c, time)})"
    facts = ", ".join(filter(None, (_interval(time.interval), _reached(c, time))))
    return f"{c.candidate} {verb} {target} in {_of_its_time(time.median_low, time.median_high)} ({facts})"


def _of_its_time(low: float, high: float) -> str:
    if math.isinf(high):
        share = f"at most {share_of_time(low)}"
    else:
        share = share_of_time(low) if low == high else f"{share_of_time(high)} to {share_of_time(low)}"
    return f"{share} its training time" if share.endswith("times") else f"{share} of its training time"


def _interval(interval: ConfidenceInterval | None) -> str:
    """The interval of the time to the target, empty where nothing bounds it."""
    if interval is None or (math.isinf(interval.low) and math.isinf(interval.high)):
        return ""
    if math.isinf(interval.high):
        return f"{percent(interval.level)}: at most {share_of_time(interval.low)}"
    if math.isinf(interval.low):
        return f"{percent(interval.level)}: at least {share_of_time(interval.high)}"
    ends = f"{share_of_time(interval.high)} to {share_of_time(interval.low)}"
    return f"{percent(interval.level)}: {ends}"


def _reached(c: Comparison, time: TimeToTarget) -> str:
    if time.candidate_reached == time.reference_reached == time.seeds:
        return count(time.seeds)
    if time.seeds == 1:
        return f"1 seed; {c.reference} {'reached it' if time.reference_reached else 'did not reach it'}"
    own = f"{c.candidate} reached it with {time.candidate_reached}"
    return f"{count(time.seeds)}: {own}, {c.reference} with {time.reference_reached}"


def _quality_clause(c: Comparison) -> str:
    if c.difference is None:
        return f"{c.metric} was not compared"
    difference = f"{c.metric} {signed(c.difference)}"
    return difference + (f" [{signed(c.quality.low)}, {signed(c.quality.high)}]" if c.quality else "")


def _ending(c: Comparison) -> str:
    word = f", {c.verdict}" if c.quality else ""
    if c.conclusion != "undecided":
        return f"{word}: {c.conclusion}."
    if c.seeds < FEWEST_FOR_SIGN_FLIP:
        return f"{word}. {_too_few(c)}: run --seeds 0..5."
    return ": undecided." if c.verdict == "undecided" else f"{word}: undecided whether it pays."


def _too_few(c: Comparison) -> str:
    if c.seeds == 1:
        return "One seed decides nothing"
    missing = "an interval of the time" if c.quality else "intervals"
    return f"{count(c.seeds)} are too few for {missing}"


def count(seeds: int) -> str:
    """`1 seed`, `6 seeds`."""
    return f"{seeds} seed" + "s" * (seeds != 1)


def share_of_time(log_ratio: float) -> str:
    """A speed-up as a share of the reference's time: `1/7.9`; of a slow-down, `1.25 times`."""
    ratio = to_ratio(abs(log_ratio))
    return f"1/{short(ratio)}" if log_ratio >= 0 else f"{short(ratio)} times"


def short(ratio: float) -> str:
    """A ratio with two or three figures: `1.02`, `7.9`, `146`."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 3 else f"{ratio:.2f}"


def percent(share: float) -> str:
    """`97 %`."""
    return f"{100 * share:.0f} %"


def signed(difference: float) -> str:
    """A difference of scores with three digits: `+.003`, `−.001`."""
    return ("−" if difference < 0 else "+") + _digits(abs(difference))


def _digits(value: float) -> str:
    return f"{value:.3f}".lstrip("0")
