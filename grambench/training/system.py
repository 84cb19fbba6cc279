"""Builds encoder, filter and optimisers of one trial from the specification."""

from dataclasses import dataclass
from typing import Any

import torch

from grambench.config.spec import Spec
from grambench.config.strategies import row_of
from grambench.domains.prepared import Prepared
from grambench.domains.training import interaction_bytes
from grambench.models.encoders.adapt import over_states
from grambench.models.encoders.base import ItemVectors
from grambench.models.encoders.buckets import ItemEncoder, Layout
from grambench.models.encoders.free import (
    FreeItemEncoder,
    FreeVectors,
    NoItemEncoder,
    NoVectors,
    PulledItemEncoder,
    PulledVectors,
    free_vectors,
)
from grambench.models.encoders.packed import PackedRows, row_length
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.training.group import Group
from grambench.training.optim import ScheduledAdam, decaying
from grambench.training.phases import System
from grambench.training.strategies import factory_of
from grambench.training.strategies.networks import FilterModule, NetworkInputs, item_tokens
from grambench.training.timing import TrainClock

PACKED_GRAPHS = 64
"""Graphs of the compiled encoder: 16 numbers of rows, with and without autograd, training and evaluation."""
BUCKET_TOKENS = {"cpu": 3072, "cuda": 16384}
"""Token positions per encoder call; the CPU's from `benchmarks/buckets.py`."""


@dataclass(frozen=True, slots=True)
class Modules:
    """The two networks of a system."""

    encoder: ItemVectors
    filter: FilterModule

    def train(self, mode: bool) -> None:
        """Switch both between training and evaluation."""
        self.encoder.train(mode)
        self.filter.train(mode)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Weights under `encoder.` and `filter.`."""
        named = [("encoder", self.encoder), ("filter", self.filter)]
        return {f"{prefix}.{k}": v for prefix, module in named for k, v in module.state_dict().items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Load weights from `state_dict`."""
        for prefix, module in (("encoder.", self.encoder), ("filter.", self.filter)):
            own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            module.load_state_dict(own)


@dataclass(frozen=True, slots=True)
class Placement:
    """What is kept on the device; everything else is in host memory (pinned for CUDA)."""

    tokens: bool
    interactions: bool


def placement(spec: Spec, data: Prepared) -> Placement:
    """Token ids first, then the interactions with their indices, as far as `data.device_gib` allows."""
    budget = spec.data.device_gib * 2**30
    tokens = data.tokens.nbytes + data.token_offsets.nbytes
    return Placement(tokens <= budget, tokens + interaction_bytes(data) <= budget)


def build_system(
    spec: Spec,
    data: Prepared,
    device: torch.device,
    *,
    seed: int,
    strategy: str = "e2e",
    autocast: bool = False,
    dtype: torch.dtype = torch.float32,
    group: Group | None = None,
) -> tuple[System, Modules]:
    """Modules initialised from `seed`, their optimisers and a clock.

    All strategies that train the specified encoder start from the same weights; baselines with other item
    vectors have their own.

    Raises:
        ConfigError: the heads of the filter do not divide the encoder's width.
        MachineError: the pretrained model, or word vectors, cannot be loaded.
    """
    torch.manual_seed(seed)
    bucket_tokens = spec.encoder.bucket_tokens
    if bucket_tokens == "auto":
        bucket_tokens = BUCKET_TOKENS.get(device.type, BUCKET_TOKENS["cpu"])
    row = row_of(strategy)
    factory = factory_of(row)
    modules = Modules(*factory.networks(NetworkInputs(spec, data, autocast, bucket_tokens)))
    encoder, filter_ = modules.encoder.to(device, dtype), modules.filter.to(device, dtype)
    modules.train(True)
    tokens = ItemTokens(*item_tokens(data, row.vocabulary), device, placement(spec, data).tokens)
    layout = _layout(spec, encoder, tokens, bucket_tokens)
    if spec.encoder.compile != "off" and isinstance(encoder, TextEncoder):
        _compile(encoder, spec.encoder.compile, packed=isinstance(layout, PackedRows))
    free = free_vectors(encoder)
    content = [p for p in encoder.parameters() if free is None or p is not free.rows_ID]
    system = System(
        encode=_item_encoder(spec, encoder, tokens, bucket_tokens, layout),
        filter=filter_,
        encoder_optimizer=ScheduledAdam(content, spec.encoder_optimizer, decayed=decaying(encoder)),
        filter_optimizer=ScheduledAdam(
            filter_.parameters(),
            factory.filter_optimizer(spec),
            free,
            factory.free_optimizer(spec),
            decaying(filter_),
        ),
        clock=TrainClock(device),
        group=group or Group(),
    )
    if isinstance(encoder, PulledVectors):
        system.served = PulledItemEncoder(encoder, tokens, bucket_tokens, layout)
    return system, modules


def _layout(spec: Spec, encoder: ItemVectors, tokens: ItemTokens, call_tokens: int) -> Layout | None:
    """Packed rows if requested and if the strategy's encoder supports them; None: buckets."""
    if spec.encoder.layout != "packed" or not can_pack(encoder, tokens):
        return None
    return PackedRows(int(tokens.lengths.max()), call_tokens)


def can_pack(encoder: ItemVectors, tokens: ItemTokens) -> bool:
    """Whether the encoder can read packed rows, and has at least as many positions as a row."""
    if encoder.packing is None or not len(tokens):
        return False
    return encoder.max_tokens is None or row_length(int(tokens.lengths.max())) <= encoder.max_tokens


def _compile(encoder: TextEncoder, setting: str, packed: bool) -> None:
    """Compile the encoder at its first call: with dynamic shapes, or for each of the few packed shapes."""
    mode = None if setting == "default" else setting
    if packed:
        _allow_graphs(PACKED_GRAPHS)
        encoder.hidden = torch.compile(encoder.hidden, mode=mode, dynamic=False)  # type: ignore[method-assign]
    else:
        encoder.compile(mode=mode, dynamic=True)


def _allow_graphs(number: int) -> None:
    """Raise torch.compile's limit of 8 graphs per function, beyond which it falls back to eager mode."""
    import torch._dynamo as dynamo  # a second of imports

    config: Any = dynamo.config
    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"  # before torch 2.7
    setattr(config, name, max(getattr(config, name), number))


def _item_encoder(
    spec: Spec, encoder: ItemVectors, tokens: ItemTokens, bucket_tokens: int, layout: Layout | None
) -> ItemEncoder:
    if isinstance(encoder, NoVectors):
        return NoItemEncoder(encoder, tokens, bucket_tokens)
    if isinstance(encoder, FreeVectors):
        return FreeItemEncoder(encoder, tokens)
    return over_states(encoder, ItemEncoder(encoder, tokens, bucket_tokens, layout), spec.encoder)
