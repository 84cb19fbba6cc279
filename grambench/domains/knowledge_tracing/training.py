"""Knowledge tracing in training: windows of answers, AUC of the next one."""

from typing import Any

from grambench.config.spec import Spec
from grambench.domains.knowledge_tracing.evaluate import AnswerEvaluator
from grambench.domains.knowledge_tracing.sampler import AnswerSampler
from grambench.domains.knowledge_tracing.sequences import Sequences
from grambench.domains.prepared import Prepared

_POSITION = 8
"""Bytes of an index."""


def drawn_bytes(part: Sequences) -> int:
    """Bytes that a sampler keeps of the train part: all but its mask of scored answers."""
    return part.nbytes - part.scored.nbytes + _POSITION * len(part)


def scored_bytes(part: Sequences, items: int) -> int:
    """Bytes that an evaluator keeps of a part, with an index entry per sequence and per item."""
    return part.nbytes + _POSITION * (len(part) + items)


def make_sampler(spec: Spec, part: Sequences, **options: Any) -> AnswerSampler:
    """See `domains.training.make_sampler`."""
    return AnswerSampler(part, length=spec.filter.sequence, **options)


def make_evaluator(spec: Spec, data: Prepared, part: Sequences, **options: Any) -> AnswerEvaluator:
    """See `domains.training.make_evaluator`."""
    most = spec.evaluation.max_impressions
    return AnswerEvaluator(part, data.cold_items, length=spec.filter.sequence, max_sequences=most, **options)
