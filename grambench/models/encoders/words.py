"""Content encoders over pretrained word vectors: the baselines without a language model.

Legend: N items, L token positions, V words of the vocabulary, E features of a word, D width, H heads.
"""

from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from grambench.errors import DataError
from grambench.models.encoders.base import ItemVectors
from grambench.models.pooling import AdditiveAttention, MaskedMean


class PretrainedWords(Protocol):
    """Vectors of the vocabulary's words."""

    @property
    def matrix(self) -> NDArray[Any]:
        """float32 [V, E]."""

    @property
    def found(self) -> NDArray[Any]:
        """Boolean [V]: whether the word has a pretrained vector."""


class WordEncoder(ItemVectors, ABC):
    """Fine-tuned word vectors and a network over them; same interface as `TextEncoder`."""

    def __init__(self, words: PretrainedWords, width: int) -> None:
        """
        Args:
            words: word vectors; missing ones are drawn from N(0, the standard deviation of all features of
                the others), with torch's global generator.
            width: D.

        Raises:
            DataError: no word has a vector.
        """
        super().__init__()
        self.words = nn.Embedding.from_pretrained(_filled(words), freeze=False)
        self.width = width
        self.vocabulary = self.words.num_embeddings
        self.without_vector_V: NDArray[Any] = ~words.found
        """True for words without a pretrained vector."""

    def lookup(self, ids: Tensor) -> Tensor:
        """Word vectors [*, E] of token ids of any shape."""
        vectors: Tensor = self.words(ids)
        return vectors

    @abstractmethod
    def forward(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        """Item vectors [N, D]; `mask_NL` is True at real tokens, at least one per row, padding at the end."""


class BiLSTMEncoder(WordEncoder):
    """EERNN's exercise encoder (Su et al., AAAI 2018): an LSTM in each direction, pooled over the words.

    Mean pooling, as in GRAM's language model for knowledge tracing (paper section 3); EERNN uses max
    pooling.
    """

    def __init__(self, words: PretrainedWords, width: int) -> None:
        """Each direction provides half of the width D.

        Raises:
            ValueError: `width` is odd. DataError: no word has a vector.
        """
        super().__init__(words, width)
        if width % 2:
            raise ValueError(f"the width {width} is odd, but each of two directions provides half of it")
        self.forwards = nn.LSTM(self.words.embedding_dim, width // 2, batch_first=True)
        self.backwards = nn.LSTM(self.words.embedding_dim, width // 2, batch_first=True)
        self.pool = MaskedMean()

    def forward(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        """Item vectors [N, D].

        Both LSTMs read an item's words before any padding, which therefore has no effect, and the host need
        not know the lengths. The mean does not depend on the order of the states.
        """
        reversed_NLE = words_NLE.take_along_dim(_backward_index(mask_NL).unsqueeze(-1), dim=1)
        forward_NLd, _ = self.forwards(words_NLE)
        backward_NLd, _ = self.backwards(reversed_NLE)
        pooled_ND: Tensor = self.pool(torch.cat((forward_NLd, backward_NLd), dim=-1), mask_NL)
        return pooled_ND


class AttentiveWordEncoder(WordEncoder):
    """NRMS's news encoder (Wu et al., EMNLP 2019, section 2.1): self-attention, then additive attention.

    The projections have no output matrix, as in NRMS.
    """

    def __init__(
        self, words: PretrainedWords, heads: int, head_width: int, query: int, dropout: float
    ) -> None:
        """
        Args:
            words: vectors of the vocabulary.
            heads: H.
            head_width: features of each; the width D is `heads` × `head_width`.
            query: query width of the additive attention.
            dropout: probability that a feature of a word vector is zeroed in training.

        Raises:
            DataError: no word has a vector.
        """
        super().__init__(words, heads * head_width)
        self.heads = heads
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(self.words.embedding_dim, 3 * self.width)
        self.pool = AdditiveAttention(self.width, query)

    def forward(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        """Item vectors [N, D]; no pooled position attends to padding."""
        projected_NL3D = self.project(self.dropout(words_NLE))
        query, key, value = projected_NL3D.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended_NHLd = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask_NL[:, None, None, :]
        )
        pooled_ND: Tensor = self.pool(attended_NHLd.transpose(1, 2).flatten(-2), mask_NL)
        return pooled_ND


def _filled(words: PretrainedWords) -> Tensor:
    """The matrix [V, E] with a random draw in every row without a vector."""
    found_V = torch.from_numpy(words.found)
    if not found_V.any():
        raise DataError(
            f"None of the {len(found_V):,} words of the vocabulary has a pretrained vector.",
            "Give word vectors of the data's language, in the case of the tokenizer.",
        )
    matrix_VE = torch.from_numpy(words.matrix)
    deviation = matrix_VE[found_V].std(correction=0)
    return torch.where(found_V[:, None], matrix_VE, torch.randn_like(matrix_VE) * deviation)


def _backward_index(mask_NL: Tensor) -> Tensor:
    """Positions [N, L] from the last word to the first; padding stays in place."""
    positions_L = torch.arange(mask_NL.shape[1], device=mask_NL.device)
    last_N1 = mask_NL.sum(dim=1, keepdim=True) - 1
    return torch.where(mask_NL, last_N1 - positions_L, positions_L)
