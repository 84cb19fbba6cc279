"""`report.json`, part `comparisons`: what is said about each candidate against its reference."""

from typing import Literal

from grambench.reports.section import Model, Section

Method = str
"""t, sign-flip, pooled t, anytime t …"""


class Interval(Model):
    """A confidence interval."""

    low: float | None
    """Lower end; null: unbounded."""
    high: float | None
    """Upper end; null: unbounded."""
    level: float
    """Coverage, 0 to 1."""
    units: int
    """Independent units behind it: seeds, pairs of processes or blocks of rounds, a count."""
    method: Method
    """How it was made."""


class WithinRun(Section):
    """One pair of processes that raced; says nothing about other processes."""

    seed: int
    """Seed of both."""
    repeat: int
    """1, or the number of the repeat with the same seed."""
    ratio: Interval | None
    """Samples/s of the candidate over those of the reference; valid however often it is looked at."""
    blocks: int
    """Blocks of whole windows, a count."""
    rounds: int
    """Rounds that both finished, a count."""
    rounds_left_out: int
    """Of these, rounds in which something disturbed the race, a count."""
    drifts: bool
    """True where the halves of the race disagree."""


class Cost(Section):
    """Samples per training second of the candidate over those of the reference."""

    ratio: float | None
    """Geometric mean over the pairs, a ratio; above 1 the candidate is faster."""
    between: Interval | None
    """Of the ratio, between fresh processes: the interval of the speed-up."""
    within: list[WithinRun]
    """One for each pair that raced."""
    processes: int
    """Pairs of processes, a count."""
    outliers: list[str]
    """Pairs whose ratio lies far from the others', as `s3` or `s3.r2`: flagged, not left out."""
    process_sd_percent: float | None
    """Standard deviation of the cost of a process, in percent."""
    sentence: str
    """The same for people."""


class Quality(Section):
    """Test scores, by the metric that selects checkpoints; candidate less reference."""

    difference: float | None
    """Mean over the seeds, in the metric's unit (AUC: 0 to 1); above 0 the candidate is better."""
    interval: Interval | None
    """Of the difference, over seeds."""
    p: float | None
    """Of the sign-flip test that there is no difference, 0 to 1."""
    seeds: int
    """Seeds with a test score of both, a count."""
    margin: float
    """Smallest difference that matters, in the metric's unit."""
    user_half_width: float | None
    """Largest half-width over the seeds of the 95 % interval by test users, in the metric's unit."""
    user_clusters: int | None
    """Test users or students, a count."""
    verdict: Literal["better", "as good", "worse", "undecided"]
    """From the interval and the margin."""


class TimeToTarget(Section):
    """Training seconds of the reference to the target over those of the candidate."""

    target: float | None
    """Validation score that is waited for."""
    target_source: str
    """Where it comes from."""
    ratio_low: float | None
    """What the median over seeds is at least, a ratio; above 1 the candidate is sooner."""
    ratio_high: float | None
    """What the median over seeds is at most; equal to `ratio_low` where both always arrive."""
    interval: Interval | None
    """Of the median ratio, from order statistics, with bounds for seeds that missed the target."""
    at_least: float | None
    """A lower bound where only references missed the target, a ratio."""
    seeds: int
    """Seeds that both ran, a count."""
    candidate_reached: int
    """Of these, seeds with which the candidate reached the target, a count."""
    reference_reached: int
    """The same of the reference."""


class Arrival(Section):
    """One trial on its way to the target."""

    seconds: float | None
    """Training seconds to the target, read between validations."""
    bracket_s: float | None
    """Training seconds between the last validation below the target and the first one that is not."""
    budget_s: float
    """Training seconds of the whole trial."""
    validations: int
    """Validations up to the target, or all where it was missed, a count."""


class PairFacts(Section):
    """What one pair of trials with the same seed adds; comparisons of several runs are made of these."""

    run: str
    """Name of the run."""
    seed: int
    """Seed of both."""
    repeat: int
    """1, or the number of the repeat with the same seed."""
    candidate_s_per_sample: float | None
    """Training seconds of a sample over the closed windows."""
    reference_s_per_sample: float | None
    """The same of the reference."""
    difference: float | None
    """Of the test scores, candidate less reference, in the metric's unit."""
    user_half_width: float | None
    """Of its 95 % interval by test users."""
    user_clusters: int | None
    """Test users or students, a count."""
    candidate: Arrival | None
    """The candidate on its way to the target."""
    reference: Arrival | None
    """The reference on its way to the target."""
    block_log_ratios: list[float]
    """Natural logs of the ratio of the blocks of their race, in order."""
    rounds: int
    """Rounds of the race that both finished, a count."""
    rounds_left_out: int
    """Of these, rounds in which something disturbed the race, a count."""


class Comparison(Section):
    """A candidate against its reference."""

    candidate: str
    """Label of the candidate."""
    reference: str
    """Label of the reference."""
    primary: bool
    """True for the first candidate of the run: the other verdicts are each at their own level."""
    conclusion: Literal["pays", "does not pay", "undecided", "not comparable"]
    """Whether the candidate pays."""
    sentence: str
    """The same for people."""
    not_comparable: str
    """Why the two cannot be compared; empty: they can."""
    tuning: str
    """How the candidate was tuned: `not tuned`, or `tuned (2 of 3)` settings of the most."""
    cost: Cost
    """How fast."""
    quality: Quality
    """How good."""
    time_to_target: TimeToTarget
    """Both."""
    pairs: list[PairFacts]
    """In running order."""


class Mark(Model):
    """One mark of the self-grade."""

    code: str
    """Stable short name."""
    outcome: Literal["kept", "lost", "not applicable"]
    """What became of it."""
    spoils: str
    """The claims that a lost one makes doubtful."""
    value: float | None
    """What was measured; null: nothing."""
    limit: float
    """What it is held against."""
    unit: str
    """Of both."""
    message: str
    """Why it was lost or does not apply; empty: kept."""
    mend: str
    """What to do about a lost one."""


class Grade(Model):
    """The self-grade: how far the conditions of the run support its claims."""

    kept: int
    """Marks kept, a count."""
    total: int
    """Marks that apply, a count."""
    headline: str
    """The same for people."""
    marks: list[Mark]
    """In a fixed order."""


class Look(Model):
    """A look of a run that ends when it is decided."""

    seeds: int
    """Seeds that had ended, a count."""
    decided: bool
    """True for the last one."""
    rows: list[dict[str, str | float | None]]
    """Label, low and high of the difference, verdict; one for each candidate."""


class UntilDecided(Section):
    """`--until-decided`: the run looks after each seed from 6 on."""

    most_seeds: int
    """Fixed before the first seed, a count."""
    decided_at_seeds: int | None
    """Seeds after which it was decided, a count."""
    looks: list[Look]
    """In order."""
