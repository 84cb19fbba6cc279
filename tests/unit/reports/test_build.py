import dataclasses
import json
import math
import statistics
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import report_logs as logs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_logs import Run

from grambench.errors import DataError, ExitCode
from grambench.events import types as ev
from grambench.events.codec import Stamp, encode
from grambench.reports.build import build_report, report_json, write_report
from grambench.reports.render.markdown import render_markdown
from grambench.reports.schema import Report, json_schema
from grambench.reports.trial_schema import Trial

VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def built(folder: Path) -> Report:
    """The report of `folder`, written twice with the same bytes and valid."""
    report = build_report(folder)
    path = write_report(folder)
    content = path.read_bytes()
    assert path.name == "report.json"
    assert write_report(folder).read_bytes() == content == report_json(report).encode()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    VALIDATOR.validate(json.loads(content, parse_constant=refuse))
    return report


def trial_of(report: Report, name: str) -> Trial:
    (trial,) = (trial for trial in report.trials if trial.name == name)
    return trial


# --- a whole run -------------------------------------------------------------------------------


def test_a_finished_run_is_whole(tmp_path: Path) -> None:
    logs.write_whole(tmp_path)
    report = built(tmp_path)
    reasons = {"until_decided", "tuning"}
    assert (report.partial, report.missing, set(report.reasons)) == (False, [], reasons)
    assert [trial.name for trial in report.trials] == ["e2e.s0", "gram-1s.s0"]
    assert report.run.exit_code == 0
    assert report.run.model_label == "TinyBERT"
    assert report.data is not None
    assert report.data.fingerprint == "f1"
    assert report.data.counts == logs.COUNTS
    assert report.audit is not None
    assert report.audit.equivalent
    assert report.spec["training"]["epochs"] == 10
    assert report.warnings == []
    assert report.seeds == []


def test_times_and_rates_by_hand(tmp_path: Path) -> None:
    logs.write_whole(tmp_path)
    times = trial_of(built(tmp_path), "e2e.s0").times
    assert times.train_s_to_best == 20.0
    assert (times.train_s, times.encoder_s) == (20.0, 10.0)
    assert (times.epoch_s, times.epochs_s) == (10.0, [10.0, 10.0])
    assert times.samples_per_s == 80 / 20
    assert times.items_encoded_per_s == 200 / 20
    assert times.tokens_per_s == 1000 / 20
    assert times.target_auc == pytest.approx(0.70 - 0.002)
    assert times.target_source == "the best validation AUC of e2e less the margin"
    assert times.train_s_to_target == pytest.approx(10 + 10 * 0.098 / 0.1)


def test_speedups_by_hand(tmp_path: Path) -> None:
    logs.write_whole(tmp_path, {"evaluation": {"margin_auc": 0.01}})
    trial = trial_of(built(tmp_path), "gram-1s.s0")
    over = trial.speedups["e2e"]
    assert over.samples_per_s == pytest.approx((80 / 8) / (80 / 20))
    assert over.epoch_s == pytest.approx(10 / 4)
    assert over.train_s_to_best == pytest.approx(20 / 4)
    assert over.train_s_to_target == pytest.approx((10 + 10 * 0.09 / 0.1) / 4.0)
    assert trial.reuse_ratio == 2.0
    unique = trial.speedups["e2e-unique"]
    assert unique.samples_per_s is None
    assert unique.reasons["samples_per_s"] == "e2e-unique did not run with seed 0"


def test_scores_are_those_of_the_selected_checkpoint(tmp_path: Path) -> None:
    logs.write_whole(tmp_path)
    trial = trial_of(built(tmp_path), "gram-1s.s0")
    assert trial.best_validation is not None
    assert (trial.best_validation.epoch, trial.best_validation.auc) == (1, 0.694)
    assert trial.test is not None
    assert (trial.test.auc, trial.test.mrr, trial.test.ndcg_at_5, trial.test.ndcg_at_10) == (
        0.66,
        0.3,
        0.35,
        0.4,
    )
    assert (trial.test.impressions, trial.test.skipped, trial.test.sampled) == (90, 10, False)
    assert [scores.auc for scores in trial.validations] == [0.694, 0.68]


def test_plan_and_worker_are_reported(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("e2e.s0"))
    plan = logs.planned("e2e", micro_batch=2, why="two fit")
    warmed_up = ev.WarmedUp(41.5, compile_s=40.0)
    run.log("e2e.s0", 1, logs.worker_started("e2e.s0", "GPU-a"), plan, warmed_up)
    trial = trial_of(built(tmp_path), "e2e.s0")
    assert trial.plan is not None
    assert (trial.plan.warm_up_s, trial.plan.compile_s) == (41.5, 40.0)
    assert (trial.plan.batch_size, trial.plan.micro_batch, trial.plan.why) == (4, 2, "two fit")
    assert set(trial.plan.reasons) == {
        "encoder_chunk",
        "encoder_batch",
        "encoder_revision",
        "bucket_tokens",
    }
    assert trial.worker is not None
    assert (trial.worker.device, trial.worker.gpu_uuid) == ("cuda:0", "GPU-a")
    assert trial.worker.versions == {"torch": "2.6.0"}


def test_a_cpu_run_has_only_the_hosts_memory_and_says_why(tmp_path: Path) -> None:
    logs.write_whole(tmp_path)
    trial = trial_of(built(tmp_path), "e2e.s0")
    assert (trial.memory.rss_baseline_bytes, trial.memory.rss_peak_bytes) == (500, 900)
    assert "torch reports no device memory" in trial.memory.reasons["torch_peak_allocated_bytes"]
    assert trial.memory.reasons["nvml_process_peak_bytes"] == "the trial ran on cpu"
    assert trial.energy.joules is None
    assert "cpu" in trial.energy.reasons["joules"]
    assert trial.curves.memory == [(20.0, 900.0)]
    assert trial.curves.loss == [(10.0, 1.0), (20.0, 1.0)]
    assert trial.curves.throughput == [(20.0, 4.0)]


# --- a GPU -------------------------------------------------------------------------------------


def gpu_sample(used: int, **fields: Any) -> ev.GpuSample:
    return ev.GpuSample("GPU-a", 0, "H200", memory_used_bytes=used, memory_total_bytes=99, **fields)


def write_gpu_trial(run: Run, samples: list[tuple[float, ev.GpuSample]]) -> None:
    name = "gram-1e.s0"
    run.log("", 0, logs.run_started(name))
    run.log("", 1, ev.WorkerSpawned(name, 12), ev.TurnGranted(name, 1))
    run.log(name, 1, logs.worker_started(name, "GPU-a"))
    peaks = {"memory_allocated_bytes": 40, "peak_allocated_bytes": 50, "peak_reserved_bytes": 60}
    run.log(name, 1.5, logs.progress(5, 1.0, **peaks))
    for drift in (0.25, 0.75):
        now = {"spread_drift": 2 * drift, "untouched_items": 4} if drift == 0.75 else {}
        run.log(name, 2, ev.WindowClosed(1, 5, 10, 30, 90, drift, 0.5, 2.0, **now))
    run.log("", 2, ev.ProcessSample(name, 12, rss_bytes=500, gpu_memory_bytes=70))
    run.log("", 3, ev.ProcessSample(name, 12, rss_bytes=400, gpu_memory_bytes=65))
    for t_s, sample in samples:
        run.log("", t_s, sample)


def test_the_memory_numbers_of_a_gpu_are_never_mixed(tmp_path: Path) -> None:
    write_gpu_trial(Run(tmp_path), [(4, gpu_sample(20)), (5, gpu_sample(90)), (6, gpu_sample(30))])
    memory = trial_of(built(tmp_path), "gram-1e.s0").memory
    assert memory.torch_peak_allocated_bytes == 50
    assert memory.torch_peak_reserved_bytes == 60
    assert memory.nvml_process_peak_bytes == 70
    assert memory.nvml_device_peak_bytes == 90
    assert memory.nvml_device_baseline_bytes == 20
    assert memory.rss_peak_bytes == 500
    assert memory.reasons == {"rss_baseline_bytes": "no sample of the process was taken"}


def test_energy_comes_from_the_counter_where_there_is_one(tmp_path: Path) -> None:
    times = (4.0, 5.0, 6.0)
    counted = [(t, gpu_sample(1, energy_j=1000.0 + 7 * t, power_w=100.0)) for t in times]
    write_gpu_trial(Run(tmp_path), counted)
    trial = trial_of(built(tmp_path), "gram-1e.s0")
    assert (trial.energy.joules, trial.energy.source) == (14.0, "counter")
    assert trial.curves.energy[-1][1] == 14.0


def test_energy_is_integrated_from_the_power_otherwise(tmp_path: Path) -> None:
    write_gpu_trial(Run(tmp_path), [(4, gpu_sample(1, power_w=100.0)), (6, gpu_sample(1, power_w=200.0))])
    energy = trial_of(built(tmp_path), "gram-1e.s0").energy
    assert (energy.joules, energy.source) == (300.0, "integrated")


def test_one_reading_of_the_counter_is_no_energy(tmp_path: Path) -> None:
    write_gpu_trial(Run(tmp_path), [(4, gpu_sample(1, energy_j=5.0, power_w=1.0))])
    energy = trial_of(built(tmp_path), "gram-1e.s0").energy
    assert (energy.joules, energy.source) == (None, None)
    assert set(energy.reasons) == {"joules", "source"}


def test_a_slice_of_a_gpu_says_whose_power_and_memory_are_not_its_own(tmp_path: Path) -> None:
    run = Run(tmp_path)
    shared = "measured for the whole of GPU 0, which 2 MIG slices share"
    reasons = {"energy_j": shared, "memory_used_bytes": "Insufficient Permissions"}
    run.log("", 0, logs.run_started("e2e.s0", "gram-1s.s0"))
    run.log("e2e.s0", 1, logs.worker_started("e2e.s0", "MIG-1"))
    run.log("gram-1s.s0", 1, logs.worker_started("gram-1s.s0", "GPU-a"))
    run.log("", 2, ev.GpuSample("GPU-a", 0, "H200", power_w=300.0, slices=2))
    for uuid in ("MIG-1", "MIG-2"):
        run.log("", 2, ev.GpuSample(uuid, 0, "MIG", parent_uuid="GPU-a", reasons=reasons))
    report = built(tmp_path)
    known, ambiguous = trial_of(report, "e2e.s0"), trial_of(report, "gram-1s.s0")
    assert known.energy.reasons["joules"] == shared
    assert known.memory.reasons["nvml_device_peak_bytes"] == "Insufficient Permissions"
    assert ambiguous.energy.reasons["joules"] == "the worker's GPU-a may be any of 2 MIG slices"


def test_an_edited_specification_is_told(tmp_path: Path) -> None:
    Run(tmp_path, spec_sha256="00ff")
    assert [caution.code for caution in built(tmp_path).warnings] == ["edited-run-file"]


def test_windows_are_summed_up(tmp_path: Path) -> None:
    write_gpu_trial(Run(tmp_path), [])
    trial = trial_of(built(tmp_path), "gram-1e.s0")
    windows = trial.windows
    assert (windows.closed, windows.averaged) == (2, 2)
    assert (windows.mean_steps, windows.mean_unique_items, windows.mean_encoder_s) == (10, 30, 2.0)
    assert (windows.mean_drift, windows.largest_drift) == (0.5, 0.75)
    assert (windows.mean_spread_drift, windows.mean_untouched_items) == (1.5, 4)  # of those that have it
    assert trial.curves.drift == [(1.0, 0.25), (1.0, 0.75)]


def test_a_report_from_before_the_drift_of_the_spread_is_still_valid(tmp_path: Path) -> None:
    write_gpu_trial(Run(tmp_path), [])
    old = json.loads(report_json(build_report(tmp_path)))
    for trial in old["trials"]:
        for name in ("mean_spread_drift", "mean_untouched_items"):
            del trial["windows"][name]
            trial["windows"]["reasons"].pop(name, None)
    VALIDATOR.validate(old)
    windows = trial_of(Report.model_validate_json(json.dumps(old)), "gram-1e.s0").windows
    assert windows.mean_drift == 0.5
    assert windows.mean_spread_drift is None
    assert "written before" in windows.reasons["mean_spread_drift"]


def test_how_often_a_module_was_clipped_is_in_the_report(tmp_path: Path) -> None:
    run, name = Run(tmp_path), "gram-1e.s0"
    run.log("", 0, logs.run_started(name))
    run.log(name, 1, logs.progress(1, 1.0))
    assert "clipping" not in json.loads(report_json(built(tmp_path)))["trials"][0]
    run.log(name, 2, logs.progress(2, 2.0, encoder_clipped=0.25, encoder_gradient_norm=3.5))
    assert list(trial_of(built(tmp_path), name).clipping) == ["encoder"]
    norms = {"encoder_gradient_norm": math.inf, "filter_gradient_norm": 0.5}
    run.log(name, 3, logs.progress(3, 3.0, encoder_clipped=1.0, filter_clipped=0.0, **norms))
    report = built(tmp_path)
    clipping = trial_of(report, name).clipping
    assert (clipping["filter"].share, clipping["filter"].mean_norm) == (0.0, 0.5)
    assert (clipping["encoder"].share, clipping["encoder"].mean_norm) == (1.0, None)
    assert Report.model_validate_json(report_json(report)) == report


# --- unfinished and broken runs ----------------------------------------------------------------


def test_every_prefix_of_the_logs_gives_a_valid_partial_report(tmp_path: Path) -> None:
    run = logs.write_whole(tmp_path)
    supervisor = run.path("").read_bytes()
    for cut in range(0, len(supervisor) - 1, 97):
        run.path("").write_bytes(supervisor[:cut])
        report = build_report(tmp_path)
        VALIDATOR.validate(json.loads(report_json(report)))
        assert report.partial
        assert report.missing


def test_a_run_without_logs_is_partial(tmp_path: Path) -> None:
    Run(tmp_path)
    report = built(tmp_path)
    assert report.partial
    assert report.missing == [
        "The logs hold no events.",
        "The data were not prepared.",
        "The audit did not finish.",
    ]
    assert (report.trials, report.data, report.audit) == ([], None, None)


def test_a_trial_under_way_and_one_not_begun(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("e2e.s0", "gram-1s.s0"))
    logs.write_setup(run)
    run.log("e2e.s0", 5, ev.PhaseEntered("train"), logs.progress(3, 1.5))
    report = built(tmp_path)
    assert report.missing == [
        "The run has not finished, or was cut off.",
        "e2e.s0 has not ended (phase train).",
        "gram-1s.s0 has not begun.",
    ]
    begun, waiting = report.trials
    assert begun.times.samples_per_s == 8.0
    assert begun.times.reasons["epoch_s"] == "no epoch was finished"
    assert begun.times.reasons["target_auc"].endswith("e2e has no validation AUC")
    assert waiting.reasons["outcome"] == "the trial has not begun"
    assert waiting.times.reasons["samples_per_s"] == "no training step was recorded"


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    run = logs.write_whole(tmp_path)
    log = run.path("gram-1s.s0")
    whole = log.read_bytes()
    log.write_bytes(whole[:-3])
    report = built(tmp_path)
    trial = trial_of(report, "gram-1s.s0")
    assert trial.test is not None
    assert trial.outcome == "failed"  # its last line is missing, and its process has ended
    assert report.partial


def test_a_killed_worker_is_reported_with_its_signal(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("e2e.s0"))
    run.log("e2e.s0", 1, ev.PhaseEntered("train"))
    run.log("", 2, ev.WorkerExited("e2e.s0", -9, "Killed"), ev.RunFinished(5, 2.0))
    trial = trial_of(built(tmp_path), "e2e.s0")
    assert (trial.outcome, trial.exit_code) == ("failed", -9)
    assert trial.outcome_reason == "the worker ended with signal 9 in phase train"


def test_a_diverged_trial_keeps_what_was_measured(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("gram-1e.s0"))
    run.log("gram-1e.s0", 1, logs.progress(10, 5.0, loss=math.nan))
    run.log("gram-1e.s0", 2, ev.WindowClosed(1, 10, 10, 30, 90, math.inf, math.nan, 2.0))
    run.log("gram-1e.s0", 3, ev.TrialFinished("diverged", "the drift is not finite"))
    report = built(tmp_path)
    trial = trial_of(report, "gram-1e.s0")
    assert (trial.outcome, trial.outcome_reason) == ("diverged", "the drift is not finite")
    assert trial.times.samples_per_s == 8.0
    assert trial.windows.reasons["mean_drift"] == "no window has it"
    assert [warning.code for warning in trial.warnings] == ["diverged"]
    assert "gram-1e.s0 diverged: the drift is not finite." in report.missing


def test_a_failed_setup_is_missing_with_its_reason(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("e2e.s0"), ev.WorkerSpawned("setup", 5))
    run.log("setup", 1, ev.TrialFinished("failed", "news.tsv is missing"))
    run.log("", 1, ev.WorkerExited("setup", 3), ev.RunFinished(3, 1.0))
    report = built(tmp_path)
    assert "The setup failed: news.tsv is missing." in report.missing
    assert report.run.exit_code == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"schema_version": 2}',
        b'{"schema_version": 1, "run": 3}',
        b'{"schema_version": NaN}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_run_file_is_a_data_error_with_a_fix(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(DataError) as caught:
        build_report(tmp_path)
    assert str(tmp_path / "run.json") in caught.value.message
    assert caught.value.fix
    assert not (tmp_path / "report.json").exists()


def test_a_folder_that_is_no_run_is_a_data_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        write_report(tmp_path)
    assert caught.value.exit_code is ExitCode.DATA
    assert "grambench runs" in caught.value.fix


def test_host_facts_of_another_version_are_left_out_with_a_reason(tmp_path: Path) -> None:
    logs.write_whole(tmp_path, host={"hostname": "box"})
    environment = built(tmp_path).environment
    assert environment.host is None
    assert "run.json, host." in environment.reasons["host"]


def test_what_sampling_cost_is_in_the_environment(tmp_path: Path) -> None:
    run = logs.write_whole(tmp_path)
    assert built(tmp_path).environment.sampling is None
    assert "not in the log" in built(tmp_path).environment.reasons["sampling"]
    run.log("", 60, ev.SamplerFinished(58.0, 116, 0.5, 690, 0.375, "nvmlDeviceGetPowerUsage", 0.25))
    sampling = built(tmp_path).environment.sampling
    assert sampling is not None
    assert (sampling.seconds, sampling.rounds, sampling.cpu_s) == (58.0, 116, 0.5)
    assert (sampling.nvml_calls, sampling.nvml_s) == (690, 0.375)
    assert (sampling.nvml_slowest, sampling.nvml_slowest_s) == ("nvmlDeviceGetPowerUsage", 0.25)


def test_sampling_without_a_driver_has_no_slowest_call(tmp_path: Path) -> None:
    logs.write_whole(tmp_path).log("", 60, ev.SamplerFinished(58.0, 116, 0.5))
    sampling = built(tmp_path).environment.sampling
    assert sampling is not None
    assert (sampling.nvml_calls, sampling.nvml_slowest, sampling.nvml_slowest_s) == (0, None, None)
    assert set(sampling.reasons) == {"nvml_slowest", "nvml_slowest_s"}


def test_a_report_from_before_sampling_was_measured_is_still_valid(tmp_path: Path) -> None:
    logs.write_whole(tmp_path).log("", 60, ev.SamplerFinished(58.0, 116, 0.5))
    old = json.loads(report_json(build_report(tmp_path)))
    del old["environment"]["sampling"]
    VALIDATOR.validate(old)
    environment = Report.model_validate_json(json.dumps(old)).environment
    assert environment.sampling is None
    assert "written before" in environment.reasons["sampling"]


def test_whether_the_encoder_computes_what_its_model_computes_is_part_of_the_audit(tmp_path: Path) -> None:
    run = logs.write_whole(tmp_path)
    assert build_report(tmp_path).audit.vectors is None
    run.log("setup", 50, ev.EncoderChecked(True, 1e-3, 4, 2e-7, "packed", 0.1))
    new = json.loads(report_json(build_report(tmp_path)))
    assert new["audit"]["vectors"] == {
        "equal": True,
        "tolerance": 1e-3,
        "items": 4,
        "relative": 2e-7,
        "layout": "packed",
        "seconds": 0.1,
        "reasons": {},
    }
    assert "vectors of 4 items are **those** of AutoModel" in render_markdown(build_report(tmp_path))
    del new["audit"]["vectors"]
    VALIDATOR.validate(new)
    audit = Report.model_validate_json(json.dumps(new)).audit
    assert audit.vectors is None
    assert "written before" in audit.reasons["vectors"]


def test_what_the_tokenizer_made_of_the_texts_is_reported(tmp_path: Path) -> None:
    texts = {"text_tokens": 900, "unknown_tokens": 9, "same_tokens": 3, "no_text_tokens": 2, "cut_items": 1}
    run = logs.write_whole(tmp_path)
    data = build_report(tmp_path).data
    assert data.texts is None
    assert data.reasons["texts"] == "prepared by an earlier version"
    counts = {"items": {"items": 100, "tokens": 1200, **texts}}
    run.log("setup", 50, ev.DataPrepared("/data", "f1", counts, 0.5, False))
    report = build_report(tmp_path)
    assert report.data.texts.model_dump() == {"items": 100, **texts, "reasons": {}}
    page = render_markdown(report)
    assert "100 items of 900 tokens, 9 of them unknown to the tokenizer; 3 items with the tokens of" in page
    old = json.loads(report_json(report))
    del old["data"]["texts"]
    assert Report.model_validate_json(json.dumps(old)).data.texts is None
    counts["items"]["unknown_tokens"] = None
    run.log("setup", 51, ev.DataPrepared("/data", "f1", counts, 0.5, False))
    assert "no token for what is unknown" in build_report(tmp_path).data.texts.reasons["unknown_tokens"]


def test_stops_and_disturbances_are_in_the_report_and_its_warnings(tmp_path: Path) -> None:
    run = logs.write_whole(tmp_path)
    run.log("e2e.s0", 300, ev.ProcessStopped(20.0, 18.5))
    trial = trial_of(built(tmp_path), "e2e.s0")
    (warning,) = [warning for warning in trial.warnings if warning.code == "stopped"]
    assert "18.5 s of it are excluded from its training time" in warning.message
    assert trial.disturbed.stopped_s is None  # the log's worker does not say that it looks for them
    assert trial.disturbed.reasons["stopped_s"] == "an older log does not say"
    again = dataclasses.replace(logs.worker_started("e2e.s0"), stops_seen=True)
    run.log("e2e.s0", 301, again)
    assert trial_of(built(tmp_path), "e2e.s0").disturbed.stopped_s == 18.5


def test_the_load_of_a_trial_on_a_cpu_says_why_it_has_no_gpu(tmp_path: Path) -> None:
    run = logs.write_whole(tmp_path)
    run.log("e2e.s0", 300, ev.ProcessStopped(20.0, 18.5))
    run.log("e2e.s0", 301, dataclasses.replace(logs.worker_started("e2e.s0"), stops_seen=True))
    for name in ("e2e.s0", "gram-1s.s0"):
        load = trial_of(built(tmp_path), name).load
        nulls = {field for field, value in load.model_dump().items() if value is None}
        assert nulls == set(load.reasons)
    assert trial_of(built(tmp_path), "e2e.s0").load.stopped_s == 20.0


def test_the_load_of_a_trial_is_in_the_report(tmp_path: Path) -> None:
    run = logs.write_whole(tmp_path)
    run.log("", 400, ev.TurnGranted("e2e.s0", 9))
    again = dataclasses.replace(logs.worker_started("e2e.s0", "GPU-a"), pid=99)
    run.log("e2e.s0", 400, again, ev.PhaseEntered("train"))
    for second in (401, 402, 403):
        slow = {"throttle": ["heat"], "foreign_processes": 0}
        gpu = ev.GpuSample("GPU-a", 0, "x", utilization_percent=75.0, power_w=300.0, **slow)
        run.log("", second, gpu)
        run.log("", second, ev.HostSample(50.0, 1, 2, cpus=8, busy_cpus=3.0))
        run.log("", second, ev.ProcessSample("e2e.s0", 7, 1, cpu_percent=150.0))
    load = trial_of(built(tmp_path), "e2e.s0").load
    assert (load.gpu_utilization_percent, load.gpu_power_w, load.gpu_sm_clock_mhz) == (75.0, 300.0, None)
    assert (load.gpu_throttled_s, load.gpu_foreign_s) == (2.0, 0.0)
    assert (load.cpu_percent, load.foreign_cpu_s) == (150.0, 3.0)
    assert set(load.reasons) == {"gpu_sm_clock_mhz", "stopped_s"}


def test_a_report_from_before_the_load_was_measured_is_still_valid(tmp_path: Path) -> None:
    logs.write_whole(tmp_path)
    older = json.loads(report_json(build_report(tmp_path)))
    for trial in older["trials"]:
        del trial["load"]
    VALIDATOR.validate(older)
    load = Report.model_validate_json(json.dumps(older)).trials[0].load
    assert {value for field, value in load if field != "reasons"} == {None}
    assert set(load.reasons.values()) == {"the report was written before this was measured"}


def test_a_report_from_before_disturbances_were_measured_is_still_valid(tmp_path: Path) -> None:
    logs.write_whole(tmp_path)
    older = json.loads(report_json(build_report(tmp_path)))
    for trial in older["trials"]:
        del trial["disturbed"]
    VALIDATOR.validate(older)
    disturbed = Report.model_validate_json(json.dumps(older)).trials[0].disturbed
    assert (disturbed.stopped_s, disturbed.share, disturbed.seconds) == (None, None, None)
    assert set(disturbed.reasons.values()) == {"the report was written before this was measured"}


# --- targets, seeds, warnings ------------------------------------------------------------------


def test_a_target_of_the_specification_comes_first(tmp_path: Path) -> None:
    logs.write_whole(tmp_path, {"evaluation": {"target_auc": 0.69}})
    report = built(tmp_path)
    assert {t.times.target_source for t in report.trials} == {"evaluation.target_auc"}
    assert [t.times.train_s_to_target for t in report.trials] == pytest.approx([19.0, 4.0])


def test_a_target_that_was_not_reached_is_censored(tmp_path: Path) -> None:
    logs.write_whole(tmp_path, {"evaluation": {"target_auc": 0.695}})
    trial = trial_of(built(tmp_path), "gram-1s.s0")
    assert trial.times.train_s_to_target is None
    assert trial.times.reasons["train_s_to_target"] == "never reached within 8.0 s of training"
    assert trial.speedups["e2e"].reasons["train_s_to_target"].endswith("for gram-1s.s0")


def test_without_e2e_the_first_strategy_is_the_reference(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("gram-1s.s0"))
    logs.write_trial(run, "gram-1s.s0", 4, 4.0, (0.6, 0.7))
    times = trial_of(built(tmp_path), "gram-1s.s0").times
    assert times.target_auc == pytest.approx(0.698)
    assert times.target_source == "the best validation AUC of gram-1s less the margin"


def test_several_seeds_give_mean_and_standard_deviation(tmp_path: Path) -> None:
    run = Run(tmp_path)
    names = ["e2e.s0", "gram-1s.s0", "gram-1s.s1", "gram-1s.s2"]
    run.log("", 0, logs.run_started(*names))
    t_s = logs.write_trial(run, names[0], 4, 10.0, (0.6, 0.7))
    for name, epoch_s, auc in zip(names[1:], (4.0, 5.0, 8.0), (0.65, 0.67, 0.69), strict=True):
        t_s = logs.write_trial(run, name, t_s, epoch_s, (0.6, 0.7), auc)
    report = built(tmp_path)
    (row,) = report.seeds
    assert (row.strategy, row.seeds) == ("gram-1s", [0, 1, 2])
    assert row.test_auc is not None
    assert row.test["auc"] == row.test_auc
    assert row.test_auc.mean == pytest.approx(0.67)
    assert row.test_auc.standard_deviation == pytest.approx(0.02)
    assert row.samples_per_s is not None
    assert row.samples_per_s.n == 3
    assert row.samples_per_s.standard_deviation == pytest.approx(statistics.stdev((10, 8, 5)))
    over = trial_of(report, "gram-1s.s1").speedups["e2e"]
    assert over.reasons["samples_per_s"] == "e2e did not run with seed 1"


def test_seeds_without_scores_have_no_spread(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("e2e.s0", "e2e.s1"))
    logs.write_trial(run, "e2e.s0", 4, 10.0, (0.6, 0.7))
    (row,) = built(tmp_path).seeds
    assert row.test_auc is None
    assert set(row.reasons) == {"test_auc", "samples_per_s"}


def test_warnings_of_the_logs_come_sorted_under_the_run_and_under_the_trial(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("e2e.s0"), ev.Warned("low-disk", "2 GB are left"))
    logs.write_setup(run)
    run.log("setup", 5, ev.Warned("encoder-dropout", "not comparable to E2E"))
    run.log("e2e.s0", 5, ev.Warned("shared-gpu", "another process uses the GPU"))
    report = built(tmp_path)
    assert [(w.code, w.message) for w in report.warnings] == [
        ("encoder-dropout", "not comparable to E2E"),
        ("low-disk", "2 GB are left"),
    ]
    assert [w.code for w in trial_of(report, "e2e.s0").warnings] == ["shared-gpu"]


def test_a_failed_audit_is_a_warning(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started())
    run.log("setup", 1, ev.AuditFinished(False, 1e-9, 16, 80, 40, 1.0, math.inf, 0.0, 0.0, 0.1))
    report = built(tmp_path)
    assert report.audit is not None
    assert report.audit.encoder_relative is None
    assert [warning.code for warning in report.warnings] == ["audit-failed"]


@pytest.mark.parametrize("relative", [3e-15, 0.5, math.inf])
def test_an_audit_of_ranks_is_in_the_report_in_words_and_in_the_grade(
    relative: float, tmp_path: Path
) -> None:
    run, holds = logs.write_whole(tmp_path), relative < 1e-10
    numbers = (16, 80, 40, 1e-14, 1e-14, 1e-14, 1e-14, 0.1)
    audit = ev.AuditFinished(True, 1e-10, *numbers, ranks=3, ranks_relative=relative, ranks_equivalent=holds)
    run.log("setup", 50, audit)
    report = built(tmp_path)
    assert report.audit is not None
    assert (report.audit.equivalent, report.audit.ranks, report.audit.ranks_equivalent) == (True, 3, holds)
    assert report.audit.ranks_relative == (relative if math.isfinite(relative) else None)
    verdict = "those" if holds else "NOT those"
    assert f"Audit of 3 ranks: their gradients are **{verdict}** of one process" in render_markdown(report)
    codes = {warning.code for warning in report.warnings}
    assert ("audit-failed-ranks" in codes, "audit-failed" in codes) == (not holds, False)
    words = "the audit found that 3 ranks are not one process here"
    assert (words in report_json(report)) is not holds


# --- numbers -----------------------------------------------------------------------------------


def test_a_report_says_which_files_were_checked(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("setup", 1, ev.DataPrepared("/d", "f" * 64, {"items": 3}, 1.5, True))
    data = built(tmp_path).data
    assert data is not None
    assert (data.checked_bytes, data.reasons["checked_bytes"][:11]) == (None, "not checked")
    run.log("setup", 2, ev.FilesChecked("data.encoder", "/d", {"tokens.npy": "ab"}, {}, 700, 0.5))
    run.log(
        "setup", 2, ev.FilesChecked("encoder.model", "/m", {"config.json": "cd"}, {}, 9, 0.1, "no digests")
    )
    report = built(tmp_path)
    assert report.data is not None
    assert (report.data.checked_bytes, report.data.check_s) == (700, 0.5)
    inputs = {"data.encoder": {"tokens.npy": "ab"}, "encoder.model": {"config.json": "cd"}}
    assert report.environment.inputs == inputs
    run.log("setup", 3, ev.FilesChecked("data.encoder", "/d", {}, {}, 700, 0.5, "an old folder"))
    unchecked = built(tmp_path).data
    assert unchecked is not None
    assert unchecked.reasons["check_s"] == "not checked: an old folder"


anything = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    losses=st.lists(anything, max_size=5),
    aucs=st.lists(anything, max_size=4),
    drifts=st.lists(anything, max_size=4),
    audited=anything,
    power=st.lists(anything, max_size=4),
)
def test_whatever_is_measured_the_report_holds_no_nan(
    tmp_path_factory: pytest.TempPathFactory,
    losses: list[float],
    aucs: list[float],
    drifts: list[float],
    audited: float,
    power: list[float],
) -> None:
    folder = tmp_path_factory.mktemp("run")
    run = Run(folder)
    name = "gram-1e.s0"
    run.log("", 0, logs.run_started(name, "e2e.s0"), ev.TurnGranted(name, 1))
    run.log("setup", 0, ev.AuditFinished(False, 1e-9, 1, 1, 1, audited, audited, audited, audited, 0.1))
    run.log(name, 1, logs.worker_started(name, "GPU-a"))
    for step, loss in enumerate(losses, 1):
        run.log(name, 1 + step, logs.progress(step, 0.5 * step, loss=loss))
    for epoch, auc in enumerate(aucs, 1):
        run.log(name, 10, logs.evaluated("validation", epoch, 1.0, auc))
        run.log("e2e.s0", 10, logs.evaluated("validation", epoch, 1.0, auc))
    for drift in drifts:
        run.log(name, 11, ev.WindowClosed(1, 1, 1, 1, 1, drift, drift, 1.0))
    for t_s, watts in enumerate(power, 12):
        run.log("", t_s, ev.GpuSample("GPU-a", 0, "H200", power_w=watts, energy_j=watts))
    report = built(folder)
    assert "NaN" not in report_json(report)


@settings(max_examples=20, deadline=None)
@given(text=st.text(max_size=30))
def test_foreign_log_lines_with_nan_or_junk_are_survived(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder, clean = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("clean")
    run = logs.write_whole(folder)
    logs.write_whole(clean)
    with run.path("e2e.s0").open("ab") as file:
        file.write(text.encode() + b"\n" + b'{"type": "progress"}\n[]\nnull\n')
        line = encode(logs.progress(30, 30.0, loss=0.125), Stamp(99, 10**11, "b", "w"))
        file.write(line.replace(b"0.125", b"NaN"))
        scores = encode(logs.evaluated("test", 2, 20.0, 0.125), Stamp(99, 10**11, "b", "w"))
        file.write(scores.replace(b"0.125", b"Infinity"))
    trial, whole = trial_of(built(folder), "e2e.s0"), trial_of(built(clean), "e2e.s0")
    assert (trial.steps, trial.test) == (whole.steps, whole.test)
    (caution,) = [caution for caution in built(folder).warnings if caution.code == "damaged-log"]
    damaged = 5 + 1 + text.count("\n")
    assert caution.message.startswith(f"{damaged} lines of e2e.s0 are damaged, skipped")


def test_curves_are_thinned_and_keep_the_newest_point(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("e2e.s0"))
    run.log("e2e.s0", 1, *[logs.progress(step, step / 10, loss=step / 7) for step in range(1, 1001)])
    loss = trial_of(built(tmp_path), "e2e.s0").curves.loss
    assert 128 < len(loss) <= 256
    assert loss[-1] == (100.0, 1000 / 7)
    assert loss == sorted(loss)
