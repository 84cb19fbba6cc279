"""Two ranks evaluate together: metrics, scores and calls are those of one process, on each of them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tiny_systems as tiny
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from grambench.domains.evaluation import Evaluation, PartEvaluator
from grambench.domains.knowledge_tracing.evaluate import AnswerEvaluator
from grambench.domains.news.evaluate import RankingEvaluator
from grambench.models.ranks import ALONE, Ranks
from grambench.training.group import Group
from grambench.training.loop import LeftError
from grambench.worker.turns import GroupTurn, OwnTurn

RANKS = 2
CHUNK = 16 * 3 * tiny.WIDTH
"""Elements of item projections at once: 16 of the 40 items."""


class Case(NamedTuple):
    """A part and how its items are encoded."""

    domain: str
    packed: bool
    whole: int


CASES = [
    Case("news", packed=False, whole=2**26),
    Case("news", packed=True, whole=CHUNK),
    Case("answers", packed=False, whole=CHUNK),
    Case("answers", packed=True, whole=2**26),
]


class Scored(NamedTuple):
    """What one process has found."""

    scores_A: np.ndarray
    metrics: dict[str, float | None]
    values: np.ndarray
    users: np.ndarray
    encoded: int
    rounds: int


def evaluator(domain: str, ranks: Ranks, between: Any) -> PartEvaluator:
    options = {"device": tiny.CPU, "ranks": ranks, "between": between}
    if domain == "news":
        return RankingEvaluator(tiny.random_part(7), history=5, max_impressions=21, **options)
    cold = np.arange(0, tiny.ITEMS, 3, dtype=np.int32)
    return AnswerEvaluator(tiny.random_sequences(7), cold, length=7, max_sequences=None, **options)


def scored(case: Case, ranks: Ranks = ALONE) -> Scored:
    """A part whose last round has a block for the first rank alone."""
    rounds, encoded = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grambench.domains.evaluation.WHOLE_NUMBERS", case.whole)
        patch.setattr(tiny, "DRIVEN_AS_A_GPU", case.packed)
        return _scored(case.domain, ranks, rounds, encoded)


def _scored(domain: str, ranks: Ranks, rounds: list[int], encoded: list[int]) -> Scored:
    made = tiny.tiny_system(domain=domain, dtype=torch.float32)
    made.encoder.pool.register_forward_hook(lambda _pool, _inputs, vectors: encoded.append(len(vectors)))
    evaluate = evaluator(domain, ranks, lambda: rounds.append(1))
    evaluate.block = 3 if domain == "news" else 5
    scores_A = evaluate.score_all(made.system.encode, made.filter)
    found: Evaluation = evaluate.evaluation(scores_A)
    by_user = found.by_user()
    assert by_user is not None
    return Scored(scores_A, found.metrics, by_user.values, by_user.users, sum(encoded), len(rounds))


def require_same(found: Scored, one: Scored) -> None:
    """Equal to the last bit."""
    assert found.scores_A.dtype == np.float32
    for name in ("scores_A", "values", "users"):
        assert np.array_equal(getattr(found, name), getattr(one, name), equal_nan=name == "values"), name
    assert found.metrics == one.metrics


def as_rank(rank: int, store: str, alone: dict[Case, Scored]) -> None:
    """Score as one of the ranks, and compare with one process."""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=RANKS)
    group = Group()
    for case, one in alone.items():
        found = scored(case, group)
        require_same(found, one)
        assert group.total(found.encoded) == [one.encoded]
        assert 0 < found.encoded < one.encoded
        assert group.gather([found.rounds]) == [[-(-one.rounds // RANKS)]] * RANKS
    few = group.join([torch.full((2, 3), float(rank))] * (rank == 0), 1, torch.empty(0, 3))
    assert few.tolist() == [[0.0] * 3] * 2  # one piece: the other rank has none
    leave_together(group)
    dist.destroy_process_group()


def leave_together(group: Group) -> None:
    """A stop that one rank has seen ends the evaluation of both before the same round."""
    rounds, own = [], OwnTurn()
    turn = GroupTurn(group, own)

    def look() -> None:
        rounds.append(1)
        if group.rank == 1 and len(rounds) == 2:
            own.end("interrupted")
        turn.agree()
        if turn.ending():
            raise LeftError

    evaluate = evaluator("news", group, look)
    evaluate.block = 3
    made = tiny.tiny_system(dtype=torch.float32)
    with pytest.raises(LeftError):
        evaluate.score_all(made.system.encode, made.filter)
    assert len(rounds) == 2
    assert made.encoder.training


def test_ranks_score_a_part_as_one_process(tmp_path: Path) -> None:
    alone = {case: scored(case) for case in CASES}
    assert {one.rounds % RANKS for one in alone.values()} == {1}
    mp.start_processes(as_rank, (str(tmp_path / "store"), alone), RANKS, start_method="fork")
