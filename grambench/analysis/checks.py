"""The marks of the self-grade: one row each, with the limit, what a lost mark spoils and how to win it back.

The limits of seeds, processes and validations come from simulations, the others are judgement.
"""

from dataclasses import dataclass
from typing import Literal

from grambench.analysis.paired import FEWEST_FOR_SIGN_FLIP
from grambench.analysis.verdict import MARGIN_AUC

Claim = Literal["everything", "cost", "quality", "time to target", "repeatability"]


@dataclass(frozen=True, slots=True)
class Check:
    """A mark, kept while its fact is within the limit."""

    code: str
    fact: str
    """Name of the number that decides, in the facts given to `grade`."""
    unit: str
    relation: Literal["at most", "at least"]
    limit: float
    spoils: Claim
    """The claims that a lost mark makes doubtful."""
    subject: str
    """What the fact is, to begin a sentence with."""
    lost: str
    """A sentence for a lost mark, with `{value}`, `{limit}`, `{count}` (with unit) and `{percent}`."""
    mend: str
    """A sentence that says what to do about it."""

    def holds(self, value: float, limit: float) -> bool:
        """Whether the fact is within the limit; NaN is not."""
        return value >= limit if self.relation == "at least" else value <= limit


# fmt: off
CHECKS = (
    Check(
        "audit", "audit_relative_error", "ratio", "at most", 1e-8, "everything", "The error of the audit",
        "The audit found a relative error of {value:.1e}: single-step is not E2E here.",
        "Trust no row, and report the audit's output as a bug."),
    Check(
        "dropout", "encoder_dropout", "probability", "at most", 0, "everything", "The encoder's dropout",
        "With an encoder dropout of {value:g} the strategies train different models.",
        "Set encoder.dropout = 0."),
    Check(
        "diverged", "diverged_trials", "trials", "at most", 0, "everything", "The number of diverged trials",
        "{count} diverged: the comparison lacks them.",
        "Lower the learning rates of all strategies alike."),
    Check(
        "tuned-alike", "tuning_gap_trials", "trials", "at most", 0, "everything", "Tuning",
        "The strategies were not tuned alike: their numbers of trials differ by {value:.0f}.",
        "Give every strategy the same number of the same draws: grambench tune --budget 5."),
    Check(
        "source", "unidentified_changes", "files", "at most", 0, "repeatability", "The version of the code",
        "The code differs from its commit or release in {count}.",
        "Commit the changes and run again."),
    Check(
        "foreign-cpu", "foreign_cpu_share", "share", "at most", 0.05, "cost",
        "The CPU time of other programs",
        "Other programs used {percent} of the CPU.",
        "Stop them; a race leaves out the rounds that they disturb."),
    Check(
        "foreign-gpu", "foreign_gpu_share", "share", "at most", 0.01, "cost", "The use of the GPU by others",
        "Another program used the GPU in {percent} of the samples.",
        "Use a free GPU."),
    Check(
        "throttled", "throttled_share", "share", "at most", 0.02, "cost", "Throttling",
        "Heat or power held the clocks down for {percent} of the training seconds.",
        "Cool the machine, or lower the power limit for all strategies."),
    Check(
        "suspended", "stopped_wall_s", "s", "at most", 1, "cost", "The time for which workers were stopped",
        "The machine or the workers stood still for {value:.0f} s.",
        "Run without suspending, pausing or debugging."),
    Check(
        "warm", "first_to_rest_ratio", "ratio", "at most", 1.05, "cost", "The warm-up",
        "The first epoch cost {value:.2f} times the median of the others.",
        "Train for more epochs, so that a slow start weighs less."),
    Check(
        "steady", "drifting_pairs", "pairs", "at most", 0, "cost", "Drift within the race",
        "The ratio of {count} moved between the halves of the race.",
        "Look at the pace chart, and repeat in fresh processes."),
    Check(
        "processes", "processes", "processes", "at least", 3, "cost", "The number of processes",
        "With {count} of each strategy the spread between processes is unknown.",
        "Run more seeds, or --repeats 3."),
    Check(
        "null", "null_outside", "pairs", "at most", 0, "cost", "The difference of a strategy from itself",
        "In {count} a strategy differs from itself by more than its interval allows.",
        "Run --null-test on a quiet machine, or average over processes with --repeats 6."),
    Check(
        "seeds", "seeds", "seeds", "at least", FEWEST_FOR_SIGN_FLIP, "quality", "The number of seeds",
        "With {count} no distribution-free interval reaches 95 %: that takes {limit:.0f}.",
        "Run --seeds 0..5 or --until-decided."),
    Check(
        "resolution", "user_half_width_auc", "AUC", "at most", MARGIN_AUC, "quality",
        "The error by test users",
        "The test part resolves AUC to ± {value:.4f} only, and the margin is {limit:g}.",
        "Use a larger test part or a larger margin."),
    Check(
        "tuned", "least_tuning_trials", "trials", "at least", 5, "quality", "Tuning",
        "The least tuned strategy had {count}, fewer than {limit:.0f}.",
        "Use grambench tune --budget 5: the same 5 settings for each, and final runs with fresh seeds."),
    Check(
        "selection", "selected_on_test", "trials", "at most", 0, "quality",
        "The part that selects checkpoints",
        "The checkpoints of {count} were selected on the test part.",
        'Set data.protocol = "honest".'),
    Check(
        "finished", "unfinished_curves", "trials", "at most", 0, "quality", "Convergence",
        "{count} ended while validation still improved.",
        "Train for more epochs, with the same patience for all."),
    Check(
        "validations", "fewest_validations_to_target", "validations", "at least", 5, "time to target",
        "The number of validations before the target",
        "With {count} before the target its time is rough.",
        "Make evaluation.every smaller, in steps or as a share of an epoch."),
    Check(
        "bracket", "widest_bracket_share", "share", "at most", 0.2, "time to target",
        "The bracket around the target",
        "The time to the target is known to within {percent} only.",
        "Make evaluation.every smaller."),
)
# fmt: on
