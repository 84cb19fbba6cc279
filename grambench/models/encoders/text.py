"""Content encoder: token ids -> pretrained language model -> pooling -> item vector.

Legend: N items, L token positions, G packed rows, R positions of a row, X items or rows, E width of the word
embeddings, D width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from grambench.errors import ConfigError
from grambench.models.encoders.base import ItemVectors, Packing
from grambench.models.encoders.cut import Cut, cut_below
from grambench.models.encoders.half import in_bf16
from grambench.models.encoders.packed import PackedInput
from grambench.models.pooling import Pooling, make_pooling
from grambench.models.rows import rows_at


class TextEncoder(ItemVectors):
    """A transformer loaded by Hugging Face's `AutoModel`, and a pooling of its last hidden states."""

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        pooling: Pooling,
        pooling_query: int,
        autocast: bool = False,
        max_tokens: int | None = None,
        revision: str | None = None,
        ready_mask: bool = False,
        packing: Packing | None = None,
        half_weights: bool = False,
        blank_padding: bool = False,
        word_scale: float = 1.0,
    ) -> None:
        """
        Args:
            backbone: the transformer.
            width: features of its hidden states.
            pooling: of the hidden states at an item's tokens.
            pooling_query: query width of the additive attention.
            autocast: run the backbone in bf16 on a CUDA device; vectors are returned in fp32.
            max_tokens: positions that the backbone distinguishes; None: no limit.
            revision: commit of the pretrained weights on the hub; None: not from the hub.
            ready_mask: the backbone accepts a ready-made attention mask [N, 1, 1, L]; given a mask [N, L],
                transformers would check on the host, in every call, whether anything is masked.
            packing: the backbone can read several items per row, given position ids and a mask.
            half_weights: run the backbone on bf16 copies of its weights, with residuals in bf16, instead of
                in autocast; the weights themselves stay fp32. Vectors are returned in fp32.
            blank_padding: the backbone mixes neighbouring embeddings, so those after an item's end must be
                zeros, as the backbone itself pads.
            word_scale: the backbone multiplies the embeddings of token ids, but not given embeddings, by it.
        """
        super().__init__()
        self.backbone = backbone
        self.pool = make_pooling(pooling, width, pooling_query)
        self.width = width
        self.autocast = autocast
        self.max_tokens = max_tokens
        self.revision = revision
        self.ready_mask = ready_mask
        self.packing = packing
        self.half_weights = half_weights
        self.blank_padding = blank_padding
        self.word_scale = word_scale
        self.vocabulary = int(self._word_embeddings().weight.shape[0])
        self.cut: Cut | None = None
        """Where its frozen part ends; None: all or nothing of it is frozen."""

    def freeze(self) -> None:
        """Train only the pooling from now on, if it has weights: the transformer keeps no graph and has no
        dropout."""
        if next(self.pool.parameters(), None) is not None:
            self.freeze_transformer()

    def freeze_transformer(self) -> None:
        """Train none of the transformer, which then keeps no graph and has no dropout."""
        self.backbone.requires_grad_(False)
        self.backbone.eval()

    def freeze_below(self, layers: int) -> None:
        """Train nothing of the embeddings and the first layers, nor what other layers share with them.

        Raises:
            ConfigError: the model cannot be cut there.
        """
        mode, precision = self.training, (self.autocast, self.half_weights)
        self.eval()
        self.autocast = self.half_weights = False  # states would hang on the bf16 copies of all weights
        frozen, self.cut = cut_below(self.backbone, layers, self.probe)
        self.autocast, self.half_weights = precision
        for parameter in frozen:
            parameter.requires_grad_(False)
        self.train(mode)

    def probe(self, reverse: bool = False) -> Tensor:
        """Last hidden states [1, 3, D] of three tokens, in order or in reverse."""
        order = (3, 2, 1) if reverse else (1, 2, 3)
        ids_NL = torch.tensor([order], device=self._word_embeddings().weight.device)
        return self.states(self.lookup(ids_NL), torch.ones_like(ids_NL, dtype=torch.bool))

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; what is frozen stays in evaluation."""
        super().train(mode)
        if self.is_frozen:
            self.backbone.eval()
        elif self.cut is not None:
            self.backbone.eval()
            for layer in self.cut.layers[self.cut.below :]:
                layer.train(mode)
        return self

    def checkpoint_layers(self) -> None:
        """In training, keep only the input of each layer for the backward pass, which runs the layer again.

        Raises:
            ConfigError: the transformer does not support it.
        """
        backbone: Any = self.backbone
        enable = getattr(backbone, "activation_checkpointing_enable", None)  # from transformers 5.23 on
        backbone.config.use_cache = False
        try:
            (enable or backbone.gradient_checkpointing_enable)({"use_reentrant": False})
        except ValueError as error:
            raise ConfigError(
                f"{type(backbone).__name__} does not support gradient checkpointing, which e2e-gc needs.",
                "Remove e2e-gc from the strategies, or choose another encoder; to save memory with this one,"
                " lower training.micro_batch for e2e.",
            ) from error

    @property
    def checkpointed_layers(self) -> int:
        """Layers that the backward pass runs again; 0: it keeps what it needs of all of them."""
        config: Any = self.backbone.config
        below = 0 if self.cut is None else self.cut.below
        return int(config.num_hidden_layers) - below if self._checkpointed() else 0

    @contextmanager
    def keeping_all(self) -> Iterator[None]:
        """Within the block, keep everything for the backward pass, whether or not layers are checkpointed."""
        switched = self._checkpointed()
        for module in switched:
            module.gradient_checkpointing = False
        yield
        for module in switched:
            module.gradient_checkpointing = True

    def _checkpointed(self) -> list[Any]:
        return [module for module in self.modules() if getattr(module, "gradient_checkpointing", False)]

    @property
    def is_frozen(self) -> bool:
        """Whether only the pooling is trained."""
        return not any(parameter.requires_grad for parameter in self.backbone.parameters())

    def lookup(self, ids: Tensor) -> Tensor:
        """Word embeddings [*, E] of token ids of any shape: the backbone's own first operation.

        Separate from `forward` because the backward pass of a lookup fills a gradient of the whole
        vocabulary: once for all buckets of a step, instead of once per bucket.
        """
        embedded: Tensor = self._word_embeddings()(ids)
        return embedded if self.word_scale == 1.0 else embedded * self.word_scale

    def _word_embeddings(self) -> Any:
        model: Any = self.backbone
        return model.get_input_embeddings()

    def forward(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        """Item vectors [N, D] of word embeddings; `mask_NL` is True at real tokens, at least one per row."""
        vectors_ND: Tensor = self.pool(self.states(words_NLE, mask_NL), mask_NL)
        return vectors_ND

    def states(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        """Last hidden states [N, L, D] of padded items, which `forward` pools."""
        if self.blank_padding:
            words_NLE = words_NLE * mask_NL[:, :, None]
        return self.hidden(words_NLE, mask_NL[:, None, None, :] if self.ready_mask else mask_NL.long())

    def states_below(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        """Hidden states [N, L, D] where the frozen part ends, of padded items."""
        if self.cut is None:
            return self.states(words_NLE, mask_NL)
        return self.cut.states_below(lambda: self.states(words_NLE, mask_NL))

    def from_states(self, states_NLD: Tensor, mask_NL: Tensor) -> Tensor:
        """Item vectors [N, D] of what `states_below` has computed."""
        if self.cut is not None:
            with self.cut.on_states(self._cast(states_NLD)):
                states_NLD = self.states(self._blank(states_NLD), mask_NL)
        vectors_ND: Tensor = self.pool(states_NLD, mask_NL)
        return vectors_ND

    def _cast(self, states: Tensor) -> Tensor:
        return states.bfloat16() if self.half_weights else states

    def _blank(self, states: Tensor) -> Tensor:
        """Word embeddings for a call whose lower layers are left out, which do not matter."""
        width = int(self._word_embeddings().weight.shape[1])
        return states.new_zeros(1, 1, 1).expand(*states.shape[:-1], width)

    def packed(self, call: PackedInput, states_GRD: Tensor | None = None) -> Tensor:
        """Item vectors [N, D] of items that share rows; `states_GRD`: those of the frozen part."""
        assert self.packing is not None
        positions_GR, first = call.positions_GR(), self.packing.first_position
        if first:
            positions_GR = positions_GR + first
        if states_GRD is None:
            hidden_GRD = self.hidden(self.lookup(call.ids_GR()), call.mask_G1RR(), positions_GR)
        elif self.cut is None:
            hidden_GRD = states_GRD
        else:
            with self.cut.on_states(self._cast(states_GRD)):
                hidden_GRD = self.hidden(self._blank(states_GRD), call.mask_G1RR(), positions_GR)
        places_NL, mask_NL = call.places_NL()
        vectors_ND: Tensor = self.pool(rows_at(hidden_GRD.flatten(0, 1), places_NL), mask_NL)
        return vectors_ND

    def hidden(self, words_XLE: Tensor, mask: Tensor, positions_XL: Tensor | None = None) -> Tensor:
        """Last hidden states [X, L, D] of items or rows; with packed rows this method is compiled.

        Args:
            words_XLE: word embeddings.
            mask: in the form that the backbone expects.
            positions_XL: position ids as the backbone counts them; None: consecutive.
        """
        inputs = {"attention_mask": mask} | ({} if positions_XL is None else {"position_ids": positions_XL})
        if self.half_weights:
            output: Any = in_bf16(self.backbone, inputs_embeds=words_XLE.bfloat16(), **inputs)
        else:
            with torch.autocast(words_XLE.device.type, dtype=torch.bfloat16, enabled=self.autocast):
                output = self.backbone(inputs_embeds=words_XLE, **inputs)
        hidden_XLD: Tensor = output.last_hidden_state
        if self.autocast or self.half_weights:
            # pooled in fp32: in bf16 the pseudo-loss would lose small displacements
            hidden_XLD = hidden_XLD.float()
        return hidden_XLD
