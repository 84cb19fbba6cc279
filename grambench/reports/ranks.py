"""Builds the report's part about the ranks of a trial from the folded state."""

from collections.abc import Iterable

from grambench.analysis.comparison import efficiency, stretch_rate
from grambench.analysis.ranks import received_per_step, reuse_ratios, waiting_share_so_far
from grambench.events.state import GroupState, RankState, RunState, TrialState
from grambench.reports.ranks_schema import Rank, RankPart, Ranks, one_process
from grambench.reports.section import OLDER_LOG, build_section

_NOT_MET = "its ranks have not met"
_NO_SAMPLE = "no sample of the ranks was taken"


def build_ranks(state: RunState, trial: TrialState) -> Ranks:
    """The ranks that train it now, and what each number of ranks has trained."""
    parts = _parts(trial)
    if trial.group is None and all(part.ranks == 1 for part in parts):
        return one_process()
    group = trial.group or GroupState()
    sampled = any(rank.sample for rank in group.ranks.values())
    own, whole = reuse_ratios(group)
    return build_section(
        Ranks,
        group.formed,
        None,
        reasons={
            **dict.fromkeys(("nodes", "backend"), _NOT_MET if trial.group else "one process trains it now"),
            "batch_size": "the trial has no plan yet",
            **dict.fromkeys(("reuse_ratio_of_a_part", "reuse_ratio"), OLDER_LOG if sampled else _NO_SAMPLE),
            "waiting_share": _not_waited(group.ranks.values()),
            "efficiency": "no trial of this label and seed was trained by one process in this run",
        },
        otherwise=_NO_SAMPLE,
        size=group.size,
        batch_size=trial.plan.batch_size if trial.plan else None,
        reuse_ratio_of_a_part=own,
        reuse_ratio=whole,
        received_bytes_per_step=received_per_step(group),
        waiting_share=waiting_share_so_far(group.ranks.values()),
        restarts=trial.restarts,
        efficiency=efficiency(state, trial),
        ranks=[_rank(number, group.ranks[number]) for number in sorted(group.ranks)],
        parts=parts,
    )


def _rank(number: int, rank: RankState) -> Rank:
    sample = rank.sample
    return build_section(
        Rank,
        rank.started,
        None,
        reasons={
            "waiting_share": _not_waited([rank]),
            "peak_bytes": "torch reports no device memory",
        },
        rank=number,
        waiting_share=waiting_share_so_far([rank]),
        peak_bytes=sample.peak_bytes if sample else None,
    )


def _not_waited(ranks: Iterable[RankState]) -> str:
    return "not measured on CUDA" if any(rank.sample for rank in ranks) else _NO_SAMPLE


def _parts(trial: TrialState) -> list[RankPart]:
    """One for each number of ranks; it ends where the next begins."""
    found, end = [], trial.settled.step if trial.settled else 0
    for stretch in reversed(trial.stretches):
        found.append(
            build_section(
                RankPart,
                otherwise="its counters were read only once",
                ranks=stretch.size,
                from_step=stretch.from_step,
                to_step=min(stretch.last.step, end),
                samples_per_s=stretch_rate(stretch),
            )
        )
        end = stretch.from_step
    return found[::-1]
