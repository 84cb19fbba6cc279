"""The strategies by name."""

import math
from fractions import Fraction

from grambench.config.baselines import NoFinetune as NoFinetuneSpec
from grambench.config.baselines import SpeedyFeed as SpeedyFeedSpec
from grambench.config.spec import LM_KT, STRATEGY_PATTERN, WORD_BASELINES
from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.models.encoders.free import PulledVectors
from grambench.models.encoders.states import TokenStates
from grambench.models.encoders.text import TextEncoder
from grambench.training.phases import System
from grambench.training.protocols import Sampler, Strategy
from grambench.training.strategies.crcf import CRCFEpoch, CRCFStep
from grambench.training.strategies.e2e import EndToEnd, EndToEndUnique
from grambench.training.strategies.filter_only import FilterOnly
from grambench.training.strategies.multi_step import MultiStep
from grambench.training.strategies.no_finetune import NoFinetune, TrainedPooling
from grambench.training.strategies.single_step import SingleStep
from grambench.training.strategies.speedyfeed import SpeedyFeed
from grambench.training.strategies.windows import DriftWindow, FixedWindow, SpreadWindow, WindowRule

__all__ = ["EndToEnd", "EndToEndUnique", "MultiStep", "SingleStep", "make_strategy", "window_steps"]


def window_steps(name: str, steps_per_epoch: int) -> int:
    """CF steps between two encoder updates of a strategy.

    Raises:
        ValueError: the name is no strategy.
    """
    match = STRATEGY_PATTERN.match(name)
    if match is None:
        raise ValueError(f"{name!r} is no strategy")
    if match[2]:
        return int(match[2])
    if match[3]:
        return max(1, math.ceil(Fraction(match[3]) * steps_per_epoch))
    return 1


def make_strategy(
    name: str,
    system: System,
    sampler: Sampler,
    *,
    multi_step: MultiStepSpec,
    micro_batch: int,
    encoder_chunk: int | None,
    seed: int,
    speedyfeed: SpeedyFeedSpec | None = None,
    nofinetune: NoFinetuneSpec | None = None,
) -> Strategy:
    """The strategy of a validated name."""
    if name == "e2e":
        return EndToEnd(system, micro_batch)
    if name == "e2e-unique":
        return EndToEndUnique(system)
    if name == "gram-1s":
        return SingleStep(system, encoder_chunk)
    if name == "nofinetune":
        encoder = system.encode.encoder
        if not isinstance(encoder, TextEncoder) or not encoder.is_frozen:
            return NoFinetune(system, sampler)
        tokens, cache_gib = system.encode.tokens, (nofinetune or NoFinetuneSpec()).cache_gib
        if TokenStates.bytes_for(encoder, tokens) > cache_gib * 2**30:
            return SingleStep(system, encoder_chunk)
        return TrainedPooling(system, sampler, TokenStates(encoder, tokens, system.encode.bucket_tokens))
    if name in ("nocontent", *WORD_BASELINES):  # trained end to end, each distinct item once
        return SingleStep(system)
    if name == LM_KT:
        return FilterOnly(system, micro_batch)
    if name == "speedyfeed":
        return SpeedyFeed(system, sampler, speedyfeed or SpeedyFeedSpec(), seed)
    vectors = system.encode.encoder
    if isinstance(vectors, PulledVectors):
        if name == "crcf-1s":
            return CRCFStep(system, vectors, multi_step.pull)
        return CRCFEpoch(system, vectors, sampler, multi_step, seed)
    rule: WindowRule
    if name == "gram-auto":
        ceiling = multi_step.auto_ceiling or sampler.steps_per_epoch
        kind = SpreadWindow if multi_step.auto_measure == "spread" else DriftWindow
        rule = kind(multi_step.auto_drift, multi_step.auto_floor, ceiling, sampler.steps_per_epoch)
        if multi_step.table_optimizer == "auto":
            multi_step = multi_step.model_copy(update={"table_optimizer": "relative"})
    else:
        rule = FixedWindow(window_steps(name, sampler.steps_per_epoch), sampler.steps_per_epoch)
    return MultiStep(system, sampler, multi_step, rule, seed, encoder_chunk)
