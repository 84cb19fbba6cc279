"""What differs between news and knowledge tracing: filter, batches, evaluation. No strategy knows."""

from collections.abc import Callable
from typing import Any, Literal

import torch

from grambench.config.spec import Spec
from grambench.data.answer_sampler import AnswerSampler
from grambench.data.prepared import Part, Prepared
from grambench.data.sampler import NewsSampler, sampler_bytes
from grambench.data.sequences import Sequences
from grambench.errors import ConfigError
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.filters.lm_kt import LMKT
from grambench.models.filters.nrms import NRMS
from grambench.models.filters.tracer import LSTMTracer
from grambench.training.evaluate import Evaluation, RankingEvaluator
from grambench.training.evaluate_answers import AnswerEvaluator

FilterModule = NRMS | LSTMTracer | LMKT
Evaluator = Callable[[ItemEncoder, Any], Evaluation]
"""Called with the encoder and the filter of its domain."""
TrainSampler = NewsSampler | AnswerSampler
_POSITION = 8
"""Bytes."""


def interaction_bytes(data: Prepared) -> int:
    """Bytes of the interactions, and of what is indexed of them, that sampler and evaluators keep."""
    train = data.parts["train"]
    if isinstance(train, Sequences):  # which of the answers are scored is not asked of the train part
        drawn = train.nbytes - train.scored.nbytes + _POSITION * len(train)
    else:
        drawn = sampler_bytes(train)
    scored = {id(part): part for part in (data.parts["validation"], data.parts["test"])}.values()
    items = len(data.token_offsets) - 1
    return drawn + sum(_scored_bytes(part) + _POSITION * items for part in scored)


def _scored_bytes(part: Part | Sequences) -> int:
    """The arrays on the device, and a position for each impression or sequence."""
    labels = 0 if isinstance(part, Sequences) else part.candidate_labels.nbytes  # ranked on the host
    return part.nbytes - labels + _POSITION * len(part)


def make_filter(spec: Spec, width: int) -> FilterModule:
    """The collaborative filter over item vectors of `width` features.

    Raises:
        ConfigError: `filter.heads` does not divide the width.
    """
    if spec.data.domain == "knowledge-tracing":
        return LSTMTracer(width, spec.filter.layers, spec.filter.dropout, spec.filter.sequence)
    try:
        return NRMS(width, spec.filter.heads, spec.filter.query)
    except ValueError as error:
        raise ConfigError(
            f"filter.heads = {spec.filter.heads} does not divide the encoder's width {width}.",
            "Give a divisor, for example --set filter.heads=12.",
        ) from error


def make_sampler(
    spec: Spec,
    data: Prepared,
    device: torch.device,
    *,
    seed: int,
    batch_size: int | None = None,
    epochs: int | None = None,
    resident: bool = True,
) -> TrainSampler:
    """The train part's batches; sizes of the specification unless given."""
    part = data.parts["train"]
    batch_size = batch_size or spec.training.batch_size
    most_steps = spec.training.max_steps if epochs is None else None
    epochs = epochs or spec.training.epochs
    if isinstance(part, Sequences):
        return AnswerSampler(
            part,
            seed=seed,
            batch_size=batch_size,
            length=spec.filter.sequence,
            epochs=epochs,
            max_steps=most_steps,
            device=device,
            resident=resident,
        )
    return NewsSampler(
        part,
        seed=seed,
        batch_size=batch_size,
        negatives=spec.training.negatives,
        history=spec.filter.history,
        epochs=epochs,
        max_steps=most_steps,
        device=device,
        resident=resident,
    )


def make_evaluator(
    spec: Spec,
    data: Prepared,
    name: Literal["validation", "test"],
    device: torch.device,
    resident: bool = True,
    between: Callable[[], None] = lambda: None,
) -> Evaluator:
    """Scores a part; with `evaluation.max_impressions` a fixed sample of it.

    `between` is called before each block; what it raises ends the scoring.
    """
    part, most = data.parts[name], spec.evaluation.max_impressions
    if isinstance(part, Sequences):
        return AnswerEvaluator(
            part,
            data.cold_items,
            length=spec.filter.sequence,
            max_sequences=most,
            device=device,
            resident=resident,
            between=between,
        )
    return RankingEvaluator(
        part,
        history=spec.filter.history,
        max_impressions=most,
        device=device,
        resident=resident,
        between=between,
    )
