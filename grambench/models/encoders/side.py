"""IISAN's side network (Fu et al., SIGIR 2024), text only: trained on pooled states of a frozen transformer.

Legend: N items, L token positions, E width of the word embeddings, n states of an item, D width.
"""

from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from grambench.errors import ConfigError
from grambench.models.encoders.base import ItemVectors
from grambench.models.encoders.cut import captured, layers_of
from grambench.models.encoders.text import TextEncoder
from grambench.models.pooling import MaskedFirst, MaskedMean

_TEMPERATURE = 0.1
"""Of the gates, as published."""
_DEVIATION = 0.01
"""Of the bottlenecks' weights at the start, as published."""
_WIDEST = 16
"""Most features of a bottleneck, in widths of the states: published are 1/12 and 2."""


class SideNetwork(nn.Module):
    """s ← 0; for each state h: x = g h + (1 − g) s, s = x + Up(GELU(Down(x))); then two linear maps.

    A gate g = σ(γ / 0.1) starts at ½. The published heads end at the filter's width; here the width stays D.
    """

    def __init__(self, states: int, width: int, bottleneck: int) -> None:
        """
        Args:
            states: n.
            width: D, of the states and of the vectors.
            bottleneck: features between Down and Up.
        """
        super().__init__()
        self.gates = nn.Parameter(torch.zeros(states))
        self.down = nn.ModuleList(nn.Linear(width, bottleneck) for _ in range(states))
        self.up = nn.ModuleList(nn.Linear(bottleneck, width) for _ in range(states))
        self.head = nn.Sequential(nn.Linear(width, width), nn.Linear(width, width))
        for linear in (*self.down, *self.up):
            assert isinstance(linear, nn.Linear)
            nn.init.normal_(linear.weight, std=_DEVIATION)
            nn.init.zeros_(linear.bias)

    def forward(self, states_NnD: Tensor) -> Tensor:
        """Item vectors [N, D]."""
        running_ND = torch.zeros_like(states_NnD[:, 0])
        gates = torch.sigmoid(self.gates / _TEMPERATURE)
        for i, (down, up) in enumerate(zip(self.down, self.up, strict=True)):
            mixed_ND = gates[i] * states_NnD[:, i] + (1 - gates[i]) * running_ND
            running_ND = mixed_ND + up(functional.gelu(down(mixed_ND)))
        vectors_ND: Tensor = self.head(running_ND)
        return vectors_ND


class SideEncoder(ItemVectors):
    """A frozen transformer, and a side network that is trained on its states."""

    def __init__(self, text: TextEncoder, layers: int | None, pool: str, bottleneck: int) -> None:
        """
        Args:
            text: its transformer is frozen, and its pooling is not used.
            layers: number of layers that are read beside the embeddings; None: every second one.
            pool: `first` or `mean`, of a layer's token states.
            bottleneck: width of the blocks' bottlenecks.

        Raises:
            ConfigError: the model's layers cannot be told apart, or are fewer than `layers`; or
                the bottleneck is far wider than its states.
        """
        super().__init__()
        self.text = text
        text.requires_grad_(False)
        self.read = read_layers(len(layers_of(text.backbone)), layers)
        self.pool = MaskedFirst() if pool == "first" else MaskedMean()
        self.width, self.max_tokens = self._states_width(), text.max_tokens
        if bottleneck > _WIDEST * self.width:
            raise ConfigError(
                f"encoder.side.width = {bottleneck}, but the encoder's states are {self.width} wide.",
                f"Use {self.width} or less; up to {_WIDEST * self.width} can be used.",
            )
        self.side = SideNetwork(len(self.read), self.width, bottleneck)
        self.vocabulary, self.revision = text.vocabulary, text.revision
        self.features = len(self.read) * self.width

    def _states_width(self) -> int:
        with torch.no_grad(), captured(layers_of(self.text.backbone), self.read) as states:
            self.text.probe()
        return int(states[-1].shape[-1])

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; the transformer stays in evaluation."""
        super().train(mode)
        self.text.eval()
        return self

    def no_items(self) -> Tensor:
        """Vectors [0, D]."""
        return self.side.gates.new_zeros(0, self.width)

    def lookup(self, ids: Tensor) -> Tensor:
        return self.text.lookup(ids)

    def forward(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        """Item vectors [N, D] of word embeddings."""
        return self.from_states(self.pooled(words_NLE, mask_NL))

    @torch.no_grad()
    def pooled(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        """Pooled states of the layers that are read [N, n D]."""
        with captured(layers_of(self.text.backbone), self.read) as states:
            self.text.states(words_NLE, mask_NL)
        return self.pool_states(states, mask_NL)

    def pool_states(self, states: list[Tensor], mask_NL: Tensor) -> Tensor:
        """States [N, L, D] of each layer, pooled: [N, n D]."""
        dtype = self.side.gates.dtype
        return torch.cat([self.pool(states_NLD.to(dtype), mask_NL) for states_NLD in states], dim=1)

    def from_states(self, states_NS: Tensor) -> Tensor:
        """Item vectors [N, D] of pooled states."""
        vectors_ND: Tensor = self.side(states_NS.unflatten(1, (len(self.read), self.width)))
        return vectors_ND


def read_layers(number: int, layers: int | None) -> list[int]:
    """Numbers of the states that are read: 0, the embeddings, and layers evenly up to the last.

    Raises:
        ConfigError: there are not so many layers.
    """
    count = max(1, number // 2) if layers is None else layers
    if count > number:
        raise ConfigError(f"encoder.side.layers = {layers}, but the encoder has {number}.", "Lower it.")
    return [0, *(np.linspace(0, number, count + 1)[1:].round().astype(int).tolist())]
