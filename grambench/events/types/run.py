"""Events of the supervisor: the run, its workers, turns, and what watchers asked for."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from grambench.events.types.base import Event


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The supervisor started or resumed the run."""

    type: ClassVar[str] = "run_started"
    run: str
    preset: str
    trials: list[str]
    """Trials in running order, each `<label>.s<seed>`, of a repeat `<label>.s<seed>.r<repeat>`."""
    pid: int
    model_label: str = ""
    """The encoder in words, for example `nreimers/TinyBERT_L-6_H-768_v2`."""
    data_label: str = ""
    schedule: str = "sequential"
    spec: dict[str, Any] = field(default_factory=dict)
    """The specification, as in `run.json`."""
    strategies: dict[str, str] = field(default_factory=dict)
    """Label -> strategy, of trials with a label of their own; any other label is the strategy's name."""
    tuned: dict[str, int] = field(default_factory=dict)
    """Label -> trials that chose its settings; empty: `grambench tune` did not choose them."""


@dataclass(frozen=True, slots=True)
class Preloading(Event):
    """The preload process, from which workers are forked, loads the libraries."""

    type: ClassVar[str] = "preloading"
    pid: int
    seconds: float | None = None
    """How long it took; None: it has only begun."""


@dataclass(frozen=True, slots=True)
class WorkerSpawned(Event):
    """A worker process began; `trial` is `setup` for preparation and audit."""

    type: ClassVar[str] = "worker_spawned"
    trial: str
    pid: int


@dataclass(frozen=True, slots=True)
class TurnGranted(Event):
    """A worker may train; `seconds` None: until it is done."""

    type: ClassVar[str] = "turn_granted"
    trial: str
    turn: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RunPaused(Event):
    """A watcher paused the run: no worker has a turn until it is resumed."""

    type: ClassVar[str] = "run_paused"


@dataclass(frozen=True, slots=True)
class RunResumed(Event):
    """The pause is over."""

    type: ClassVar[str] = "run_resumed"


@dataclass(frozen=True, slots=True)
class Marked(Event):
    """A watcher's note."""

    type: ClassVar[str] = "marked"
    text: str


@dataclass(frozen=True, slots=True)
class WorkerExited(Event):
    """A worker process ended; a negative code is the signal that ended it."""

    type: ClassVar[str] = "worker_exited"
    trial: str
    code: int
    log_tail: str = ""
    """Last lines of its worker.log when the code is not 0."""
    stopped: bool = False
    """True when the runner killed it because the run was to end."""
    why: str = ""
    """Why the runner killed it, or what else is known about its end."""


@dataclass(frozen=True, slots=True)
class TrialDropped(Event):
    """A trial that had not begun is left out: a watcher skipped it, or the run is decided."""

    type: ClassVar[str] = "trial_dropped"
    trial: str
    decided_after: int | None = None
    """Seeds that decided the run; None: a watcher skipped it."""


@dataclass(frozen=True, slots=True)
class DecisionLooked(Event):
    """The supervisor compared the test scores of the finished seeds (`training.until_decided`)."""

    type: ClassVar[str] = "decision_looked"
    seeds: int
    """Finished seeds, a count."""
    most: int
    """Seeds after which the run ends in any case, a count."""
    rows: list[dict[str, Any]]
    """Of each label that is compared: `label`, `seeds` (count) in which both sides have a score, mean
    `difference` of the score by `evaluation.select_by` from the reference's, its interval's ends `low` and
    `high` (None: too few seeds), and `verdict`."""
    decided: bool
    """No further seed begins."""


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The supervisor is done; the last line of a complete log."""

    type: ClassVar[str] = "run_finished"
    exit_code: int
    seconds: float
