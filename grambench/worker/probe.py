"""Device-dependent choices, made once per run: candidates are measured on real items and must agree.

All trials and seeds, the audit and every resume use the same choice: a fair comparison and a bit-equal resume
need it. A code path that has not yet been run on a type of device is not a candidate there.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared
from grambench.domains.training import make_sampler
from grambench.errors import ConfigError, DataError
from grambench.events import types as ev
from grambench.models.attention import Attention, choose_attention
from grambench.models.encoders.buckets import Buckets
from grambench.models.encoders.packed import PackedRows
from grambench.models.encoders.sentence import OWN, pooling_of
from grambench.training.memory_plan import free_bytes
from grambench.training.phases import System, warm_up_encoder
from grambench.training.system import BUCKET_TOKENS, build_system, can_pack
from grambench.worker.device import Device

LAYOUTS = {"cuda": ("buckets", "packed")}
"""The choices of `encoder.layout = "auto"`, by device type; on other devices it is `buckets`."""
BUCKETS_ON_CUDA = (16_384, 32_768, 65_536, 131_072)
_BYTES_A_FEATURE = 52
"""Of a call without a graph, per position and feature: about 5 GB at 131,072 positions, 768 wide."""
_MEMORY_SHARE = 0.1
_ROUNDS = 3
_LOOK_S = 0.5
"""Seconds over which the machine's load is measured; this process's own use is not counted."""
_TOLERANCE = {False: 1e-4, True: 3e-2}
"""Largest difference of two candidates' vectors over the largest vector entry; in bf16: True."""
LAYOUT, POOLING, BUCKET, ATTENTION, THREADS = (
    "encoder.layout",
    "encoder.pooling",
    "encoder.bucket_tokens",
    "engine.attention",
    "cpu_threads",
)


def choose(
    spec: Spec,
    data: Prepared,
    device: Device,
    emit: Callable[[ev.Event], None],
    before: ev.EngineChosen | None = None,
) -> ev.EngineChosen:
    """Choose the settings of this run's engine, and emit them as an event.

    Args:
        spec: the specification; what it fixes is not measured.
        data: the prepared data.
        device: where the run trains.
        emit: takes the event and warnings about candidates that were dropped.
        before: the choice of an earlier setup of this run, which is kept.

    Raises:
        ConfigError: `encoder.layout` is packed, and the model cannot read packed rows; or the model's own
            pooling is not known here.
    """
    if before is not None:
        chosen = ev.EngineChosen(before.choice, before.candidates, before.seconds, reused=True)
    else:
        chosen = _chosen(spec, data, device, emit)
    emit(chosen)
    return chosen


def settled(spec: Spec, chosen: ev.EngineChosen) -> Spec:
    """The specification with what was chosen in place of `auto`.

    Raises:
        DataError: the choice names no settings of this version, as in a damaged log.
    """
    tables = spec.model_dump()
    try:
        for setting, value in chosen.choice.items():
            *path, last = setting.split(".")
            table: Any = tables
            for name in path:
                table = table[name]
            table[last] = value
        return Spec.model_validate(tables)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"The engine that the setup's log names cannot be used: {setting} = {value!r}.",
            "The log is damaged or of another version; start a new run.",
        ) from error


@dataclass(slots=True)
class _Probe:
    """A system with real items, on which candidates are measured."""

    system: System
    items_N: NDArray[np.int64]
    until: float
    half: bool

    def seconds(self) -> float:
        """Median seconds of the encoder, forwards and backwards, over the items."""

        def run() -> float:
            began = time.perf_counter()
            warm_up_encoder(self.system, self.items_N)
            self.system.encoder_optimizer.discard()
            self.system.clock.read()  # waits for the device
            return time.perf_counter() - began

        run()  # the cost of a first call alone
        found = [run()]
        while len(found) < _ROUNDS and time.perf_counter() < self.until:
            found.append(run())
        return statistics.median(found)

    def vectors(self) -> Tensor:
        with torch.no_grad():
            return self.system.encode(self.items_N[:64])

    def differs(self, reference: Tensor) -> float:
        """Largest difference of the vectors over their largest entry."""
        scale = float(reference.abs().max()) or 1.0
        return float((self.vectors() - reference).abs().max()) / scale


def _chosen(spec: Spec, data: Prepared, device: Device, emit: Callable[[ev.Event], None]) -> ev.EngineChosen:
    began = time.perf_counter()
    options = _options(spec, device)
    choice: dict[str, Any] = {setting: values[0] for setting, values in options.items()}
    choice[THREADS] = _threads(spec, device, emit)
    if spec.encoder.model is not None and spec.encoder.pooling.startswith(OWN):
        choice[POOLING] = pooling_of(spec.encoder)
    candidates: list[dict[str, Any]] = []
    if spec.encoder.layout == "packed" or any(len(values) > 1 for values in options.values()):
        probe = _probe(spec, data, device, began + spec.engine.probe_s)
        longest = int(probe.system.encode.tokens.lengths.max())
        _require_packing(spec, probe, choice)
        for setting, values in options.items():
            use = _switches(probe.system, device, longest)[setting]
            if len(values) > 1:
                choice[setting] = _fastest(probe, setting, values, use, candidates, emit)
            use(choice[setting])
    return ev.EngineChosen(choice, candidates, time.perf_counter() - began)


def _threads(spec: Spec, device: Device, emit: Callable[[ev.Event], None]) -> int:
    """Threads of a worker: on a CPU one fewer for every core that other work keeps busy.

    torch's threads wait for each other: two sharing a busy core are slower than one alone.
    """
    if spec.cpu_threads is not None or device.torch.type != "cpu" or device.threads == 1:
        return device.threads
    began_s = process_time()
    busy = psutil.cpu_percent(interval=_LOOK_S) / 100 * (psutil.cpu_count() or 1)
    busy -= (process_time() - began_s) / _LOOK_S  # the thread that reads the data
    threads = max(1, device.threads - round(busy))
    if threads < device.threads:
        words = (
            f"{busy:.1f} cores were busy with other work when the run began: workers have {threads} instead"
            f" of {device.threads} threads (to override: --set cpu_threads={device.threads})"
        )
        emit(ev.Warned("busy-cores", words))
        torch.set_num_threads(threads)
    return threads


def _options(spec: Spec, device: Device) -> dict[str, tuple[Any, ...]]:
    """Setting -> its candidates; the first is the reference."""
    kind = device.torch.type
    layouts = LAYOUTS.get(kind, ("buckets",))
    options: dict[str, tuple[Any, ...]] = {}
    if kind == "cuda":
        wanted = spec.engine.attention
        options[ATTENTION] = ("efficient", "math") if wanted == "auto" else (wanted,)
    options[LAYOUT] = layouts if spec.encoder.layout == "auto" else (spec.encoder.layout,)
    sizes: tuple[int, ...] = (BUCKET_TOKENS.get(kind, BUCKET_TOKENS["cpu"]),)
    if kind == "cuda":
        sizes = tuple(_sizes_that_fit(spec, device.torch))
    options[BUCKET] = sizes if spec.encoder.bucket_tokens == "auto" else (spec.encoder.bucket_tokens,)
    return options


def _sizes_that_fit(spec: Spec, device: torch.device) -> Iterator[int]:
    from grambench.models.encoders.load import encoder_width

    room = _MEMORY_SHARE * free_bytes(device) / (_BYTES_A_FEATURE * encoder_width(spec.encoder))
    yield BUCKETS_ON_CUDA[0]
    yield from (size for size in BUCKETS_ON_CUDA[1:] if size <= room)


def _probe(spec: Spec, data: Prepared, device: Device, until: float) -> _Probe:
    plain = spec.encoder.model_copy(update={"compile": "off", "dropout": 0.0})  # vectors are compared
    system, _ = build_system(
        spec.model_copy(update={"encoder": plain}),
        data,
        device.torch,
        seed=spec.audit.seed,
        autocast=device.autocast,
    )
    sampler = make_sampler(spec, data, device.torch, seed=spec.audit.seed, epochs=1)
    items_N = sampler.batch(0).unique().host_items_N
    return _Probe(system, items_N, until, device.autocast)


def _switches(system: System, device: Device, longest: int) -> Mapping[str, Callable[[Any], None]]:
    """Setting -> a function that applies a value."""

    def attend(value: Attention) -> None:
        choose_attention(device.torch, value)

    def lay(value: str) -> None:
        tokens = system.encode.bucket_tokens
        if value == "packed":
            system.encode.layout = PackedRows(longest, tokens)
        else:
            system.encode.layout = Buckets(tokens, system.encode.encoder.width, device.torch)

    def size(value: int) -> None:
        system.encode.bucket_tokens = value

    return {ATTENTION: attend, LAYOUT: lay, BUCKET: size}


def _fastest(
    probe: _Probe,
    setting: str,
    values: tuple[Any, ...],
    use: Callable[[Any], None],
    candidates: list[dict[str, Any]],
    emit: Callable[[ev.Event], None],
) -> Any:
    """The fastest candidate that agrees with the first one; all measurements are recorded."""
    use(values[0])
    reference = probe.vectors()
    found: dict[Any, float] = {}
    encoded = probe.system.encode.encoder, probe.system.encode.tokens
    for value in values:
        seconds, why = None, ""
        if setting == LAYOUT and value == "packed" and not can_pack(*encoded):
            why = "the model does not read packed rows"
        elif found and time.perf_counter() >= probe.until:
            why = "the probe's time was up"
        else:
            seconds, why = _tried(probe, use, value, reference)
        if seconds is not None:
            found[value] = seconds
        elif why.startswith("it "):
            emit(ev.Warned("candidate-dropped", f"{setting} = {value} was dropped: {why}"))
        candidates.append({"setting": setting, "value": value, "seconds": seconds, "why": why})
    return min(found, key=lambda value: found[value]) if found else values[0]


def _tried(
    probe: _Probe, use: Callable[[Any], None], value: Any, reference: Tensor
) -> tuple[float | None, str]:
    """Seconds of a candidate, or None and the reason to drop it."""
    try:
        use(value)
        difference = probe.differs(reference)
        if not difference <= _TOLERANCE[probe.half]:
            return None, f"it gives different vectors (relative difference {difference:.1e})"
        return probe.seconds(), ""
    except RuntimeError as error:  # out of memory, or no such kernel here
        probe.system.encoder_optimizer.discard()
        return None, f"it failed: {str(error).strip().splitlines()[0]}"


def _require_packing(spec: Spec, probe: _Probe, choice: Mapping[str, Any]) -> None:
    """Packed rows, if requested, must give the vectors of buckets."""
    if spec.encoder.layout != "packed":
        return
    label = spec.encoder.model or "an encoder from scratch"
    difference = None
    if can_pack(probe.system.encode.encoder, probe.system.encode.tokens):
        packed = probe.vectors()
        width, device = probe.system.encode.encoder.width, probe.system.clock.device
        kept = probe.system.encode.layout
        probe.system.encode.layout = Buckets(choice[BUCKET], width, device)
        difference = probe.differs(packed)
        probe.system.encode.layout = kept
    if difference is None or not difference <= _TOLERANCE[probe.half]:
        why = "cannot read packed rows"
        if difference is not None:
            why = f"gives different vectors there (relative difference {difference:.1e})"
        raise ConfigError(f"encoder.layout = packed, but {label} {why}.", "Use --set encoder.layout=buckets.")
