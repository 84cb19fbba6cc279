"""The file of a trial's frozen states: computed once in a run, shared by its trials, charged to each."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared
from grambench.errors import DataError, MachineError
from grambench.events import types as ev
from grambench.events.state import STATES
from grambench.fs import discard, locked, sha256_file, write_atomic
from grambench.models.encoders.cut import Cut
from grambench.models.encoders.side import SideEncoder
from grambench.models.encoders.states import CachedItemEncoder, FrozenStates
from grambench.training.phases import System


@dataclass(frozen=True, slots=True)
class _Written:
    """What is known of a file of states."""

    seconds: float
    """It took to compute them."""
    in_fp16: bool
    bytes: int
    sha256: str


def open_states(
    system: System,
    spec: Spec,
    data: Prepared,
    run: Path,
    emit: Callable[[ev.Event], None],
    between: Callable[[], None],
) -> float:
    """Let the trial's encoder read states from the run's file, which is written if it is not there.

    Args:
        system: of the trial.
        spec: the run's settings with the trial's own.
        data: the prepared data.
        run: the run's folder.
        emit: takes the event of the cache.
        between: called now and then while states are computed; what it raises ends that.

    Returns:
        Seconds that the states took, whichever trial computed them; 0 if the trial has no frozen part.

    Raises:
        MachineError: the file cannot be written, such as on a full disk.
    """
    if not isinstance(system.encode, CachedItemEncoder):
        return 0.0
    states = system.encode.states
    path = run / STATES / f"{_key(states, data, spec)}.bin"
    emit(ev.PhaseEntered("cache"))
    try:
        with locked(path.with_suffix(".lock"), between):
            found = _found(path)
            written = found or _write(states, path, between)
    except OSError as error:
        raise MachineError(
            f"The states of frozen layers ({states.file_bytes / 2**20:,.1f} MiB) cannot be written:"
            f" {error.strerror or error}.",
            "Make room on the disk of the run's folder, or use --set encoder.cache=off.",
        ) from error
    states.in_fp16 = written.in_fp16
    on_device = spec.encoder.keeps_on_device(written.bytes)
    states.open(path, on_device)
    (built,) = system.group.greatest(int(found is None))  # maybe by another rank of the trial
    emit(_event(states, written, on_device, bool(built)))
    return written.seconds


def _event(states: FrozenStates[Any], written: _Written, on_device: bool, built: bool) -> ev.StatesCached:
    return ev.StatesCached(
        items=len(states.rows),
        rows=int(states.rows.lengths.sum()),
        features=states.features,
        bytes=written.bytes,
        dtype=str(states.dtype).removeprefix("torch."),
        on_device=on_device,
        seconds=written.seconds,
        built=built,
    )


def _key(states: FrozenStates[Any], data: Prepared, spec: Spec) -> str:
    """Digest of everything that the states depend on."""
    digest, encoder = hashlib.sha256(), states.encoder
    text = encoder.text if isinstance(encoder, SideEncoder) else encoder
    layers = encoder.read if isinstance(encoder, SideEncoder) else [text.cut.below if text.cut else -1]
    device = states.tokens.device.type
    told = (type(states).__name__, layers, spec.encoder.side.pool, spec.encoder.precision, device)
    digest.update(json.dumps([data.manifest.fingerprint, *told]).encode())
    above = _above(text.cut)
    for name, parameter in text.backbone.named_parameters():
        if id(parameter) not in above:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _above(cut: Cut | None) -> set[int]:
    """Parameters of the layers above the cut that none below shares."""
    if cut is None:
        return set()
    lower, upper = (
        {id(parameter) for layer in layers for parameter in layer.parameters()}
        for layers in (cut.layers[: cut.below], cut.layers[cut.below :])
    )
    return upper - lower


def _found(path: Path) -> _Written | None:
    """The file's record, if file and record are whole."""
    try:
        written = _Written(**json.loads(path.with_suffix(".json").read_bytes()))
        whole = path.stat().st_size == max(1, written.bytes) and sha256_file(path) == written.sha256
    except (OSError, ValueError, TypeError, DataError):
        return None
    return written if whole else None


def _write(states: FrozenStates[Any], path: Path, between: Callable[[], None]) -> _Written:
    """Compute all states; in fp32 if one is too large for fp16."""
    temporary = path.with_suffix(".part")
    try:
        for in_fp16 in (True, False):
            states.in_fp16 = in_fp16
            began = time.monotonic_ns()
            if states.write(temporary, between):
                break
        seconds = (time.monotonic_ns() - began) / 1e9
        written = _Written(seconds, in_fp16, states.file_bytes, sha256_file(temporary))
        temporary.replace(path)
    finally:
        discard(temporary)
    write_atomic(path.with_suffix(".json"), json.dumps(asdict(written)))
    return written
