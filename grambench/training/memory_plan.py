"""Automatic sizes: how many users or items fit in one graph, determined before the clock starts.

The bytes that autograd saves per token position of the encoder are measured on probes of a real item; the
plan follows from the free memory. There is no trial and error, so the search itself cannot run out of memory.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grambench.config.spec import Training
from grambench.gram import encoder_backward
from grambench.models.encoders.states import LayerStates
from grambench.models.encoders.text import TextEncoder
from grambench.training.phases import System
from grambench.training.protocols import Batch

_V2, _V1 = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")
_GROUP_FILES = (
    (_V2 / "memory.max", _V2 / "memory.current", _V2 / "memory.stat", "inactive_file"),
    (
        _V1 / "memory.limit_in_bytes",
        _V1 / "memory.usage_in_bytes",
        _V1 / "memory.stat",
        "total_inactive_file",
    ),
)
_BACKWARD_SHARE = 1.4
"""Peak memory of the backward pass relative to the saved bytes (temporaries, activation gradients)."""


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """Sizes for `e2e` and `gram-1s`."""

    micro_batch: int
    encoder_chunk: int | None
    why: str


def plan_graphs(system: System, batch: Batch, spec: Training, device: torch.device) -> GraphPlan:
    """Sizes as specified, or the largest whose graph fits into `memory_share` of the free memory.

    Also warms up the device: the probe runs the encoder forward and backward.
    """
    view, unique = batch.occurrences(), batch.unique()
    bytes_per_token = kept_bytes_per_token(system, unique.host_items_N)
    free = free_bytes(device)
    tokens = spec.memory_share * free / (bytes_per_token * _BACKWARD_SHARE)
    per_user = _positions(system, view.host_items_N) / batch.users
    per_item = _positions(system, unique.host_items_N) / len(unique.host_items_N)

    micro = (
        spec.micro_batch
        if isinstance(spec.micro_batch, int)
        else _equal_parts(batch.users, tokens / per_user)
    )
    if spec.encoder_chunk == "off":
        chunk = None
    elif isinstance(spec.encoder_chunk, int):
        chunk = spec.encoder_chunk
    else:
        fits = int(tokens / per_item)
        chunk = None if fits >= len(unique.host_items_N) else max(1, fits)
    why = (
        f"{bytes_per_token / 1024:.1f} KiB saved per token position, {free / 2**30:.1f} GiB free,"
        f" {spec.memory_share:.0%} of it planned for"
    )
    return GraphPlan(min(micro, batch.users), chunk, why)


def plan_users(system: System, batch: Batch, spec: Training, device: torch.device, limits: str) -> GraphPlan:
    """Users per graph of `lm-kt`: how many fit in memory if all are as long as the batch's longest.

    `limits`: the model's truncation, for the plan's explanation.
    """
    longest = max(batch.split(1), key=lambda part: part.occurrences().occurrences)
    probes = [_filter_loss(system, part) for part in (longest, longest.repeated())]
    kept = [_kept_bytes(list(system.filter.parameters()), probe) for probe in probes]
    bytes_per_user = max(1, kept[1] - kept[0])
    free = free_bytes(device)
    fits = spec.memory_share * free / (bytes_per_user * _BACKWARD_SHARE)
    micro = _equal_parts(batch.users, fits) if spec.micro_batch == "auto" else spec.micro_batch
    mib = bytes_per_user / 2**20
    why = f"{limits}; {mib:.1f} MiB saved for the longest user, {free / 2**30:.1f} GiB free"
    return GraphPlan(min(micro, batch.users), None, why)


def _filter_loss(system: System, batch: Batch) -> Callable[[], Tensor]:
    view = batch.occurrences()
    return lambda: system.filter.loss(system.encode(view.host_items_N), view)


def kept_bytes_per_token(system: System, items_N: NDArray[np.int64]) -> float:
    """Bytes that autograd saves for the backward pass, per padded token position.

    The difference of two probes of the longest item cancels what does not grow with the number of items, such
    as bf16 copies of the weights. The probes' gradients are dropped, and their encodings are not counted.
    Where layers are checkpointed, what the backward pass keeps while it runs one of them again is added.
    """
    encoder, kept = system.encode.encoder, _kept_per_token(system, items_N)
    if isinstance(encoder, LayerStates):
        encoder = encoder.encoder
    if isinstance(encoder, TextEncoder) and (layers := encoder.checkpointed_layers):
        with encoder.keeping_all():
            kept += _kept_per_token(system, items_N) / layers
    return max(1.0, kept)


def _kept_per_token(system: System, items_N: NDArray[np.int64]) -> float:
    longest = items_N[system.encode.tokens.lengths[items_N].argmax()]
    items = system.encode.layout.probe_items(int(system.encode.tokens.lengths[longest]))
    small, large = (np.full(count, longest) for count in (items // 2, items))
    counts = dataclasses.replace(system.encode.counts)
    parameters = list(system.encode.encoder.parameters())
    kept = [_kept_bytes(parameters, functools.partial(system.encode, items_N)) for items_N in (small, large)]
    grown = kept[1] - kept[0]
    system.encode.counts = counts
    return grown / (_positions(system, large) - _positions(system, small))


def _kept_bytes(parameters: Sequence[nn.Parameter], run: Callable[[], Tensor]) -> int:
    """Bytes that autograd saves for the result's backward pass, excluding parameters."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    kept: dict[int, int] = {}
    keep_alive: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            keep_alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    if result.requires_grad:  # else nothing of the encoder is trained
        encoder_backward(result, torch.zeros_like(result))
    for parameter in parameters:
        parameter.grad = None
    return sum(kept.values())


class _Held:
    """A tensor that a graph has saved; the bytes of its storage count until the graph lets go of it."""

    def __init__(self, tensor: Tensor, counts: "_Counts") -> None:
        self.tensor, self._counts = tensor, counts
        counts.add(tensor, 1)

    def __del__(self) -> None:
        self._counts.add(self.tensor, -1)


class _Counts:
    """Bytes of the storages that graphs hold now, and at most so far."""

    def __init__(self, weights: set[int]) -> None:
        self._weights, self._held = weights, Counter[int]()
        self._now = self.most = 0

    def add(self, tensor: Tensor, change: int) -> None:
        storage = tensor.untyped_storage()
        place, before = storage.data_ptr(), self._held[storage.data_ptr()]
        self._held[place] = before + change
        if place not in self._weights and (before == 0 or before + change == 0):
            self._now += change * storage.nbytes()
            self.most = max(self.most, self._now)


def most_held_bytes(parameters: Iterable[nn.Parameter], run: Callable[[], object]) -> int:
    """The most bytes that autograd holds at once for backward passes while `run` runs, excluding parameters.

    With the temporaries of a backward pass, as for the plan's sizes.
    """
    counts = _Counts({parameter.untyped_storage().data_ptr() for parameter in parameters})
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: _Held(tensor, counts), lambda held: held.tensor
    ):
        run()
    return int(counts.most * _BACKWARD_SHARE)


def free_bytes(device: torch.device) -> int:
    """Memory available on the device, or on the host within its control group."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    available = psutil.virtual_memory().available
    left = [_left_in_group(*files) for files in _GROUP_FILES]
    return min([available, *(number for number in left if number is not None)])


def _left_in_group(limit: Path, used: Path, stat: Path, cache: str) -> int | None:
    """Bytes left in a control group, including its reclaimable file cache; None if there is no limit."""
    try:
        counted = dict(line.split() for line in stat.read_text().splitlines())
        left = int(limit.read_text()) - int(used.read_text()) + int(counted.get(cache, 0))
    except (OSError, ValueError):  # another version of control groups, or no limit ("max")
        return None
    return max(0, left)


def _positions(system: System, items_N: NDArray[np.int64]) -> float:
    """Token positions of the encoder's calls, including padding."""
    return float(system.encode.layout.positions(system.encode.tokens.lengths[items_N]))


def _equal_parts(users: int, most: float) -> int:
    """The size of the fewest equal parts of `users` with at most `most` users each."""
    parts = -(-users // max(1, int(most)))
    return -(-users // parts)
