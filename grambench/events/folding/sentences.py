"""The log for people: one row per event type; types without a row are not shown."""

from collections.abc import Callable
from typing import Any

from grambench.errors import ExitCode
from grambench.events import types as ev
from grambench.events.nvml_words import in_words
from grambench.events.state import TrialState
from grambench.metrics.catalogue import Metric

Sentence = tuple[str, str] | None
"""Severity (info, warning, error) and text; None: this event says nothing."""
_TOLD_BY_TRIAL = (ExitCode.OK, ExitCode.PARTIAL, ExitCode.STOPPED, ExitCode.INTERRUPTED)
"""Exit codes of a worker whose trial has logged how it ended."""


def _data_prepared(event: ev.DataPrepared, *_: object) -> Sentence:
    origin = "mapped" if event.reused else "prepared"
    return "info", f"data {origin} in {event.seconds:.1f} s ({event.fingerprint[:12]})"


def _engine_chosen(event: ev.EngineChosen, *_: object) -> Sentence:
    if not event.candidates:
        pooling = event.choice.get("encoder.pooling")
        return None if pooling is None else ("info", f"encoder.pooling = {pooling}")
    chosen = ", ".join(f"{setting} = {value}" for setting, value in event.choice.items())
    return "info", f"engine probed in {event.seconds:.1f} s: {chosen}"


def _encoder_checked(event: ev.EncoderChecked, *_: object) -> Sentence:
    verdict = "are" if event.equal else "are NOT"
    difference = f"those of AutoModel (relative {_size(event.relative)})"
    sentence = f"encoder: vectors of {event.items} items {verdict} {difference}"
    return "info" if event.equal else "error", sentence


def _audit_finished(event: ev.AuditFinished, *_: object) -> Sentence:
    verdict = "equivalent" if event.equivalent else "NOT equivalent"
    severity = "info" if event.passed else "error"
    others = "".join(f"; {name} is NOT equivalent" for name in event.unequal)
    if event.ranks > 1:
        verdict_of_ranks = "equivalent" if event.ranks_equivalent else "NOT equivalent"
        others += f"; {event.ranks} ranks are {verdict_of_ranks} to one process"
    return severity, f"audit: gram-1s and e2e are {verdict} (relative {_size(event.relative)}){others}"


def _size(relative: float | None) -> str:
    return "not finite" if relative is None else f"{relative:.1e}"


def _warmed_up(event: ev.WarmedUp, *_: object) -> Sentence:
    if event.compile_s is None:
        return None
    return "info", f"encoder compiled in {event.compile_s:.1f} s, not counted as training"


def _states_cached(event: ev.StatesCached, *_: object) -> Sentence:
    done = "computed" if event.built else "read; an earlier trial computed them"
    place = "on the device" if event.on_device else "in a mapped file"
    size = f"{event.bytes / 2**20:,.0f} MiB in {event.dtype} {place}"
    return "info", f"states of frozen layers {done} in {event.seconds:.1f} s, {size}"


def _evaluated(event: ev.Evaluated, trial: TrialState | None, selected_by: Metric) -> Sentence:
    score = event.metrics.get(selected_by.name)
    words = "–" if score is None else f"{score:.4f}"
    star = ", the best so far" if event.best and event.part == "validation" else ""
    within = f", step {event.step:,}" if _is_within_epoch(event, trial) else ""
    return "info", f"epoch {event.epoch}{within}: {event.part} {selected_by.title} {words}{star}"


def _is_within_epoch(event: ev.Evaluated, trial: TrialState | None) -> bool:
    """True for weights that were scored neither at the end of an epoch nor of training."""
    plan = trial.plan if trial is not None else None
    if plan is None or not plan.steps_per_epoch or event.step == plan.max_steps:
        return False
    return event.step % plan.steps_per_epoch != 0


def _predictions_written(event: ev.PredictionsWritten, *_: object) -> Sentence:
    unlabelled = "" if event.labelled else ", which is never evaluated"
    last = f"; {event.unknown:,} unknown candidates ranked last" if event.unknown else ""
    return "info", f"predictions of {event.part}{unlabelled}: {event.rows:,} rows in {event.file}{last}"


def _preloading(event: ev.Preloading, *_: object) -> Sentence:
    if event.seconds is None:
        return "info", f"process {event.pid} loads the libraries for all workers"
    return "info", f"libraries loaded in {event.seconds:.1f} s"


def _warned(event: ev.Warned, *_: object) -> Sentence:
    return "warning", event.message


def _trial_finished(event: ev.TrialFinished, *_: object) -> Sentence:
    sentence = f"{event.outcome}: {event.reason}".removesuffix(": ")
    if event.reason.startswith(event.outcome):  # "skipped after 12 steps"
        sentence = event.reason
    return "error" if event.outcome in ("failed", "diverged") else "info", sentence


def _worker_exited(event: ev.WorkerExited, *_: object) -> Sentence:
    if event.stopped:
        return "info", "worker killed, since the run was to end"
    return None if event.code in _TOLD_BY_TRIAL else ("error", f"worker ended with code {event.code}")


def _trial_dropped(event: ev.TrialDropped, *_: object) -> Sentence:
    return ("info", "skipped before it began") if event.decided_after is None else None


def _decision_looked(event: ev.DecisionLooked, *_: object) -> Sentence:
    words = ", ".join(f"{row.get('label')} {row.get('verdict')}" for row in event.rows)
    end = "; decided, the trials left are not run" if event.decided else ""
    return "info", f"seed {event.seeds} of at most {event.most}: {words}{end}"


def _group_formed(event: ev.GroupFormed, *_: object) -> Sentence:
    if event.attempt:
        return "warning", f"the ranks started again, attempt {event.attempt}"
    nodes = "1 node" if event.nodes == 1 else f"{event.nodes} nodes"
    return "info", f"{event.size} ranks on {nodes} ({event.backend})"


def _trial_resumed(event: ev.TrialResumed, *_: object) -> Sentence:
    where = f"resumes at step {event.step:,}" if event.step else "starts over: there is no checkpoint"
    return "info", where


SENTENCES: dict[type[ev.Event], Callable[[Any, TrialState | None, Metric], Sentence]] = {
    ev.DataPrepared: _data_prepared,
    ev.EngineChosen: _engine_chosen,
    ev.EncoderChecked: _encoder_checked,
    ev.AuditFinished: _audit_finished,
    ev.WarmedUp: _warmed_up,
    ev.StatesCached: _states_cached,
    ev.Evaluated: _evaluated,
    ev.PredictionsWritten: _predictions_written,
    ev.Preloading: _preloading,
    ev.WorkerSpawned: lambda event, *_: ("info", f"worker {event.pid} started"),
    ev.GpuAbsent: lambda event, *_: ("info", f"no GPU watched: {in_words(event.reason)}"),
    ev.Warned: _warned,
    ev.TrialFinished: _trial_finished,
    ev.WorkerExited: _worker_exited,
    ev.TrialDropped: _trial_dropped,
    ev.DecisionLooked: _decision_looked,
    ev.GroupFormed: _group_formed,
    ev.TrialResumed: _trial_resumed,
    ev.RunPaused: lambda *_: ("info", "paused"),
    ev.RunResumed: lambda *_: ("info", "resumed"),
    ev.Marked: lambda event, *_: ("info", f"mark: {event.text}"),
    ev.RunFinished: lambda event, *_: ("info", f"run finished in {event.seconds:.1f} s"),
}
"""Type -> its sentence, made of the event, the trial whose log it is from, and what selects checkpoints."""
