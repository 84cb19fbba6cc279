"""News in training: impressions, ranking metrics."""

from typing import Any

from grambench.config.spec import Spec
from grambench.domains.news.evaluate import RankingEvaluator
from grambench.domains.news.impressions import Part
from grambench.domains.news.sampler import NewsSampler, sampler_bytes
from grambench.domains.prepared import Prepared

_POSITION = 8
"""Bytes of an index."""

drawn_bytes = sampler_bytes


def scored_bytes(part: Part, items: int) -> int:
    """Bytes that an evaluator keeps of a part, with an index entry per impression and per item."""
    return part.nbytes - part.candidate_labels.nbytes + _POSITION * (len(part) + items)  # ranked on the host


def make_sampler(spec: Spec, part: Part, **options: Any) -> NewsSampler:
    """See `domains.training.make_sampler`."""
    return NewsSampler(part, negatives=spec.training.negatives, history=spec.filter.history, **options)


def make_evaluator(spec: Spec, _data: Prepared, part: Part, **options: Any) -> RankingEvaluator:
    """See `domains.training.make_evaluator`."""
    most = spec.evaluation.max_impressions
    return RankingEvaluator(part, history=spec.filter.history, max_impressions=most, **options)
