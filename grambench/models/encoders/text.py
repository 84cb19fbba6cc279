"""Content encoder: token ids -> pretrained language model -> pooling -> item vector.

Legend: N items, L token positions, D width.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from grambench.models.layers import AdditiveAttention, MaskedMean


class TextEncoder(nn.Module):
    """A transformer of Hugging Face's `AutoModel` family and a pooling of its last hidden states."""

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        pooling: Literal["mean", "attention"],
        pooling_query: int,
        autocast: bool = False,
    ) -> None:
        """`autocast` runs the backbone in bf16 on a CUDA device; vectors leave in fp32."""
        super().__init__()
        self.backbone = backbone
        self.pool = MaskedMean() if pooling == "mean" else AdditiveAttention(width, pooling_query)
        self.width = width
        self.autocast = autocast

    def forward(self, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
        """Item vectors [N, D]; `mask_NL` is True at real tokens, at least one a row."""
        with torch.autocast(ids_NL.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            output: Any = self.backbone(input_ids=ids_NL, attention_mask=mask_NL.long())
            vectors_ND: Tensor = self.pool(output.last_hidden_state, mask_NL)
        return vectors_ND.float() if self.autocast else vectors_ND
