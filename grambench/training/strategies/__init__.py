"""The strategies' code: a factory for each row of `config.strategies`."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from grambench.config.optimizer import Optimizer
from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.config.spec import Spec
from grambench.config.strategies import StrategyRow, row_of, window_steps
from grambench.errors import ConfigError
from grambench.models.encoders.free import PulledVectors
from grambench.models.encoders.states import TokenStates
from grambench.models.encoders.text import TextEncoder
from grambench.training.phases import System
from grambench.training.protocols import Sampler, Strategy
from grambench.training.strategies import networks
from grambench.training.strategies.crcf import CRCFEpoch, CRCFStep
from grambench.training.strategies.e2e import EndToEnd, EndToEndUnique
from grambench.training.strategies.filter_only import FilterOnly
from grambench.training.strategies.multi_step import MultiStep
from grambench.training.strategies.networks import ENCODER_AND_FILTER, Networks, with_filter
from grambench.training.strategies.no_finetune import NoFinetune, TrainedPooling
from grambench.training.strategies.one_step import OneStep
from grambench.training.strategies.single_step import SingleStep
from grambench.training.strategies.speedyfeed import SpeedyFeed
from grambench.training.strategies.windows import DriftWindow, FixedWindow, SpreadWindow, WindowRule

__all__ = [
    "ENCODER_AND_FILTER",
    "EndToEnd",
    "EndToEndUnique",
    "Factory",
    "MultiStep",
    "OneStep",
    "SingleStep",
    "StrategyInputs",
    "factory_of",
    "make_strategy",
    "window_steps",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyInputs:
    """What a strategy is made of."""

    name: str
    """As the run has it, with its number."""
    system: System
    sampler: Sampler
    seed: int
    micro_batch: int
    """Users whose graph memory planning allows at once."""
    encoder_chunk: int | None
    """Items whose graph it allows at once; None: one graph fits."""
    spec: Spec
    """The run's settings with the trial's own."""


@dataclass(frozen=True, slots=True)
class Factory:
    """How a strategy and the networks that it trains are made."""

    strategy: Callable[[StrategyInputs], Strategy]
    networks: Networks = ENCODER_AND_FILTER
    filter_optimizer: Callable[[Spec], Optimizer] = lambda spec: spec.filter_optimizer
    """The filter's."""
    free_optimizer: Callable[[Spec], Optimizer] = lambda spec: spec.crcf.optimizer
    """That of the free item vectors, where there are any."""


def _no_finetune(made_of: StrategyInputs) -> Strategy:
    system, sampler = made_of.system, made_of.sampler
    encoder, tokens = system.encode.encoder, system.encode.tokens
    if not isinstance(encoder, TextEncoder) or not encoder.is_frozen:
        return NoFinetune(system, sampler)
    if TokenStates.bytes_for(encoder, tokens) > made_of.spec.nofinetune.cache_gib * 2**30:
        return SingleStep(system, made_of.encoder_chunk)
    return TrainedPooling(system, sampler, TokenStates(encoder, tokens, system.encode.bucket_tokens))


def _pulled(system: System) -> PulledVectors:
    vectors = system.encode.encoder
    assert isinstance(vectors, PulledVectors)
    return vectors


def _fixed(made_of: StrategyInputs) -> Strategy:
    per_epoch = made_of.sampler.steps_per_epoch
    rule = FixedWindow(window_steps(made_of.name, per_epoch), per_epoch)
    return _multi_step(made_of, made_of.spec.multi_step, rule)


def _auto(made_of: StrategyInputs) -> Strategy:
    spec, auto = made_of.spec.multi_step, made_of.spec.gram_auto
    per_epoch = made_of.sampler.steps_per_epoch
    kind = SpreadWindow if auto.measure == "spread" else DriftWindow
    rule = kind(auto.drift, auto.floor, auto.ceiling or per_epoch, per_epoch)
    if spec.table_optimizer == "auto":
        spec = spec.model_copy(update={"table_optimizer": "relative"})
    return _multi_step(made_of, spec, rule)


def _multi_step(made_of: StrategyInputs, spec: MultiStepSpec, rule: WindowRule) -> MultiStep:
    return MultiStep(made_of.system, made_of.sampler, spec, rule, made_of.seed, made_of.encoder_chunk)


def _each_item_once(made_of: StrategyInputs) -> Strategy:
    return SingleStep(made_of.system)


_PULLED = with_filter(networks.pulled_rows)
FACTORIES: dict[str, Factory] = {
    "e2e": Factory(lambda made_of: EndToEnd(made_of.system, made_of.micro_batch)),
    "e2e-unique": Factory(lambda made_of: EndToEndUnique(made_of.system)),
    "gram-1s": Factory(lambda made_of: SingleStep(made_of.system, made_of.encoder_chunk)),
    "gram-<N>s": Factory(_fixed),
    "gram-<x>e": Factory(_fixed),
    "gram-auto": Factory(_auto),
    "nofinetune": Factory(_no_finetune, with_filter(networks.frozen_encoder)),
    "nocontent": Factory(
        _each_item_once, with_filter(networks.free_rows), free_optimizer=lambda spec: spec.nocontent.optimizer
    ),
    "crcf-1s": Factory(
        lambda made_of: CRCFStep(made_of.system, _pulled(made_of.system), made_of.spec.crcf.pull), _PULLED
    ),
    "crcf-1e": Factory(
        lambda made_of: CRCFEpoch(
            made_of.system,
            _pulled(made_of.system),
            made_of.sampler,
            made_of.spec.multi_step,
            made_of.spec.crcf.pull,
            made_of.seed,
        ),
        _PULLED,
    ),
    "eernn": Factory(_each_item_once, with_filter(networks.bilstm)),
    "nrms": Factory(_each_item_once, with_filter(networks.attentive_words)),
    "lm-kt": Factory(
        lambda made_of: FilterOnly(made_of.system, made_of.micro_batch),
        networks.language_model,
        filter_optimizer=lambda spec: spec.encoder_optimizer,
    ),
    "speedyfeed": Factory(
        lambda made_of: SpeedyFeed(made_of.system, made_of.sampler, made_of.spec.speedyfeed, made_of.seed)
    ),
}
"""By the name of the row."""


def factory_of(row: StrategyRow) -> Factory:
    """The factory of a row; a plug-in's is imported.

    Raises:
        ConfigError: the plug-in has no such factory.
    """
    if not row.package:
        return FACTORIES[row.name]
    module, _, attribute = row.factory.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # another package's code can raise anything
        raise ConfigError(
            f"The factory {row.factory} of the plug-in {row.package} cannot be loaded:"
            f" {type(error).__name__}: {error}.",
            "Reinstall the plug-in, or remove its strategy from the run.",
        ) from error
    return found if isinstance(found, Factory) else Factory(found)


def make_strategy(
    name: str,
    system: System,
    sampler: Sampler,
    *,
    spec: Spec,
    micro_batch: int,
    encoder_chunk: int | None,
    seed: int,
) -> Strategy:
    """The strategy of a validated name.

    Raises:
        ConfigError: its plug-in has no such factory.
    """
    made_of = StrategyInputs(
        name=name,
        system=system,
        sampler=sampler,
        seed=seed,
        micro_batch=micro_batch,
        encoder_chunk=encoder_chunk,
        spec=spec,
    )
    return factory_of(row_of(name)).strategy(made_of)
