"""A whole run over arrays of which a bit has flipped since an earlier run prepared them."""

import json

import pytest
from damage import flip
from live_runs import Bench

from grambench.config.presets import load_preset
from grambench.data.prepared.check import check_prepared
from grambench.worker.prepare import prepare_data


def test_a_run_prepares_damaged_arrays_again_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAMBENCH_CACHE", bench.environment["GRAMBENCH_CACHE"])
    folder = prepare_data(load_preset(str(bench.preset)), lambda _: None)
    labels = folder / "train_candidate_labels.npy"
    honest = labels.read_bytes()
    for bit in range(8 * 128, 8 * 328, 8):  # 200 labels are the other way round
        flip(labels, bit)
    run = bench.run("--json", "--strategies", "e2e", "--set", "training.max_steps=2")
    ended = run.wait()
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)
    (warning,) = (w for w in report["warnings"] if w["code"] == "damaged-data")
    assert str(labels) in warning["message"]
    assert labels.read_bytes() == honest
    files = {name: file.sha256 for name, file in check_prepared(folder).files.items()}
    assert report["environment"]["inputs"] == {"data.encoder": files}
    assert (report["data"]["reused"], report["data"]["checked_bytes"] > len(honest)) == (False, True)
