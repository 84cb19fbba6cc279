"""Content encoder: token ids -> pretrained language model -> pooling -> item vector.

Legend: N items, L token positions, E width of the word embeddings, D width.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from grambench.models.encoders.base import ItemVectors
from grambench.models.layers import AdditiveAttention, MaskedMean


class TextEncoder(ItemVectors):
    """A transformer of Hugging Face's `AutoModel` family and a pooling of its last hidden states."""

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        pooling: Literal["mean", "attention"],
        pooling_query: int,
        autocast: bool = False,
        max_tokens: int | None = None,
        revision: str | None = None,
        ready_mask: bool = False,
    ) -> None:
        """
        Args:
            backbone: the transformer.
            width: features of its hidden states.
            pooling: masked mean, or additive attention.
            pooling_query: query width of the additive attention.
            autocast: run the backbone in bf16 on a CUDA device; vectors leave in fp32.
            max_tokens: positions that the backbone can tell apart; None: no limit.
            revision: commit of the pretrained weights on the hub; None: not from the hub.
            ready_mask: the backbone takes attention's own mask [N, 1, 1, L] as it is; from a mask [N, L]
                transformers would find out on the host, in every call, whether anything is masked.
        """
        super().__init__()
        self.backbone = backbone
        self.pool = MaskedMean() if pooling == "mean" else AdditiveAttention(width, pooling_query)
        self.width = width
        self.autocast = autocast
        self.max_tokens = max_tokens
        self.revision = revision
        self.ready_mask = ready_mask

    def lookup(self, ids: Tensor) -> Tensor:
        """Word embeddings [*, E] of token ids of any shape: what the backbone itself does first.

        Apart from `forward`, because the backward pass of a lookup fills a gradient for the whole vocabulary:
        once for all buckets of a step, instead of once a bucket.
        """
        words: Any = self.backbone
        embedded: Tensor = words.get_input_embeddings()(ids)
        return embedded

    def forward(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        """Item vectors [N, D] of word embeddings; `mask_NL` is True at real tokens, at least one a row."""
        with torch.autocast(words_NLE.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            mask = mask_NL[:, None, None, :] if self.ready_mask else mask_NL.long()
            output: Any = self.backbone(inputs_embeds=words_NLE, attention_mask=mask)
        hidden_NLD: Tensor = output.last_hidden_state
        if self.autocast:  # pooled in fp32: in bf16 the pseudo-loss would lose small displacements
            hidden_NLD = hidden_NLD.float()
        vectors_ND: Tensor = self.pool(hidden_NLD, mask_NL)
        return vectors_ND
