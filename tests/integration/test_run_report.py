"""`grambench run` from start to end: its streams, run folder and report."""

import hashlib
import json
from typing import Any

import jsonschema
import pytest
from live_runs import (
    CHUNK,
    FAMILIES,
    MICRO_BATCH,
    Bench,
    Command,
    Ended,
    complaint,
    finished,
    strict_json,
    until,
)


@pytest.fixture(scope="module")
def whole(begun: Command) -> Ended:
    """The run of every family, ended."""
    return begun.wait()


@pytest.fixture(scope="module")
def report(whole: Ended) -> dict[str, Any]:
    assert whole.code == 0, whole.err
    document: dict[str, Any] = strict_json(whole.out)
    return document


def of(report: dict[str, Any], strategy: str) -> dict[str, Any]:
    trial: dict[str, Any] = next(trial for trial in report["trials"] if trial["strategy"] == strategy)
    return trial


def test_json_prints_the_report_and_nothing_else(
    whole: Ended, report: dict[str, Any], begun: Command
) -> None:
    assert whole.err == ""
    assert whole.out == (begun.run / "report.json").read_text()
    assert report["run"]["exit_code"] == 0
    assert (report["partial"], report["missing"]) == (False, [])


def test_the_report_keeps_to_the_printed_schema(bench: Bench, report: dict[str, Any]) -> None:
    schema = strict_json(bench.call("report", "--schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(report, schema, jsonschema.Draft202012Validator)


def test_every_family_is_trained_and_scored(report: dict[str, Any]) -> None:
    assert [trial["strategy"] for trial in report["trials"]] == list(FAMILIES)
    for trial in report["trials"]:
        assert trial["outcome"] == "completed", trial
        assert (trial["epochs_finished"], len(trial["validations"])) == (2, 2)
        assert trial["best_validation"] in trial["validations"]
        assert all(0 <= trial["test"][name] <= 1 for name in ("auc", "mrr", "ndcg_at_5", "ndcg_at_10"))
        assert trial["test"]["impressions"] + trial["test"]["skipped"] == 60
        assert 0 < trial["times"]["encoder_s"] <= trial["times"]["train_s"]
        assert all(trial["speedups"][name]["epoch_s"] > 0 for name in ("e2e", "e2e-unique"))
        memory = trial["memory"]  # on a loaded machine a trial may end between two samples
        assert memory["rss_peak_bytes"] or "rss_peak_bytes" in memory["reasons"]
    assert any(trial["memory"]["rss_peak_bytes"] for trial in report["trials"])
    assert of(report, "e2e")["speedups"]["e2e"]["epoch_s"] == 1
    assert of(report, "e2e")["reuse_ratio"] == 1 < of(report, "gram-1s")["reuse_ratio"]
    assert of(report, "gram-1s")["reuse_ratio"] < of(report, "gram-1e")["reuse_ratio"]


@pytest.mark.parametrize("strategy", ["gram-1s", "e2e-unique"])
def test_exact_strategies_walk_the_path_of_e2e(report: dict[str, Any], strategy: str) -> None:
    for name in ("auc", "mrr", "ndcg_at_5", "ndcg_at_10"):
        wanted = [scores[name] for scores in of(report, "e2e")["validations"]]
        assert [scores[name] for scores in of(report, strategy)["validations"]] == pytest.approx(
            wanted, abs=1e-3
        )
        assert of(report, strategy)["test"][name] == pytest.approx(of(report, "e2e")["test"][name], abs=1e-3)


def test_the_audit_finds_single_step_and_e2e_equal(report: dict[str, Any]) -> None:
    audit = report["audit"]
    assert audit["equivalent"]
    assert 0 <= audit["encoder_relative"] <= 1e-10
    assert 0 <= audit["filter_relative"] <= 1e-10
    assert audit["occurrences"] > audit["unique_items"] > 0


def test_plan_and_windows_are_what_was_asked(report: dict[str, Any]) -> None:
    plans = {trial["strategy"]: trial["plan"] for trial in report["trials"]}
    steps = plans["e2e"]["steps_per_epoch"]
    assert plans["e2e"]["micro_batch"] == MICRO_BATCH
    assert plans["gram-1s"]["encoder_chunk"] == CHUNK
    assert {name: plan["window_steps"] for name, plan in plans.items()} == {
        "e2e": 1,
        "e2e-unique": 1,
        "gram-1s": 1,
        "gram-3s": 3,
        "gram-0.5e": -(-steps // 2),
        "gram-1e": steps,
        "gram-auto": steps,
    }
    closed = {trial["strategy"]: trial["windows"]["closed"] for trial in report["trials"]}
    assert closed["gram-3s"] == 2 * -(-steps // 3)
    assert (closed["gram-0.5e"], closed["gram-1e"], closed["gram-1s"]) == (4, 2, 0)
    auto = of(report, "gram-auto")["windows"]
    assert auto["closed"] >= 2
    assert 8 <= auto["longest_steps"] <= steps
    assert auto["mean_drift"] > 0
    assert auto["mean_reuse_ratio"] > 1


def test_what_the_machine_cannot_tell_is_null_with_a_reason(report: dict[str, Any]) -> None:
    for trial in report["trials"]:
        assert trial["worker"]["device"] == "cpu"
        assert trial["worker"]["threads"] == 1
        for name in ("torch_peak_allocated_bytes", "nvml_process_peak_bytes", "nvml_device_peak_bytes"):
            assert trial["memory"][name] is None
            assert trial["memory"]["reasons"][name]
        assert trial["energy"]["joules"] is None
        assert trial["energy"]["reasons"]["joules"]


def test_the_run_folder_holds_logs_checkpoints_and_report(begun: Command, report: dict[str, Any]) -> None:
    run = begun.run
    assert strict_json((run / "run.json").read_text())["spec"] == report["spec"]
    folders = {path.name for path in run.iterdir() if path.is_dir()}
    assert folders == {"setup", *(f"{name}.s0" for name in FAMILIES)}
    assert {"run.json", "supervisor.jsonl", "report.json"} <= {path.name for path in run.iterdir()}
    for folder in folders:
        assert (run / folder / "events.jsonl").stat().st_size > 0
        assert (run / folder / "worker.log").read_text() == ""
    assert (run / "supervisor.log").read_text() == ""
    for name in FAMILIES:
        best = run / f"{name}.s0" / "best"
        manifest = strict_json((best / "manifest.json").read_text())
        weights = (best / "model.safetensors").read_bytes()
        assert manifest["files"]["model.safetensors"] == hashlib.sha256(weights).hexdigest()
        assert manifest["bytes"] == len(weights)
        assert manifest["epoch"] == of(report, name)["best_validation"]["epoch"]


def test_the_report_is_rebuilt_from_the_logs_alone(bench: Bench, begun: Command, whole: Ended) -> None:
    (begun.run / "report.json").unlink()
    ended = bench.call("report", begun.run)
    assert (ended.code, ended.out, ended.err) == (0, whole.out, "")
    assert (begun.run / "report.json").read_text() == whole.out


def test_an_ended_run_is_listed_and_can_be_watched_but_not_stopped(
    bench: Bench, begun: Command, whole: Ended
) -> None:
    rows = json.loads(bench.call("runs", "--json", "--out", begun.run.parent).out)
    assert [(row["run"], row["state"], row["exit_code"]) for row in rows] == [(begun.run.name, "finished", 0)]
    watched = bench.call("watch", begun.run, "--plain")
    assert (watched.code, watched.out) == (0, "")
    assert "run finished in" in watched.err
    stopped = bench.call("stop", begun.run)
    assert stopped.code == 2
    assert "is not running" in complaint(stopped.err)


@pytest.mark.slow
def test_a_run_of_two_seeds_goes_on_to_its_end_without_the_command_that_began_it(bench: Bench) -> None:
    command = bench.run("--plain", "--strategies", "gram-1e", "--seeds", "0,3")
    until(lambda: "trials" in command.err, "the run to begin")
    command.process.kill()
    command.process.wait()
    state = until(lambda: finished(command.run), "the run to end", 240)
    assert state.exit_code == 0
    report = json.loads(bench.call("report", command.run).out)
    names = [trial["name"] for trial in report["trials"]]
    assert names == ["gram-1e.s0", "gram-1e.s3"]
    assert {trial["outcome"] for trial in report["trials"]} == {"completed"}
    aucs = [trial["test"]["auc"] for trial in report["trials"]]
    (summary,) = report["seeds"]
    assert summary["seeds"] == [0, 3]
    assert summary["test_auc"]["mean"] == pytest.approx(sum(aucs) / 2)
