"""The headline preset on files as large as MIND-small, with a local pretrained encoder cut to one layer."""

import json
from pathlib import Path

import jsonschema
import pytest
from live_runs import Bench

from grambench.domains.news.synthetic import LIKE, generate
from grambench.reports.schema import json_schema


@pytest.mark.heavy
def test_mind_small_trains_on_files_of_its_size(bench: Bench, minilm: Path, tmp_path: Path) -> None:
    generate(LIKE["mind-small"], tmp_path / "data")
    settings = (
        f"encoder.model={minilm}",
        "encoder.layers=1",
        "training.max_steps=2",
        "training.batch_size=32",
    )
    ended = bench.call(
        "run", "--preset", "mind-small", "--data-dir", tmp_path / "data", "--out", tmp_path / "runs",
        "--strategies", "e2e,gram-1s,gram-1e", "--json", *(f"--set={each}" for each in settings),
    )  # fmt: skip
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)
    jsonschema.validate(report, json_schema(), jsonschema.Draft202012Validator)
    assert [trial["outcome"] for trial in report["trials"]] == ["completed"] * 3
    assert report["audit"]["equivalent"] is True
    assert report["data"]["counts"]["items"]["items"] == 56_980
