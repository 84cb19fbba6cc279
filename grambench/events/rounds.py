"""The rounds of a race as one trial sees them: what its closed windows cost, at the end of each of its turns.

Trials of a race do not always take as many turns: after a long one the others catch up. `number` is the
turn's in the whole run, and tells which rounds of two trials belong together (`analysis/rounds.py`).
"""

from dataclasses import dataclass
from typing import Protocol

ROUNDS_KEPT = 4096
"""Beyond so many rows two neighbours become one."""


@dataclass(slots=True)
class Round:
    """A turn in which the trial trained, or several in a row of a long race."""

    number: int
    """Of the last of its turns, counted over all trials and supervisors of the run."""
    train_s: float
    """Training seconds of all windows closed by then."""
    samples: int
    """Samples of the same windows."""
    disturbed: bool
    """Something disturbed the trial within it: a sample tells so, it was stopped, or the run was paused."""


class Counted(Protocol):
    """Counters of a trial at one moment."""

    @property
    def train_s(self) -> float:
        """Training seconds."""

    @property
    def samples(self) -> int:
        """Samples trained on."""
        ...


@dataclass(slots=True)
class RoundRows:
    """How the rows of a trial are filled."""

    turns_a_row: int = 1
    in_newest: int = 0
    """Turns in the newest row."""
    disturbed: bool = False
    """Something has disturbed the turn that is not over yet."""

    def add(self, rounds: list[Round], number: int, closed: Counted | None) -> None:
        """A turn is over.

        Args:
            rounds: the trial's; its newest row grows, or gets a successor.
            number: of the turn.
            closed: counters when the trial's last window closed; None: none has closed since the last turn.
        """
        before = rounds[-1] if rounds else Round(0, 0.0, 0, False)
        if closed is not None:
            self.cut(rounds, closed.train_s)
        now = closed or before
        row = Round(number, now.train_s, now.samples, self.disturbed)
        if rounds and self.in_newest < self.turns_a_row:
            row.disturbed |= rounds.pop().disturbed
        else:
            self.in_newest = 0
        rounds.append(row)
        self.in_newest, self.disturbed = self.in_newest + 1, False
        if len(rounds) >= ROUNDS_KEPT and self.in_newest == self.turns_a_row:
            self._halve(rounds)

    def cut(self, rounds: list[Round], train_s: float) -> None:
        """Drop what a trial that resumes after so many training seconds will repeat."""
        while rounds and rounds[-1].train_s > train_s:
            rounds.pop()
            self.in_newest = self.turns_a_row

    def _halve(self, rounds: list[Round]) -> None:
        for first, second in zip(rounds[::2], rounds[1::2], strict=True):
            second.disturbed |= first.disturbed
        del rounds[::2]
        self.turns_a_row *= 2
        self.in_newest = self.turns_a_row
