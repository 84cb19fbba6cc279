"""The catalogue, and a metric that is added to it: a row here, and a number in the evaluation."""

import numpy as np
import pytest
from pydantic import ValidationError

from grambench.analysis.pairs import seconds_to, target_of
from grambench.config.spec import Spec
from grambench.events import types as ev
from grambench.events.state import RunState, TrialState
from grambench.metrics import catalogue
from grambench.metrics.catalogue import METRICS, Metric, metric, selecting
from grambench.metrics.ranking import ranking_scores
from grambench.reports.trials import build_scores
from grambench.views.comparison_table import columns, ordered

ERROR = Metric(name="error", title="error", meaning="log loss", domains=("news",), better=-1)


def selected_by(name: str, **data: object) -> Spec:
    return Spec.model_validate({"data": data, "evaluation": {"select_by": name}})


def scored(part: str, train_s: float, error: float, auc: float) -> ev.Evaluated:
    metrics = {"auc": auc, "error": error}
    return ev.Evaluated(part, 1, 3, train_s, metrics, 9, 0, False, 0.1, True)


def finished(strategy: str, errors: tuple[float, ...], auc: float) -> TrialState:
    evaluations = [scored("validation", float(i + 1), error, auc) for i, error in enumerate(errors)]
    best = min(evaluations, key=lambda found: found.metrics["error"])
    trial = TrialState(f"{strategy}.s0", strategy, 0, evaluations=evaluations, best=best)
    trial.test = scored("test", best.train_s, min(errors), auc)
    return trial


def test_an_evaluation_of_impressions_gives_the_metrics_of_its_domain() -> None:
    scores = ranking_scores(np.array([0, 1]), np.array([0.1, 0.2]), np.array([0, 2]))
    assert list(scores.means()) == [row.name for row in METRICS if "news" in row.domains] == selecting("news")


@pytest.mark.parametrize("name", ["mrr", "ndcg@5", "ndcg@10", "auc"])
def test_every_metric_of_the_domain_can_select(name: str) -> None:
    assert selected_by(name).evaluation.select_by == name


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("csauc", {}, r"select_by = csauc cannot select checkpoints for news: use auc, mrr, ndcg@5, ndcg@10"),
        ("mrr", {"source": "tables"}, "use auc, csauc"),
        ("csauc_low", {"source": "tables", "cold_items": 3}, "use auc, csauc"),
        ("csauc", {"source": "tables"}, "set data.cold_items above 0"),
        ("error", {}, "use auc"),
    ],
)
def test_a_metric_that_cannot_select_is_refused(name: str, data: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        selected_by(name, **data)


def test_cold_items_can_select_where_there_are_some() -> None:
    assert selected_by("csauc", source="tables", cold_items=3).evaluation.select_by == "csauc"


def test_lower_values_can_be_better() -> None:
    assert ERROR.is_better(0.1, None)
    assert ERROR.is_better(0.1, 0.2)
    assert not ERROR.is_better(0.2, 0.2)
    assert ERROR.reaches(0.2, 0.2)
    assert not ERROR.reaches(0.21, 0.2)
    assert ERROR.nearly(0.99, 0.99) == pytest.approx(1.0)
    assert metric("auc").nearly(1.0, 0.99) == 0.99


def test_a_row_is_all_that_a_metric_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "METRICS", (*METRICS, ERROR))
    assert selected_by("error").evaluation.select_by == "error"
    state = RunState(select_by="error")
    for trial in (finished("e2e", (0.5, 0.4, 0.3), 0.9), finished("gram-1s", (0.5, 0.2, 0.6), 0.8)):
        state.trials[trial.name] = trial
    e2e, single = state.trials.values()
    assert [trial.strategy for trial in ordered(state)] == ["gram-1s", "e2e"]
    cells = {column.head: column.cell(state, single) for column in columns(state, target=0.4)}
    assert (cells["val error"], cells["test error ▴"], cells["AUC"]) == ("0.2000", "0.2000", "0.8000")
    assert cells["s to 0.4"] == "1.3"
    assert seconds_to(e2e, 0.4, state.metric) == 2.0
    target = target_of(state, {})
    assert (target.score, target.source[:33]) == (pytest.approx(0.302), "the best validation error so far ")
    assert build_scores(single.test).others == {"error": 0.2}
