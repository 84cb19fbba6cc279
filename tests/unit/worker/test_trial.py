"""What a trial builds before it trains."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_systems import CPU, HEADS, QUERY, encoder_spec, tiny_data

from grambench.config.networks import Filter
from grambench.config.spec import Spec
from grambench.domains.evaluation import UserScores
from grambench.events import types as ev
from grambench.training.system import build_system, placement
from grambench.worker import trial


@pytest.mark.parametrize("is_one_part", [False, True])
def test_a_part_that_serves_twice_is_kept_once(is_one_part: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, data = (
        Spec(encoder=encoder_spec(), filter=Filter(nrms={"heads": HEADS, "query": QUERY})),
        tiny_data(),
    )
    if is_one_part:  # the paper's protocol
        data = dataclasses.replace(data, parts={**data.parts, "validation": data.parts["test"]})
    made = []

    def make_evaluator(*given: object) -> object:
        made.append(honest(*given))
        return made[-1]

    honest = trial.make_evaluator
    monkeypatch.setattr(trial, "make_evaluator", make_evaluator)
    system, modules = build_system(spec, data, CPU, seed=0)
    agreed = []
    turn = SimpleNamespace(ending=lambda: None, agree=lambda: agreed.append(1))
    kept: list[UserScores] = []
    residence = placement(spec, data)
    evaluate = trial._evaluator(spec, data, system, modules, CPU, residence, turn, lambda: None, kept.append)
    assert len(made) == (1 if is_one_part else 2)
    validation, test = evaluate("validation"), evaluate("test")
    assert (validation.part, test.part) == ("validation", "test")
    assert len(agreed) == 2  # before the one block of each
    assert (validation.metrics == test.metrics) is is_one_part
    (scores,) = kept  # of the test alone
    assert np.nanmean(scores.values) == pytest.approx(test.metrics["auc"])
    assert scores.users.tolist() == data.parts["test"].users.tolist()


def test_test_scores_are_kept_whole_or_missed_with_a_warning(tmp_path: Path) -> None:
    told: list[ev.Event] = []
    scores = UserScores(np.array([0.5, np.nan, 0.25]), np.array([7, 7, 9]))
    trial.keep_scores(tmp_path, scores, told.append)
    with np.load(tmp_path / "test_scores.npz", allow_pickle=False) as kept:
        assert (kept["values"].dtype, kept["clusters"].dtype) == (np.float32, np.int32)
        assert kept["values"].tolist()[::2] == [0.5, 0.25]
        assert np.isnan(kept["values"][1])
        assert kept["clusters"].tolist() == [7, 7, 9]
    assert [path.name for path in tmp_path.iterdir()] == ["test_scores.npz"]
    assert told == []
    trial.keep_scores(tmp_path / "gone", scores, told.append)
    (warning,) = told
    assert warning == ev.Warned(
        "scores-not-kept",
        "the test scores by user cannot be written: No such file or directory;"
        " comparisons lack the error over test users",
    )
