"""The two networks of a run: content encoder and collaborative filter."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from grambench.config.table import Positive, Table


class Architecture(Table):
    """A BERT made from scratch, nothing downloaded; its WordPiece vocabulary comes from the corpus."""

    hidden_size: Positive = 64
    """Width of the encoder, in features."""
    layers: Positive = 2
    """Transformer layers."""
    heads: Positive = 4
    """Attention heads; must divide `hidden_size`."""
    intermediate_size: Positive = 256
    """Width of the feed-forward layer, in features."""
    vocabulary: Annotated[int, Field(ge=64)] = 4000
    """Largest WordPiece vocabulary, in tokens."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Architecture":
        if self.hidden_size % self.heads:
            raise ValueError(f"heads = {self.heads} must divide hidden_size = {self.hidden_size}")
        return self


class Freeze(Table):
    """`adapt = "freeze"`: embeddings and first layers stay as they are."""

    layers: Positive | Literal["auto"] = "auto"
    """Layers below the trained ones; `auto`: all but a sixth of them (10 of 12, as in MicroLens)."""


class Lora(Table):
    """`adapt = "lora"`: low-rank updates of frozen weights (Hu et al., 2022); no dropout."""

    rank: Positive = 8
    """Rank r of an update B A."""
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """The update is scaled by alpha / r."""
    scaling: Literal["rank", "sqrt-rank"] = "rank"
    """`sqrt-rank`: by alpha / sqrt(r) (rsLoRA)."""
    targets: Literal["auto", "all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = "auto"
    """Which linear maps of a layer are updated: `auto`: of queries and values; or names such as `query`."""
    frozen_layers: Annotated[int, Field(ge=0)] = 0
    """First layers without updates; their output is cached like that of `freeze`."""


class Side(Table):
    """`adapt = "side"`: a side network on states of the frozen transformer (IISAN, Fu et al., 2024)."""

    layers: Positive | Literal["every-second"] = "every-second"
    """How many layers it reads beside the embeddings, evenly spaced up to the last."""
    pool: Literal["first", "mean"] = "first"
    """A layer's state of an item: the first token's (IISAN), or the mean of all tokens'."""
    width: Positive = 64
    """Width of each block's bottleneck, in features."""


class Encoder(Table):
    """Content encoder: text of an item -> vector."""

    model: str | None = None
    """Hugging Face model name or a folder; unset when `architecture` is given."""
    revision: str | None = None
    """Commit of the model; unset: the newest in the cache or on the hub."""
    architecture: Architecture | None = None
    """Instead of `model`: a BERT from scratch."""
    layers: Positive | None = None
    """Keep only the first layers of `model`; unset: all."""
    adapt: Literal["full", "freeze", "lora", "side", "none"] = "full"
    """What of the transformer is trained: all of it, its last layers, low-rank updates, a side network on its
    states, or nothing. The pooling is trained in each case, if it has weights."""
    cache: Literal["auto", "device", "host", "off"] = "auto"
    """Where states below the trained layers lie, which are computed once for each item, in fp16: on the
    device, or in a mapped file; `auto`: on the device up to `cache_gib`. `off`: computed in each step."""
    cache_gib: Annotated[float, Field(ge=0)] = 4.0
    """Largest cache on the device, in GiB (`cache = "auto"`)."""
    freeze: Freeze = Freeze()
    lora: Lora = Lora()
    side: Side = Side()
    pooling: Literal["own-or-attention", "own-or-mean", "attention", "mean", "cls", "last"] = (
        "own-or-attention"
    )
    """Token vectors -> item vector: additive attention, masked mean, or the first or last token's vector.
    `own-or-…`: as the files of a sentence-transformers model say, else attention or mean."""
    pooling_query: Positive = 200
    """Query width of additive-attention pooling, in features."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout inside the encoder; above 0 the run is marked not comparable to E2E."""
    precision: Literal["auto", "bf16", "bf16-weights", "fp32"] = "auto"
    """`auto`: bf16 autocast where the CUDA device has it, else fp32. `bf16-weights` computes on bf16 copies
    of fp32 weights, with residuals in bf16: faster, and further from fp32."""
    layout: Literal["auto", "buckets", "packed"] = "auto"
    """How items share the encoder's calls: `buckets` pads items of like length to one length; `packed` puts
    several into rows of 128 positions, where the model can read them so. `auto`: on a GPU the probe before
    the run takes the faster one; on a CPU it is `buckets`."""
    compile: Literal["off", "default", "reduce-overhead"] = "off"
    """torch.compile of the encoder: of one graph for all bucketed shapes, or of each packed one.
    `reduce-overhead` adds CUDA graphs. The time it takes is not training time; the report gives it apart."""
    bucket_tokens: Annotated[int, Field(ge=64)] | Literal["auto"] = "auto"
    """Token positions in one call of the encoder; `auto`: 3072 on a CPU, where a call should stay within the
    caches; on a GPU the probe before the run chooses among sizes that fit its memory."""

    @property
    def keeps_states(self) -> bool:
        """Whether states of frozen layers are computed once for each item."""
        below = self.adapt in ("freeze", "side", "none") or (self.adapt == "lora" and self.lora.frozen_layers)
        return bool(below) and self.cache != "off"

    def keeps_on_device(self, states_bytes: int) -> bool:
        """Whether states of so many bytes lie on the device."""
        return self.cache == "device" or (self.cache == "auto" and states_bytes <= self.cache_gib * 2**30)

    @model_validator(mode="after")
    def _one_source(self) -> "Encoder":
        if (self.model is None) == (self.architecture is None):
            raise ValueError("give exactly one of model and architecture")
        return self


class NRMS(Table):
    """NRMS (Wu et al., 2019): self-attention over the history, then additive attention."""

    heads: Positive = 16
    """Heads of the self-attention over the history; must divide the encoder's width."""
    query: Positive = 200
    """Query width of the additive attention, in features."""


class NAML(Table):
    """The user side of NAML (Wu et al., 2019): additive attention over the history."""

    query: Positive = 200
    """Query width of the additive attention, in features."""


class SASRec(Table):
    """SASRec (Kang and McAuley, 2018) over item vectors; no dropout."""

    blocks: Positive = 2
    """Blocks of causal self-attention and a feed-forward layer."""
    heads: Positive = 2
    """Heads of the self-attention; must divide the encoder's width."""
    negatives: Literal["sampled", "in-batch"] = "sampled"
    """Of the clicked item: `sampled`, the user's own (`training.negatives`); `in-batch`, the distinct
    candidates of all users of the batch, except those in the user's history."""


class SAKT(Table):
    """SAKT (Pandey and Karypis, 2019) over item vectors; no dropout."""

    blocks: Positive = 2
    """Blocks in which the item asked attends to earlier answers."""
    heads: Positive = 8
    """Heads of the attention; must divide the encoder's width."""


class LSTM(Table):
    """A long short-term memory over the answers before the question."""

    layers: Positive = 2
    """Layers, each as wide as the encoder."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout between the layers and after the last one."""
    masks: Literal["counter", "torch"] = "counter"
    """What dropout draws from: `counter` gives a user the same masks in any micro-batch and on any number of
    ranks; `torch`, torch's global generator, is what version 0.1 drew from, and for one rank only."""


class Filter(Table):
    """Collaborative filter over item vectors."""

    kind: str = "auto"
    """nrms, mean, naml or sasrec (news), lstm or sakt (knowledge tracing); `auto`: nrms or lstm."""
    history: Annotated[int, Field(ge=1, le=1000)] = 50
    """News: the latest clicks that the filter reads."""
    sequence: Annotated[int, Field(ge=2, le=1000)] = 100
    """Knowledge tracing: answers in a sequence: a random window in training, the last ones in a test."""
    tf32: bool = False
    """On CUDA, compute fp32 matrix products in TF32: the filter's and the pooling's, and with
    `encoder.precision = "fp32"` the encoder's as well. The audit never does."""
    nrms: NRMS = NRMS()
    naml: NAML = NAML()
    sasrec: SASRec = SASRec()
    lstm: LSTM = LSTM()
    sakt: SAKT = SAKT()
