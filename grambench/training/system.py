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
    tokens = ItemTokens(data.tokens, data.token_offsets, device)
    system = System(
        encode=ItemEncoder(encoder, tokens, spec.encoder.bucket_tokens),
        filter=user_model,
        encoder_optimizer=ScheduledAdam(encoder.parameters(), spec.encoder_optimizer),
        filter_optimizer=ScheduledAdam(user_model.parameters(), spec.filter_optimizer),
        clock=TrainClock(device),
    )
    return system, modules
