"""What the logs say of ranks, attempt by attempt and number by number."""

import json

import pytest

from grambench.analysis import comparison
from grambench.analysis.ranks import (
    items_per_second,
    received_per_step,
    reuse_ratios,
    slowness,
    waiting_share,
    waiting_share_so_far,
)
from grambench.events import types as ev
from grambench.events.codec import Record, Stamp, decode, encode
from grambench.events.fold import fold
from grambench.events.state import GroupState, RunState, TrialState
from grambench.events.types import Event

NAME = "e2e.s0"


def folded(*events: Event) -> RunState:
    """A second between two events; those of the supervisor are in its own log."""
    ours = (ev.WorkerSpawned, ev.RanksLaunched, ev.RunStarted)
    every = (ev.RunStarted("r", "demo", [NAME], 1, "model", "data"), *events)
    return fold(
        ("" if isinstance(event, ours) else NAME, Record(Stamp(seq, int(seq * 1e9), "b", ""), event))
        for seq, event in enumerate(every)
    )


def spawned(nproc: int, nodes: int = 1) -> list[Event]:
    launched = ev.RanksLaunched(NAME, nproc, nodes, "", "meeting", 3)
    return [ev.WorkerSpawned(NAME, 7), *([launched] if nproc * nodes > 1 else [])]


def met(size: int, attempt: int = 0, nodes: int = 1) -> list[Event]:
    ranks = [ev.RankStarted(rank, rank, "box", 10 + rank, "cpu") for rank in range(size)]
    return [ev.GroupFormed(size, nodes, "gloo", attempt), *ranks]


def progress(step: int, train_s: float) -> ev.Progress:
    counters = (8 * step, 20 * step, 10 * step, 10 * step, 50 * step)
    return ev.Progress(1, step, train_s, train_s / 2, *counters, 1.0, 1e-4, 1e-4)


def sampled(rank: int, train_s: float, wait_s: float | None, items: int) -> ev.RankSample:
    return ev.RankSample(rank, train_s, wait_s, 1000 * items, items, None, 30, 20, 25)


def trial_of(*events: Event) -> TrialState:
    return folded(*events).trials[NAME]


def group_of(trial: TrialState) -> GroupState:
    assert trial.group is not None
    return trial.group


def test_a_trial_without_these_events_is_of_one_process() -> None:
    trial = trial_of(*spawned(1), progress(10, 2.0))
    assert trial.group is None
    assert [(each.size, each.first) for each in trial.stretches] == [(1, None)]
    assert comparison.samples_per_second(trial) == 40.0


def test_ranks_count_as_launched_until_they_have_met() -> None:
    assert group_of(trial_of(*spawned(2, 3))).size == 6
    group = group_of(trial_of(*spawned(2, 3), *met(4)))
    assert (group.size, group.launched is not None, sorted(group.ranks)) == (4, True, [0, 1, 2, 3])


def test_rates_and_waiting_are_of_the_two_newest_samples_and_bytes_of_all_steps() -> None:
    events = [*spawned(2), *met(2), progress(10, 4.0), sampled(0, 4, 1, 100), sampled(1, 4, 0, 100)]
    events += [progress(20, 6.0), sampled(0, 6, 2, 300), sampled(1, 6, 0.5, 300)]
    group = group_of(trial_of(*events))
    assert items_per_second(group.ranks[0]) == 100.0
    assert [waiting_share([group.ranks[rank]]) for rank in (0, 1)] == [0.5, 0.25]
    assert waiting_share(group.ranks.values()) == 0.375
    assert waiting_share_so_far(group.ranks.values()) == 2.5 / 12
    assert slowness(group) == [(1, pytest.approx(0.75 / 0.625 - 1)), (0, pytest.approx(0.5 / 0.625 - 1))]
    assert received_per_step(group) == 300_000 / 20
    assert reuse_ratios(group) == (60 / 40, 60 / 25)
    assert group.ranks[1].seen_s == len(events)


def test_waiting_that_is_not_measured_is_none_and_nobody_is_slowest() -> None:
    group = group_of(trial_of(*spawned(2), *met(2), sampled(0, 4, None, 9), sampled(1, 4, None, 9)))
    assert waiting_share(group.ranks.values()) is waiting_share_so_far(group.ranks.values()) is None
    assert slowness(group) == []
    assert items_per_second(group.ranks[0]) == 9 / 4


def test_a_new_attempt_begins_with_no_samples_and_counts_as_a_restart() -> None:
    begun = [*spawned(2), *met(2), progress(10, 4.0), sampled(0, 4, 1, 100)]
    again = [*begun, *met(2, attempt=2), ev.TrialResumed(8, 3.2, 0)]
    trial = trial_of(*again)
    assert (trial.restarts, group_of(trial).began_step, group_of(trial).steps) == (2, 8, 0)
    assert group_of(trial).ranks[0].sample is None
    trial = trial_of(*again, progress(12, 5.0), sampled(0, 1.8, 0, 40), *spawned(2), *met(2, attempt=1))
    assert trial.restarts == 3, "the attempts of a new worker count from 0"
    texts = [(line.severity, line.text) for line in folded(*again).log if "rank" in line.text]
    assert texts == [
        ("info", "2 ranks on 1 node (gloo)"),
        ("warning", "the ranks started again, attempt 2"),
    ]


def test_rates_of_different_numbers_of_ranks_are_never_one_number() -> None:
    two = [*spawned(2), *met(2), progress(10, 4.0), progress(20, 8.0)]
    four = [*spawned(4), *met(4), ev.TrialResumed(15, 6.0, 0), progress(25, 8.0), progress(35, 9.0)]
    trial = trial_of(*two, *four)
    assert [(each.size, each.last.step) for each in trial.stretches] == [(2, 20), (4, 35)]
    assert [comparison.stretch_rate(each) for each in trial.stretches] == [20.0, 80.0]
    assert comparison.samples_per_second(trial) is comparison.tokens_per_second(trial) is None
    same = trial_of(*two, *spawned(2), *met(2), ev.TrialResumed(15, 6.0, 0), progress(30, 12.0))
    assert (len(same.stretches), comparison.samples_per_second(same)) == (1, 20.0)
    over = trial_of(*two, *spawned(1), ev.TrialResumed(0, 0.0, 0), progress(10, 5.0))
    assert (over.group, [each.size for each in over.stretches]) == (None, [1])


def test_what_nothing_is_left_of_is_no_stretch() -> None:
    two = [*spawned(2), *met(2), progress(10, 4.0)]
    three = [*spawned(3), *met(3), ev.TrialResumed(8, 3.2, 0), progress(12, 4.0), progress(16, 5.0)]
    again = [*spawned(2), *met(2), ev.TrialResumed(8, 3.2, 0), progress(24, 9.6)]
    trial = trial_of(*two, *three, *again)
    assert [(each.size, each.last.step) for each in trial.stretches] == [(2, 24)]


def test_efficiency_is_the_rate_over_that_of_one_process() -> None:
    one = [*spawned(1), progress(10, 8.0)]
    two = [*spawned(2), *met(2), ev.TrialResumed(10, 8.0, 0), progress(20, 14.0), progress(30, 19.0)]
    state = folded(*one, *two)
    assert comparison.efficiency(state, state.trials[NAME]) == pytest.approx(16 / (2 * 10))
    alone = folded(*spawned(2), *met(2), progress(20, 14.0))
    assert comparison.efficiency(alone, alone.trials[NAME]) is None


def test_a_sample_of_an_older_log_has_no_items_of_batches() -> None:
    line = json.loads(encode(sampled(0, 4, 1, 9), Stamp(0, 0, "b", "")))
    old = {key: value for key, value in line.items() if not key.startswith(("part", "batch"))}
    event = ev.RankSample.from_fields(old)
    assert (event.items_encoded, event.batch_items) == (9, None)
    assert reuse_ratios(group_of(trial_of(*spawned(2), *met(2), event))) == (None, None)
    record = decode(encode(event, Stamp(0, 0, "b", "")))
    assert record is not None
    assert record.event == event
