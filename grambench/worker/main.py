"""A worker process: `setup RUN` prepares and audits, `trial RUN NAME` trains one strategy and seed.

`prepare RUN` prepares only, and writes its events where `setup` would.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from grambench.config.changes import spec_digest
from grambench.config.kept import read_kept
from grambench.config.spec import Spec
from grambench.config.strategies import Vocabulary, row_of
from grambench.config.trial_name import TrialName
from grambench.errors import ConfigError, DataError, ExitCode, GrambenchError
from grambench.events import types as ev
from grambench.events.buffered_journal import BufferedJournal
from grambench.events.control import NoRoom
from grambench.events.journal import Follower
from grambench.events.state import SETUP
from grambench.fs import own_folder, read_regular
from grambench.worker.stops import Stop, StopDetector, stop_events
from grambench.worker.turns import Heartbeat, PipeTurn


def main(arguments: list[str]) -> int:
    """Run one role to its end; the log says how it ended, the exit code which kind of error it was.

    Args:
        arguments: `setup RUN [FD]`, `prepare RUN`, `trial RUN NAME [FD [DEVICE]]`,
            `rank RUN NAME DEVICES`, `audit RANK SIZE PORT` or `predict RUN NAME DIR`; FD is the descriptor
            for heartbeats to the runner.
    """
    role, run, *rest = arguments
    if role == "audit":
        from grambench.worker.audit_ranks import main as audit

        return audit([run, *rest])
    if role == "rank":
        from grambench.worker.ranks import main as rank

        return rank([run, *rest])
    if role == "predict":
        from grambench.worker.predict import main as predict

        return predict(Path(run), rest[0], Path(rest[1]))
    name = rest.pop(0) if role == "trial" else SETUP
    heartbeat = Heartbeat(int(rest[0]) if rest else None)
    folder = Path(run) / name
    quiet_libraries()
    try:
        own_folder(folder)
        opened = BufferedJournal(folder / "events.jsonl")
    except OSError as error:
        words = f"{folder / 'events.jsonl'} cannot be written: {error.strerror or error}"
        say(f"{words}. Free that path, or start a new run.")
        return int(ExitCode.ENVIRONMENT)
    place = rest[1] if len(rest) > 1 else None

    def work(journal: BufferedJournal) -> int:
        stops = watched_for_stops(name, journal.append)
        spec = read_spec(Path(run))
        if role == "setup":
            return _setup(spec, journal.append, folder)
        if role == "prepare":
            return _prepare(spec, journal.append)
        return _trial(spec, Path(run), name, journal, heartbeat, stops, place)

    code = int(ExitCode.ENVIRONMENT)
    try:
        with opened as journal:
            code = _logged(work, journal)
    except OSError as error:  # the disk is full for good; the trial resumes from its newest checkpoint
        say(f"The end of the log {folder / 'events.jsonl'} is lost: {error}.")
    return code


def _logged(work: Callable[[BufferedJournal], int], journal: BufferedJournal) -> int:
    """The exit code of the work; an error becomes the log's last line."""
    try:
        return work(journal)
    except GrambenchError as error:
        outcome = ev.TrialFinished("failed", str(error), int(error.exit_code))
    except Exception as error:
        with suppress(OSError):  # of a full disk
            traceback.print_exc()
        outcome = describe(error)
    journal.append(outcome)
    return outcome.exit_code


def say(sentence: str) -> None:
    """A line in `worker.log`."""
    with suppress(OSError):
        sys.stderr.write(f"{sentence}\n")


def watched_for_stops(name: str, emit: Callable[[ev.Event], None]) -> StopDetector:
    """A running detector that logs every stop."""

    def tell(stop: Stop, training_s: float) -> None:
        for event in stop_events(name, stop, training_s):
            emit(event)

    stops = StopDetector(tell)
    stops.start()
    return stops


def read_spec(run: Path) -> Spec:
    """The specification in `run.json`.

    Raises:
        DataError: it is missing, damaged, or not the one that the run began with.
    """
    try:
        found = json.loads(read_regular(run / "run.json"))
        spec = read_kept(found["spec"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{run / 'run.json'} cannot be read.", "Run the benchmark again.") from error
    if found.get("spec_sha256") != spec_digest(found["spec"]):
        raise DataError(
            f"The specification in {run / 'run.json'} was changed since the run began: its SHA-256 differs.",
            "Undo the change, or start a new run.",
        )
    return spec


def prepared_before(setup: Path) -> dict[str, ev.DataPrepared]:
    """What earlier setups of this run prepared, by vocabulary, from the setup's folder."""
    events = (record.event for record in Follower(setup / "events.jsonl").read())
    return {event.vocabulary: event for event in events if isinstance(event, ev.DataPrepared)}


def engine_of(setup: Path) -> ev.EngineChosen | None:
    """The choice of an earlier setup of this run, from the setup's folder; None: none yet."""
    events = [record.event for record in Follower(setup / "events.jsonl").read()]
    return next((event for event in reversed(events) if isinstance(event, ev.EngineChosen)), None)


def _lost_engine(folder: Path) -> ev.Warned | None:
    """A warning if the setup's log has lost the engine's choice, and a trial has begun with it."""
    log = Follower(folder / "events.jsonl")
    for _ in log.read():
        pass
    lost = log.check.damaged or log.check.missing
    if not lost or not any(
        path.stat().st_size
        for path in folder.parent.glob("*/events.jsonl")
        if TrialName.parse(path.parent.name)
    ):
        return None
    words = "the setup's log is damaged and the choice of the engine is lost: it is chosen again"
    return ev.Warned("engine-lost", f"{words}, so that resumed trials may differ in the last bits")


def _setup(spec: Spec, emit: Callable[[ev.Event], None], folder: Path) -> int:
    before, engine = prepared_before(folder), engine_of(folder)
    from grambench.worker.device import resolve_device

    threading.Thread(target=end_with_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    emit(ev.PhaseEntered("prepare"))
    sharing = spec.devices.count("cpu")
    device = resolve_device(spec.model_copy(update={"device": spec.devices[0]}), sharing)
    emit(started(SETUP, device))
    from grambench.domains.prepared import open_prepared
    from grambench.worker.examine import examine
    from grambench.worker.integrity import checks_of
    from grambench.worker.prepare import prepare_data
    from grambench.worker.warnings import data_warnings, spec_warnings

    checked_before = checks_of(folder)
    for warning in spec_warnings(spec):
        emit(warning)
    others = sorted({row_of(name).vocabulary for name in spec.training.strategies} - {"encoder"})
    vocabularies: list[Vocabulary] = [*others, "encoder"]

    def prepared() -> dict[Vocabulary, Path]:
        return {name: same_data(prepare_data(spec, emit, name), before.get(name)) for name in vocabularies}

    folders = prepared()
    if spec.data.predictions:
        from grambench.worker.predict import to_predict

        to_predict(spec)  # what cannot be read is refused before anything is trained
    for warning in data_warnings(open_prepared(folders["encoder"]).manifest):
        emit(warning)
    if engine is None and (lost := _lost_engine(folder)) is not None:
        emit(lost)
    for event in examine(spec, folders, prepared, device, emit, engine, checked_before):
        emit(event)
    emit(ev.PhaseEntered("done"))
    emit(ev.TrialFinished("completed"))
    return ExitCode.OK


def same_data(prepared: Path, before: ev.DataPrepared | None) -> Path:
    """The folder, if its data are still those that the run began with.

    Raises:
        DataError: the data has changed.
    """
    from grambench.domains.prepared import open_prepared

    now = open_prepared(prepared).manifest.fingerprint
    if before is not None and now != before.fingerprint:
        raise DataError(
            f"The data has changed since the run began: its fingerprint was {before.fingerprint[:12]} and is"
            f" {now[:12]}.",
            "Put the old files back, or start a new run.",
        )
    return prepared


def _prepare(spec: Spec, emit: Callable[[ev.Event], None]) -> int:
    threading.Thread(target=end_with_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    emit(ev.PhaseEntered("prepare"))
    from grambench.domains.prepared import open_prepared
    from grambench.worker.examine import prepare_checked
    from grambench.worker.warnings import data_warnings

    for warning in data_warnings(open_prepared(prepare_checked(spec, emit)).manifest):
        emit(warning)
    emit(ev.PhaseEntered("done"))
    emit(ev.TrialFinished("completed"))
    return ExitCode.OK


def end_with_parent(descriptor: int) -> None:
    """Exit when the control socket closes: arrays are written atomically, so none are torn."""
    with suppress(ConnectionResetError):  # the runner has died without reading all messages
        while os.read(descriptor, 4096):
            pass
    os._exit(ExitCode.STOPPED)


_CODES = {
    "completed": ExitCode.OK,
    "early-stopped": ExitCode.OK,
    "stopped": ExitCode.STOPPED,
    "interrupted": ExitCode.INTERRUPTED,
}


def _trial(
    spec: Spec,
    run: Path,
    name: str,
    journal: BufferedJournal,
    heartbeat: Heartbeat,
    stops: StopDetector,
    place: str | None,
) -> int:
    trial = TrialName.parse(name)
    if trial is None:
        raise ConfigError(f"{name!r} is not a trial's name.", "Write `label.sSEED`.")
    turn = PipeTurn(sys.stdin.fileno(), heartbeat)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: turn.end("interrupted"))
    again, emit = journal.lines > 0, journal.append
    emit(ev.PhaseEntered("load"))
    from grambench.worker.device import resolve_device
    from grambench.worker.trial import Trial, run_trial

    engine = settled_spec(spec, run)
    own = engine.model_copy(update={"device": place or spec.devices[0]})
    device = resolve_device(own, sharing=spec.devices.count("cpu"), tf32=spec.filter.tf32)
    emit(started(name, device))

    def no_room(reason: str) -> None:
        heartbeat.send(NoRoom(reason))

    outcome, reason = run_trial(Trial(spec, run, trial, device, emit, turn, again, engine, stops, no_room))
    return finished(outcome, reason, run, name, emit)


def settled_spec(spec: Spec, run: Path) -> Spec:
    """The specification with what the run's probe has chosen."""
    from grambench.worker.probe import settled

    chosen = engine_of(run / SETUP)
    return settled(spec, chosen) if chosen is not None else spec


def finished(
    outcome: ev.Outcome,
    reason: str,
    run: Path,
    name: str,
    emit: Callable[[ev.Event], None],
    *,
    removes: bool = True,
) -> int:
    """Log how a trial has ended, and remove the checkpoints of one that is done; its exit code."""
    from grambench.worker.resume import folder_of

    emit(ev.PhaseEntered("done"))
    code = _CODES.get(outcome, ExitCode.PARTIAL)
    emit(ev.TrialFinished(outcome, reason, int(code)))
    if removes and outcome in ("completed", "early-stopped", "skipped"):
        folder_of(run, name).remove()
    return code


def started(name: str, device: "Device") -> ev.WorkerStarted:  # type: ignore[name-defined] # noqa: F821
    """The event that says on which device a worker runs."""
    from grambench.worker.device import versions

    return ev.WorkerStarted(
        trial=name,
        pid=os.getpid(),
        device=str(device.torch),
        device_name=device.name,
        gpu_uuid=device.gpu_uuid,
        versions=versions(),
        threads=device.threads,
        precision=device.precision,
        attention=device.attention(),
        tf32=device.tf32,
        allocator=device.allocator(),
        stops_seen=True,
    )


def describe(error: Exception) -> ev.TrialFinished:
    """An unexpected error as the log's last line; its traceback is in worker.log."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        words = (
            "The device ran out of memory. Use --set training.micro_batch or training.encoder_chunk,"
            " or a smaller training.batch_size."
        )
        return ev.TrialFinished("failed", words, int(ExitCode.ENVIRONMENT))
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ev.TrialFinished("failed", f"{words} (traceback in worker.log)", int(ExitCode.BUG))


def quiet_libraries() -> None:
    """Keep libraries' progress bars and advice out of the log."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
