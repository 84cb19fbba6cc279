"""Builds the report's part about one trial from the folded state."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Any, Literal

from grambench.analysis import comparison
from grambench.analysis.pairs import Target, seconds_to, target_of
from grambench.events import types as ev
from grambench.events.disturbance import disturbed_share
from grambench.events.gpu_identity import candidates
from grambench.events.series import Series
from grambench.events.state import RunState, TrialState
from grambench.metrics.catalogue import metric
from grambench.reports.adaptation import build_adaptation
from grambench.reports.cautions import trial_cautions
from grambench.reports.forecast_schema import Forecast, Scored, no_forecast
from grambench.reports.measured_schema import Disturbed, Energy, Load, Memory, SpeedUp, Times
from grambench.reports.ranks import build_ranks
from grambench.reports.section import OLDER_LOG, build_section
from grambench.reports.training_schema import Clipping, Curves, Divergence, Point, Staleness, Windows
from grambench.reports.trial_schema import Plan, Predictions, Scores, Trial, Worker

CURVE_POINTS = 256
_UNLIKE = "trained by other numbers of ranks"
_NOT_TRAINED = "no training step was recorded"
_BY_DRIFT = "the drift decides how long windows are"
_SEVERAL = "trained by several numbers of ranks: ranks.parts has each"
_UNWATCHED = "fewer than two samples were taken while it trained"


def build_trial(state: RunState, trial: TrialState, spec: dict[str, Any]) -> Trial:
    """Everything that the logs say about one trial."""
    begun = trial.phase is not None
    absent = "the worker has not started" if begun else "the trial has not begun"
    return build_section(
        Trial,
        trial,
        reasons={
            "outcome": "the trial has not ended" if begun else absent,
            "phase": absent,
            "exit_code": "the end of its process was not recorded",
            "worker": absent,
            "plan": "the trial has no plan yet, or ended before it was made",
            "diverged": "all numbers were finite",
            "best_validation": "no validation was recorded",
            "test": "the test part was not scored",
            "reuse_ratio": _unsettled(trial),
        },
        outcome_reason=trial.reason,
        worker=build_worker(trial.started),
        plan=_plan(trial),
        epochs_finished=len(trial.epochs),
        steps=trial.progress.step if trial.progress else 0,
        diverged=_divergence(trial.diverged),
        best_validation=build_scores(trial.best) if trial.best else None,
        test=build_scores(trial.test) if trial.test else None,
        predictions=[build_predictions(written) for written in trial.predictions],
        times=_times(state, trial, target_of(state, spec)),
        memory=_memory(state, trial),
        energy=_energy(state, trial),
        disturbed=_disturbed(trial),
        load=_load(state, trial),
        ranks=build_ranks(state, trial),
        adaptation=build_adaptation(trial, spec),
        clipping=_clipping(trial),
        reuse_ratio=comparison.reuse_ratio(trial),
        forecast=_forecast(state, trial),
        speedups={reference: _speedup(state, trial, reference, spec) for reference in comparison.REFERENCES},
        windows=_windows(trial),
        staleness=[
            build_section(Staleness, each, otherwise="not a finite number") for each in trial.staleness
        ],
        validations=[build_scores(evaluation) for evaluation in trial.evaluations],
        curves=Curves(
            throughput=_points(trial.rate_series),
            loss=_points(trial.loss_series),
            memory=_points(trial.memory_series),
            drift=_points(trial.drift_series),
            energy=_points(trial.energy_series),
        ),
        warnings=trial_cautions(trial),
    )


def build_predictions(written: ev.PredictionsWritten) -> Predictions:
    """A file as the worker recorded it."""
    return Predictions(**{name: getattr(written, name) for name in Predictions.model_fields})


def build_worker(started: ev.WorkerStarted | None) -> Worker | None:
    """The process as it reported itself; None before its first line."""
    if started is None:
        return None
    why = {"gpu_uuid": f"the device {started.device} has no GPU UUID"}
    return build_section(Worker, started, reasons=why)


def _plan(trial: TrialState) -> Plan | None:
    if trial.plan is None:
        return None
    no_use = "does not apply to this strategy and plan"
    return build_section(
        Plan,
        trial.plan,
        trial.warmed_up,
        reasons={
            **dict.fromkeys(("micro_batch", "encoder_chunk", "encoder_batch"), no_use),
            "encoder_revision": "the encoder comes from a folder or from scratch",
            "bucket_tokens": OLDER_LOG,
            "warm_up_s": "the warm-up was not finished",
            "compile_s": "the encoder is not compiled",
        },
        warm_up_s=trial.warmed_up.seconds if trial.warmed_up else None,
    )


_METRICS = {
    "auc": "auc",
    "mrr": "mrr",
    "ndcg_at_5": "ndcg@5",
    "ndcg_at_10": "ndcg@10",
    "csauc": "csauc",
    "csauc_low": "csauc_low",
    "csauc_high": "csauc_high",
}
"""Field of a report's scores -> its name in the log."""


def build_scores(evaluation: ev.Evaluated) -> Scores:
    """One evaluation; a metric that is missing or not finite is null, with the reason."""
    metrics: dict[str, Any] = {field: evaluation.metrics.get(name) for field, name in _METRICS.items()}
    why = {field: _no_metric(evaluation, name) for field, name in _METRICS.items()}
    others = {
        name: float(value)
        for name, value in evaluation.metrics.items()
        if name not in _METRICS.values() and value is not None and math.isfinite(value)
    }
    return build_section(Scores, evaluation, reasons=why, others=others, **metrics)


def _no_metric(evaluation: ev.Evaluated, name: str) -> str:
    if not evaluation.impressions:
        return "no impression was scored"
    if name not in evaluation.metrics:
        return metric(name).absent
    return "the metric was not finite or not recorded"


def _unsettled(trial: TrialState) -> str:
    """Why a rate or ratio over whole windows is missing."""
    if len(comparison.group_sizes([trial])) > 1:
        return _SEVERAL
    return "no window of training steps was closed" if trial.progress else _NOT_TRAINED


def _times(state: RunState, trial: TrialState, target: Target) -> Times:
    reached, censored = seconds_to_target(state, trial, target)
    rates = ("samples_per_s", "items_encoded_per_s", "tokens_per_s")
    return build_section(
        Times,
        trial.progress,
        reasons={
            "train_s_to_best": "no validation was recorded",
            **dict.fromkeys(("train_s", "encoder_s"), _NOT_TRAINED),
            "target_auc": target.source,
            "train_s_to_target": censored,
            "epoch_s": "no epoch was finished" if not trial.epochs else _SEVERAL,
            **dict.fromkeys(rates, _unsettled(trial)),
        },
        train_s_to_best=comparison.seconds_to_best(trial),
        encoder_s=trial.progress.encode_s if trial.progress else None,
        target_auc=target.score,
        target_source=target.source,
        train_s_to_target=reached,
        epoch_s=epoch_seconds(trial),
        epochs_s=[epoch.train_s for epoch in trial.epochs],
        samples_per_s=comparison.samples_per_second(trial),
        items_encoded_per_s=comparison.items_encoded_per_second(trial),
        tokens_per_s=comparison.tokens_per_second(trial),
    )


def epoch_seconds(trial: TrialState) -> float | None:
    """Median training seconds of the finished epochs; measured, never extrapolated."""
    alike = len(comparison.group_sizes([trial])) < 2
    return median(epoch.train_s for epoch in trial.epochs) if trial.epochs and alike else None


def seconds_to_target(state: RunState, trial: TrialState, target: Target) -> tuple[float | None, str]:
    """Training seconds to the target score, or None and why."""
    if target.score is None:
        return None, target.source
    reached = seconds_to(trial, target.score, state.metric)
    return reached, f"never reached within {trial.train_s:.1f} s of training"


def _memory(state: RunState, trial: TrialState) -> Memory:
    progress, started = trial.progress, trial.started
    torch = _NOT_TRAINED if progress is None else "torch reports no device memory on this device"
    process = trial.memory_reason or state.gpu_absent or "NVML took no sample of the process"
    device = state.gpu_absent or _no_reading(state, trial, "memory_used_bytes")
    if started is not None and started.gpu_uuid is None:
        process = device = f"the trial ran on {started.device}"
    return build_section(
        Memory,
        reasons={
            **dict.fromkeys(("torch_peak_allocated_bytes", "torch_peak_reserved_bytes"), torch),
            "nvml_process_peak_bytes": process,
            **dict.fromkeys(("nvml_device_peak_bytes", "nvml_device_baseline_bytes"), device),
        },
        otherwise="no sample of the process was taken",
        torch_peak_allocated_bytes=progress.peak_allocated_bytes if progress else None,
        torch_peak_reserved_bytes=progress.peak_reserved_bytes if progress else None,
        nvml_process_peak_bytes=trial.peak_gpu_memory_bytes,
        nvml_device_peak_bytes=trial.peak_device_used_bytes,
        nvml_device_baseline_bytes=trial.baseline_device_used_bytes,
        rss_peak_bytes=trial.peak_rss_bytes,
        rss_baseline_bytes=trial.baseline_rss_bytes,
    )


def _no_reading(state: RunState, trial: TrialState, name: str) -> str:
    """Why a field of the samples of the trial's GPU is missing."""
    gpu = state.gpu_of(trial)
    uuid = trial.started.gpu_uuid if trial.started else None
    if gpu is not None and (reason := gpu.last.reasons.get(name)):
        return reason
    if gpu is None and uuid is not None and state.gpus:
        if meant := candidates(uuid, state.gpus):
            return f"the worker's {uuid} may be any of {len(meant)} MIG slices"
        why = [each.last.reasons.get("slices") for each in state.gpus.values()]
        hidden = [f" ({reason})" for reason in why if reason is not None]
        return f"NVML lists no GPU and no MIG slice that the worker's {uuid} can be" + "".join(hidden[:1])
    if name == "energy_j":
        return "the GPU gave neither an energy counter nor two readings of its power"
    return "NVML took no sample of the GPU while the trial ran"


def _forecast(state: RunState, trial: TrialState) -> Forecast:
    """The prediction beside what the report has measured."""
    event, memory = trial.forecast, _memory(state, trial)
    if event is None:
        return no_forecast()
    peak, peak_of = memory.torch_peak_allocated_bytes, "torch_peak_allocated_bytes"
    if peak is None:
        peak, peak_of = memory.rss_peak_bytes, "rss_peak_bytes"
    reuse = comparison.reuse_ratio(trial)
    return build_section(
        Forecast,
        event,
        epoch_s=_scored(event.epoch_s, epoch_seconds(trial), "no epoch was finished", _BY_DRIFT),
        peak_bytes=_scored(event.peak_bytes, peak, memory.reasons.get(peak_of, "")),
        reuse_ratio=_scored(event.reuse_ratio, reuse, _unsettled(trial), _unpredicted_reuse(event)),
    )


def _unpredicted_reuse(event: ev.TrialForecast) -> str:
    return _BY_DRIFT if event.epoch_s is None else "vectors are kept for longer than a window or step"


def _scored(
    predicted: float | None, measured: float | None, why_unmeasured: str, why_unpredicted: str = ""
) -> Scored:
    reasons = {
        "predicted": why_unpredicted,
        "measured": why_unmeasured,
        "ratio": "it was not both predicted and measured",
    }
    return build_section(
        Scored,
        reasons=reasons,
        predicted=None if predicted is None else float(predicted),
        measured=None if measured is None else float(measured),
        ratio=predicted / measured if predicted and measured else None,
    )


def _energy(state: RunState, trial: TrialState) -> Energy:
    start_j, end_j = trial.energy_start_j, trial.energy_end_j
    if start_j is not None and end_j is not None and 0 < end_j - start_j < math.inf:
        return Energy(joules=end_j - start_j, source="counter")
    if trial.integrated_energy_j is not None:
        return Energy(joules=trial.integrated_energy_j, source="integrated")
    why = state.gpu_absent or _no_reading(state, trial, "energy_j")
    if trial.started is not None and trial.started.gpu_uuid is None:
        why = f"the trial ran on {trial.started.device}, whose energy is not measured"
    return build_section(Energy, None, otherwise=why)


def _disturbed(trial: TrialState) -> Disturbed:
    looked_for = trial.started is not None and trial.started.stops_seen
    watched = trial.watched_s > 0
    return build_section(
        Disturbed,
        reasons={"stopped_s": _NOT_TRAINED if trial.progress is None else OLDER_LOG},
        otherwise=_UNWATCHED,
        stopped_s=trial.stopped_training_s if looked_for and trial.progress else None,
        share=disturbed_share(trial, trial.disturbed_any_s) if watched else None,
        seconds=trial.disturbed_s if watched else None,
    )


_MEANS = {
    "gpu_utilization_percent": "utilization_percent",
    "gpu_power_w": "power_w",
    "gpu_sm_clock_mhz": "sm_clock_mhz",
    "cpu_percent": "cpu_percent",
}
"""Field of a report's load -> the reading whose mean it is."""
_SECONDS = {"gpu_throttled_s": "slowed-gpu", "gpu_foreign_s": "shared-gpu"}
"""Field of a report's load -> the disturbance that lasted so long."""
_READ_FROM = _MEANS | {"gpu_throttled_s": "throttle", "gpu_foreign_s": "foreign_processes"}
"""Field of a report's load -> the field of a sample that it comes from."""


def _load(state: RunState, trial: TrialState) -> Load:
    started, foreign = trial.started, trial.load.get("foreign_cpus")
    found: dict[str, Any] = {
        field: trial.load[name].mean if name in trial.load else None for field, name in _MEANS.items()
    }
    gpu = state.gpus.get(started.gpu_uuid or "") if started and trial.watched_s else None
    for field, code in _SECONDS.items():
        is_told = gpu is not None and getattr(gpu.last, _READ_FROM[field]) is not None
        found[field] = trial.disturbed_s.get(code, 0.0) if is_told else None
    return build_section(
        Load,
        reasons={
            **{field: _no_gpu_reading(state, trial, name) for field, name in _READ_FROM.items()},
            "cpu_percent": _UNWATCHED,
            "foreign_cpu_s": OLDER_LOG if trial.watched_s else _UNWATCHED,
            "stopped_s": OLDER_LOG if started else _NOT_TRAINED,
        },
        foreign_cpu_s=foreign.total if foreign else None,
        stopped_s=trial.stopped_s if started and started.stops_seen else None,
        **found,
    )


def _no_gpu_reading(state: RunState, trial: TrialState, name: str) -> str:
    """Why a mean or a sum over its GPU's samples is missing."""
    if trial.started is None:
        return _NOT_TRAINED
    if trial.started.gpu_uuid is None:
        return f"the trial ran on {trial.started.device}"
    return state.gpu_absent or _no_reading(state, trial, name)


def _speedup(
    state: RunState, trial: TrialState, strategy: Literal["e2e", "e2e-unique"], spec: dict[str, Any]
) -> SpeedUp:
    reference = comparison.reference_of(state, trial, strategy)
    if reference is None:
        return build_section(SpeedUp, None, otherwise=f"{strategy} did not run with seed {trial.seed}")
    target = target_of(state, spec)
    alike = len(comparison.group_sizes((trial, reference))) < 2
    measures: dict[str, Callable[[TrialState], float | None]] = {
        "samples_per_s": comparison.samples_per_second,
        "epoch_s": epoch_seconds,
        "train_s_to_best": comparison.seconds_to_best,
        "train_s_to_target": lambda trial: seconds_to_target(state, trial, target)[0],
    }
    why: dict[str, str] = {}
    ratios: dict[str, Any] = dict.fromkeys(measures)
    for field, measure in measures.items():
        own, other = (measure(each) if alike else None for each in (trial, reference))
        missing = dict.fromkeys(t.name for t, value in ((trial, own), (reference, other)) if not value)
        why[field] = f"not measured, or zero, for {' and '.join(missing)}" if alike else _UNLIKE
        if own and other:
            ratios[field] = own / other if field == "samples_per_s" else other / own
    return build_section(
        SpeedUp,
        reasons=why,
        **ratios,
    )


_MODULES: tuple[Literal["encoder", "filter"], ...] = ("encoder", "filter")


def _clipping(trial: TrialState) -> dict[Literal["encoder", "filter"], Clipping]:
    """By module; only those with `clip_norm` that have been updated."""
    return {
        module: build_section(
            Clipping,
            share=getattr(trial.progress, f"{module}_clipped"),
            mean_norm=getattr(trial.progress, f"{module}_gradient_norm"),
        )
        for module in _MODULES
        if getattr(trial.progress, f"{module}_clipped", None) is not None
    }


def _divergence(event: ev.Diverged | None) -> Divergence | None:
    if event is None:
        return None
    no_drift = {"last_drift": "no window was closed with a finite drift"}
    return build_section(Divergence, event, reasons=no_drift, otherwise="no finite loss was read")


_AVERAGED = ("unique_items", "drift", "pseudo_loss", "encoder_s", "spread_drift", "untouched_items")


def _windows(trial: TrialState) -> Windows:
    kept = trial.windows
    steps = [window.steps for window in kept]
    drifts = _of_windows(trial, "drift")
    averages: dict[str, Any] = {f"mean_{name}": _mean(_of_windows(trial, name)) for name in _AVERAGED}
    ratios = [window.occurrences / window.unique_items for window in kept if window.unique_items]
    return build_section(
        Windows,
        otherwise="no window has it" if kept else "no window was closed",
        closed=trial.windows_closed,
        averaged=len(kept),
        mean_steps=_mean(steps),
        shortest_steps=min(steps, default=None),
        longest_steps=max(steps, default=None),
        mean_reuse_ratio=_mean(ratios),
        largest_drift=max(drifts, default=None),
        **averages,
    )


def _of_windows(trial: TrialState, name: str) -> list[float]:
    """The values of a field over the windows that have it."""
    return [value for window in trial.windows if (value := getattr(window, name)) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _points(series: Series) -> list[Point]:
    """At most `CURVE_POINTS` finite points, evenly thinned from the newest backwards."""
    stride = -(-len(series) // CURVE_POINTS) or 1
    points = [(float(x), float(y)) for x, y in zip(series.xs, series.ys, strict=True)]
    return [point for point in points[::-1][::stride][::-1] if all(map(math.isfinite, point))]
