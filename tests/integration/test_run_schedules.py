"""Races, parallel trials, and what watchers may ask for: real runs."""

import itertools
import time
from pathlib import Path
from typing import Any

import pytest
from live_runs import (
    ENDLESS,
    Bench,
    Command,
    assert_nothing_is_left,
    finished,
    report_of,
    strict_json,
    until,
)

from grambench.analysis.rounds import paired_rounds
from grambench.events import types as ev
from grambench.events.journal import Follower
from grambench.events.reader import read_run
from grambench.runner.commands import Command as Ask
from grambench.runner.commands import send
from grambench.runner.rundir import SUPERVISOR_LOG

pytestmark = pytest.mark.slow

TURN_S = 0.1
STRATEGIES = ("e2e", "gram-1s", "gram-1e")


@pytest.fixture(scope="module")
def race(bench: Bench) -> Command:
    """A race with a null test, every trial long enough for several turns."""
    return bench.run(
        *("--json", "--schedule", "race", "--null-test", "--strategies", ",".join(STRATEGIES)),
        *("--set", f"turn_s={TURN_S}", "--set", "training.epochs=20", "--set", "training.patience=20"),
    )


@pytest.fixture(scope="module")
def raced(race: Command) -> dict[str, Any]:
    ended = race.wait()
    assert ended.code == 0, ended.err
    report: dict[str, Any] = strict_json(ended.out)
    return report


def turns(run: Path, name: str) -> list[ev.TurnEnded]:
    events = (record.event for record in Follower(run / name / "events.jsonl").read())
    return [event for event in events if isinstance(event, ev.TurnEnded) and event.train_s > 0]


def test_racers_take_turns_and_their_clocks_stay_together(race: Command, raced: dict[str, Any]) -> None:
    names = [trial["name"] for trial in raced["trials"]]
    assert names == ["e2e.s0", "null-e2e.s0", "gram-1s.s0", "gram-1e.s0"]
    order = sorted((event.turn, event.train_s, name) for name in names for event in turns(race.run, name))
    clocks = dict.fromkeys(names, 0.0)
    left = {name: len(turns(race.run, name)) for name in names}
    assert left["e2e.s0"] > 3
    slowest_step_s = max(t["times"]["train_s"] / t["steps"] for t in raced["trials"])
    for _, train_s, name in order:
        clocks[name] += train_s
        left[name] -= 1
        racing = [clocks[other] for other in names if left[other] > 0]
        if len(racing) > 1:
            assert max(racing) - min(racing) <= 2 * (TURN_S + 10 * slowest_step_s)
    granted = [record.event for record in Follower(race.run / SUPERVISOR_LOG).read()]
    holders = [event.trial for event in granted if isinstance(event, ev.TurnGranted) and event.seconds]
    assert set(holders) == set(names)  # also the last turn of a trial, which is never given back
    for i, (name, after) in enumerate(itertools.pairwise(holders)):
        assert name != after or set(holders[i:]) == {name}
    for trial in raced["trials"]:
        assert trial["turns"] == len(turns(race.run, trial["name"]))
        assert trial["switch_s"] > 0


def test_a_round_is_all_that_was_trained_by_the_end_of_a_turn(race: Command, raced: dict[str, Any]) -> None:
    trials = read_run(race.run).trials
    for name in ("e2e.s0", "null-e2e.s0", "gram-1s.s0"):
        rounds, ended = trials[name].rounds, turns(race.run, name)
        clocks = list(itertools.accumulate(event.train_s for event in ended))[-len(rounds) :]
        assert len(rounds) > 2
        assert [each.train_s for each in rounds] == pytest.approx(clocks, abs=0.05)  # and a batch drawn
        assert [each.number for each in rounds] == [event.turn for event in ended][-len(rounds) :]
        assert all(first.samples < second.samples for first, second in itertools.pairwise(rounds))
    epoch = trials["gram-1e.s0"].epochs[0].samples
    assert all(each.samples % epoch == 0 for each in trials["gram-1e.s0"].rounds)
    assert len(paired_rounds(trials["gram-1e.s0"].rounds, trials["e2e.s0"].rounds)) > 1


def test_a_race_gives_the_scores_of_a_sequence(race: Command, raced: dict[str, Any], bench: Bench) -> None:
    sequence = bench.run(
        *("--json", "--strategies", "gram-1e"),
        *("--set", "training.epochs=20", "--set", "training.patience=20"),
    ).wait()
    (alone,) = strict_json(sequence.out)["trials"]
    together = next(trial for trial in raced["trials"] if trial["strategy"] == "gram-1e")
    assert [v["auc"] for v in together["validations"]] == [v["auc"] for v in alone["validations"]]
    assert together["test"]["auc"] == alone["test"]["auc"]


def test_the_null_test_is_the_strategy_itself_told_apart_and_no_interval(raced: dict[str, Any]) -> None:
    (null,) = raced["null_tests"]
    assert (null["trial"], null["repeats"]) == ("null-e2e.s0", "e2e.s0")
    trials = {trial["strategy"]: trial for trial in raced["trials"]}
    assert [v["auc"] for v in trials["null-e2e"]["validations"]] == [
        v["auc"] for v in trials["e2e"]["validations"]
    ]
    rates = [trials[name]["times"]["samples_per_s"] for name in ("null-e2e", "e2e")]
    assert null["samples_per_s"] == pytest.approx(rates[0] / rates[1])
    assert null["noise_percent"] == pytest.approx(100 * (max(rates) / min(rates) - 1))
    assert [each["candidate"] for each in raced["comparisons"]] == ["gram-1s", "gram-1e"]
    for each in raced["comparisons"]:
        assert each["cost"]["between"] is None
        assert "one process of each" in each["cost"]["reasons"]["between"]
        assert each["cost"]["within"][0]["rounds"] > 1
        assert each["conclusion"] == "undecided"
        assert "One seed decides nothing: run --seeds 0..5." in each["sentence"]


def test_parallel_trials_run_side_by_side(bench: Bench) -> None:
    command = bench.run(
        "--json", "--schedule", "parallel", "--device", "cpu,cpu", "--strategies", "e2e,gram-1s"
    )
    until(lambda: len(read_run(command.run).holders) == 2, "both to run")
    ended = command.wait()
    assert ended.code == 0, ended.err
    assert [trial["outcome"] for trial in strict_json(ended.out)["trials"]] == ["completed"] * 2


def test_watchers_pause_mark_skip_and_stop(bench: Bench) -> None:
    command = bench.run("--plain", "--strategies", "gram-1s,gram-1e,e2e", *ENDLESS)
    command.training("gram-1s.s0")
    run = command.run
    send(run, Ask("pause"))
    until(lambda: read_run(run).paused and read_run(run).trials["gram-1s.s0"].turns, "the pause")
    step = read_run(run).trials["gram-1s.s0"].progress.step
    send(run, Ask("mark", text="lunch"))
    until(lambda: read_run(run).marks, "the mark")
    time.sleep(0.5)
    assert read_run(run).trials["gram-1s.s0"].progress.step <= step + 1
    send(run, Ask("resume"))
    until(lambda: read_run(run).trials["gram-1s.s0"].progress.step > step + 5, "training to go on")
    send(run, Ask("skip", "e2e.s0"))
    send(run, Ask("skip"))
    command.training("gram-1e.s0")
    send(run, Ask("stop"))
    ended = command.wait()
    assert ended.code == 130
    assert "mark: lunch" in ended.err
    assert_nothing_is_left(run)
    report = report_of(run)
    assert [trial["outcome"] for trial in report["trials"]] == ["skipped", "stopped", "skipped"]
    assert not (run / "gram-1s.s0" / "checkpoints").exists()
    assert until(lambda: finished(run), "the end").trials["gram-1s.s0"].turns == 1
