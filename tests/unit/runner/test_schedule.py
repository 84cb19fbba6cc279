"""Who starts and who trains when, played through without a process."""

import itertools
import random

import pytest

from grambench.config.spec import Spec, Training
from grambench.runner.schedule import Parallel, Race, Schedule, Seat, Sequential, Start, Turn, make_schedule


class Hall:
    """Workers that do what they are told; a trial ends after so many training seconds."""

    def __init__(self, schedule: Schedule, trials: dict[str, float]) -> None:
        self.schedule, self.needs = schedule, trials
        self.pending, self.seats = list(trials), {}
        self.turns: list[Turn] = []
        self.together = 0

    def advance(self) -> None:
        """Start and grant as a supervisor does."""
        while start := self.schedule.start(self.pending, self.seats):
            self.pending.remove(start.trial)
            self.seats[start.trial] = Seat(start.trial, start.device)
        while turn := self.schedule.turn(self.seats):
            self.seats[turn.trial].has_turn = True
            self.turns.append(turn)
        self.together = max(self.together, len(self.seats))

    def give_back(self, trial: str, train_s: float) -> None:
        seat = self.seats[trial]
        seat.has_turn, seat.is_ready = False, True
        seat.train_s += train_s
        if seat.train_s >= self.needs[trial]:
            del self.seats[trial]

    def play(self, overshoot: float = 0.0) -> float:
        """Until all are done; the largest difference of two training clocks of racers."""
        rng, apart = random.Random(0), 0.0
        while self.pending or self.seats:
            self.advance()
            holders = [seat for seat in self.seats.values() if seat.has_turn]
            assert holders
            seat = holders[0]
            seconds = self.turns[-1].seconds
            trained = self.needs[seat.trial] if seconds is None else seconds + rng.random() * overshoot
            self.give_back(seat.trial, trained if seconds != 0 else 0.0)
            ready = [seat.train_s for seat in self.seats.values() if seat.is_ready]
            if len(ready) == len(self.seats) and ready:
                apart = max(apart, max(ready) - min(ready))
        return apart


def test_sequential_is_one_after_the_other() -> None:
    hall = Hall(Sequential(), {"a.s0": 1, "b.s0": 1, "a.s1": 1})
    hall.play()
    assert hall.turns == [Turn(name, None) for name in ("a.s0", "b.s0", "a.s1")]
    assert hall.together == 1


def test_a_paused_trial_gets_its_turn_again() -> None:
    hall = Hall(Sequential(), {"a.s0": 9})
    hall.advance()
    hall.give_back("a.s0", 1.0)
    hall.advance()
    assert hall.turns == [Turn("a.s0", None)] * 2


def test_parallel_uses_every_device_and_no_more() -> None:
    schedule = Parallel(("cuda:0", "cuda:1"))
    hall = Hall(schedule, dict.fromkeys(("a.s0", "b.s0", "c.s0"), 1.0))
    hall.advance()
    assert {name: seat.device for name, seat in hall.seats.items()} == {"a.s0": "cuda:0", "b.s0": "cuda:1"}
    hall.give_back("a.s0", 1.0)
    assert schedule.start(hall.pending, hall.seats) == Start("c.s0", "cuda:0")


def test_a_device_named_twice_takes_two() -> None:
    hall = Hall(Parallel(("cpu", "cpu")), dict.fromkeys(("a.s0", "b.s0", "c.s0"), 1.0))
    hall.advance()
    assert list(hall.seats) == ["a.s0", "b.s0"]


@pytest.mark.parametrize("overshoot", [0.0, 0.7])
def test_racers_never_differ_by_more_than_a_turn_and_its_last_step(overshoot: float) -> None:
    hall = Hall(Race(2.0), {"a.s0": 30, "b.s0": 11, "c.s0": 25})
    assert hall.play(overshoot) <= 2.0 + overshoot
    assert hall.together == 3
    assert [turn for turn in hall.turns if turn.seconds == 0] == [
        Turn(n, 0.0) for n in ("a.s0", "b.s0", "c.s0")
    ]
    assert hall.turns[3:5] == [Turn("a.s0", 2.0), Turn("b.s0", 2.0)]
    assert hall.turns[5].trial == "c.s0"
    assert 2.0 <= (hall.turns[5].seconds or 0) <= 2.0 + overshoot  # it makes up their overshoot


@pytest.mark.parametrize("overshoot", [0.0, 0.7, 9.0])
def test_nobody_races_twice_in_a_row(overshoot: float) -> None:
    hall = Hall(Race(2.0), {"a.s0": 300, "b.s0": 110, "c.s0": 250})
    assert hall.play(overshoot) <= 2.0 + overshoot
    names = [turn.trial for turn in hall.turns]
    assert len(names) > 50
    for i, (name, after) in enumerate(itertools.pairwise(names)):
        assert name != after or set(names[i:]) == {name}


def test_a_turn_makes_up_a_lag() -> None:
    seats = {name: Seat(name, is_ready=True, train_s=s) for name, s in {"a": 5.0, "b": 1.5, "c": 4.0}.items()}
    race = Race(2.0)
    assert race.turn(seats) == Turn("b", 2.5)
    assert race.turn(seats) == Turn("c", 2.0)  # b fell short, and waits nevertheless
    del seats["a"], seats["c"]
    assert race.turn(seats) == race.turn(seats) == Turn("b", 2.0)
    assert race.turn({}) is None


def test_racers_make_ready_one_by_one_before_anyone_trains() -> None:
    hall = Hall(Race(2.0), {"a.s0": 3, "b.s0": 3})
    hall.advance()
    assert (list(hall.seats), hall.turns) == (["a.s0"], [Turn("a.s0", 0.0)])
    hall.give_back("a.s0", 0.0)
    hall.advance()
    assert hall.turns[1:] == [Turn("b.s0", 0.0)]


def test_seeds_race_apart() -> None:
    hall = Hall(Race(2.0), {"a.s0": 3, "b.s0": 3, "a.s1": 3, "b.s1": 3})
    hall.play()
    assert hall.together == 2
    first_of_s1 = next(i for i, turn in enumerate(hall.turns) if turn.trial.endswith("s1"))
    assert all(turn.trial.endswith("s1") for turn in hall.turns[first_of_s1:])


def test_repeats_of_a_seed_race_apart() -> None:
    hall = Hall(Race(2.0), {"a.s0": 3, "b.s0": 3, "b.s0.r2": 3, "a.s0.r2": 3})
    hall.play()
    assert hall.together == 2
    first_again = next(i for i, turn in enumerate(hall.turns) if turn.trial.endswith("r2"))
    assert all(turn.trial.endswith("r2") for turn in hall.turns[first_again:])
    assert hall.turns[first_again] == Turn("b.s0.r2", 0.0)


def test_the_specification_names_the_schedule() -> None:
    training = Training(strategies=("e2e",))
    assert isinstance(make_schedule(Spec(training=training)), Sequential)
    race = make_schedule(Spec(training=training, schedule="race", turn_s=1.5))
    assert isinstance(race, Race)
    assert race.turn_s == 1.5
    parallel = make_schedule(Spec(training=training, schedule="parallel", device="cuda:0,cuda:1"))
    assert isinstance(parallel, Parallel)
    assert parallel.devices == ("cuda:0", "cuda:1")
    with pytest.raises(ValueError, match="schedule = sequential uses one device, not cuda:0,cuda:1"):
        Spec(training=training, device="cuda:0,cuda:1")
