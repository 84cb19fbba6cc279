"""One of the ranks that train a trial together, started by a torchrun agent.

`python -m grambench.worker rank RUN NAME DEVICES`, with torchrun's environment variables. `DEVICES` is one
device for all ranks, or one for each of a node, separated by commas.

The first rank of the agent that the supervisor has started leads: it reads the supervisor's messages on
standard input, a socket that the agent hands down, and writes the trial's log, scores and checkpoints.
Whatever depends on a clock, a signal or a disk is agreed on (`GroupTurn`).

A rank that dies takes the others with it: their next message fails, the agent sees them end, and starts all
again from the newest checkpoint. What would only fail again ends the trial: the rank notes the outcome in the
agent's store, and every rank ends with code 0, which the agent takes for success. The log has the outcome.
"""

import dataclasses
import json
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grambench.config.spec import Spec
from grambench.errors import ConfigError, ExitCode, GrambenchError, MachineError
from grambench.events import types as ev
from grambench.events.buffered_journal import BufferedJournal
from grambench.events.control import NoRoom, Restarted
from grambench.fs import own_folder, write_atomic
from grambench.worker.meeting import meet
from grambench.worker.turns import GroupTurn, Heartbeat, OwnTurn, PipeTurn

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

    from grambench.training.group import Group
    from grambench.worker.device import Device

LEADS = "GRAMBENCH_LEADS"
"""Environment variable: `1` for the ranks of the supervisor's own agent."""
AGAIN = 1
"""Exit code after which the agent starts all ranks again."""
_ENDED = "ended"
"""Key of the store: how the trial has ended for good."""
_MEET_S = 600.0
"""Longest time that ranks take to load the libraries and meet."""
_PATIENCE = 0.8
"""Of `hang_s`: longest time that a rank waits for the others; the supervisor then has not given up yet."""
_LOOK_S = 0.2
_SHARED_S = 60.0
"""Longest time until a file on one machine shows on another."""
_SAME = ("torch", "transformers", "tokenizers", "grambench")
"""Packages whose versions all ranks share."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """This process among the ranks, as torchrun says."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    nodes: int
    leads: bool
    launch: str
    """Names what the agents have started together; the same after a restart."""

    @classmethod
    def of_environment(cls) -> "Place":
        """From torchrun's variables."""

        def number(name: str) -> int:
            return int(os.environ[name])

        return cls(
            rank=number("RANK"),
            size=number("WORLD_SIZE"),
            local_rank=number("LOCAL_RANK"),
            local_size=number("LOCAL_WORLD_SIZE"),
            nodes=number("GROUP_WORLD_SIZE"),
            leads=os.environ.get(LEADS) == "1" and number("LOCAL_RANK") == 0,
            launch=os.environ["TORCHELASTIC_RUN_ID"],
        )


def main(arguments: list[str]) -> int:
    """Train as one rank to the end; the exit code is the agent's, the log has the trial's.

    Args:
        arguments: `RUN NAME DEVICES`.
    """
    from grambench.worker.main import quiet_libraries, say

    for number in (signal.SIGTERM, signal.SIGINT):  # until training there is nothing to keep
        signal.signal(number, signal.SIG_DFL)
    end_with_agent()
    run, name, devices = Path(arguments[0]), arguments[1], arguments[2].split(",")
    place, folder = Place.of_environment(), Path(arguments[0]) / arguments[1]
    quiet_libraries()
    log = folder / "events.jsonl" if place.leads else folder / "ranks" / f"{place.rank}.jsonl"
    try:
        own_folder(log.parent)
        with BufferedJournal(log) as journal:
            return _Rank(run, name, place, journal).work(devices)
    except OSError as error:
        say(f"The log {log} cannot be written: {error.strerror or error}.")
        return int(ExitCode.ENVIRONMENT)


def end_with_agent() -> None:
    """End this process as soon as its parent has: an orphan would hold a GPU for nobody."""
    agent = os.getppid()

    def watch() -> None:
        while os.getppid() == agent:
            time.sleep(_LOOK_S)
        os._exit(ExitCode.STOPPED)

    threading.Thread(target=watch, name="agent", daemon=True).start()


class _Rank:
    """The work of this process."""

    def __init__(self, run: Path, name: str, place: Place, journal: BufferedJournal) -> None:
        self.run, self.name, self.place, self.journal = run, name, place, journal
        self.emit = journal.append
        self.again = journal.lines > 0
        self.token = run / name / "ranks" / "token"
        self.heartbeat = Heartbeat(0 if place.leads else None)
        self.turn = PipeTurn(0, self.heartbeat) if place.leads else OwnTurn()

    def work(self, devices: list[str]) -> int:
        """Meet the others, train with them; the exit code for the agent."""
        store: Store | None = None
        try:
            store = _store()
            self._train(devices, store)
        except Exception as error:
            return self._failed(error, store)
        return int(ExitCode.OK)

    def _train(self, devices: list[str], store: "Store") -> None:
        from grambench.worker.main import finished, read_spec, settled_spec, started, watched_for_stops

        self.emit(ev.PhaseEntered("load"))
        stops = watched_for_stops(self.name, self.emit)
        from grambench.config.trial_name import TrialName
        from grambench.worker.device import resolve_device
        from grambench.worker.trial import Trial, run_trial

        trial, spec = TrialName.parse(self.name), read_spec(self.run)
        if trial is None:
            raise ConfigError(f"{self.name!r} is not a trial's name.", "Write `label.sSEED`.")
        engine = settled_spec(spec, self.run)
        own = engine.model_copy(update={"device": self._device_name(devices)})
        device = resolve_device(own, sharing=self.place.local_size, tf32=spec.filter.tf32)
        self.emit(started(self.name, device))
        group = self._meet(spec, device, store)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.turn.end("interrupted"))

        def no_room(reason: str) -> None:
            self.heartbeat.send(NoRoom(reason))

        turn, again = GroupTurn(group, self.turn), bool(group.told(self.again))
        work = Trial(spec, self.run, trial, device, self.emit, turn, again, engine, stops, no_room, group)
        outcome, reason = run_trial(work)
        finished(outcome, reason, self.run, self.name, self.emit, removes=group.leads)
        import torch.distributed as dist

        dist.destroy_process_group()

    def _device_name(self, devices: list[str]) -> str:
        """`cuda:1`: of all GPUs the second is this rank's, or that of the list."""
        if len(devices) > 1:
            return devices[self.place.local_rank]
        return (
            f"cuda:{self.place.local_rank}" if devices[0] in ("cuda", "auto") and _has_cuda() else devices[0]
        )

    def _meet(self, spec: Spec, device: "Device", store: "Store") -> "Group":
        """All ranks, connected, and logged by the leader."""
        import torch.distributed as dist

        from grambench.training.group import Group, PeerLostError

        place, has_gpu = self.place, device.torch.type == "cuda"
        where, pid = socket.gethostname(), os.getpid()
        here = ev.RankStarted(place.rank, place.local_rank, where, pid, str(device.torch), device.gpu_uuid)
        met = meet(
            store,
            place.rank,
            place.size,
            dataclasses.asdict(here),
            leads=self._of_the_leader() if place.leads else None,
            join=self._require_same,
            look=self._patience(store),
        )
        if met.number:
            self.heartbeat.send(Restarted(met.number))
        try:
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if has_gpu else "gloo",
                store=met.keys,
                rank=place.rank,
                world_size=place.size,
                timeout=timedelta(seconds=_PATIENCE * spec.hang_s),
            )
        except RuntimeError as error:
            raise PeerLostError(str(error)) from error
        backend = "nccl" if has_gpu else "gloo"
        self.emit(ev.GroupFormed(place.size, place.nodes, backend, met.number, met.leader))
        if place.leads:
            for facts in met.ranks:
                self.emit(ev.RankStarted.from_fields(facts))
        return Group(met.leader)

    def _patience(self, store: "Store") -> Callable[[], None]:
        """Raises PeerLostError once a rank has ended the trial, or is missing for too long."""
        from grambench.training.group import PeerLostError

        deadline_s = time.monotonic() + _MEET_S

        def look() -> None:
            if store.check([_ENDED]) or time.monotonic() > deadline_s:
                raise PeerLostError("not all ranks have come")

        return look

    def _of_the_leader(self) -> dict[str, str]:
        """The versions that the others compare with their own, as they do a file in the run's folder."""
        from grambench.worker.device import versions

        own_folder(self.token.parent)
        write_atomic(self.token, self.place.launch)
        return versions()

    def _require_same(self, leader: dict[str, str]) -> None:
        """Refuse other libraries, whose numbers would differ, and another folder."""
        from grambench.worker.device import versions

        where = socket.gethostname()
        for name, version in versions().items():
            if name in _SAME and version != leader[name]:
                raise MachineError(
                    f"{where} has {name} {version}, the leading machine {leader[name]}.",
                    "Install the same versions on all machines.",
                )
        deadline_s = time.monotonic() + _SHARED_S
        while not (self.token.is_file() and self.token.read_text() == self.place.launch):
            if time.monotonic() > deadline_s:
                raise MachineError(
                    f"{self.run} on {where} is not the folder of the leading machine.",
                    "Put --out in a folder that all machines share, under the same path.",
                )
            time.sleep(_LOOK_S)

    def _failed(self, error: Exception, store: "Store | None") -> int:
        """End the trial for good, or have all ranks start again where one of them has died."""
        from grambench.training.group import PeerLostError
        from grambench.worker.main import describe, say

        place = f"rank {self.place.rank} on {socket.gethostname()}"
        if isinstance(error, PeerLostError) or store is None:
            ended = _noted(store) if store is not None else None
            if ended is None:
                say(f"{place}: another rank is lost ({error}); all start again from the newest checkpoint.")
                return AGAIN
        elif isinstance(error, GrambenchError):
            ended = ev.TrialFinished("failed", str(error), int(error.exit_code))
        else:
            traceback.print_exc()
            outcome = describe(error)
            ended = dataclasses.replace(outcome, reason=f"{place}: {outcome.reason}")
        if store is not None:
            store.set(_ENDED, json.dumps(dataclasses.asdict(ended)))
        self.emit(ended)
        return int(ExitCode.OK)


def _store() -> "Store":
    """The agent's store."""
    import torch.distributed as dist

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(host, port, None, False, timedelta(seconds=_MEET_S))  # type: ignore[attr-defined]


def _noted(store: "Store") -> ev.TrialFinished | None:
    """How another rank has ended the trial for good, if one has."""
    try:
        if not store.check([_ENDED]):
            return None
        found: dict[str, Any] = json.loads(store.get(_ENDED))
    except RuntimeError:  # the agent is gone, and its store with it
        return None
    return ev.TrialFinished(**found)


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
