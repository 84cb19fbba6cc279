"""The strategies: a factory for each row of `config.strategies`."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from grambench.config.optimizer import Optimizer, RowOptimizer
from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.config.spec import Spec
from grambench.config.strategies import StrategyRow, row_of, window_steps
from grambench.errors import ConfigError
from grambench.models.encoders.free import PulledVectors
from grambench.models.encoders.states import LayerStates
from grambench.models.encoders.text import TextEncoder
from grambench.training.phases import System
from grambench.training.protocols import Sampler, Strategy
from grambench.training.strategies import networks
from grambench.training.strategies.candidates import CandidatesOnly
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
    """Arguments of a strategy's factory."""

    name: str
    """Full name, including the number of a family."""
    system: System
    sampler: Sampler
    seed: int
    micro_batch: int
    """Users per graph, according to memory planning."""
    encoder_chunk: int | None
    """Items per graph, according to memory planning; None: one graph fits."""
    spec: Spec
    """The run's settings with the trial's own."""


@dataclass(frozen=True, slots=True)
class Factory:
    """Creates a strategy and the networks it trains."""

    strategy: Callable[[StrategyInputs], Strategy]
    networks: Networks = ENCODER_AND_FILTER
    filter_optimizer: Callable[[Spec], Optimizer] = lambda spec: spec.filter_optimizer
    """The filter's."""
    free_optimizer: Callable[[Spec], RowOptimizer] = lambda spec: spec.crcf.optimizer
    """That of the free item vectors, where there are any."""


def _no_finetune(inputs: StrategyInputs) -> Strategy:
    system, sampler = inputs.system, inputs.sampler
    encoder, tokens = system.encode.encoder, system.encode.tokens
    if not isinstance(encoder, TextEncoder) or not encoder.is_frozen:
        return NoFinetune(system, sampler)
    states = LayerStates(encoder, tokens, system.encode.bucket_tokens, in_fp16=False)
    if states.file_bytes > inputs.spec.nofinetune.cache_gib * 2**30:
        return SingleStep(system, inputs.encoder_chunk)
    return TrainedPooling(system, sampler, states)


def _pulled(system: System) -> PulledVectors:
    vectors = system.encode.encoder
    assert isinstance(vectors, PulledVectors)
    return vectors


def _fixed(inputs: StrategyInputs) -> Strategy:
    per_epoch = inputs.sampler.steps_per_epoch
    rule = FixedWindow(window_steps(inputs.name, per_epoch), per_epoch)
    return _multi_step(inputs, inputs.spec.multi_step, rule)


def _auto(inputs: StrategyInputs) -> Strategy:
    spec, auto = inputs.spec.multi_step, inputs.spec.gram_auto
    per_epoch = inputs.sampler.steps_per_epoch
    kind = SpreadWindow if auto.measure == "spread" else DriftWindow
    rule = kind(auto.drift, auto.floor, auto.ceiling or per_epoch, per_epoch)
    if spec.table_optimizer == "auto":
        spec = spec.model_copy(update={"table_optimizer": "relative"})
    return _multi_step(inputs, spec, rule)


def _multi_step(inputs: StrategyInputs, spec: MultiStepSpec, rule: WindowRule) -> MultiStep:
    return MultiStep(inputs.system, inputs.sampler, spec, rule, inputs.seed, inputs.encoder_chunk)


def _end_to_end(inputs: StrategyInputs) -> Strategy:
    return EndToEnd(inputs.system, inputs.micro_batch)


def _each_item_once(inputs: StrategyInputs) -> Strategy:
    return SingleStep(inputs.system)


_PULLED = with_filter(networks.pulled_rows)
FACTORIES: dict[str, Factory] = {
    "e2e": Factory(_end_to_end),
    "e2e-gc": Factory(_end_to_end, with_filter(networks.checkpointed_encoder)),
    "e2e-unique": Factory(lambda inputs: EndToEndUnique(inputs.system)),
    "e2e-cand": Factory(lambda inputs: CandidatesOnly(inputs.system, inputs.encoder_chunk)),
    "gram-1s": Factory(lambda inputs: SingleStep(inputs.system, inputs.encoder_chunk)),
    "gram-<N>s": Factory(_fixed),
    "gram-<x>e": Factory(_fixed),
    "gram-auto": Factory(_auto),
    "nofinetune": Factory(_no_finetune, with_filter(networks.frozen_encoder)),
    "nocontent": Factory(
        _each_item_once, with_filter(networks.free_rows), free_optimizer=lambda spec: spec.nocontent.optimizer
    ),
    "crcf-1s": Factory(
        lambda inputs: CRCFStep(inputs.system, _pulled(inputs.system), inputs.spec.crcf.pull), _PULLED
    ),
    "crcf-1e": Factory(
        lambda inputs: CRCFEpoch(
            inputs.system,
            _pulled(inputs.system),
            inputs.sampler,
            inputs.spec.multi_step,
            inputs.spec.crcf.pull,
            inputs.seed,
        ),
        _PULLED,
    ),
    "eernn": Factory(_each_item_once, with_filter(networks.bilstm)),
    "nrms": Factory(_each_item_once, with_filter(networks.attentive_words)),
    "lm-kt": Factory(
        lambda inputs: FilterOnly(inputs.system, inputs.micro_batch),
        networks.language_model,
        filter_optimizer=lambda spec: spec.encoder_optimizer,
    ),
    "speedyfeed": Factory(
        lambda inputs: SpeedyFeed(inputs.system, inputs.sampler, inputs.spec.speedyfeed, inputs.seed)
    ),
}
"""By name of the row."""


def factory_of(row: StrategyRow) -> Factory:
    """The factory of a row; imports a plug-in's.

    Raises:
        ConfigError: a plug-in's factory cannot be loaded.
    """
    if not row.package:
        return FACTORIES[row.name]
    module, _, attribute = row.factory.partition(":")
    try:
        factory = getattr(import_module(module), attribute)
    except Exception as error:  # another package's code can raise anything
        raise ConfigError(
            f"The factory {row.factory} of the plug-in {row.package} cannot be loaded:"
            f" {type(error).__name__}: {error}.",
            "Reinstall the plug-in, or remove its strategy from the run.",
        ) from error
    return factory if isinstance(factory, Factory) else Factory(factory)


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
    """Create the strategy of a validated name.

    Raises:
        ConfigError: a plug-in's factory cannot be loaded.
    """
    inputs = StrategyInputs(
        name=name,
        system=system,
        sampler=sampler,
        seed=seed,
        micro_batch=micro_batch,
        encoder_chunk=encoder_chunk,
        spec=spec,
    )
    return factory_of(row_of(name)).strategy(inputs)
