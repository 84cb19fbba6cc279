"""From the specification to mapped arrays: synthetic data, a folder, or an earlier download."""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from grambench.config.paths import cache_dir, prepared_dir
from grambench.config.spec import Spec
from grambench.config.strategies import Vocabulary
from grambench.config.table import Table
from grambench.data.cautions import check_validation
from grambench.data.prepared.manifest import Manifest
from grambench.data.prepared.sources import digests
from grambench.data.prepared.tokens import ItemTokenizer, TokenizerFactory
from grambench.data.tokenizer import tokenizer_for, words_tokenizer
from grambench.domains.locate import locate
from grambench.domains.prepared import PrepareRequest, open_prepared, prepare
from grambench.domains.registry import source_of
from grambench.errors import ConfigError, MachineError
from grambench.events import types as ev
from grambench.fs import NO_ROOM, locked, write_atomic
from grambench.worker.warnings import text_warnings

REPORT_S = 0.2
SMALL_VOCABULARY = 0.8
"""Smallest normal share of a model's embeddings; models pad their tables by less."""


def prepare_data(spec: Spec, emit: Callable[[ev.Event], None], vocabulary: Vocabulary = "encoder") -> Path:
    """Prepare the data, or find it prepared, with items as tokens of a vocabulary; the cache folder.

    Raises:
        DataError: no data, or unusable data, such as a validation part that cannot be scored.
        MachineError: the tokenizer cannot be loaded, or the disk of the cache is full.
        ConfigError: it is missing, does not fit its model, or knows no word of the texts.
    """
    try:
        return _prepared(spec, emit, vocabulary)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise MachineError(
            f"The cache folder {cache_dir()} cannot be written: {error.strerror}.",
            "Free some space, or choose another cache folder with GRAMBENCH_CACHE.",
        ) from error


def _prepared(spec: Spec, emit: Callable[[ev.Event], None], vocabulary: Vocabulary) -> Path:
    began = time.monotonic_ns()
    throttle = _Throttle(emit)
    folder = data_folder(spec, emit)
    tokenizer, key = _tokenizer(spec, vocabulary)
    request = PrepareRequest(
        data=spec.data,
        folder=folder,
        tokenizer=tokenizer,
        tokenizer_key=key,
        renew=lambda: data_folder(spec, emit),
    )
    prepared = prepare(request, prepared_dir(), throttle)
    manifest = open_prepared(prepared).manifest
    _require_known_words(manifest, vocabulary)
    for warning in (*_size_warnings(tokenizer), *text_warnings(manifest, vocabulary)):
        emit(warning)
    check_validation(manifest.parts)
    counts: dict[str, object] = {
        "items": manifest.items.model_dump(),
        **{name: part.counts.model_dump() for name, part in manifest.parts.items()},
    }
    if manifest.repeats is not None:
        counts["repeats"] = manifest.repeats.model_dump()
    seconds = (time.monotonic_ns() - began) / 1e9
    emit(ev.DataPrepared(str(prepared), manifest.fingerprint, counts, seconds, throttle.reused, vocabulary))
    return prepared


def _tokenizer(spec: Spec, vocabulary: Vocabulary) -> tuple[ItemTokenizer | TokenizerFactory, str]:
    """The tokenizer and its key in the cache."""
    if vocabulary == "words":
        return words_tokenizer(spec.words.vocabulary)
    return tokenizer_for(spec.language_model if vocabulary == "language-model" else spec.encoder)


def _require_known_words(manifest: Manifest, vocabulary: Vocabulary) -> None:
    """Refuse texts that the tokenizer does not know at all.

    Raises:
        ConfigError: every token is the unknown one, or there is none although there are texts.
    """
    items = manifest.items
    if items.text_tokens is None or items.empty_texts + items.blank_items == items.items:
        return
    nothing_left = items.text_tokens == 0 and not items.cut_items
    if nothing_left or 0 < items.text_tokens == items.unknown_tokens:
        key = "language_model.model" if vocabulary == "language-model" else "encoder.model"
        raise ConfigError(
            f"The tokenizer knows no word in the texts of {items.items:,} items: all would look the same.",
            f"Choose a model for the language of the data with --set {key}=…, or check its tokenizer files.",
        )


def _size_warnings(tokenizer: object) -> Iterator[ev.Warned]:
    """Warn of a vocabulary much smaller than its model's: it may be another model's."""
    size, embeddings = (getattr(tokenizer, name, None) for name in ("vocabulary_size", "embeddings"))
    if size is not None and embeddings is not None and size < SMALL_VOCABULARY * embeddings:
        words = f"the tokenizer has {size:,} tokens, but its model has embeddings for {embeddings:,}"
        yield ev.Warned("small-vocabulary", f"{words}: do they belong together?")


def data_folder(spec: Spec, emit: Callable[[ev.Event], None] = lambda _: None) -> Path:
    """The folder with `train/` and `dev/`; synthetic data is generated into the cache.

    Args:
        spec: the run's specification.
        emit: takes a warning about generated data that was damaged.

    Raises:
        DataError: there is no such folder, with where to put the files.
    """
    source = source_of(spec.data)
    if source.settings is None or source.generate is None:
        return locate(spec.data)
    settings, generate = source.settings(spec.data), source.generate
    return _generated(spec.data.source, settings, lambda folder: generate(settings, folder), emit)


def _generated(
    kind: str, settings: Table, generate_into: Callable[[Path], None], emit: Callable[[ev.Event], None]
) -> Path:
    """The cache folder of generated data, made on first use, and again if its bytes have changed."""
    name = f"{kind}-{hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]}"
    folder = cache_dir() / "synthetic" / name
    with locked(folder.with_name(f".{name}.lock")):
        noted = folder.with_name(f".{name}.sha256.json")
        written = noted.read_text() if noted.is_file() else ""
        if folder.is_dir() and written != _digests(folder):  # without digests: from an earlier version
            if written:
                words = f"the generated data in {folder} was damaged, and was generated again"
                emit(ev.Warned("damaged-generated-data", words))
            shutil.rmtree(folder)
        if not folder.is_dir():
            for leftover in folder.parent.glob(f".{name}.????????"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            noted.unlink(missing_ok=True)
            generate_into(folder)
            write_atomic(noted, _digests(folder))
    return folder


def _digests(folder: Path) -> str:
    """JSON: every file of a folder with its sha256, so that the preparation need not compute it again."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {str(path.relative_to(folder)): path for path in paths}
    with contextlib.suppress(OSError):  # the preparation will report it
        prepared_dir().mkdir(parents=True, exist_ok=True)
    return json.dumps(digests(files, prepared_dir(), lambda *_: None), indent=1)


class _Throttle:
    """Limits the preparation's progress events to a few per second."""

    def __init__(self, emit: Callable[[ev.Event], None]) -> None:
        self._emit = emit
        self._last: tuple[str, int] = ("", 0)
        self.reused = True

    def __call__(self, phase: str, done: int, total: int) -> None:
        self.reused = self.reused and phase == "hash"
        now = time.monotonic_ns()
        if phase != self._last[0] or now - self._last[1] > REPORT_S * 1e9:
            self._last = phase, now
            self._emit(ev.PrepareProgress(phase, done, total))
