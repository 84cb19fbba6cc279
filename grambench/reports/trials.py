"""Builds the report's part about one trial from the folded state."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Any, Literal

from grambench.analysis import comparison
from grambench.analysis.intervals import speedup_interval
from grambench.analysis.target import Target, target_of
from grambench.events import types as ev
from grambench.events.disturbance import disturbed_share
from grambench.events.gpu_identity import candidates
from grambench.events.series import Series
from grambench.events.state import RunState, TrialState
from grambench.metrics.catalogue import metric
from grambench.reports.cautions import trial_cautions
from grambench.reports.section import Reasons
from grambench.reports.trial_schema import (
    Curves,
    Disturbed,
    Divergence,
    Energy,
    Memory,
    Plan,
    Point,
    Scores,
    SpeedUp,
    Times,
    Trial,
    Windows,
    Worker,
)

CURVE_POINTS = 256
OLDER_LOG = "an older log does not say"
_NOT_TRAINED = "no training step was recorded"
_UNWATCHED = "fewer than two samples were taken while it trained"


def build_trial(state: RunState, trial: TrialState, spec: dict[str, Any]) -> Trial:
    """All that the logs tell about one trial."""
    target = target_of(state, trial, spec)
    why = Reasons()
    begun = trial.phase is not None
    absent = "the worker has not started" if begun else "the trial has not begun"
    return Trial(
        name=trial.name,
        strategy=trial.strategy,
        seed=trial.seed,
        outcome=why.given("outcome", trial.outcome, "the trial has not ended" if begun else absent),
        phase=why.given("phase", trial.phase, absent),
        outcome_reason=trial.reason,
        exit_code=why.given("exit_code", trial.exit_code, "the end of its process was not recorded"),
        worker=why.given("worker", build_worker(trial.started), absent),
        plan=why.given("plan", _plan(trial), "the trial ended or stands before its plan was made"),
        epochs_finished=len(trial.epochs),
        steps=trial.progress.step if trial.progress else 0,
        resumed_steps=trial.resumed_steps,
        turns=trial.turns,
        switch_s=trial.switch_s,
        diverged=why.given("diverged", _divergence(trial.diverged), "every number was finite"),
        best_validation=why.given("best_validation", _scores(trial.best), "no validation was recorded"),
        test=why.given("test", _scores(trial.test), "the test part was not scored"),
        times=_times(state, trial, target),
        memory=_memory(state, trial),
        energy=_energy(state, trial),
        disturbed=_disturbed(trial),
        reuse_ratio=why.given("reuse_ratio", comparison.reuse_ratio(trial), _unsettled(trial)),
        speedups={reference: _speedup(state, trial, reference, spec) for reference in comparison.REFERENCES},
        windows=_windows(trial),
        validations=[build_scores(evaluation) for evaluation in trial.evaluations],
        curves=Curves(
            throughput=_points(trial.rate_series),
            loss=_points(trial.loss_series),
            memory=_points(trial.memory_series),
            drift=_points(trial.drift_series),
        ),
        warnings=trial_cautions(trial),
        reasons=why,
    )


def build_worker(started: ev.WorkerStarted | None) -> Worker | None:
    """The process as it saw itself; None before its first line."""
    if started is None:
        return None
    why = Reasons()
    uuid = why.given("gpu_uuid", started.gpu_uuid, f"the device {started.device} has no GPU UUID")
    return Worker(
        device=started.device,
        device_name=started.device_name,
        gpu_uuid=uuid,
        versions=started.versions,
        threads=started.threads,
        precision=started.precision,
        attention=why.given("attention", started.attention, OLDER_LOG),
        tf32=why.given("tf32", started.tf32, OLDER_LOG),
        allocator=why.given("allocator", started.allocator, OLDER_LOG),
        reasons=why,
    )


def _plan(trial: TrialState) -> Plan | None:
    plan, warmed = trial.plan, trial.warmed_up
    if plan is None:
        return None
    why = Reasons()
    no_use = "does not apply to this strategy and plan"
    return Plan(
        batch_size=plan.batch_size,
        window_steps=plan.window_steps,
        steps_per_epoch=plan.steps_per_epoch,
        max_steps=plan.max_steps,
        micro_batch=why.given("micro_batch", plan.micro_batch, no_use),
        encoder_chunk=why.given("encoder_chunk", plan.encoder_chunk, no_use),
        encoder_batch=why.given("encoder_batch", plan.encoder_batch, no_use),
        encoder_parameters=plan.encoder_parameters,
        filter_parameters=plan.filter_parameters,
        encoder_revision=why.given(
            "encoder_revision", plan.encoder_revision, "the encoder comes from a folder or from scratch"
        ),
        bucket_tokens=why.given("bucket_tokens", plan.bucket_tokens, OLDER_LOG),
        tokens_on_device=plan.tokens_on_device,
        interactions_on_device=plan.interactions_on_device,
        layout=plan.layout,
        graphs=plan.graphs,
        warm_up_s=why.given("warm_up_s", warmed.seconds if warmed else None, "the warm-up was not finished"),
        compile_s=why.given("compile_s", warmed.compile_s if warmed else None, "the encoder is not compiled"),
        why=plan.why,
        package=plan.package,
        reasons=why,
    )


def _scores(evaluation: ev.Evaluated | None) -> Scores | None:
    return None if evaluation is None else build_scores(evaluation)


_RANKED = "students' answers are not ranked"
_NOT_COLD = "no item was cold: news, or knowledge tracing with data.cold_items = 0"


def build_scores(evaluation: ev.Evaluated) -> Scores:
    """One evaluation; a metric that is not there or not finite is null with its reason."""
    why = Reasons()
    asked: set[str] = set()

    def given(name: str) -> float | None:
        missing = "the metric was not finite or not recorded"
        if not evaluation.impressions:
            missing = "no impression was scored"
        elif name not in evaluation.metrics:
            row = metric(name)
            if row.needs_cold_items:
                missing = _NOT_COLD
            elif row.domains == ("news",):
                missing = _RANKED
        asked.add(name)
        return why.given(name.replace("@", "_at_"), evaluation.metrics.get(name), missing)

    return Scores(
        epoch=evaluation.epoch,
        step=evaluation.step,
        train_s=evaluation.train_s,
        auc=given("auc"),
        mrr=given("mrr"),
        ndcg_at_5=given("ndcg@5"),
        ndcg_at_10=given("ndcg@10"),
        csauc=given("csauc"),
        csauc_low=given("csauc_low"),
        csauc_high=given("csauc_high"),
        others={
            name: float(value)
            for name, value in evaluation.metrics.items()
            if name not in asked and value is not None and math.isfinite(value)
        },
        impressions=evaluation.impressions,
        skipped=evaluation.skipped,
        sampled=evaluation.sampled,
        seconds=evaluation.seconds,
        reasons=why,
    )


def _unsettled(trial: TrialState) -> str:
    """Why a rate or ratio over whole windows is missing."""
    return "no window of training steps was closed" if trial.progress else _NOT_TRAINED


def _times(state: RunState, trial: TrialState, target: Target) -> Times:
    why = Reasons()
    progress = trial.progress
    reached, censored = seconds_to_target(state, trial, target)
    return Times(
        train_s_to_best=why.given(
            "train_s_to_best", comparison.seconds_to_best(trial), "no validation was recorded"
        ),
        train_s=why.given("train_s", progress.train_s if progress else None, _NOT_TRAINED),
        encoder_s=why.given("encoder_s", progress.encode_s if progress else None, _NOT_TRAINED),
        target_auc=why.given("target_auc", target.score, target.source),
        target_source=target.source,
        train_s_to_target=why.given("train_s_to_target", reached, censored),
        epoch_s=why.given("epoch_s", epoch_seconds(trial), "no epoch was finished"),
        epochs_s=[epoch.train_s for epoch in trial.epochs],
        samples_per_s=why.given("samples_per_s", comparison.samples_per_second(trial), _unsettled(trial)),
        items_encoded_per_s=why.given(
            "items_encoded_per_s", comparison.items_encoded_per_second(trial), _unsettled(trial)
        ),
        tokens_per_s=why.given("tokens_per_s", comparison.tokens_per_second(trial), _unsettled(trial)),
        reasons=why,
    )


def epoch_seconds(trial: TrialState) -> float | None:
    """Median training seconds of the finished epochs; measured, never extrapolated."""
    return median(epoch.train_s for epoch in trial.epochs) if trial.epochs else None


def seconds_to_target(state: RunState, trial: TrialState, target: Target) -> tuple[float | None, str]:
    """Training seconds to the target score, and why they are missing."""
    if target.score is None:
        return None, target.source
    reached = comparison.seconds_to(trial, target.score, state.metric)
    return reached, f"never reached within {trial.train_s:.1f} s of training"


def _memory(state: RunState, trial: TrialState) -> Memory:
    why = Reasons()
    progress, started = trial.progress, trial.started
    on_gpu = started is not None and started.gpu_uuid is not None
    torch = _NOT_TRAINED if progress is None else "torch counts no device memory on this device"
    process = trial.memory_reason or state.gpu_absent or "NVML took no sample of the process"
    device = state.gpu_absent or _no_reading(state, trial, "memory_used_bytes")
    if started is not None and not on_gpu:
        process = device = f"the trial ran on {started.device}"
    host = "no sample of the process was taken"
    return Memory(
        torch_peak_allocated_bytes=why.given(
            "torch_peak_allocated_bytes", progress.peak_allocated_bytes if progress else None, torch
        ),
        torch_peak_reserved_bytes=why.given(
            "torch_peak_reserved_bytes", progress.peak_reserved_bytes if progress else None, torch
        ),
        nvml_process_peak_bytes=why.given("nvml_process_peak_bytes", trial.peak_gpu_memory_bytes, process),
        nvml_device_peak_bytes=why.given("nvml_device_peak_bytes", trial.peak_device_used_bytes, device),
        nvml_device_baseline_bytes=why.given(
            "nvml_device_baseline_bytes", trial.baseline_device_used_bytes, device
        ),
        rss_peak_bytes=why.given("rss_peak_bytes", trial.peak_rss_bytes, host),
        rss_baseline_bytes=why.given("rss_baseline_bytes", trial.baseline_rss_bytes, host),
        reasons=why,
    )


def _no_reading(state: RunState, trial: TrialState, name: str) -> str:
    """Why a field of the samples of the trial's GPU is missing."""
    gpu = state.gpu_of(trial)
    uuid = trial.started.gpu_uuid if trial.started else None
    if gpu is not None and (reason := gpu.reasons.get(name)):
        return reason
    if gpu is None and uuid is not None and state.gpus:
        if meant := candidates(uuid, state.gpus):
            return f"the worker's {uuid} can be any of {len(meant)} MIG slices"
        hidden = [f" ({each.reasons['slices']})" for each in state.gpus.values() if "slices" in each.reasons]
        return f"NVML lists no GPU and no MIG slice that the worker's {uuid} can be" + "".join(hidden[:1])
    if name == "energy_j":
        return "the GPU gave neither an energy counter nor two readings of its power"
    return "NVML took no sample of the GPU while the trial ran"


def _energy(state: RunState, trial: TrialState) -> Energy:
    start_j, end_j = trial.energy_start_j, trial.energy_end_j
    if start_j is not None and end_j is not None and 0 < end_j - start_j < math.inf:
        return Energy(joules=end_j - start_j, source="counter")
    if trial.integrated_energy_j is not None:
        return Energy(joules=trial.integrated_energy_j, source="integrated")
    why = state.gpu_absent or _no_reading(state, trial, "energy_j")
    if trial.started is not None and trial.started.gpu_uuid is None:
        why = f"the trial ran on {trial.started.device}, whose energy is not measured"
    return Energy(joules=None, source=None, reasons={"joules": why, "source": why})


def _disturbed(trial: TrialState) -> Disturbed:
    why = Reasons()
    looked_for = trial.started is not None and trial.started.stops_seen
    watched = trial.watched_s > 0
    share = disturbed_share(trial, trial.disturbed_any_s) if watched else None
    unlooked = _NOT_TRAINED if trial.progress is None else OLDER_LOG
    stopped_s = trial.stopped_training_s if looked_for and trial.progress else None
    return Disturbed(
        stopped_s=why.given("stopped_s", stopped_s, unlooked),
        share=why.given("share", share, _UNWATCHED),
        seconds=why.given("seconds", dict(trial.disturbed_s) if watched else None, _UNWATCHED),
        reasons=why,
    )


def _speedup(
    state: RunState, trial: TrialState, strategy: Literal["e2e", "e2e-unique"], spec: dict[str, Any]
) -> SpeedUp:
    why = Reasons()
    reference = comparison.reference_of(state, trial, strategy)
    if reference is None:
        missing = f"{strategy} did not run with seed {trial.seed}"
        ends = ("samples_per_s_low", "samples_per_s_high")
        fields = ("samples_per_s", *ends, "epoch_s", "train_s_to_best", "train_s_to_target")
        return SpeedUp(**dict.fromkeys(fields), reasons=dict.fromkeys(fields, missing))

    def faster(field: str, measure: Callable[[TrialState], float | None], rate: bool) -> float | None:
        own, other = measure(trial), measure(reference)
        missing = [t.name for t, value in ((trial, own), (reference, other)) if not value]
        ratio = None
        if own and other:
            ratio = own / other if rate else other / own
        return why.given(field, ratio, f"not measured, or zero, for {' and '.join(dict.fromkeys(missing))}")

    target = target_of(state, trial, spec)
    interval = speedup_interval(state, trial, reference)
    few = "it is the reference itself" if trial is reference else "needs two finished epochs of both trials"
    return SpeedUp(
        samples_per_s=faster("samples_per_s", comparison.samples_per_second, True),
        samples_per_s_low=why.given("samples_per_s_low", interval.low if interval else None, few),
        samples_per_s_high=why.given("samples_per_s_high", interval.high if interval else None, few),
        epoch_s=faster("epoch_s", epoch_seconds, False),
        train_s_to_best=faster("train_s_to_best", comparison.seconds_to_best, False),
        train_s_to_target=faster(
            "train_s_to_target", lambda trial: seconds_to_target(state, trial, target)[0], False
        ),
        reasons=why,
    )


def _divergence(event: ev.Diverged | None) -> Divergence | None:
    if event is None:
        return None
    why = Reasons()
    return Divergence(
        step=event.step,
        last_loss=why.given("last_loss", event.last_loss, "no finite loss was read"),
        last_loss_step=why.given("last_loss_step", event.last_loss_step, "no finite loss was read"),
        last_drift=why.given("last_drift", event.last_drift, "no window was closed with a finite drift"),
        reasons=why,
    )


def _windows(trial: TrialState) -> Windows:
    why = Reasons()
    kept = trial.windows
    drifts = [window.drift for window in kept if window.drift is not None]
    losses = [window.pseudo_loss for window in kept if window.pseudo_loss is not None]
    steps = [window.steps for window in kept]
    ratios = [window.occurrences / window.unique_items for window in kept if window.unique_items]
    spread_drifts = [window.spread_drift for window in kept if window.spread_drift is not None]
    untouched = [window.untouched_items for window in kept if window.untouched_items is not None]
    none, no_drift = "no window was closed", "no window has it"

    def mean(field: str, values: Sequence[float]) -> float | None:
        return why.given(field, fmean(values) if values else None, no_drift if kept else none)

    return Windows(
        closed=trial.windows_closed,
        averaged=len(kept),
        mean_steps=mean("mean_steps", steps),
        shortest_steps=why.given("shortest_steps", min(steps, default=None), none),
        longest_steps=why.given("longest_steps", max(steps, default=None), none),
        mean_unique_items=mean("mean_unique_items", [window.unique_items for window in kept]),
        mean_reuse_ratio=mean("mean_reuse_ratio", ratios),
        mean_drift=mean("mean_drift", drifts),
        largest_drift=why.given("largest_drift", max(drifts) if drifts else None, no_drift if kept else none),
        mean_pseudo_loss=mean("mean_pseudo_loss", losses),
        mean_encoder_s=mean("mean_encoder_s", [window.encoder_s for window in kept]),
        mean_spread_drift=mean("mean_spread_drift", spread_drifts),
        mean_untouched_items=mean("mean_untouched_items", untouched),
        reasons=why,
    )


def _points(series: Series) -> list[Point]:
    """At most `CURVE_POINTS` finite points, evenly thinned from the newest backwards."""
    stride = -(-len(series) // CURVE_POINTS) or 1
    points = [(float(x), float(y)) for x, y in zip(series.xs, series.ys, strict=True)]
    return [point for point in points[::-1][::stride][::-1] if all(map(math.isfinite, point))]
