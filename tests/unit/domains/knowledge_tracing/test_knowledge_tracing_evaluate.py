"""Scores of students' answers against a loop over one student at a time."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tiny_systems import CPU, ITEMS, WIDTH, Tiny, encode_one_by_one, random_sequences, tiny_system

from grambench.analysis.clustered import auc_influence
from grambench.domains import evaluation
from grambench.domains.knowledge_tracing.evaluate import AnswerEvaluator
from grambench.domains.knowledge_tracing.sequences import Sequences
from grambench.models.filters.base import AnswerView

LENGTH = 6
COLD = np.array([3, 8, 11, 20, 21, 30, 33, 39], np.int32)


def evaluator(part: Sequences, most: int | None = None, cold: np.ndarray = COLD) -> AnswerEvaluator:
    return AnswerEvaluator(part, cold, length=LENGTH, max_sequences=most, device=CPU)


def one_by_one(tiny: Tiny, part: Sequences) -> tuple[list[float], list[int], list[int], list[int]]:
    """Score, label, item and student of each scored answer within the last `LENGTH` of its student."""
    vectors = encode_one_by_one(tiny.encoder, tiny.spy.tokens, list(range(ITEMS)))
    scores, labels, items, students = [], [], [], []
    for user in range(len(part)):
        stop = int(part.offsets[user + 1])
        at = slice(max(int(part.offsets[user]), stop - LENGTH), stop)
        asked = torch.from_numpy(part.items[at]).long()[None]
        correct = torch.from_numpy(part.correct[at]).long()[None]
        view = AnswerView(None, asked, torch.ones_like(asked) == 1, correct)
        logits = tiny.filter.scores(vectors, view)[0].tolist()
        for logit, label, item, scored in zip(
            logits, part.correct[at].tolist(), part.items[at].tolist(), part.scored[at].tolist(), strict=True
        ):
            if scored:
                scores.append(logit)
                labels.append(label)
                items.append(item)
                students.append(int(part.users[user]))
    return scores, labels, items, students


def test_aucs_are_those_of_one_student_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnswerEvaluator, "block", 5)
    tiny, part = tiny_system(domain="answers"), random_sequences(users=60)
    found = evaluator(part)(tiny.system.encode, tiny.filter)
    with torch.no_grad():
        scores, labels, items, students = one_by_one(tiny, part)
    assert found.impressions == len(scores)
    assert found.metrics["auc"] == pytest.approx(roc_auc_score(labels, np.float32(scores)), abs=1e-10)
    cold = np.isin(items, COLD)
    wanted = roc_auc_score(np.array(labels)[cold], np.float32(scores)[cold])
    assert found.metrics["csauc"] == pytest.approx(wanted, abs=1e-10)
    assert found.metrics["csauc_low"] < wanted < found.metrics["csauc_high"]
    influence = auc_influence(np.float32(scores), np.array(labels)).influence_A
    kept = found.by_user()
    order, by_score = np.argsort(kept.values), np.argsort(influence)
    assert kept.values[order] == pytest.approx(influence[by_score], abs=1e-9)
    for name in np.unique(students):
        of_student = np.array(students) == name
        assert np.sort(kept.values[kept.users == name]) == pytest.approx(
            np.sort(influence[of_student]), abs=1e-9
        )


def test_answers_of_one_class_have_no_scores_by_user() -> None:
    tiny, part = tiny_system(domain="answers"), random_sequences()
    all_right = dataclasses.replace(part, correct=np.ones_like(part.correct))
    found = evaluator(all_right)(tiny.system.encode, tiny.filter)
    assert (found.metrics["auc"], found.by_user()) == (None, None)


def test_many_items_are_encoded_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, part = tiny_system(domain="answers"), random_sequences(users=60)
    whole = evaluator(part)(tiny.system.encode, tiny.filter)
    monkeypatch.setattr(evaluation, "WHOLE_NUMBERS", 8 * 3 * WIDTH)
    tiny.spy.seen.clear()
    assert evaluator(part)(tiny.system.encode, tiny.filter).metrics == pytest.approx(whole.metrics, abs=1e-12)
    assert max(len(call.ids) for call in tiny.spy.seen) == 8


def test_without_cold_items_there_is_no_cold_auc() -> None:
    tiny = tiny_system(domain="answers")
    found = evaluator(random_sequences(), cold=np.zeros(0, np.int32))(tiny.system.encode, tiny.filter)
    assert set(found.metrics) == {"auc"}


def test_a_sample_is_the_same_for_every_caller() -> None:
    part = random_sequences()
    tiny = tiny_system(domain="answers")
    first, again = (evaluator(part, most=10)(tiny.system.encode, tiny.filter) for _ in range(2))
    assert first.sampled
    assert first.metrics == again.metrics
    assert first.impressions < evaluator(part)(tiny.system.encode, tiny.filter).impressions


def test_each_item_is_encoded_once_without_a_graph_and_modes_are_restored() -> None:
    tiny, part = tiny_system(domain="answers"), random_sequences()
    scoring = evaluator(part)
    scoring(tiny.system.encode, tiny.filter)
    times = tiny.spy.times(with_graph=False)
    assert set(times.values()) == {1}
    assert sorted(times) == scoring.items_K.tolist()
    assert tiny.encoder.training
    assert tiny.filter.training
