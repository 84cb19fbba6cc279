"""Item vectors independent of text: one trainable row per item.

Legend: I items of the catalogue, N requested items, D width.
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
from grambench.models.ranks import ALONE, Ranks
from grambench.models.rows import rows_at
from grambench.transfer import sent

RowGradient = tuple[Tensor, Tensor]
"""Item ids [N] and the gradient [N, D] of their rows; ids may repeat."""


class _TouchedRows(torch.autograd.Function):
    """Gathers rows of a matrix; their gradient is appended to a list, the matrix itself gets none."""

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
    """`nocontent`: rows drawn from N(0, 1/D), so that vectors have a length of about 1."""

    def __init__(self, items: int, width: int, touched_only: bool = False) -> None:
        """`touched_only`: backward passes append to `row_gradients` instead of filling a dense gradient."""
        super().__init__()
        self.width, self.touched_only = width, touched_only
        self.rows_ID = nn.Parameter(torch.randn(items, width) * width**-0.5)
        self.row_gradients: list[RowGradient] = []
        """Gradients since the last update; the optimiser reads and clears them."""

    def forward(self, items_N: Tensor) -> Tensor:
        """Vectors [N, D] of item ids."""
        if not self.touched_only:
            return rows_at(self.rows_ID, items_N)
        rows_ND: Tensor = _TouchedRows.apply(self.rows_ID, items_N, self.row_gradients)  # type: ignore[no-untyped-call]
        return rows_ND


class FreeItemEncoder(ItemEncoder):
    """Returns free vectors instead of encoding; nothing is tokenised."""

    def __init__(self, vectors: FreeVectors, tokens: ItemTokens) -> None:
        super().__init__(vectors, tokens, bucket_tokens=1)
        self.vectors = vectors

    def __call__(self, items_N: NDArray[np.int64], ranks: Ranks = ALONE) -> Tensor:
        self.counts.items += len(items_N)
        vectors_ND: Tensor = self.vectors(sent(torch.from_numpy(items_N), self.tokens.device))
        return vectors_ND


class NoVectors(ItemVectors):
    """`lm-kt`: no item vectors."""

    width = 0

    def __init__(self, revision: str | None = None) -> None:
        """`revision`: of the language model."""
        super().__init__()
        self.revision = revision


class NoItemEncoder(ItemEncoder):
    """Returns vectors of width 0 instead of encoding."""

    def __call__(self, items_N: NDArray[np.int64], ranks: Ranks = ALONE) -> Tensor:
        return torch.empty(len(items_N), 0, device=self.tokens.device)


class PulledVectors(ItemVectors):
    """`crcf`: a content encoder, and a free vector for every item seen in training."""

    def __init__(
        self, content: ItemVectors, items: int, touched_only: bool = False, from_content: bool = False
    ) -> None:
        """
        Args:
            content: the encoder.
            items: size of the catalogue.
            touched_only: as for `FreeVectors`.
            from_content: an item starts at its text's vector when first seen; else at random.
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
        """Mark distinct items as seen in training; `content_ND` are the vectors of their texts."""
        if self.from_content:
            met_N1, rows_ID = self.met_I[items_N][:, None], self.free.rows_ID
            rows_ID.index_copy_(0, items_N, torch.where(met_N1, rows_at(rows_ID, items_N), content_ND))
        self.met_I.index_fill_(0, items_N, True)  # assigning a scalar would wait for the device

    @contextmanager
    def unmet_afterwards(self, items_N: Tensor) -> Iterator[None]:
        """Undo the effects of `meet` on these items on exit."""
        rows_ND, met_N = rows_at(self.free.rows_ID.detach(), items_N), self.met_I[items_N]
        yield
        with torch.no_grad():
            self.free.rows_ID.index_copy_(0, items_N, rows_ND)
        self.met_I[items_N] = met_N

    def lookup(self, ids: Tensor) -> Tensor:
        return self.content.lookup(ids)

    def forward(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        """The content encoder's vectors [N, D]."""
        vectors_ND: Tensor = self.content(words_NLE, mask_NL)
        return vectors_ND

    def packed(self, call: PackedInput) -> Tensor:
        return self.content.packed(call)


class PulledItemEncoder(ItemEncoder):
    """Item vectors for evaluating `crcf`: the free vector of an item seen in training, else its text's."""

    def __init__(
        self, vectors: PulledVectors, tokens: ItemTokens, bucket_tokens: int, layout: Layout | None = None
    ) -> None:
        super().__init__(vectors, tokens, bucket_tokens, layout)
        self.vectors = vectors

    def __call__(self, items_N: NDArray[np.int64], ranks: Ranks = ALONE) -> Tensor:
        ids_N = sent(torch.from_numpy(items_N), self.tokens.device)
        met_N1 = self.vectors.met_I[ids_N][:, None]
        return torch.where(met_N1, self.vectors.free(ids_N), super().__call__(items_N, ranks))


def free_vectors(encoder: ItemVectors) -> FreeVectors | None:
    """The free rows of an encoder, which have their own learning rate; None if there are none."""
    if isinstance(encoder, PulledVectors):
        return encoder.free
    return encoder if isinstance(encoder, FreeVectors) else None
