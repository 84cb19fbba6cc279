"""The CSV of a test part's predictions: its rows are the answers that the evaluator scores."""

import csv
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch

from grambench.config.data import Data
from grambench.domains.knowledge_tracing.evaluate import AnswerEvaluator
from grambench.domains.knowledge_tracing.formats.tables import read_tables
from grambench.domains.knowledge_tracing.predictions import COLUMNS, answers_to_predict


@pytest.mark.parametrize("length", [3, 100])
def test_each_row_names_the_answer_that_was_scored(tmp_path: Path, length: int) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "items.csv").write_text("id,text\n" + "".join(f"Q{n},text {n}\n" for n in range(6)))
    rows, known = [], {}
    for student in range(30):
        for row in range(1, int(random.integers(2, 9))):
            item, correct = f"Q{random.integers(6)}", int(random.integers(2))
            known[f"S{student}", row] = (item, correct)
            rows.append(f"S{student},{item},{correct}\n")
    (tmp_path / "interactions.csv").write_text("user,item,correct\n" + "".join(rows))
    data = Data(
        source="tables",
        validation="users",
        validation_share=0.3,
        test_share=0.4,
        cold_items=1,
        repeated_answers="keep",
    )
    (asked,) = answers_to_predict(read_tables(tmp_path), data)
    evaluator = AnswerEvaluator(
        asked.part, np.zeros(0, np.int32), length=length, max_sequences=None, device=torch.device("cpu")
    )
    logits = random.normal(size=len(evaluator.labels_A)).astype(np.float32)
    places = evaluator.places(logits)
    found = list(csv.DictReader(StringIO(asked.render(logits, places).decode())))
    assert tuple(found[0]) == COLUMNS
    answered = [known[row["student"], int(row["row"])] for row in found]
    assert [row["question"] for row in found] == [item for item, _ in answered]
    order = np.argsort(places)
    assert [correct for _, correct in answered] == evaluator.labels_A[order].tolist()
    expected = 1 / (1 + np.exp(-logits[order].astype(float)))
    assert [float(row["probability"]) for row in found] == pytest.approx(expected.tolist(), rel=1e-6)
