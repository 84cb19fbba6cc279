"""Builds encoder, filter and optimisers of one trial from the specification."""

from dataclasses import dataclass

import torch

from grambench.config.spec import Spec
from grambench.data.prepared import Prepared
from grambench.errors import ConfigError
from grambench.models.encoders.buckets import ItemEncoder, ItemTokens
from grambench.models.encoders.load import load_encoder
from grambench.models.encoders.text import TextEncoder
from grambench.models.filters.nrms import NRMS
from grambench.training.optim import ScheduledAdam
from grambench.training.phases import System
from grambench.training.timing import TrainClock

BUCKET_TOKENS = {"cpu": 3072, "cuda": 16384}
"""Token positions in one call of the encoder; the CPU's by `benchmarks/buckets.py`."""


@dataclass(frozen=True, slots=True)
class Modules:
    """The two networks of a system."""

    encoder: TextEncoder
    filter: NRMS

    def train(self, mode: bool) -> None:
        """Switch both between training and evaluation."""
        self.encoder.train(mode)
        self.filter.train(mode)

    def state(self) -> dict[str, torch.Tensor]:
        """Weights under `encoder.` and `filter.`."""
        named = [("encoder", self.encoder), ("filter", self.filter)]
        return {f"{prefix}.{k}": v for prefix, module in named for k, v in module.state_dict().items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """The inverse of `state`."""
        for prefix, module in (("encoder.", self.encoder), ("filter.", self.filter)):
            own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            module.load_state_dict(own)


@dataclass(frozen=True, slots=True)
class Residency:
    """What is kept on the device; the rest lies in (for CUDA: pinned) host memory."""

    tokens: bool
    interactions: bool


def residency(spec: Spec, data: Prepared) -> Residency:
    """Token ids first, then the interactions of all parts, while they stay within `data.device_gib`."""
    budget = spec.data.device_gib * 2**30
    tokens = data.tokens.nbytes + data.token_offsets.nbytes
    parts = {id(part): part for part in data.parts.values()}.values()
    interactions = sum(part.nbytes for part in parts)
    return Residency(tokens <= budget, tokens + interactions <= budget)


def build_system(
    spec: Spec,
    data: Prepared,
    device: torch.device,
    *,
    seed: int,
    autocast: bool = False,
    dtype: torch.dtype = torch.float32,
) -> tuple[System, Modules]:
    """Modules with the weights of `seed` (the same for every strategy), their optimisers and a clock.

    Raises:
        ConfigError: `filter.heads` does not divide the encoder's width.
        MachineError: the pretrained model is not to be had.
    """
    torch.manual_seed(seed)
    encoder = load_encoder(spec.encoder, data.manifest.tokenizer.vocabulary_size, autocast)
    try:
        user_model = NRMS(encoder.width, spec.filter.heads, spec.filter.query)
    except ValueError as error:
        raise ConfigError(
            f"filter.heads = {spec.filter.heads} does not divide the encoder's width {encoder.width}.",
            "Give a divisor, for example --set filter.heads=12.",
        ) from error
    encoder.to(device, dtype)
    user_model.to(device, dtype)
    modules = Modules(encoder, user_model)
    modules.train(True)
    if spec.encoder.compile != "off":
        mode = None if spec.encoder.compile == "default" else spec.encoder.compile
        encoder.compile(mode=mode, dynamic=True)  # at the first call; one graph for all shapes
    tokens = ItemTokens(data.tokens, data.token_offsets, device, residency(spec, data).tokens)
    bucket_tokens = spec.encoder.bucket_tokens
    if bucket_tokens == "auto":
        bucket_tokens = BUCKET_TOKENS.get(device.type, BUCKET_TOKENS["cpu"])
    system = System(
        encode=ItemEncoder(encoder, tokens, bucket_tokens),
        filter=user_model,
        encoder_optimizer=ScheduledAdam(encoder.parameters(), spec.encoder_optimizer),
        filter_optimizer=ScheduledAdam(user_model.parameters(), spec.filter_optimizer),
        clock=TrainClock(device),
    )
    return system, modules
