"""Rounds of a race: what the closed windows had cost at the end of each turn."""

from typing import Any

import pytest

from grambench.events import rounds as module
from grambench.events import types as ev
from grambench.events.codec import Record, Stamp
from grambench.events.fold import Fold
from grambench.events.state import TrialState

E2E, GRAM = "e2e.s0", "gram-3s.s0"
HOST = ev.HostSample(50.0, 1, 2, cpus=8, busy_cpus=1.0)
OWN = ev.ProcessSample(E2E, 7, 1, cpu_percent=100.0, waiting_percent=0.5)
Row = tuple[int, float, int, bool]


class Race:
    """A folded race in which events are told one after the other."""

    def __init__(self) -> None:
        self.fold, self.now, self.turn = Fold(), 0.0, 0
        self.tell("", ev.RunStarted("r", "demo", [E2E, GRAM], 1, schedule="race"))
        for name, window_steps in ((E2E, 1), (GRAM, 3)):
            plan = ev.TrialPlanned(name[:-3], 0, 9, 99, 8, window_steps, 1, 1)
            self.tell(name, plan, ev.PhaseEntered("train"))

    def tell(self, source: str, *events: ev.Event) -> None:
        for event in events:
            self.now += 0.01
            self.fold.apply(source, Record(Stamp(0, round(self.now * 1e9), "b", ""), event))

    def trained(self, name: str, train_s: float, *within: tuple[str, ev.Event], closes: bool = False) -> None:
        """A turn of one second that ends after `train_s` of training; 8 samples a second."""
        self.turn += 1
        self.tell("", ev.TurnGranted(name, self.turn, 1.0))
        for source, event in within:
            self.tell(source, event)
        step = round(train_s)
        self.tell(name, ev.Progress(1, step, train_s, 0.5, 8 * step, 8, 8, 8, 8, 1.0, 0.1, 0.1))
        if closes:
            self.tell(name, ev.WindowClosed(1, step, 3, 3, 9, 0.1, 0.1, 0.1))
        self.tell(name, ev.TurnEnded(self.turn, 1.0, 0.0))

    def trial(self, name: str) -> TrialState:
        return self.fold.state.trials[name]

    def rows(self, name: str) -> list[Row]:
        return [(r.number, r.train_s, r.samples, r.disturbed) for r in self.trial(name).rounds]


def test_a_round_holds_the_windows_closed_by_the_end_of_the_turn() -> None:
    race = Race()
    for second in (1.0, 2.0, 3.0):
        race.trained(E2E, second)
        race.trained(GRAM, second, closes=second == 2.0)
    assert race.rows(E2E) == [(1, 1.0, 8, False), (3, 2.0, 16, False), (5, 3.0, 24, False)]
    assert race.rows(GRAM) == [(2, 0.0, 0, False), (4, 2.0, 16, False), (6, 2.0, 16, False)]


def test_a_turn_without_training_is_no_round() -> None:
    race = Race()
    race.tell("", ev.TurnGranted(E2E, 1, 0.0))
    race.tell(E2E, ev.TurnEnded(1, 0.001, 0.0))  # warmed up: it has not trained a step yet
    race.trained(E2E, 1.0)
    race.tell("", ev.TurnGranted(E2E, 2))
    race.tell(E2E, ev.TurnEnded(2, 0.0, 0.0))
    assert race.rows(E2E) == [(1, 1.0, 8, False)]


DISTURBED: dict[str, list[tuple[str, ev.Event]]] = {
    "a busy CPU": [
        ("", ev.HostSample(50.0, 1, 2, cpus=8, busy_cpus=8.0)),
        ("", ev.ProcessSample(E2E, 7, 1, cpu_percent=100.0, waiting_percent=50.0)),
    ],
    "a stop": [(E2E, ev.ProcessStopped(2.0, 1.5))],
    "a pause": [("", ev.RunPaused()), ("", ev.RunResumed())],
}


@pytest.mark.parametrize("what", DISTURBED)
def test_what_disturbs_a_turn_disturbs_its_round_alone(what: str) -> None:
    race = Race()
    race.trained(E2E, 1.0, ("", HOST), ("", OWN))
    race.trained(E2E, 2.0, *DISTURBED[what])
    race.trained(E2E, 3.0, ("", HOST), ("", OWN))
    assert [row[3] for row in race.rows(E2E)] == [False, True, False]


def test_a_pause_is_a_disturbance_of_all_who_race_and_of_no_other() -> None:
    race = Race()
    race.tell(GRAM, ev.PhaseEntered("test"), ev.TrialFinished("completed"))
    race.trained(E2E, 1.0, ("", ev.RunPaused()))
    assert race.trial(E2E).rounds[-1].disturbed
    assert not race.trial(GRAM).round_rows.disturbed


def test_a_resumed_trial_drops_the_rounds_that_it_repeats() -> None:
    race = Race()
    for second in range(1, 7):
        race.trained(E2E, float(second), ("", ev.RunPaused()))
        race.trained(GRAM, float(second), closes=second % 3 == 0)
    race.tell("", ev.RunStarted("r", "demo", [E2E, GRAM], 2, schedule="race"))
    race.turn = 0  # the new supervisor counts from 1
    race.tell(E2E, ev.TrialResumed(4, 4.0, 4))
    race.tell(GRAM, ev.TrialResumed(5, 5.0, 1))
    assert [row[1] for row in race.rows(E2E)] == [1.0, 2.0, 3.0, 4.0]
    race.trained(E2E, 5.5)
    race.trained(GRAM, 5.5)  # no window has closed yet; the old worker's, at 6 s, does not count
    race.trained(GRAM, 6.5, closes=True)
    assert race.rows(E2E)[-1] == (13, 5.5, 48, False)
    assert [row[:3] for row in race.rows(GRAM)[-3:]] == [(10, 3.0, 24), (14, 3.0, 24), (15, 6.5, 48)]
    race.tell(E2E, ev.TrialResumed(0, 0.0, 0))
    assert race.rows(E2E) == []


def test_a_log_that_does_not_tell_the_resumption_yields_rising_rounds() -> None:
    race = Race()
    for second in (1.0, 2.0, 3.0, 1.5, 2.5):
        race.trained(E2E, second)
    assert [row[1] for row in race.rows(E2E)] == [1.0, 1.5, 2.5]


def test_a_long_race_merges_neighbours_so_that_two_trials_mean_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ROUNDS_KEPT", 8)
    race, most = Race(), 0
    for second in range(1, 23):
        stop: Any = [(E2E, ev.ProcessStopped(1.0))] if second == 3 else []
        race.trained(E2E, float(second), *stop)
        race.trained(GRAM, float(second), closes=True)
        most = max(most, len(race.rows(E2E)))
    assert most == 8
    assert [row[1] for row in race.rows(E2E)] == [4.0, 8.0, 12.0, 16.0, 20.0, 22.0]
    assert [row[1] for row in race.rows(GRAM)] == [row[1] for row in race.rows(E2E)]
    assert [row[3] for row in race.rows(E2E)] == [True, *[False] * 5]
