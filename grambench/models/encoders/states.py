"""States of a frozen part of the transformer, computed once per item; what is trained runs on them.

Legend: N items, L token positions, I items of the catalogue, R rows of all items, S features of a row,
D width.
"""

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.models.encoders.base import ItemVectors
from grambench.models.encoders.buckets import Buckets, ItemEncoder, Layout
from grambench.models.encoders.packed import PackedInput
from grambench.models.encoders.side import SideEncoder
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.lengths import bucket_bounds, falling_order
from grambench.models.ranks import ALONE, Ranks
from grambench.models.rows import rows_at
from grambench.transfer import HOST, host_reads, sent, stored

LARGEST_FP16 = float(torch.finfo(torch.float16).max)
_BLOCK = 2048
"""Items whose states are computed at once while a file of all is written."""
_FIRST_ROWS = 1024


class StateRows(ItemTokens):
    """Where the rows of each item's states are: a token's row in place of its id."""

    def __init__(self, lengths_I: NDArray[np.int64], device: torch.device) -> None:
        """No item has rows yet; `lengths_I`: how many it needs."""
        self.device, self.stored_on = device, device
        self.lengths = lengths_I
        self.host_flat, self.host_offsets = np.empty(0, np.int32), np.full(len(lengths_I), -1, np.int64)
        self.offsets = torch.full((len(lengths_I),), -1, device=device)
        self._lengths_I = torch.from_numpy(lengths_I).to(device)

    def place(self, items_N: NDArray[np.int64], starts_N: NDArray[np.int64]) -> None:
        """Record the first row of each of these items."""
        self.host_offsets[items_N] = starts_N
        index_N = torch.from_numpy(items_N).to(self.stored_on)
        self.offsets[index_N] = torch.from_numpy(starts_N).to(self.stored_on)

    def move_to(self, device: torch.device) -> None:
        """Keep the places where the states are."""
        self.stored_on = device
        self.offsets, self._lengths_I = self.offsets.to(device), self._lengths_I.to(device)

    def padded(self, items_N: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Rows [N, L], where the states are, and the mask [N, L] on the device; padding is row 0."""
        positions_L = torch.arange(length, device=items_N.device)
        mask_NL = positions_L < self._lengths_I[items_N][:, None]
        rows_NL = (self.offsets[items_N][:, None] + positions_L).where(mask_NL, 0)
        return rows_NL, sent(mask_NL, self.device)

    def flattened(self, items_N: NDArray[np.int64]) -> NDArray[np.signedinteger[Any]]:
        """Rows of the items, one item after another."""
        return self._places(items_N)


Encoder = TypeVar("Encoder", bound=ItemVectors)


class FrozenStates(ItemVectors, Generic[Encoder]):
    """States of items, computed when they are first asked for, or read from a file that holds all of them.

    In `LayerStates` a row is a token, in `SideStates` an item.
    """

    def __init__(
        self,
        encoder: Encoder,
        tokens: ItemTokens,
        lengths_I: NDArray[np.int64],
        features: int,
        bucket_tokens: int,
        in_fp16: bool,
    ) -> None:
        """
        Args:
            encoder: partly frozen.
            tokens: of the catalogue.
            lengths_I: rows of each item.
            features: S.
            bucket_tokens: most token positions of a call of the frozen part.
            in_fp16: hold states in fp16, if the weights are in fp32.
        """
        super().__init__()
        self.encoder = encoder
        self.width, self.max_tokens = encoder.width, encoder.max_tokens
        self.tokens, self.features, self.in_fp16 = tokens, features, in_fp16
        self.rows = StateRows(lengths_I, tokens.device)
        self.buckets = Buckets(bucket_tokens, self.width, tokens.device)
        self.states_RS = torch.empty(0, features, device=tokens.device)
        self.file: Path | None = None
        """Of all states; None: they are computed on demand."""
        self._used = 0

    def compute(self, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
        """States of padded items by their token ids, without a graph: [real rows of these, S]."""
        raise NotImplementedError

    @property
    def weights_dtype(self) -> torch.dtype:
        """Of the encoder."""
        return next(self.encoder.parameters()).dtype

    @property
    def dtype(self) -> torch.dtype:
        """Of the states."""
        return torch.float16 if self.in_fp16 and self.weights_dtype == torch.float32 else self.weights_dtype

    def no_items(self) -> Tensor:
        return self.encoder.no_items()

    # --- on demand -----------------------------------------------------------------------------

    def require(self, items_N: NDArray[np.int64]) -> int:
        """Compute the states of those of the items that have none; returns the number of calls."""
        if self.file is not None:
            return 0
        if self._used and self.states_RS.dtype != self.dtype:  # the weights have been converted
            self.forget()
        missing_N = np.unique(items_N[self.rows.host_offsets[items_N] < 0])
        if not len(missing_N):
            return 0
        starts_N = self._used + np.cumsum(self.rows.lengths[missing_N]) - self.rows.lengths[missing_N]
        self._grow(self._used + int(self.rows.lengths[missing_N].sum()))
        self.rows.place(missing_N, starts_N)
        calls = 0
        with host_reads():
            for rows, states in self.computed(missing_N):
                if not self._fits(states):
                    self.in_fp16 = False
                    return calls + self.require(items_N)
                self.states_RS[sent(torch.from_numpy(rows), self.states_RS.device)] = states.to(self.dtype)
                calls += 1
        return calls

    def _fits(self, states: Tensor) -> bool:
        """Whether the precision can hold these states."""
        return self.dtype != torch.float16 or float(states.abs().max()) <= LARGEST_FP16

    def forget(self) -> None:
        """Drop all states that were computed on demand."""
        self._used, self.states_RS = 0, self.states_RS[:0]
        self.rows.place(np.arange(len(self.rows)), np.full(len(self.rows), -1))

    def _grow(self, used: int) -> None:
        if used > len(self.states_RS) or self.states_RS.dtype != self.dtype:
            room = max(used, min(int(self.rows.lengths.sum()), max(2 * self._used, _FIRST_ROWS)))
            larger = torch.zeros(room, self.features, dtype=self.dtype, device=self.tokens.device)
            larger[: self._used] = self.states_RS[: self._used]
            self.states_RS = larger
        self._used = used

    @torch.no_grad()
    def computed(self, items_N: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Rows of distinct items, and their states; one pair for each call of the frozen part."""
        lengths_N = self.tokens.lengths[items_N]
        order_N = falling_order(lengths_N)
        most = self.max_tokens or int(lengths_N.max(initial=0))
        bounds = bucket_bounds(lengths_N[order_N], self.buckets.bucket_tokens, self.buckets.call_tokens)
        for start, stop, length in bounds:
            called_N = items_N[order_N[start:stop]]
            index_N = sent(torch.from_numpy(called_N), self.tokens.stored_on)
            ids_NL, mask_NL = self.tokens.padded(index_N, min(length, most))
            yield self.rows.flattened(called_N).astype(np.int64), self.compute(ids_NL, mask_NL)

    # --- a file of all -------------------------------------------------------------------------

    @property
    def file_bytes(self) -> int:
        """Size of a file of all states."""
        return int(self.rows.lengths.sum()) * self.features * self.dtype.itemsize

    def write(self, path: Path, between: Callable[[], None] = lambda: None) -> bool:
        """Compute the states of all items and write them to a new file; `between` is called now and then.

        False: a state is too large for fp16, and the file is of no use.

        Raises:
            OSError: the disk does not take it.
        """
        self.forget()
        self._place_all()
        with path.open("wb") as file:
            file.truncate(max(1, self.file_bytes))
            for first in range(0, len(self.rows), _BLOCK):
                between()
                items_N = np.arange(first, min(first + _BLOCK, len(self.rows)))
                for places, states in self.computed(items_N):
                    if not self._fits(states):
                        return False
                    _write_rows(file, places, states.to(self.dtype).cpu().numpy())
        return True

    def open(self, path: Path, on_device: bool) -> None:
        """Read the states of all items from a file that `write` has written.

        Raises:
            ValueError: the file has another size.
        """
        if path.stat().st_size != max(1, self.file_bytes):
            raise ValueError(f"{path} has {path.stat().st_size} bytes instead of {self.file_bytes}")
        self._place_all()
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        array = np.frombuffer(mapped, np.dtype(str(self.dtype).removeprefix("torch.")))
        array = array[: int(self.rows.lengths.sum()) * self.features].reshape(-1, self.features)
        self.states_RS = stored(array, self.tokens.device if on_device else HOST, on_device)
        self.rows.move_to(self.states_RS.device)
        self.file = path

    def _place_all(self) -> None:
        lengths_I = self.rows.lengths
        self.rows.place(np.arange(len(lengths_I)), np.cumsum(lengths_I) - lengths_I)

    def lookup(self, ids: Tensor) -> Tensor:
        """States [*, S] at rows of any shape, in the precision of the weights, on the device."""
        found = rows_at(self.states_RS, ids.to(self.states_RS.device))
        return sent(found, self.tokens.device).to(self.weights_dtype)


def _write_rows(file: BinaryIO, places: NDArray[np.int64], states: NDArray[Any]) -> None:
    """Write states at their places; not through a mapping, where a full disk would end the process."""
    bounds = np.flatnonzero(np.diff(places) != 1) + 1
    for first, part in zip(places[[0, *bounds]].tolist(), np.split(states, bounds), strict=True):
        file.seek(first * part[0].nbytes)
        file.write(part.tobytes())


class LayerStates(FrozenStates[TextEncoder]):
    """Runs what is trained of a transformer on states of its frozen layers; the pooling alone if all are."""

    def __init__(self, encoder: TextEncoder, tokens: ItemTokens, bucket_tokens: int, in_fp16: bool) -> None:
        features = encoder.width if encoder.cut is None else encoder.cut.width
        super().__init__(encoder, tokens, tokens.lengths, features, bucket_tokens, in_fp16)
        self.packing = encoder.packing

    def compute(self, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
        """States of the real tokens, item after item."""
        return self.encoder.states_below(self.encoder.lookup(ids_NL), mask_NL)[mask_NL]

    def forward(self, states_NLD: Tensor, mask_NL: Tensor) -> Tensor:
        """Item vectors [N, D]."""
        return self.encoder.from_states(states_NLD, mask_NL)

    def packed(self, call: PackedInput) -> Tensor:
        """Item vectors [N, D] of items that share rows."""
        return self.encoder.packed(call, self.lookup(call.ids_GR()))


class SideStates(FrozenStates[SideEncoder]):
    """Runs the side network on pooled states of the frozen transformer: one row an item."""

    def __init__(self, encoder: SideEncoder, tokens: ItemTokens, bucket_tokens: int, in_fp16: bool) -> None:
        ones_I = np.ones(len(tokens), np.int64)
        super().__init__(encoder, tokens, ones_I, encoder.features, bucket_tokens, in_fp16)

    def compute(self, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
        """Pooled states, one row an item."""
        return self.encoder.pooled(self.encoder.lookup(ids_NL), mask_NL)

    def forward(self, states_NS: Tensor) -> Tensor:
        """Item vectors [N, D]."""
        return self.encoder.from_states(states_NS)


class CachedItemEncoder(ItemEncoder):
    """Ids -> vectors, over states of the frozen part."""

    def __init__(
        self, states: "LayerStates | SideStates", bucket_tokens: int, layout: Layout | None = None
    ) -> None:
        """
        Args:
            states: of the catalogue.
            bucket_tokens: most token positions per call.
            layout: arrangement of items in a call; None: buckets.
        """
        super().__init__(states, states.rows, bucket_tokens, layout)
        self.states = states

    def without_cache(self) -> ItemEncoder:
        """The same vectors, from all layers each time."""
        return ItemEncoder(self.states.encoder, self.states.tokens, self.bucket_tokens, self.layout)

    def __call__(self, items_N: NDArray[np.int64], ranks: Ranks = ALONE) -> Tensor:
        self.states.require(items_N)
        if not isinstance(self.states, SideStates):
            return super().__call__(items_N, ranks)
        if ranks.size == 1:
            self.count(items_N, 1)
        return self.vectors(items_N)

    def vectors(self, items_N: NDArray[np.int64]) -> Tensor:
        """Vectors [N, D] of items with one row each, whose states are there."""
        index_N = torch.from_numpy(self.states.rows.host_offsets[items_N])
        vectors_ND: Tensor = self.states(self.states.lookup(sent(index_N, self.states.states_RS.device)))
        return vectors_ND
