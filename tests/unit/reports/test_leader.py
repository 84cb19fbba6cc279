"""Which label has the best mean test score, and how surely."""

import json

import pytest
from rich_report import rich_report

from grambench.reports.build import report_json
from grambench.reports.render.leader import leader_words
from grambench.reports.render.markdown import render_markdown
from grambench.reports.schema import Report


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return rich_report(tmp_path_factory.mktemp("rich"))


def _with_auc(report: Report, auc: dict[str, list[float]]) -> Report:
    """The report with these test scores by label, one a seed; without the seeds for which there is none."""
    fields = json.loads(report_json(report))
    fields["trials"] = [
        trial | {"test": trial["test"] | {"auc": scores[trial["seed"]]}}
        for trial in fields["trials"]
        if (scores := auc.get(trial["label"] or trial["strategy"], [])) and trial["seed"] < len(scores)
    ]
    return Report.model_validate_json(json.dumps(fields))


def test_the_leader_is_told_from_those_it_may_not_beat(rich: Report) -> None:
    shift = [0.0, 0.01, 0.02, 0.03, 0.04, 0.05]
    scores = {
        "e2e": [0.5 + each for each in shift],
        "gram-1s": [0.7 + (each - 0.025) * 8 for each in shift],
        "gram-1e": [0.71 + each for each in shift],
    }
    report = _with_auc(rich, scores)
    words = leader_words(report)
    assert words.startswith("Best mean test AUC: gram-1e, 0.7350 ± 0.0196 (6 seeds). ")
    assert "it is surely ahead of e2e (+.210 [+.210, +.210]); not surely ahead of gram-1s (+.035 [−." in words
    assert words.endswith(" Each interval stands at its own level (97 %).")
    assert words.split(" (")[0] in render_markdown(report)


def test_one_seed_and_two_labels_prove_nothing(rich: Report) -> None:
    one = _with_auc(rich, {"e2e": [0.6], "gram-1s": [0.5], "gram-1e": [0.4]})
    assert leader_words(one) == (
        "Best mean test AUC: e2e, 0.6000 (1 seed). Whether its lead is sure takes three seeds or more."
    )
    assert leader_words(_with_auc(rich, {"e2e": [0.6], "gram-1s": [0.5]})) == ""
    assert leader_words(one.model_copy(update={"until_decided": rich})) == ""
