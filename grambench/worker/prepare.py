"""From the specification to mapped arrays: synthetic data, a folder, or an earlier download."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from grambench.config.paths import cache_dir, prepared_dir
from grambench.config.spec import Spec, Vocabulary
from grambench.config.table import Table
from grambench.data.cautions import check_validation
from grambench.data.locate import locate
from grambench.data.prepared import PrepareRequest, open_prepared, prepare
from grambench.data.prepared_items import ItemTokenizer, TokenizerFactory
from grambench.data.synthetic import generate
from grambench.data.synthetic_answers import generate_answers
from grambench.data.tokenizer import tokenizer_for, words_tokenizer
from grambench.events import types as ev
from grambench.fs import locked

REPORT_S = 0.2


def prepare_data(spec: Spec, emit: Callable[[ev.Event], None], vocabulary: Vocabulary = "encoder") -> Path:
    """Prepare once, or find what was prepared; returns the cache folder. Items become tokens of a vocabulary.

    Raises:
        DataError: no data, or data that cannot be used, such as a validation part that cannot be scored.
        MachineError: the tokenizer is not to be had.
    """
    began = time.monotonic_ns()
    throttle = _Throttle(emit)
    folder = data_folder(spec)
    tokenizer, key = _tokenizer(spec, vocabulary)
    request = PrepareRequest(
        data_dir=folder,
        dataset=spec.data.dataset,
        fields=spec.data.fields,
        unknown_items=spec.data.unknown_items,
        validation=spec.data.validation,
        validation_share=spec.data.validation_share,
        protocol=spec.data.protocol,
        source=spec.data.source,
        track=spec.data.track,
        test_share=spec.data.test_share,
        cold_items=spec.data.cold_items,
        seed=spec.data.seed,
        repeated_answers=spec.data.repeated_answers,
        tokenizer=tokenizer,
        tokenizer_key=key,
    )
    prepared = prepare(request, prepared_dir(), throttle)
    manifest = open_prepared(prepared).manifest
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
    """The tokenizer and the key that stands for it in the cache."""
    if vocabulary == "words":
        return words_tokenizer(spec.words.vocabulary)
    return tokenizer_for(spec.language_model if vocabulary == "language-model" else spec.encoder)


def data_folder(spec: Spec) -> Path:
    """The folder with `train/` and `dev/`; synthetic data is generated into the cache.

    Raises:
        DataError: there is no such folder, with where to put the files.
    """
    match spec.data.source:
        case "synthetic":
            law = spec.data.synthetic
            return _generated("synthetic", law, lambda folder: generate(law, folder))
        case "synthetic-answers":
            answers = spec.data.synthetic_answers
            return _generated("synthetic-answers", answers, lambda folder: generate_answers(answers, folder))
        case _:
            return locate(spec.data)


def _generated(kind: str, law: Table, generate_into: Callable[[Path], None]) -> Path:
    """The cache folder of generated data, made on the first use."""
    name = f"{kind}-{hashlib.sha256(law.model_dump_json().encode()).hexdigest()[:16]}"
    folder = cache_dir() / "synthetic" / name
    with locked(folder.with_name(f".{name}.lock")):
        if not folder.is_dir():
            generate_into(folder)
    return folder


class _Throttle:
    """Turns the preparation's reports into at most a few events a second."""

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
