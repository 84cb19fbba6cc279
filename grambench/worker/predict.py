"""Predictions of a trial's best weights: for the test part, and for parts that have no labels."""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from grambench.config.paths import prepared_dir
from grambench.config.spec import Spec
from grambench.config.strategies import row_of
from grambench.data.prepared.sources import digests
from grambench.domains.base import ToPredict
from grambench.domains.prepared import Prepared, open_prepared
from grambench.domains.registry import domain_of, source_of
from grambench.domains.training import make_predictor
from grambench.errors import DataError, ExitCode, GrambenchError
from grambench.events import types as ev
from grambench.fs import write_atomic
from grambench.models.encoders.states import CachedItemEncoder
from grambench.training.checkpoint import load_weights
from grambench.training.phases import System
from grambench.training.system import Modules, build_system, placement
from grambench.worker.prepare import data_folder

PREDICTIONS = "predictions"
"""Folder in a trial's."""


def to_predict(spec: Spec) -> list[ToPredict]:
    """The parts, read from the files of the data.

    Raises:
        DataError: they cannot be read.
    """
    data = spec.data.model_copy(update={"predictions": True})
    return [*domain_of(data.domain).to_predict(data_folder(spec), data, lambda *_: None)]


def write_predictions(
    spec: Spec,
    data: Prepared,
    system: System,
    modules: Modules,
    device: torch.device,
    into: Path,
    between: Callable[[], None] = lambda: None,
) -> Iterator[ev.PredictionsWritten]:
    """Score every part with the weights that `modules` hold, and write its file.

    Args:
        spec: of the trial.
        data: its prepared data.
        system: what encodes.
        modules: the filter, and the encoder.
        device: where both are.
        into: the folder; made if absent.
        between: called before each block of samples; what it raises ends the scoring.

    Raises:
        DataError: the files of the data are not those that were prepared.
        OSError: the disk does not take a file.
    """
    _require_same_files(spec, data)
    into.mkdir(parents=True, exist_ok=True)
    resident = placement(spec, data).interactions
    for asked in to_predict(spec):
        began = time.monotonic_ns()
        predictor = make_predictor(spec, data, asked.part, device, resident, between)
        scores_A = predictor.score_all(system.served or system.encode, modules.filter)
        content = asked.render(scores_A, predictor.places(scores_A))
        write_atomic(into / asked.file, content)
        yield ev.PredictionsWritten(
            part=asked.name,
            file=f"{into.name}/{asked.file}",
            labelled=asked.labelled,
            rows=len(scores_A) if asked.rows is None else asked.rows,
            unknown=asked.unknown,
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            seconds=(time.monotonic_ns() - began) / 1e9,
        )


def _require_same_files(spec: Spec, data: Prepared) -> None:
    """Numbers of items are only the same where the files are."""
    folder = data_folder(spec)
    files = source_of(spec.data).files(folder, spec.data)
    now = digests(files, prepared_dir(), lambda *_: None)
    if now != {name: file.sha256 for name, file in data.manifest.sources.items()}:
        raise DataError(
            f"Files in {folder} have changed since the run prepared them.", "Put the old ones back."
        )


def main(run: Path, name: str, into: Path) -> int:
    """Predict with the best weights of a trial that has ended; a JSON line on stdout for each file.

    The run's own folder is left as it is. What is wrong is the last line of stderr.
    """
    from grambench.worker.main import quiet_libraries, read_spec

    quiet_libraries()
    try:
        for written in _predict(run, name, into, read_spec(run)):
            sys.stdout.write(f"{json.dumps(asdict(written))}\n")
    except GrambenchError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    except OSError as error:
        sys.stderr.write(f"{error.filename or into} cannot be written: {error.strerror or error}.\n")
        return int(ExitCode.ENVIRONMENT)
    return int(ExitCode.OK)


def _predict(run: Path, name: str, into: Path, spec: Spec) -> Iterator[ev.PredictionsWritten]:
    from grambench.config.trial_name import TrialName
    from grambench.events.state import SETUP
    from grambench.worker.device import resolve_device
    from grambench.worker.main import engine_of
    from grambench.worker.probe import settled
    from grambench.worker.trial import prepared_folder

    trial = TrialName.parse(name)
    if trial is None:
        raise DataError(f"{name!r} is not a trial's name.", "Write `label.sSEED`.")
    chosen, entry = engine_of(run / SETUP), spec.entry(trial)
    device = resolve_device(spec.model_copy(update={"device": spec.devices[0]}), tf32=spec.filter.tf32)
    own = (settled(spec, chosen) if chosen is not None else spec).with_own(entry)
    data = open_prepared(prepared_folder(run, row_of(entry.strategy).vocabulary))
    system, modules = build_system(
        own, data, device.torch, seed=trial.seed, strategy=entry.strategy, autocast=device.autocast
    )
    modules.load_state_dict(load_weights(run / name / "best"))
    encode = system.encode  # its states would be computed on demand, and held on the device
    if isinstance(encode, CachedItemEncoder) and not own.encoder.keeps_on_device(encode.states.file_bytes):
        system.encode = encode.without_cache()
    with torch.no_grad():
        yield from write_predictions(own, data, system, modules, device.torch, into)
