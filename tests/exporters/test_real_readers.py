"""What is exported, as the trackers' own readers see it; run by `make exporters`."""

import itertools
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from exported_runs import WrittenRun, export, planned, recorded_race
from live_runs import Bench, until

from grambench.events import types as ev

pytestmark = pytest.mark.readers


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_race(tmp_path_factory.mktemp("race"))


def increases(steps: list[int]) -> bool:
    return all(before < after for before, after in itertools.pairwise(steps))


def test_tensorboard_reads_each_point_once(race: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        export(race, f"tensorboard:{tmp_path}")
    for trial in ("e2e.s0", "gram-1e.s0", "gram-1s.s0", "null-e2e.s0", "run"):
        read = EventAccumulator(str(tmp_path / race.name / trial), size_guidance={"scalars": 0}).Reload()
        tags = read.Tags()
        assert "settings" in tags["tensors"]
        assert all(increases([point.step for point in read.Scalars(tag)]) for tag in tags["scalars"])
        if trial == "run":
            assert any(tag.startswith("final/gram-1e/cost.ratio") for tag in tags["scalars"])
            continue
        logged = [json.loads(line) for line in (race / trial / "events.jsonl").read_text().splitlines()]
        steps = [line["step"] for line in logged if line["type"] == "progress" and line["loss"] is not None]
        points = read.Scalars("train/loss")
        assert [point.step for point in points] == steps
        assert points[0].wall_time > 1.7e9
        assert {"validation/auc", "test/auc", "final/test.auc", "memory/resident_bytes"} <= {*tags["scalars"]}
    text = read.Tensors("settings")[0].tensor_proto.string_val[0].decode()
    assert "| training.batch_size |" in text


def test_tensorboard_reads_a_resumed_run_whose_last_export_was_cut(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, output = WrittenRun.of(tmp_path / "runs"), tmp_path / "out"
    run.start()
    run.log("e2e.s0", 1, planned())
    run.train(2, 10, 20, 30)
    export(run.folder, f"tensorboard:{output}")
    (file,) = (output / run.folder.name / "e2e.s0").iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    run.start(60)
    run.log("e2e.s0", 61, ev.TrialResumed(10, 1.0, 0))
    run.train(62, 20, 30, 40)
    export(run.folder, f"tensorboard:{output}")
    read = EventAccumulator(str(file.parent), size_guidance={"scalars": 0}).Reload()
    assert [point.step for point in read.Scalars("train/loss")] == [10, 20, 30, 40]


@pytest.mark.parametrize("store", ["folder", "sqlite"])
def test_mlflow_reads_each_point_once(race: Path, tmp_path: Path, store: str) -> None:
    place = str(tmp_path / "mlruns") if store == "folder" else f"sqlite:///{tmp_path}/mlflow.db"
    for _ in range(2):
        export(race, f"mlflow:{place}")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(place if store == "sqlite" else f"file://{place}")
    (experiment,) = (each for each in client.search_experiments() if each.name == race.name)
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"e2e.s0", "gram-1e.s0", "gram-1s.s0", "null-e2e.s0", "run"}
    found = runs["gram-1e.s0"]
    assert found.info.status == "FINISHED"
    assert found.data.params["training.batch_size"].isdigit()
    assert {"validation/ndcg_at_5", "test/auc", "final/times.samples_per_s"} <= set(found.data.metrics)
    for name in found.data.metrics:
        assert increases([point.step for point in client.get_metric_history(found.info.run_id, name)])


def rows_of(folder: Path, trial: str) -> list[dict[str, Any]]:
    """The history of a W&B run over all its files, as W&B's inspector prints it."""
    rows = []
    for path in sorted(folder.glob(f"wandb/offline-run-*-{trial}/*.wandb")):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
        read = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
        records = [json.loads(line) for line in read.stdout.splitlines()]
        assert records[-1]["type"] == "exit"
        rows += [record["history"]["item"] for record in records if record["type"] == "history"]
    return rows


def test_wandb_reads_each_point_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hunter2-of-the-environment")
    run, output = WrittenRun.of(tmp_path / "runs"), tmp_path / "out"
    run.start()
    run.log("e2e.s0", 1, planned())
    run.train(2, 10, 20)
    export(run.folder, f"wandb:{output}")
    run.start(60)
    run.log("e2e.s0", 61, ev.TrialResumed(10, 1.0, 0))
    run.train(62, 20, 30)
    run.log("e2e.s0", 63, ev.TrialFinished("completed"))
    run.finish(64)
    for _ in range(2):
        export(run.folder, f"wandb:{output}")
    rows = rows_of(output, f"{run.folder.name}-e2e-s0")
    assert [row["step"] for row in rows if "train/loss" in row] == [10, 20, 30]
    assert [row["_step"] for row in rows] == [*range(len(rows))]
    assert [row["ends"] for row in rows if "final/steps" in row] == [1]
    assert len([*output.glob("wandb/offline-run-*-e2e-s0")]) == 2
    assert not [path for path in output.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


def test_a_run_on_wandb_and_mlflow_is_scraped_while_it_trains(bench: Bench, tmp_path: Path) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    outlets = ("--log-to", f"wandb:{tmp_path}/w", "--log-to", f"mlflow:{tmp_path}/m", "--metrics-port", "0")
    command = bench.run("--strategies", "gram-1e", "--set", "training.epochs=40", *outlets)

    def scraped() -> dict[str, Any]:
        assert command.process.poll() is None, command.err
        address = next((word for word in command.err.split() if word.startswith("http://127.0.0.1:")), None)
        if address is None:
            return {}
        with urllib.request.urlopen(address, timeout=60) as answer:
            text = answer.read().decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        return families if "grambench_trial_steps" in families else {}

    families = until(scraped, "a scrape of a trial that trains")
    (sample,) = families["grambench_trial_steps"].samples
    assert families["grambench_trial_steps"].type == "counter"
    assert sample.labels == {
        "run": command.run.name,
        "trial": "gram-1e.s0",
        "strategy": "gram-1e",
        "seed": "0",
    }
    ended = command.wait()
    assert ended.code == 0, ended.err
    assert "export" not in ended.out + ended.err
    rows = until(lambda: rows_of(tmp_path / "w", f"{command.run.name}-gram-1e-s0"), "W&B to be done")
    assert any("final/test.auc" in row for row in rows)
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"file://{tmp_path}/m")
    experiment = client.get_experiment_by_name(command.run.name)
    runs = {found.info.run_name: found for found in client.search_runs([experiment.experiment_id])}
    assert runs["gram-1e.s0"].info.status == "FINISHED"
    assert "final/test.auc" in runs["gram-1e.s0"].data.metrics
