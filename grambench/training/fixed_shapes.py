"""Training steps on tensors whose shapes and addresses do not depend on the batch.

Batches differ only in their number of distinct items. Padded to a fixed number with an item that no index
refers to, every step runs the same kernels on the same tensors: on CUDA it is captured as a graph and
replayed; on a CPU it runs directly, which is how the tests compare it with the plain step. A batch of another
size, or with more items than the capacity, falls back to the plain step.
Legend: N items of a view, K capacity in items, D width.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from grambench.models.encoders.packed import PackedCall, PackedInput
from grambench.training.graphs import Graph
from grambench.training.protocols import View
from grambench.transfer import sent

_ROOM = 1.125
"""Capacity relative to the items of the first batch: others may have a few more."""
_STEP = 256
"""The capacity is a multiple of this many items."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The fixed tensors that the views of one step are copied to."""

    view: Any
    items_K: Tensor
    buffers: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    """Further rows per item, such as the items' vectors [K, D]."""


class FixedShapes:
    """Runs steps on fixed tensors if enabled and if the batch fits."""

    def __init__(self, device: torch.device, padding: int) -> None:
        """
        Args:
            device: where the steps run.
            padding: id of the padding item, which no index refers to.
        """
        self.device, self.padding = device, padding
        self.filter_steps = False
        """Whether filter steps run on fixed tensors."""
        self.encoder_steps = False
        """Whether encoder steps at the end of a window do."""
        self.plain_steps = 0
        """Steps that did not fit while `filter_steps` was set."""
        self.trouble = ""
        """Why a capture failed; all steps are plain from then on."""
        self._places: dict[str, _Place] = {}
        self._calls: dict[Hashable, tuple[PackedInput, Tensor]] = {}
        self._graphs: dict[str, dict[Hashable, Graph]] = {}
        self._pool: Any = None
        self._stream: torch.cuda.Stream | None = None
        self._inside = False

    def run(
        self,
        name: str,
        view: View,
        body: Callable[..., tuple[Tensor, ...]],
        *inputs: Tensor,
        touched: Callable[[], Sequence[Tensor]] = list,
        parameters: Sequence[nn.Parameter] = (),
        version: Hashable = None,
    ) -> tuple[Tensor, ...]:
        """`body(view, *inputs)`, on fixed tensors if possible.

        Args:
            name: identifies the step.
            view: of the batch.
            body: called with a view and the inputs; rows after the view's own items are padding.
            inputs: tensors [N, D] with a row for each of the view's items.
            touched: tensors that the body modifies.
            parameters: whose gradients the body sets.
            version: changes when other tensors that the body reads have moved in memory.
        """
        if not self.filter_steps or self._inside:
            return body(view, *inputs)
        place = self._place(name, view, inputs)
        if place is None:
            self.plain_steps += 1
            return self._plainly(lambda: body(view, *inputs))
        _fill(place, view, inputs, self.padding)
        return self._replayed(name, version, lambda: body(place.view, *place.inputs), touched, parameters)

    def encoder_step(
        self,
        call: PackedCall,
        targets_ND: Tensor,
        body: Callable[[PackedInput, Tensor], tuple[Tensor, ...]],
        touched: Callable[[], Sequence[Tensor]],
    ) -> tuple[Tensor, ...]:
        """`body(call, targets_ND)` for a packed encoder call, with one graph for each of its few shapes."""
        if call.shape not in self._calls:
            self._calls[call.shape] = call.on(self.device), torch.empty_like(targets_ND)
        fixed, targets = self._calls[call.shape]
        fixed.rows_3GR.copy_(sent(torch.from_numpy(call.rows_3GR), self.device))
        fixed.items_2N.copy_(sent(torch.from_numpy(call.items_2N), self.device))
        targets.copy_(targets_ND)
        return self._replayed("encoder", call.shape, lambda: body(fixed, targets), touched, ())

    def _place(self, name: str, view: View, inputs: Sequence[Tensor]) -> _Place | None:
        """The fixed tensors of a step, allocated for the first view; None if this view does not fit."""
        items, buffers = len(view.items_N), view.buffers()
        if name not in self._places:
            room = -(-int(items * _ROOM) // _STEP) * _STEP
            items_K = torch.full((room,), self.padding, device=self.device)
            copies = tuple(buffer.clone() for buffer in buffers)
            rows = tuple(row_ND.new_zeros(room, row_ND.shape[1]) for row_ND in inputs)
            self._places[name] = _Place(view.over(items_K, copies), items_K, copies, rows)
        place = self._places[name]
        same = all(a.shape == b.shape for a, b in zip(place.buffers, buffers, strict=True))
        return place if same and items <= len(place.items_K) else None

    def _replayed(
        self,
        name: str,
        version: Hashable,
        body: Callable[[], tuple[Tensor, ...]],
        touched: Callable[[], Sequence[Tensor]],
        parameters: Sequence[nn.Parameter],
    ) -> tuple[Tensor, ...]:
        if self.device.type != "cuda":
            return self._plainly(body)
        graphs = self._graphs.setdefault(name, {})
        if version not in graphs:
            if name != "encoder":
                graphs.clear()  # an older version's tensors are gone
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            self._stream = self._stream or torch.cuda.Stream(self.device)
            try:
                captured = Graph(lambda: self._plainly(body), touched(), parameters, self._pool, self._stream)
            except RuntimeError as error:
                self.filter_steps = self.encoder_steps = False
                self.trouble = str(_cause(error)).strip().splitlines()[0]
                return self._plainly(body)
            graphs[version] = captured
        return graphs[version].replay()

    def _plainly(self, body: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """The body run directly; nested calls of `run` do not use fixed tensors."""
        self._inside = True
        try:
            return body()
        finally:
            self._inside = False


def _cause(error: BaseException) -> BaseException:
    """The original error: ending a failed capture raises another one."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _fill(place: _Place, view: View, inputs: Sequence[Tensor], padding: int) -> None:
    """Copy a view and its inputs into the fixed tensors."""
    items = len(view.items_N)
    place.items_K[:items].copy_(view.items_N)
    place.items_K[items:].fill_(padding)
    for fixed, own in zip(place.buffers, view.buffers(), strict=True):
        fixed.copy_(own)
    for rows_KD, own_ND in zip(place.inputs, inputs, strict=True):
        rows_KD[:items].copy_(own_ND.detach())
