"""What a domain brings to training: batches, evaluation. No strategy knows which domain it is.

Each function is that of the domain's own `training.py`.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch

from grambench.config.spec import Spec
from grambench.data.batches.epochs import EpochSampler
from grambench.domains.evaluation import Evaluation, PartEvaluator
from grambench.domains.prepared import Prepared
from grambench.domains.registry import domain_module
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.ranks import ALONE, Ranks

Evaluator = Callable[[ItemEncoder, Any], Evaluation]
"""Called with the encoder and the filter of its domain."""
TrainSampler = EpochSampler[Any]
"""The batches of a train part."""


def interaction_bytes(data: Prepared) -> int:
    """Bytes of the interactions and their indices that sampler and evaluators keep."""
    module = _module(data.manifest.domain)
    scored = {id(part): part for part in (data.parts["validation"], data.parts["test"])}.values()
    items = len(data.token_offsets) - 1
    drawn: int = module.drawn_bytes(data.parts["train"])
    for part in scored:
        drawn += module.scored_bytes(part, items)
    return drawn


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
    made: TrainSampler = _module(data.manifest.domain).make_sampler(
        spec,
        data.parts["train"],
        seed=seed,
        batch_size=batch_size or spec.training.batch_size,
        epochs=epochs or spec.training.epochs,
        max_steps=spec.training.max_steps if epochs is None else None,
        device=device,
        resident=resident,
    )
    return made


def make_evaluator(
    spec: Spec,
    data: Prepared,
    name: Literal["validation", "test"],
    device: torch.device,
    resident: bool = True,
    between: Callable[[], None] = lambda: None,
    ranks: Ranks = ALONE,
) -> Evaluator:
    """Scores a part; with `evaluation.max_impressions` a fixed sample of it.

    `between` and `ranks` as for `PartEvaluator`; what `between` raises ends the scoring.
    """
    made: Evaluator = _module(data.manifest.domain).make_evaluator(
        spec, data, data.parts[name], device=device, resident=resident, between=between, ranks=ranks
    )
    return made


def make_predictor(
    spec: Spec,
    data: Prepared,
    part: Any,
    device: torch.device,
    resident: bool = True,
    between: Callable[[], None] = lambda: None,
) -> PartEvaluator:
    """As `make_evaluator`, of all samples of any part."""
    evaluation = spec.evaluation.model_copy(update={"max_impressions": None})
    whole = spec.model_copy(update={"evaluation": evaluation})
    made: PartEvaluator = _module(data.manifest.domain).make_evaluator(
        whole, data, part, device=device, resident=resident, between=between
    )
    return made


def _module(domain: str) -> Any:
    return domain_module(domain, "training")
