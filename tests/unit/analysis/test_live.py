"""The intervals that a dashboard asks for at every refresh: only what has changed is computed again."""

import random
from collections import Counter
from typing import Any

import pytest

from grambench.analysis import compared, live
from grambench.analysis.compared import cost_of
from grambench.analysis.live import LiveIntervals
from grambench.analysis.pairs import NO_TARGET, log_costs, null_log_ratios, pairs_of
from grambench.events.rounds import Round
from grambench.events.state import RunState, TrialState
from grambench.events.types import Progress

LABELS = ("e2e", "gram-1s", "gram-10s", "gram-1e", "gram-0.5e")
NOISE = random.Random(5)


def settle(trial: TrialState, seconds: float) -> None:
    trial.settled = trial.progress = Progress(1, 10, seconds, seconds / 2, 400, 9, 9, 9, 9, 1.0, 1e-4, 1e-4)


def add_round(trial: TrialState, number: int) -> None:
    before = trial.rounds[-1] if trial.rounds else Round(0, 0.0, 0, False)
    pace = (2 if trial.label == "e2e" else 1) * (1 + NOISE.gauss(0, 0.01))
    trial.rounds.append(Round(number, before.train_s + pace, before.samples + 40, False))
    settle(trial, trial.rounds[-1].train_s)


def run_of(labels: tuple[str, ...], seeds: int, rounds: int = 0) -> RunState:
    state = RunState()
    for seed in range(seeds):
        for label in labels:
            trial = state.trials[f"{label}.s{seed}"] = TrialState(f"{label}.s{seed}", label, seed)
            settle(trial, 20.0 + NOISE.gauss(0, 0.2))
            trial.outcome = None if rounds else "completed"
    for number in range(rounds):
        for trial in state.trials.values():
            add_round(trial, number)
    return state


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the expensive parts were computed."""
    counter: Counter[str] = Counter()

    def counted(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*args: Any) -> Any:
            counter[name] += 1
            return real(*args)

        monkeypatch.setattr(module, name, call)

    counted(live, "race_of")
    counted(compared, "seed_interval")
    return counter


def test_they_are_those_of_the_report() -> None:
    state = run_of(("e2e", "gram-1s", "gram-1e", "null-e2e"), 2, rounds=60)
    state.finished = True
    shown = LiveIntervals(state)
    costs, nulls = log_costs(state.trials.values()), null_log_ratios(state)
    for label in ("gram-1s", "gram-1e"):
        others = [values for name, values in costs.items() if name not in (label, "e2e")]
        cost = cost_of(pairs_of(state, label, NO_TARGET), others, nulls)
        assert shown.between(label) == cost.between
        assert cost.between is not None
        assert cost.between.method.startswith("pooled t")
        assert tuple(shown.within(state.trials[f"{label}.s{seed}"]) for seed in (0, 1)) == cost.within
    assert shown.within(state.trials["e2e.s0"]) is None
    assert shown.within(state.trials["null-e2e.s0"]) is None


def test_a_process_that_trains_has_no_part_in_the_interval_over_processes(computed: Counter[str]) -> None:
    state = run_of(LABELS, 8)
    running = state.trials["gram-1e.s7"]
    running.outcome = None
    before = LiveIntervals(state).between("gram-1e")
    assert before is not None
    assert before.units == 7
    for seconds in (30.0, 31.0, 32.0):
        settle(running, seconds)
        assert LiveIntervals(state).between("gram-1e") == before
    assert computed["seed_interval"] == 1
    running.outcome = "completed"
    after = LiveIntervals(state).between("gram-1e")
    assert after is not None
    assert after.units == 8


def test_a_long_race_is_gone_through_seldom_and_never_for_many_strategies_at_once(
    computed: Counter[str],
) -> None:
    state = run_of(LABELS, 1, rounds=2048)
    most, total = 0, 0
    for refresh in range(64):
        for trial in state.trials.values():
            add_round(trial, 2048 + refresh)
        computed.clear()
        shown = LiveIntervals(state)
        said = [shown.within(trial) for trial in state.trials.values()]
        if refresh:
            most, total = max(most, computed["race_of"]), total + computed["race_of"]
    assert most == 1
    assert total <= 4 * 64 / 16
    rounds = [each.rounds for each in said if each is not None]
    assert len(rounds) == 4
    assert min(rounds) > 2112 * 63 / 64 - 1


def test_a_short_race_counts_at_once_and_a_resumed_one_anew() -> None:
    state = run_of(("e2e", "gram-1s"), 1, rounds=40)
    own = state.trials["gram-1s.s0"]
    first = LiveIntervals(state).within(own)
    assert first is not None
    assert (first.rounds, first.blocks) == (40, 10)
    del own.rounds[36:]
    cut = LiveIntervals(state).within(own)
    assert cut is not None
    assert cut.blocks == 9
    add_round(own, 36)
    again = LiveIntervals(state).within(own)
    assert again is not None
    assert (again.rounds, again.blocks) == (37, 9)
