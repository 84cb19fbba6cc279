"""Events of a trial that several ranks train; the leader writes those of all ranks into the trial's log."""

from dataclasses import dataclass
from typing import ClassVar

from grambench.events.types.base import Event


@dataclass(frozen=True, slots=True)
class RanksLaunched(Event):
    """The supervisor has started a trial's torchrun agent; `grambench join` starts those of other nodes."""

    type: ClassVar[str] = "ranks_launched"
    trial: str
    nproc: int
    """Ranks on each node."""
    nnodes: int
    endpoint: str
    """HOST:PORT at which the agents of several nodes meet; empty: one node."""
    rendezvous: str
    """The name under which they meet."""
    restarts: int
    """Times that the ranks are started again after one has died."""


@dataclass(frozen=True, slots=True)
class GroupFormed(Event):
    """All ranks of a trial have met."""

    type: ClassVar[str] = "group_formed"
    size: int
    """W."""
    nodes: int
    backend: str
    """What carries messages between devices: `nccl` or `gloo`."""
    attempt: int
    """Restarts of this worker before."""
    leader: int = 0
    """The rank that writes the log."""


@dataclass(frozen=True, slots=True)
class RankStarted(Event):
    """One rank of the group."""

    type: ClassVar[str] = "rank_started"
    rank: int
    local_rank: int
    host: str
    pid: int
    device: str
    gpu_uuid: str | None = None


@dataclass(frozen=True, slots=True)
class RankSample(Event):
    """Counters of a rank since its process started; every few seconds."""

    type: ClassVar[str] = "rank_sample"
    rank: int
    train_s: float
    """Seconds of training on the rank's own clock since its process started."""
    wait_s: float | None
    """Of these, seconds in messages between ranks and waiting for them; None: not measured on CUDA."""
    received_bytes: int
    """Of messages between ranks."""
    items_encoded: int
    """By this rank."""
    peak_bytes: int | None = None
    """Peak memory that torch allocated on its GPU; None: a CPU."""
    part_occurrences: int | None = None
    """Item appearances in its parts of some batches (`Tally`); None: an older log."""
    part_items: int | None = None
    """Distinct items in each of these parts, summed."""
    batch_items: int | None = None
    """Distinct items in each of these batches, summed."""
