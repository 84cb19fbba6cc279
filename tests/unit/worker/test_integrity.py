"""What a run does about damaged files: it prepares again, refuses, or ends the trial."""

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha1, sha256
from pathlib import Path

import numpy as np
import pytest
from damage import flip, flip_later

from grambench.config.presets import load_preset
from grambench.config.spec import Spec
from grambench.config.trial_name import TrialName
from grambench.data.prepared import sources as prepared_sources
from grambench.data.prepared.check import check_prepared
from grambench.data.prepared.manifest import MANIFEST_FILE, read_manifest
from grambench.domains.prepared import open_prepared
from grambench.errors import DataError
from grambench.events import types as ev
from grambench.events.control import Grant, encode
from grambench.events.journal import Journal
from grambench.fs import file_state
from grambench.models.encoders.files import model_files
from grambench.runner.rundir import create_run
from grambench.worker import integrity
from grambench.worker.device import Device, resolve_device
from grambench.worker.examine import examine, prepare_checked
from grambench.worker.integrity import BackgroundCheck, FilesWatch
from grambench.worker.main import read_spec
from grambench.worker.prepare import data_folder, prepare_data
from grambench.worker.resume import folder_of
from grambench.worker.trial import Trial, run_trial
from grambench.worker.turns import PipeTurn

LABEL, OFFSETS, TOKENS = "train_candidate_labels.npy", "token_offsets.npy", "tokens.npy"
FIRST = 8 * 128
"""The first bit behind the header of an array."""


def small(*more: str) -> Spec:
    return load_preset(
        "demo",
        (
            "data.synthetic={news = 60, users = 40, train_impressions = 50, dev_impressions = 20}",
            "encoder.architecture={hidden_size = 16, layers = 1, heads = 2, intermediate_size = 32}",
            "filter={nrms = {heads = 2, query = 8}, history = 5}",
            "training={epochs = 3, batch_size = 16}",
            "cpu_threads=1",
            *more,
        ),
    )


def silent(_: ev.Event) -> None: ...


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def device() -> Device:
    return resolve_device(small())


@pytest.fixture
def folder() -> Path:
    return prepare_data(small(), silent)


def examined(
    folder: Path, device: Device, before: dict[str, ev.FilesChecked] | None = None
) -> tuple[list[ev.Event], list[ev.Event]]:
    """What was told meanwhile, and in the end."""
    told: list[ev.Event] = []

    def again() -> dict[str, Path]:
        return {"encoder": prepare_data(small(), told.append)}

    found = examine(small(), {"encoder": folder}, again, device, told.append, None, before or {})
    return told, found


def kinds(events: list[ev.Event]) -> list[str]:
    return [event.type for event in events]


@pytest.mark.parametrize(
    ("name", "bit"), [(LABEL, FIRST), (OFFSETS, FIRST + 64 * 20 + 40), (TOKENS, FIRST + 31)]
)
def test_damaged_arrays_are_prepared_again_and_leave_no_result(
    name: str, bit: int, folder: Path, device: Device
) -> None:
    honest = {path.name: path.read_bytes() for path in folder.glob("*.npy")}
    _, (_, wanted) = examined(folder, device)
    flip(folder / name, bit)
    told, found = examined(folder, device)
    assert {path.name: path.read_bytes() for path in folder.glob("*.npy")} == honest
    (warning,) = (event for event in told if isinstance(event, ev.Warned))
    assert (warning.code, str(folder / name) in warning.message) == ("damaged-data", True)
    assert kinds(found) == ["files_checked", "audit_finished"]
    assert isinstance(found[1], ev.AuditFinished)
    assert isinstance(wanted, ev.AuditFinished)
    assert dataclasses.replace(found[1], seconds=0) == dataclasses.replace(wanted, seconds=0)
    assert "audit_finished" not in kinds(told)


def test_whole_arrays_are_checked_once_and_told_before_the_audit(folder: Path, device: Device) -> None:
    told, found = examined(folder, device)
    assert not [event for event in told if isinstance(event, ev.Warned)]
    checked = found[0]
    assert isinstance(checked, ev.FilesChecked)
    assert checked.files == read_manifest(folder).files
    assert (checked.subject, checked.note, checked.bytes > 1000) == ("data.encoder", "", True)


def test_arrays_that_stay_damaged_are_refused(folder: Path, device: Device) -> None:
    flip(folder / LABEL, FIRST)

    def not_again() -> dict[str, Path]:  # as where a disk returns what it likes
        prepared = prepare_data(small(), silent)
        flip(prepared / LABEL, FIRST)
        return {"encoder": prepared}

    with pytest.raises(DataError, match=LABEL):
        examine(small(), {"encoder": folder}, not_again, device, silent, None, {})


def test_arrays_without_digests_are_used_with_a_warning_and_compared_when_resumed(
    folder: Path, device: Device
) -> None:
    manifest = read_manifest(folder).model_copy(update={"files": {}, "seal": ""})
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json())
    told, found = examined(folder, device)
    assert kinds(found) == ["files_checked", "warned", "audit_finished"]
    assert isinstance(found[1], ev.Warned)
    assert found[1].code == "unchecked-data"
    first = found[0]
    assert isinstance(first, ev.FilesChecked)
    assert "without digests" in first.note
    flip(folder / LABEL, FIRST)
    told, found = examined(folder, device, {first.subject: first})
    assert [event.code for event in told if isinstance(event, ev.Warned)] == ["damaged-data"]
    assert isinstance(found[0], ev.FilesChecked)
    assert (found[0].note, found[0].files[LABEL]) == ("", first.files[LABEL])
    assert check_prepared(folder).is_known


def test_data_prepare_heals_and_gives_digests(folder: Path) -> None:
    flip(folder / LABEL, FIRST)
    told: list[ev.Event] = []
    prepare_checked(small(), told.append)
    assert [event.code for event in told if isinstance(event, ev.Warned)] == ["damaged-data"]
    assert check_prepared(folder).damaged == {}
    manifest = read_manifest(folder).model_copy(update={"files": {}, "seal": ""})
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json())
    prepare_checked(small(), silent)
    assert check_prepared(folder).is_known


def test_generated_data_that_was_damaged_is_generated_again() -> None:
    source = data_folder(small()) / "train" / "behaviors.tsv"
    honest = source.read_bytes()
    told: list[ev.Event] = []
    assert (data_folder(small(), told.append), told) == (source.parents[1], [])
    flip_later(source, 8 * 50)
    data_folder(small(), told.append)
    assert source.read_bytes() == honest
    assert [event.code for event in told if isinstance(event, ev.Warned)] == ["damaged-generated-data"]


def test_arrays_are_never_made_of_damaged_generated_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the bit flipped without a write, so that the file's state is what it was."""
    folder = prepare_data(small(), silent)
    source = data_folder(small()) / "train" / "behaviors.tsv"
    state = file_state(source)
    flip(source, 8 * 50)
    honest = prepared_sources.file_state
    monkeypatch.setattr(
        prepared_sources, "file_state", lambda path: state if path == source else honest(path)
    )
    shutil.rmtree(folder)
    told: list[ev.Event] = []

    def emit(event: ev.Event) -> None:
        told.append(event)
        if isinstance(event, ev.Warned):  # generated again: other files
            monkeypatch.undo()
            monkeypatch.setenv("GRAMBENCH_CACHE", str(folder.parents[1]))

    assert prepare_data(small(), emit) == folder
    assert check_prepared(folder).damaged == {}
    assert [event.code for event in told if isinstance(event, ev.Warned)] == ["damaged-generated-data"]


# --- trials ------------------------------------------------------------------------------------


@pytest.fixture
def turn() -> Iterator[PipeTurn]:
    """A turn that lasts."""
    ours, theirs = os.pipe()
    os.write(theirs, encode(Grant(1, None)))
    yield PipeTurn(ours)
    os.close(theirs)


def set_up(folder: Path, device: Device, out: Path) -> Path:
    """A run whose setup is done."""
    run = create_run(small(), "demo", out, [])
    (run / "setup").mkdir()
    with Journal(run / "setup" / "events.jsonl") as journal:
        prepare_data(small(), journal.append)
        for event in examined(folder, device)[1]:
            journal.append(event)
    return run


def trained(
    run: Path, device: Device, turn: PipeTurn, spoil: Callable[[ev.Event], None], again: bool = False
) -> tuple[str, list[ev.Event]]:
    """How a trial of `e2e` ended, and what it told."""
    told: list[ev.Event] = []

    def emit(event: ev.Event) -> None:
        told.append(event)
        spoil(event)

    try:
        return run_trial(Trial(small(), run, TrialName("e2e", 0), device, emit, turn, again))[0], told
    except DataError as error:
        return error.message, told


def test_a_trial_reports_nothing_of_arrays_that_were_changed_under_it(
    folder: Path, device: Device, turn: PipeTurn, tmp_path: Path
) -> None:
    run = set_up(folder, device, tmp_path)
    outcome, wanted = trained(run, device, turn, silent)
    assert outcome == "completed"
    folder_of(run, "e2e.s0").remove()

    def spoil(event: ev.Event) -> None:
        if isinstance(event, ev.EpochFinished) and event.epoch == 2:
            flip_later(folder / LABEL, FIRST)

    outcome, told = trained(run, device, turn, spoil)
    assert str(folder / LABEL) in outcome
    evaluated = [event.epoch for event in told if isinstance(event, ev.Evaluated)]
    assert evaluated == [1]
    assert len([event for event in wanted if isinstance(event, ev.Evaluated)]) == 4
    assert trained(run, device, turn, silent)[1] == []  # a trial that has not begun yet does not begin


def test_a_trial_reads_again_only_what_was_written_to(
    folder: Path, device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checked, _) = examined(folder, device)[1]
    read: list[int] = []
    honest = integrity.sha256_descriptor
    monkeypatch.setattr(integrity, "sha256_descriptor", lambda file: (read.append(file), honest(file))[1])
    assert isinstance(checked, ev.FilesChecked)
    with FilesWatch(open_prepared(folder), checked, "run") as watch:
        watch.require()
        assert read == []
        flip_later(folder / TOKENS, FIRST)
        with pytest.raises(DataError, match=r"tokens\.npy differs\. .*--resume run"):
            watch.require()
        flip_later(folder / TOKENS, FIRST)
        watch.require()
        watch.require()
        assert len(read) == 2
        (folder / TOKENS).unlink()  # a cache that is cleared costs no trial
        watch.require()
    with FilesWatch(open_prepared(prepare_data(small(), silent)), None, "run") as watch:
        watch.require()
    assert len(read) == 3 + len(checked.files)


# --- pretrained files --------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache as huggingface_hub lays it out: names of large files are SHA-256, of others git's SHA-1."""
    import huggingface_hub.file_download as download

    monkeypatch.setattr(download, "HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    model = tmp_path / "hub" / "models--nobody--tiny"
    for part in ("blobs", "refs", "snapshots/c0ffee"):
        (model / part).mkdir(parents=True)
    (model / "refs" / "main").write_text("c0ffee")
    weights, config = np.arange(400, dtype=np.uint8).tobytes(), b'{"hidden_size": 16}'
    blobs = {
        "model.safetensors": (sha256(weights).hexdigest(), weights),
        "config.json": (sha1(b"blob %d\0" % len(config) + config).hexdigest(), config),
    }
    for name, (digest, content) in blobs.items():
        (model / "blobs" / digest).write_bytes(content)
        (model / "snapshots" / "c0ffee" / name).symlink_to(f"../../blobs/{digest}")
    return model / "snapshots" / "c0ffee"


def checked_model(
    model: str, folder: Path, before: dict[str, ev.FilesChecked] | None = None
) -> dict[str, ev.FilesChecked]:
    spec = small()
    encoder = spec.encoder.model_copy(update={"model": model, "architecture": None})
    check = BackgroundCheck(spec.model_copy(update={"encoder": encoder}), {"encoder": folder}, before or {})
    return {event.subject: event for event in check.finish()}


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_model_of_the_hub_is_compared_with_the_hubs_digests(name: str, hub: Path, folder: Path) -> None:
    found = checked_model("nobody/tiny", folder)["encoder.model"]
    assert (set(found.files), found.note) == ({"config.json", "model.safetensors"}, "")
    flip(hub / name, 25)
    with pytest.raises(DataError, match=rf"{name} \(encoder\.model\) is damaged"):
        checked_model("nobody/tiny", folder)


def test_weights_in_a_folder_must_be_those_that_the_run_began_with(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "1_Pooling").mkdir(parents=True)
    for name in (
        "config.json",
        "1_Pooling/config.json",
        "model.safetensors",
        "README.txt",
        "pytorch_model.bin",
    ):
        (model / name).write_bytes(name.encode() * 9)
    assert set(model_files(str(model), None)) == {"config.json", "1_Pooling/config.json", "model.safetensors"}
    before = checked_model(str(model), folder)
    assert checked_model(str(model), folder, before)["encoder.model"].files == before["encoder.model"].files
    integrity.require_inputs(small(), "encoder", before)
    flip_later(model / "model.safetensors", 3)
    with pytest.raises(
        DataError, match=r"model\.safetensors \(encoder\.model\) is not the file that the run"
    ):
        checked_model(str(model), folder, before)
    with pytest.raises(DataError, match=r"model\.safetensors"):
        integrity.require_inputs(small(), "encoder", before)


def test_a_worker_refuses_an_edited_specification(tmp_path: Path) -> None:
    run = create_run(small(), "demo", tmp_path, [])
    assert read_spec(run) == small()
    document = run / "run.json"
    document.write_text(document.read_text().replace('"batch_size": 16', '"batch_size": 17'))
    with pytest.raises(DataError, match=r"run\.json was changed since the run began"):
        read_spec(run)


def test_the_test_part_is_not_scored_where_it_must_not_select(
    folder: Path, device: Device, turn: PipeTurn, tmp_path: Path
) -> None:
    run, told = set_up(folder, device, tmp_path), list[ev.Event]()
    spec = small("evaluation.test=false", "training.epochs=1")
    assert run_trial(Trial(spec, run, TrialName("e2e", 0), device, told.append, turn))[0] == "completed"
    assert [event.part for event in told if isinstance(event, ev.Evaluated)] == ["validation"]
    assert (run / "e2e.s0" / "best").is_dir()
    assert not (run / "e2e.s0" / "test_scores.npz").exists()
