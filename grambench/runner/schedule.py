"""Which trial starts and which trains next: sequential, parallel or race. Pure policies, without a clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from grambench.config.spec import Spec
from grambench.config.trial_name import TrialName


@dataclass(slots=True)
class Seat:
    """A running worker as schedules see it."""

    trial: str
    device: str | None = None
    """None: the specification's."""
    has_turn: bool = False
    is_ready: bool = False
    """It has loaded and warmed up, and is waiting for its first turn (race only)."""
    train_s: float = 0.0
    """Training seconds so far."""


@dataclass(frozen=True, slots=True)
class Start:
    """A trial to start."""

    trial: str
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn to grant."""

    trial: str
    seconds: float | None
    """None: until the trial is done; 0: warm up."""


class Schedule(Protocol):
    """Decides who starts and who trains; consulted whenever something has changed."""

    def start(self, pending: Sequence[str], seats: Mapping[str, Seat]) -> Start | None:
        """The next trial to start now, if any."""

    def turn(self, seats: Mapping[str, Seat]) -> Turn | None:
        """The next turn to grant now, if any."""


class Sequential:
    """One trial after the other, each with an unlimited turn."""

    def start(self, pending: Sequence[str], seats: Mapping[str, Seat]) -> Start | None:
        """The first pending trial, once none is running."""
        return Start(pending[0]) if pending and not seats else None

    def turn(self, seats: Mapping[str, Seat]) -> Turn | None:
        """The running trial."""
        return _endless(seats)


class Parallel:
    """A trial on each device."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices = tuple(devices)

    def start(self, pending: Sequence[str], seats: Mapping[str, Seat]) -> Start | None:
        """The first pending trial, on a free device; a device listed twice takes two."""
        free = list(self.devices)
        for seat in seats.values():
            if seat.device in free:
                free.remove(seat.device)
        return Start(pending[0], free[0]) if pending and free else None

    def turn(self, seats: Mapping[str, Seat]) -> Turn | None:
        """The running trial."""
        return _endless(seats)


class Race:
    """Trials of a seed and repeat on one device, in turns: the one with the least training seconds is next.

    No trial trains twice in a row while others race. A turn also makes up the lag on the one before it, so
    the clocks never differ by more than one turn and its last step, however uneven the steps are.
    """

    def __init__(self, turn_s: float) -> None:
        self.turn_s = turn_s
        self._before = ""

    def start(self, pending: Sequence[str], seats: Mapping[str, Seat]) -> Start | None:
        """The next trial of the block, once those before it are ready."""
        if not pending or any(not seat.is_ready for seat in seats.values()):
            return None
        racing = {_block(trial) for trial in seats}
        return Start(pending[0]) if not racing or _block(pending[0]) in racing else None

    def turn(self, seats: Mapping[str, Seat]) -> Turn | None:
        """A worker that is not ready warms up; once all are, the one furthest behind trains."""
        if any(seat.has_turn for seat in seats.values()):
            return None
        for seat in seats.values():
            if not seat.is_ready:
                return Turn(seat.trial, 0.0)
        others = [seat for seat in seats.values() if seat.trial != self._before] or list(seats.values())
        if not others:
            return None
        last = min(others, key=lambda seat: seat.train_s)
        clocks = [seat.train_s for seat in seats.values() if seat is not last]
        self._before = last.trial
        return Turn(last.trial, max(self.turn_s, min(clocks, default=0.0) - last.train_s))


def make_schedule(spec: Spec) -> Schedule:
    """The schedule of a specification."""
    if spec.schedule == "race":
        return Race(spec.turn_s)
    return Parallel(spec.places) if spec.schedule == "parallel" else Sequential()


def _endless(seats: Mapping[str, Seat]) -> Turn | None:
    for seat in seats.values():
        if not seat.has_turn:
            return Turn(seat.trial, None)
    return None


def _block(trial: str) -> tuple[int, int] | None:
    name = TrialName.parse(trial)
    return name.block if name else None
