"""Item vectors that no text determines: one trainable row an item.

Legend: I items, N items asked for, D width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grambench.models.encoders.base import ItemVectors
from grambench.models.encoders.buckets import ItemEncoder, Layout
from grambench.models.encoders.packed import PackedInput
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.layers import rows_at
from grambench.transfer import sent

RowGradient = tuple[Tensor, Tensor]
"""Item ids [N] and the gradient [N, D] of their rows; an id may occur several times."""


class _TouchedRows(torch.autograd.Function):
    """Rows of a matrix whose gradient is appended to a list; the matrix itself gets none."""

    @staticmethod
    def forward(ctx: Any, matrix_ID: Tensor, items_N: Tensor, gradients: list[RowGradient]) -> Tensor:
        ctx.save_for_backward(items_N)
        ctx.gradients = gradients
        return rows_at(matrix_ID, items_N)

    @staticmethod
    def backward(ctx: Any, gradient_ND: Tensor) -> tuple[None, None, None]:
        (items_N,) = ctx.saved_tensors
        ctx.gradients.append((items_N, gradient_ND.detach()))
        return None, None, None


class FreeVectors(ItemVectors):
    """`nocontent`: rows drawn from N(0, 1/D), so that a vector's length is about 1."""

    def __init__(self, items: int, width: int, touched_only: bool = False) -> None:
        """`touched_only`: a backward pass adds to `row_gradients`; else it fills a gradient of all rows."""
        super().__init__()
        self.width, self.touched_only = width, touched_only
        self.rows_ID = nn.Parameter(torch.randn(items, width) * width**-0.5)
        self.row_gradients: list[RowGradient] = []
        """Of the backward passes since the last update; the optimiser reads and clears them."""

    def forward(self, items_N: Tensor) -> Tensor:
        """Vectors [N, D] of item ids."""
        if not self.touched_only:
            return rows_at(self.rows_ID, items_N)
        found: Tensor = _TouchedRows.apply(self.rows_ID, items_N, self.row_gradients)  # type: ignore[no-untyped-call]
        return found


class FreeItemEncoder(ItemEncoder):
    """Answers with free vectors where others encode; nothing is tokenised."""

    def __init__(self, vectors: FreeVectors, tokens: ItemTokens) -> None:
        super().__init__(vectors, tokens, bucket_tokens=1)
        self.vectors = vectors

    def __call__(self, items_N: NDArray[np.int64]) -> Tensor:
        self.counts.items += len(items_N)
        found: Tensor = self.vectors(sent(torch.from_numpy(items_N), self.tokens.device))
        return found


class NoVectors(ItemVectors):
    """`lm-kt`: there is no vector of an item."""

    width = 0

    def __init__(self, revision: str | None = None) -> None:
        """`revision`: of the language model."""
        super().__init__()
        self.revision = revision


class NoItemEncoder(ItemEncoder):
    """Answers with vectors of no feature where others encode."""

    def __call__(self, items_N: NDArray[np.int64]) -> Tensor:
        return torch.empty(len(items_N), 0, device=self.tokens.device)


class PulledVectors(ItemVectors):
    """`crcf`: a content encoder, and a free vector for every item that training has met."""

    def __init__(
        self, content: ItemVectors, items: int, touched_only: bool = False, from_content: bool = False
    ) -> None:
        """
        Args:
            content: the encoder.
            items: of the catalogue.
            touched_only: as for `FreeVectors`.
            from_content: an item that is met for the first time starts at its text's vector; else at random.
        """
        super().__init__()
        self.content, self.from_content = content, from_content
        self.width, self.max_tokens, self.revision = content.width, content.max_tokens, content.revision
        self.packing, self.vocabulary = content.packing, content.vocabulary
        self.free = FreeVectors(items, content.width, touched_only)
        self.met_I: Tensor
        self.register_buffer("met_I", torch.zeros(items, dtype=torch.bool))

    @torch.no_grad()
    def meet(self, items_N: Tensor, content_ND: Tensor) -> None:
        """Training meets these distinct items, whose texts have these vectors."""
        if self.from_content:
            met_N1, rows_ID = self.met_I[items_N][:, None], self.free.rows_ID
            rows_ID.index_copy_(0, items_N, torch.where(met_N1, rows_at(rows_ID, items_N), content_ND))
        self.met_I.index_fill_(0, items_N, True)  # assigning a number copies it, and waits for the device

    @contextmanager
    def unmet_afterwards(self, items_N: Tensor) -> Iterator[None]:
        """What `meet` does to these items within is undone."""
        rows_ND, met_N = rows_at(self.free.rows_ID.detach(), items_N), self.met_I[items_N]
        yield
        with torch.no_grad():
            self.free.rows_ID.index_copy_(0, items_N, rows_ND)
        self.met_I[items_N] = met_N

    def lookup(self, ids: Tensor) -> Tensor:
        return self.content.lookup(ids)

    def forward(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        """What the content encoder says."""
        found: Tensor = self.content(words_NLE, mask_NL)
        return found

    def packed(self, call: PackedInput) -> Tensor:
        return self.content.packed(call)


class PulledItemEncoder(ItemEncoder):
    """What evaluation reads of `crcf`: the free vector of an item that was met, else its text's vector."""

    def __init__(
        self, vectors: PulledVectors, tokens: ItemTokens, bucket_tokens: int, layout: Layout | None = None
    ) -> None:
        super().__init__(vectors, tokens, bucket_tokens, layout)
        self.vectors = vectors

    def __call__(self, items_N: NDArray[np.int64]) -> Tensor:
        ids_N = sent(torch.from_numpy(items_N), self.tokens.device)
        met_N1 = self.vectors.met_I[ids_N][:, None]
        return torch.where(met_N1, self.vectors.free(ids_N), super().__call__(items_N))


def free_vectors(encoder: ItemVectors) -> FreeVectors | None:
    """The free rows of an encoder, which train at a rate of their own."""
    if isinstance(encoder, PulledVectors):
        return encoder.free
    return encoder if isinstance(encoder, FreeVectors) else None
