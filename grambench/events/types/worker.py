"""Events that the setup's worker and a trial's have in common: process, phase and end."""

from dataclasses import dataclass
from typing import ClassVar

from grambench.events.types.base import Event, Outcome, Phase


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """First line of a worker's log."""

    type: ClassVar[str] = "worker_started"
    trial: str
    pid: int
    device: str
    """`cpu`, `cuda:0` …"""
    device_name: str
    gpu_uuid: str | None
    versions: dict[str, str]
    """torch, transformers, numpy, python, cuda and driver versions as the worker sees them."""
    threads: int
    precision: str
    """`fp32`, `bf16` (autocast of the encoder) or `bf16-weights`."""
    attention: str | None = None
    """Kernels that the encoder's attention uses: `efficient`, `math` …; None: an older log."""
    tf32: bool | None = None
    """fp32 matrix products may use TF32; None: an older log."""
    allocator: dict[str, str] | None = None
    """Settings of torch's allocator on the device, empty on a CPU; None: an older log."""
    stops_seen: bool | None = None
    """Stops of the process are detected and excluded from its training seconds; None: an older log."""


@dataclass(frozen=True, slots=True)
class PhaseEntered(Event):
    """The worker has entered a phase."""

    type: ClassVar[str] = "phase_entered"
    phase: Phase


@dataclass(frozen=True, slots=True)
class TurnEnded(Event):
    """The worker gave its turn back (schedule `race`, or a pause)."""

    type: ClassVar[str] = "turn_ended"
    turn: int
    train_s: float
    """Training seconds of this turn."""
    switch_s: float
    """Seconds from the grant to the first counted step: waking up and warming up."""


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something a careful reader of the report should know."""

    type: ClassVar[str] = "warned"
    code: str
    """Stable short name, for example `sampled-evaluation`."""
    message: str


@dataclass(frozen=True, slots=True)
class ProcessStopped(Event):
    """The worker was stopped or frozen from outside, and continues."""

    type: ClassVar[str] = "process_stopped"
    seconds: float
    training_s: float = 0.0
    """Of these, those during training; its clock excludes them."""


@dataclass(frozen=True, slots=True)
class TrialFinished(Event):
    """Last line of a worker's log."""

    type: ClassVar[str] = "trial_finished"
    outcome: Outcome
    reason: str = ""
    exit_code: int = 0
