"""The setup's checks: probe and audit, while a thread reads every file that the run uses."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from grambench.config.spec import Spec
from grambench.config.strategies import Vocabulary
from grambench.data.prepared.check import PreparedCheck, check_prepared, remove_folder
from grambench.domains.prepared import open_prepared
from grambench.errors import DataError
from grambench.events import types as ev
from grambench.training.audit import audit, audited_ranks
from grambench.worker.audit_ranks import AuditedRanks
from grambench.worker.device import Device
from grambench.worker.integrity import DATA, BackgroundCheck
from grambench.worker.prepare import prepare_data
from grambench.worker.probe import choose, settled

Emit = Callable[[ev.Event], None]
Folders = Mapping[Vocabulary, Path]


def examine(
    spec: Spec,
    folders: Folders,
    prepare_again: Callable[[], Folders],
    device: Device,
    emit: Emit,
    engine: ev.EngineChosen | None,
    before: Mapping[str, ev.FilesChecked],
) -> list[ev.Event]:
    """Probe, audit and check; the events to emit once all of them are done.

    Damaged arrays are prepared again, and probe and audit repeated: their results on damaged arrays are
    dropped.

    Args:
        spec: the run's specification.
        folders: vocabulary -> its prepared folder.
        prepare_again: prepares the folders that were removed.
        device: where the run trains.
        emit: takes the events in the meantime.
        engine: the choice of an earlier setup of the run.
        before: the checks of an earlier setup of the run, by subject.

    Raises:
        DataError: a file is damaged and cannot be rebuilt, or is not the one that the run began with.
        GrambenchError: data or model cannot be used.
    """
    check = BackgroundCheck(spec, folders, before)
    audited: ev.AuditFinished | None = None
    try:
        audited = _audited(spec, folders["encoder"], device, emit, engine)
    except Exception:  # damaged arrays can do anything
        if not check.damaged():
            raise
    if damaged := check.damaged():
        for found in damaged:
            _remove(found, emit)
        folders = prepare_again()
        check = BackgroundCheck(spec, folders, before)
        if audited is None and device.torch.type != "cpu" and not check.damaged():
            raise DataError(
                f"{damaged[0].sentence()} It was prepared again, but the device has failed on it before.",
                "Start the run again, or resume it.",
            )
        audited = _audited(spec, folders["encoder"], device, emit, engine)
    assert audited is not None
    checked = check.finish()
    return [*checked, *_unchecked(checked), audited]


def prepare_checked(spec: Spec, emit: Emit) -> Path:
    """The prepared folder, built or found and checked; a damaged one, or one without digests, is rebuilt.

    Raises:
        GrambenchError: data or tokenizer cannot be used.
    """
    folder = prepare_data(spec, emit)
    found = check_prepared(folder)
    if found.damaged or not found.is_known:
        _remove(found, emit)
        found = check_prepared(prepare_data(spec, emit))
        if found.damaged:
            raise found.error()
    return found.folder


def _remove(found: PreparedCheck, emit: Emit) -> None:
    """Remove a prepared folder, so that it is prepared again."""
    if found.damaged:
        emit(ev.Warned("damaged-data", f"{found.sentence()} It is prepared again from its sources."))
    remove_folder(found.folder)


def _audited(
    spec: Spec, folder: Path, device: Device, emit: Emit, engine: ev.EngineChosen | None
) -> ev.AuditFinished:
    data = open_prepared(folder)
    emit(ev.PhaseEntered("probe"))
    chosen = choose(spec, data, device, emit, engine)
    emit(ev.PhaseEntered("audit"))
    spec = settled(spec, chosen)
    if (size := audited_ranks(spec)) == 1:
        return audit(spec, data, device.torch, emit)
    with AuditedRanks(spec, folder, size) as ranks:
        return audit(spec, data, device.torch, emit, ranks.differences)


def _unchecked(checked: list[ev.FilesChecked]) -> Iterator[ev.Warned]:
    for event in checked:
        if event.subject.startswith(DATA) and event.note:
            yield ev.Warned(
                "unchecked-data",
                f"the prepared data {event.folder} could not be checked for damage: {event.note}; delete it,"
                " and the next run prepares it again",
            )
