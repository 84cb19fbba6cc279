"""Checks that the files a run reads are those that were written, and the same in all its trials.

The setup reads each of them completely, in a thread, while the probe and the audit run, and reports results
once the thread is done. A trial reads a file again only if its state shows that it was written to since.
Checks by an earlier run are never relied on.
"""

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from typing import Self

from grambench.config.spec import Spec
from grambench.config.strategies import Vocabulary
from grambench.data.prepared.check import UNKNOWN, FileRead, PreparedCheck, check_prepared, read_files
from grambench.data.word_vectors import vector_files
from grambench.domains.prepared import Prepared
from grambench.errors import DataError
from grambench.events import types as ev
from grambench.events.journal import Follower
from grambench.fs import FileState, file_state, sha256_descriptor
from grambench.models.encoders.files import model_files

DATA = "data."
"""Prefix of the subject of prepared data; its vocabulary follows."""
_ENCODER, _LANGUAGE_MODEL, _VECTORS = "encoder.model", "language_model.model", "words.vectors"
_OF_VOCABULARY: dict[Vocabulary, str] = {
    "encoder": _ENCODER,
    "language-model": _LANGUAGE_MODEL,
    "words": _VECTORS,
}
_SHA1_DIGITS, _SHA256_DIGITS = 40, 64


def checks_of(setup: Path) -> dict[str, ev.FilesChecked]:
    """Subject -> its newest check, from the setup's folder."""
    events = (record.event for record in Follower(setup / "events.jsonl").read())
    return {event.subject: event for event in events if isinstance(event, ev.FilesChecked)}


class BackgroundCheck:
    """Reads the files of a run in a thread."""

    def __init__(
        self, spec: Spec, folders: Mapping[Vocabulary, Path], before: Mapping[str, ev.FilesChecked]
    ) -> None:
        """
        Args:
            spec: the run's specification.
            folders: vocabulary -> its prepared folder.
            before: the checks of an earlier setup of the run, by subject.
        """
        self._spec, self._folders, self._before = spec, folders, before
        self._prepared: dict[Vocabulary, tuple[PreparedCheck, float]] = {}
        self._others: dict[str, tuple[Path, dict[str, FileRead], float]] = {}
        self._thread = threading.Thread(target=self._read, name="integrity", daemon=True)
        self._thread.start()

    def damaged(self) -> list[PreparedCheck]:
        """The prepared folders that differ from what was written; waits for the thread."""
        self._thread.join()
        return [check for check, _ in self._prepared.values() if check.damaged]

    def finish(self) -> list[ev.FilesChecked]:
        """An event for each subject; waits for the thread.

        Raises:
            DataError: a file is damaged, cannot be read, or is not the one that the run began with.
        """
        for check in self.damaged():
            raise check.error()
        self._read_others()  # a model fetched in the meantime
        events = [
            _event(f"{DATA}{name}", check.folder, check.files, seconds, "" if check.is_known else UNKNOWN)
            for name, (check, seconds) in self._prepared.items()
        ]
        for subject, (folder, read, seconds) in self._others.items():
            known = _compared_with_hub(subject, folder, read)
            note = "" if known else "there is no digest to compare these files with"
            events.append(_event(subject, folder, read, seconds, note))
        for event in events:
            _require_same(event, self._before.get(event.subject))
        return events

    def _read(self) -> None:
        for vocabulary, folder in self._folders.items():
            began = time.monotonic()
            before = self._before.get(f"{DATA}{vocabulary}")
            check = check_prepared(folder, before.files if before else None)
            self._prepared[vocabulary] = check, time.monotonic() - began
        self._read_others()

    def _read_others(self) -> None:
        for subject, paths in self._paths().items():
            folder = _folder_of(paths)
            before, read, seconds = self._others.get(subject, (folder, {}, 0.0))
            if before != folder:  # another revision was fetched
                read = {}
            began = time.monotonic()
            digests, _ = read_files({name: path for name, path in paths.items() if name not in read})
            if digests:  # the library that needs an unreadable file reports it
                self._others[subject] = folder, {**read, **digests}, seconds + time.monotonic() - began

    def _paths(self) -> dict[str, dict[str, Path]]:
        """Subject -> the files that exist now."""
        files = {_OF_VOCABULARY[name]: inputs(self._spec, name) for name in self._folders}
        return {subject: paths for subject, paths in files.items() if paths}


def _folder_of(paths: Mapping[str, Path]) -> Path:
    """The folder that the names belong to."""
    name, path = next(iter(paths.items()))
    return path.parents[len(Path(name).parts) - 1]


def inputs(spec: Spec, vocabulary: Vocabulary) -> dict[str, Path]:
    """The pretrained files that strategies with these tokens read, by name; only those that exist."""
    match vocabulary:
        case "words":
            return vector_files(Path(spec.words.vectors).expanduser() if spec.words.vectors else None)
        case "language-model":
            model, revision = spec.language_model.model, spec.language_model.revision
        case _:
            model, revision = spec.encoder.model, spec.encoder.revision
    return model_files(model, revision) if model is not None else {}


class FilesWatch:
    """The files of a trial: none may be written to after the setup has checked it.

    It holds them open, since mapped arrays stay mapped to the old file when a path is replaced.
    """

    def __init__(self, data: Prepared, checked: ev.FilesChecked | None, run: str) -> None:
        """
        Args:
            data: the arrays that are mapped.
            checked: the setup's check of their folder; None: all are read.
            run: the run's name, for messages.

        Raises:
            DataError: a file is missing or damaged.
        """
        if checked is not None and checked.folder != str(data.folder):
            checked = None
        self._fix = f"Prepare it again and go back to the newest checkpoint: `grambench run --resume {run}`."
        self._folder = data.folder
        self._digests = data.manifest.files or (dict(checked.files) if checked else {})
        self._states = _states(checked) if checked else {}
        self._descriptors: dict[str, int] = {}
        try:
            for name in self._digests:
                self._descriptors[name] = os.open(self._folder / name, os.O_RDONLY)
        except OSError as error:
            self.close()
            raise self._unreadable(name, error) from error

    def require(self) -> None:
        """Read the files that were written to since the last read.

        Raises:
            DataError: one differs from what the setup checked.
        """
        for name, descriptor in self._descriptors.items():
            try:
                state = file_state(descriptor)
                if state == self._states.get(name):
                    continue
                digest = sha256_descriptor(descriptor)
            except OSError as error:
                raise self._unreadable(name, error) from error
            if digest != self._digests[name]:
                raise DataError(
                    f"The prepared data was changed during the run: the SHA-256 of"
                    f" {self._folder / name} differs.",
                    self._fix,
                )
            self._states[name] = state

    def _unreadable(self, name: str, error: OSError) -> DataError:
        return DataError(f"{self._folder / name} cannot be read: {error.strerror or error}.", self._fix)

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require_inputs(spec: Spec, vocabulary: Vocabulary, checks: Mapping[str, ev.FilesChecked]) -> None:
    """Check that the pretrained files a trial has loaded are those of the setup.

    Raises:
        DataError: one has changed.
    """
    checked = checks.get(_OF_VOCABULARY[vocabulary])
    if checked is None:
        return
    states, changed = _states(checked), {}
    for name in checked.files:
        path = Path(checked.folder) / name
        with suppress(OSError):
            if file_state(path) != states.get(name):
                changed[name] = path
    read, _ = read_files(changed)
    now = ev.FilesChecked(checked.subject, checked.folder, {n: file.sha256 for n, file in read.items()})
    _require_same(now, checked)


def _states(checked: ev.FilesChecked) -> dict[str, FileState]:
    return {name: (size, mtime, ctime, inode) for name, (size, mtime, ctime, inode) in checked.states.items()}


def _event(
    subject: str, folder: Path, files: Mapping[str, FileRead], seconds: float, note: str
) -> ev.FilesChecked:
    return ev.FilesChecked(
        subject=subject,
        folder=str(folder),
        files={name: file.sha256 for name, file in files.items()},
        states={name: list(file.state) for name, file in files.items()},
        bytes=sum(file.state[0] for file in files.values()),
        seconds=seconds,
        note=note,
    )


def _require_same(now: ev.FilesChecked, before: ev.FilesChecked | None) -> None:
    """Files in both checks must be equal; a later version may read more files."""
    known = before.files if before is not None else {}
    changed = sorted(name for name, digest in now.files.items() if known.get(name, digest) != digest)
    if changed:
        raise DataError(
            f"{Path(now.folder) / changed[0]} ({now.subject}) is not the file that the run began with: its"
            " SHA-256 differs.",
            "Put the old file back, or start a new run.",
        )


def _compared_with_hub(subject: str, folder: Path, files: Mapping[str, FileRead]) -> bool:
    """Whether the hub's cache names these files by their digests.

    Raises:
        DataError: a file has another digest.
    """
    blobs = {name: (folder / name).resolve() for name in files}
    if not all(blob.parent.name == "blobs" for blob in blobs.values()):
        return False
    for name, blob in blobs.items():
        if not _is_named_by_digest(blob, files[name].sha256):
            raise DataError(
                f"{folder / name} ({subject}) is damaged: its digest is not the hub's.",
                "Delete the file that it links to, and let the next run fetch it again.",
            )
    return True


def _is_named_by_digest(blob: Path, sha256: str) -> bool:
    """Large files are named by their SHA-256, others by git's SHA-1 (mirrors: by that of the content)."""
    if len(blob.name) == _SHA256_DIGITS:
        return blob.name == sha256
    if len(blob.name) != _SHA1_DIGITS:
        return True
    content = blob.read_bytes()
    plain, gits = sha1(content), sha1(b"blob %d\0" % len(content) + content)
    return blob.name in (plain.hexdigest(), gits.hexdigest())
