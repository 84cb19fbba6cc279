"""Token ids of a catalogue. Legend: N items, L token positions."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.transfer import HOST, sent, stored


class ItemTokens:
    """Token ids of the whole catalogue, ragged: item i holds tokens[offsets[i]:offsets[i + 1]]."""

    def __init__(
        self,
        tokens: NDArray[np.int32],
        offsets: NDArray[np.int64],
        device: torch.device,
        resident: bool = True,
    ) -> None:
        """`resident`: kept on `device`; else in pinned host memory, and copied for each call."""
        self.device, self.stored_on = device, device if resident else HOST
        self.flat, self.offsets = (stored(array, device, resident) for array in (tokens, offsets))
        self.host_flat, self.host_offsets = tokens, offsets
        """The host arrays as passed (a mapped file): packed rows are filled from them."""
        self.lengths: NDArray[np.int64] = np.diff(offsets)
        """Tokens per item, on the host: they determine the shapes of the encoder's calls."""

    def __len__(self) -> int:
        return len(self.lengths)

    def flattened(self, items_N: NDArray[np.int64]) -> NDArray[np.signedinteger[Any]]:
        """Token ids of the items, one item after another, on the host."""
        ids: NDArray[np.signedinteger[Any]] = self.host_flat[self._places(items_N)]
        return ids

    def _places(self, items_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of the items' tokens in the flat array."""
        lengths_N = self.lengths[items_N]
        position = np.arange(lengths_N.sum()) - np.repeat(np.cumsum(lengths_N) - lengths_N, lengths_N)
        places: NDArray[np.int64] = np.repeat(self.host_offsets[items_N], lengths_N) + position
        return places

    def padded(self, items_N: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Token ids [N, L] and mask [N, L] on the device; padding is token 0.

        `items_N` must be on the device that holds the tokens.
        """
        start_N = self.offsets[items_N]
        positions_L = torch.arange(length, device=items_N.device)
        mask_NL = positions_L < (self.offsets[items_N + 1] - start_N)[:, None]
        index_NL = (start_N[:, None] + positions_L).where(mask_NL, 0)
        ids_NL = self.flat[index_NL].long() * mask_NL
        return sent(ids_NL, self.device), sent(mask_NL, self.device)
