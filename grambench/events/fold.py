"""The one fold: `events -> RunState`. Every view shows what it holds, and nothing else."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from grambench.config.trial_name import NULL, TrialName
from grambench.errors import ExitCode
from grambench.events import types as ev
from grambench.events.codec import Record
from grambench.events.disturbance import credit_disturbance
from grambench.events.energy import credit_energy, stop_crediting
from grambench.events.state import SETUP, GpuState, HostState, LogLine, RunState, TrialState
from grambench.events.types import Event
from grambench.metrics.catalogue import SELECTS, Metric
from grambench.text import safe_text

LOG_KEPT = 500
WINDOWS_KEPT = 200
MARKS_KEPT = 100
_RATE_EVENTS = 8
_NOW_AND_THEN = ("energy_j", "sm_clock_mhz", "memory_clock_mhz", "throttle", "foreign_processes")
"""What a sample may leave out, without a reason; the previous reading then remains valid."""


@dataclass(slots=True)
class Folded:
    """Everything that a fold knows, enough to continue it."""

    state: RunState = field(default_factory=RunState)
    start_ns: dict[str, int] = field(default_factory=dict)
    """Boot -> its monotonic time when the run's clock stood at 0."""
    recent: dict[str, list[ev.Progress]] = field(default_factory=dict)
    """Trial -> its newest counters, from which the rate of now is taken."""


class Fold:
    """Applies records, in any interleaving of the logs that keeps each log's own order."""

    def __init__(self, known: Folded | None = None) -> None:
        self.known = known or Folded()
        self.state = self.known.state
        self._start_ns, self._recent = self.known.start_ns, self.known.recent

    def apply(self, source: str, record: Record) -> None:
        """Take one record of the log `source` (empty: the supervisor's, else a trial's name)."""
        self._tick(record)
        handler = _HANDLERS.get(type(record.event))
        if handler is not None:
            handler(self, source, record.event)
        logged = _sentence(record.event, self.state.trials.get(source), self.state.metric)
        if logged:
            severity, sentence = logged
            trial = getattr(record.event, "trial", source)
            line = LogLine(record.stamp.wall, self._elapsed(record), trial, severity, sentence)
            self.state.log.append(line)
            del self.state.log[:-LOG_KEPT]

    def moment_s(self, record: Record) -> float:
        """Seconds of the run at which `apply` would take the record now."""
        begun = record.stamp.boot in self._start_ns
        return max(self.state.elapsed_s, self._elapsed(record)) if begun else self.state.elapsed_s

    def _tick(self, record: Record) -> None:
        if not self._start_ns:
            self.state.started_wall = record.stamp.wall
        if record.stamp.boot not in self._start_ns:  # resumed after a reboot: the clock continues
            self._start_ns[record.stamp.boot] = record.stamp.t_ns - round(self.state.elapsed_s * 1e9)
        self.state.elapsed_s = max(self.state.elapsed_s, self._elapsed(record))

    def _elapsed(self, record: Record) -> float:
        return max(0.0, (record.stamp.t_ns - self._start_ns[record.stamp.boot]) / 1e9)

    def _trial(self, name: str) -> TrialState:
        """The trial of a name; for one that the run does not have, a state that is thrown away."""
        if name not in self.state.trials and not self.state.run:  # the trials were not named yet
            self._add_trial(name, {})
        if name in self.state.trials:
            return self.state.trials[name]
        message = f"The logs name a trial that this run does not have: {safe_text(name, 80)!r}."
        self.state.warnings["unknown-trial"] = f"{message} What they say about it is left out."
        return TrialState(name, "", 0)

    def _add_trial(self, name: str, strategies: Mapping[str, str]) -> None:
        trial = TrialName.parse(name)
        if trial is not None:
            strategy = strategies.get(trial.repeated.label, trial.repeated.label)
            known = TrialState(name, _with_null(trial, strategy), trial.seed, trial.repeat)
            self.state.trials.setdefault(name, known)

    # --- the run -------------------------------------------------------------------------------

    def _run_started(self, _: str, event: ev.RunStarted) -> None:
        state = self.state
        state.run, state.preset, state.pid = event.run, event.preset, event.pid
        state.model_label, state.data_label = event.model_label, event.data_label
        state.schedule = event.schedule
        scoring = event.spec.get("evaluation")
        state.select_by = str(scoring.get("select_by", SELECTS)) if isinstance(scoring, dict) else SELECTS
        state.finished, state.exit_code, state.seconds = False, None, None  # when resumed
        state.paused, state.active = False, None
        state.holders.clear()
        for gpu in state.gpus.values():
            stop_crediting(gpu, state.trials)
        for name in event.trials:
            self._add_trial(name, event.strategies)

    def _preloading(self, _: str, __: ev.Preloading) -> None:
        self.state.setup.phase = self.state.setup.phase or "start"

    def _worker_spawned(self, _: str, event: ev.WorkerSpawned) -> None:
        begun = self.state.setup if event.trial == SETUP else self._trial(event.trial)
        begun.phase = begun.phase or "start"
        if begun.exit_code is not None:  # when resumed
            begun.outcome, begun.reason, begun.exit_code = None, "", None

    def _trial_dropped(self, _: str, event: ev.TrialDropped) -> None:
        trial = self._trial(event.trial)
        trial.outcome, trial.reason = "skipped", "skipped before it began"
        trial.decided_after = event.decided_after
        if event.decided_after is not None:
            trial.reason = f"decided after {event.decided_after} seeds"

    def _decision_looked(self, _: str, event: ev.DecisionLooked) -> None:
        self.state.looks.append(event)

    def _turn_granted(self, _: str, event: ev.TurnGranted) -> None:
        if event.trial != SETUP:
            self._trial(event.trial).turn = event.turn
            if event.trial not in self.state.trials:
                return
        self.state.active = event.trial
        if event.trial in self.state.holders:
            self.state.holders.remove(event.trial)
        self.state.holders.append(event.trial)

    def _release(self, trial: str) -> None:
        holders = self.state.holders
        if trial in holders:
            holders.remove(trial)
        if self.state.active == trial:
            self.state.active = holders[-1] if holders else None

    def _run_paused(self, _: str, __: ev.RunPaused) -> None:
        self.state.paused = True

    def _run_resumed(self, _: str, __: ev.RunResumed) -> None:
        self.state.paused = False

    def _marked(self, _: str, event: ev.Marked) -> None:
        self.state.marks.append((self.state.elapsed_s, event.text))
        del self.state.marks[:-MARKS_KEPT]

    def _turn_ended(self, source: str, event: ev.TurnEnded) -> None:
        trial = self._trial(source)
        trial.turns += event.train_s > 0  # else it only warmed up
        trial.switch_s += event.switch_s
        if event.turn == trial.turn:  # else the next one was granted before the worker wrote this line
            self._release(source)

    def _worker_exited(self, _: str, event: ev.WorkerExited) -> None:
        ended = self.state.setup if event.trial == SETUP else self._trial(event.trial)
        ended.exit_code = event.code
        if ended.outcome is None:
            phase = ended.phase or "start"
            cause = f"signal {-event.code}" if event.code < 0 else f"exit code {event.code}"
            ended.outcome = "stopped" if event.stopped else "failed"
            ended.reason = f"the worker ended with {cause} in phase {phase}"
            if event.stopped:
                ended.reason = f"the end of the run ended the worker in phase {phase}"
            if event.why:
                ended.reason += f": {event.why}"
        self._release(event.trial)

    def _run_finished(self, _: str, event: ev.RunFinished) -> None:
        self.state.finished, self.state.active = True, None
        self.state.exit_code, self.state.seconds = event.exit_code, event.seconds

    # --- samples -------------------------------------------------------------------------------

    def _gpu_sample(self, _: str, event: ev.GpuSample) -> None:
        unread = ev.GpuSample(event.uuid, event.index, event.name)
        gpu = self.state.gpus.setdefault(event.uuid, GpuState(unread))
        identity = {name: getattr(event, name) for name in ("parent_uuid", "instance", "slices")}
        gpu.last = replace(gpu.last, **identity)
        elapsed, holder = self.state.elapsed_s, self._holder_of(gpu)
        credit_energy(event, gpu, holder, self.state.trials, elapsed)
        if holder is not None and event.memory_used_bytes is not None:
            used = event.memory_used_bytes
            if holder.baseline_device_used_bytes is None:
                holder.baseline_device_used_bytes = used
            holder.peak_device_used_bytes = max(used, holder.peak_device_used_bytes or 0)
        gpu.last = _completed(event, gpu.last)
        for series, value in (
            (gpu.memory_series, event.memory_used_bytes),
            (gpu.utilization_series, event.utilization_percent),
            (gpu.power_series, event.power_w),
        ):
            if value is not None:
                series.add(elapsed, value)

    def _holder_of(self, gpu: GpuState) -> TrialState | None:
        """The trial that has the turn on a GPU or a slice of one."""
        holders = (self.state.trials.get(name) for name in reversed(self.state.holders))
        return next((trial for trial in holders if trial and self.state.gpu_of(trial) is gpu), None)

    def _gpu_absent(self, _: str, event: ev.GpuAbsent) -> None:
        self.state.gpu_absent = event.reason

    def _process_sample(self, _: str, event: ev.ProcessSample) -> None:
        if event.trial == SETUP:
            return
        trial = self._trial(event.trial)
        if event.rss_bytes is not None:
            trial.rss_bytes = event.rss_bytes
            trial.peak_rss_bytes = max(event.rss_bytes, trial.peak_rss_bytes or 0)
            if trial.progress is None:
                trial.baseline_rss_bytes = event.rss_bytes
            elif trial.started is not None and trial.started.gpu_uuid is None:
                trial.memory_series.add(trial.train_s, event.rss_bytes)
        trial.gpu_memory_bytes = event.gpu_memory_bytes
        trial.seen_on = event.gpu_uuids or trial.seen_on
        if event.gpu_memory_bytes is not None:
            peak = max(event.gpu_memory_bytes, trial.peak_gpu_memory_bytes or 0)
            trial.peak_gpu_memory_bytes = peak
        trial.memory_reason = event.reasons.get("gpu_memory_bytes", trial.memory_reason)
        trial.cpu_percent = event.cpu_percent
        uuid = trial.started.gpu_uuid if trial.started else None
        credit_disturbance(
            event,
            trial,
            self.state.trials,
            self.state.host,
            self.state.gpus.get(uuid or ""),
            trial.name in self.state.holders,
            self.state.elapsed_s,
        )

    def _host_sample(self, _: str, event: ev.HostSample) -> None:
        self.state.host = HostState(**{each.name: getattr(event, each.name) for each in fields(HostState)})

    def _sampler_finished(self, _: str, event: ev.SamplerFinished) -> None:
        known = self.state.sampling
        self.state.sampling = event if known is None else _sum(known, event)

    # --- setup ---------------------------------------------------------------------------------

    def _prepare_progress(self, _: str, event: ev.PrepareProgress) -> None:
        self.state.setup.prepare = event

    def _data_prepared(self, _: str, event: ev.DataPrepared) -> None:
        self.state.setup.data = event

    def _files_checked(self, _: str, event: ev.FilesChecked) -> None:
        self.state.setup.checks[event.subject] = event

    def _engine_chosen(self, _: str, event: ev.EngineChosen) -> None:
        self.state.setup.engine = event

    def _encoder_checked(self, _: str, event: ev.EncoderChecked) -> None:
        self.state.setup.encoder = event

    def _audit_finished(self, _: str, event: ev.AuditFinished) -> None:
        self.state.setup.audit = event

    # --- trials --------------------------------------------------------------------------------

    def _worker_started(self, source: str, event: ev.WorkerStarted) -> None:
        target = self.state.setup if source == SETUP else self._trial(source)
        if target.started is not None and target.started.pid != event.pid:
            target.outcome, target.reason = None, ""  # resumed after a supervisor that logged no end
        target.started = event

    def _phase_entered(self, source: str, event: ev.PhaseEntered) -> None:
        target = self.state.setup if source == SETUP else self._trial(source)
        target.phase = event.phase

    def _trial_planned(self, source: str, event: ev.TrialPlanned) -> None:
        trial = self._trial(source)
        trial.plan = event
        if event.label:  # also where the line that names the trials is lost
            trial.strategy = _with_null(trial, event.strategy)

    def _trial_resumed(self, source: str, event: ev.TrialResumed) -> None:
        """What was logged after the checkpoint is dropped: it will be done again."""
        trial = self._trial(source)
        self._recent.pop(source, None)
        trial.evaluations = [e for e in trial.evaluations if e.step <= event.step]
        trial.best = next((e for e in reversed(trial.evaluations) if e.best), None)
        trial.test, trial.diverged = None, None
        steps = 0
        for number, epoch in enumerate(trial.epochs):
            steps += epoch.steps
            if steps > event.step:
                del trial.epochs[number:]
                break
        trial.windows = [window for window in trial.windows if window.window <= event.windows]
        trial.windows_closed = event.windows
        trial.resumed_steps.append(event.step)
        if event.step == 0:
            trial.progress = trial.settled = None

    def _diverged(self, source: str, event: ev.Diverged) -> None:
        self._trial(source).diverged = event

    def _warmed_up(self, source: str, event: ev.WarmedUp) -> None:
        self._trial(source).warmed_up = event

    def _progress(self, source: str, event: ev.Progress) -> None:
        trial = self._trial(source)
        trial.progress = event
        if trial.plan is None or trial.plan.window_steps == 1:
            trial.settled = event
        recent = self._recent.setdefault(source, [])
        recent.append(event)
        del recent[:-_RATE_EVENTS]
        rate = _ratio(event.samples - recent[0].samples, event.train_s - recent[0].train_s)
        if rate is not None:
            trial.rate = rate
            trial.rate_series.add(event.train_s, rate)
        share = _ratio(event.encode_s, event.train_s)
        if share is not None:
            trial.encode_series.add(event.train_s, share)
        trial.encoder_lr_series.add(event.train_s, event.encoder_lr)
        if event.loss is not None:
            trial.loss_series.add(event.train_s, event.loss)
        if event.memory_allocated_bytes is not None:
            trial.memory_series.add(event.train_s, event.memory_allocated_bytes)

    def _window_closed(self, source: str, event: ev.WindowClosed) -> None:
        trial = self._trial(source)
        trial.windows.append(event)
        del trial.windows[:-WINDOWS_KEPT]
        trial.windows_closed += 1
        trial.settled = trial.progress
        if event.drift is not None:
            trial.drift_series.add(trial.train_s, event.drift)

    def _epoch_finished(self, source: str, event: ev.EpochFinished) -> None:
        trial = self._trial(source)
        while trial.epochs and trial.epochs[-1].epoch >= event.epoch:  # when resumed
            trial.epochs.pop()
        trial.epochs.append(event)

    def _evaluated(self, source: str, event: ev.Evaluated) -> None:
        trial = self._trial(source)
        if event.part == "test":
            trial.test = event
            return
        while trial.evaluations and trial.evaluations[-1].step >= event.step:  # when resumed
            trial.evaluations.pop()
        trial.evaluations.append(event)
        if event.best:
            trial.best = event

    def _checkpoint_saved(self, source: str, event: ev.CheckpointSaved) -> None:
        trial = self._trial(source)
        if event.path == "best":
            trial.checkpoint = event
        else:
            trial.resumable = event

    def _warned(self, source: str, event: ev.Warned) -> None:
        run_wide = source in ("", SETUP)
        target = self.state.warnings if run_wide else self._trial(source).warnings
        target[event.code] = event.message

    def _process_stopped(self, source: str, event: ev.ProcessStopped) -> None:
        if source == SETUP:
            return
        trial = self._trial(source)
        trial.stops += 1
        trial.stopped_s += event.seconds
        trial.stopped_training_s += event.training_s

    def _trial_finished(self, source: str, event: ev.TrialFinished) -> None:
        target = self.state.setup if source == SETUP else self._trial(source)
        target.outcome, target.reason = event.outcome, event.reason


_HANDLERS: dict[type[Event], Callable[[Fold, str, Any], None]] = {
    ev.RunStarted: Fold._run_started,
    ev.Preloading: Fold._preloading,
    ev.WorkerSpawned: Fold._worker_spawned,
    ev.TurnGranted: Fold._turn_granted,
    ev.RunPaused: Fold._run_paused,
    ev.RunResumed: Fold._run_resumed,
    ev.Marked: Fold._marked,
    ev.TurnEnded: Fold._turn_ended,
    ev.TrialDropped: Fold._trial_dropped,
    ev.DecisionLooked: Fold._decision_looked,
    ev.WorkerExited: Fold._worker_exited,
    ev.RunFinished: Fold._run_finished,
    ev.GpuSample: Fold._gpu_sample,
    ev.GpuAbsent: Fold._gpu_absent,
    ev.ProcessSample: Fold._process_sample,
    ev.HostSample: Fold._host_sample,
    ev.SamplerFinished: Fold._sampler_finished,
    ev.PrepareProgress: Fold._prepare_progress,
    ev.DataPrepared: Fold._data_prepared,
    ev.FilesChecked: Fold._files_checked,
    ev.EngineChosen: Fold._engine_chosen,
    ev.EncoderChecked: Fold._encoder_checked,
    ev.AuditFinished: Fold._audit_finished,
    ev.WorkerStarted: Fold._worker_started,
    ev.PhaseEntered: Fold._phase_entered,
    ev.TrialPlanned: Fold._trial_planned,
    ev.TrialResumed: Fold._trial_resumed,
    ev.Diverged: Fold._diverged,
    ev.WarmedUp: Fold._warmed_up,
    ev.Progress: Fold._progress,
    ev.WindowClosed: Fold._window_closed,
    ev.EpochFinished: Fold._epoch_finished,
    ev.Evaluated: Fold._evaluated,
    ev.CheckpointSaved: Fold._checkpoint_saved,
    ev.Warned: Fold._warned,
    ev.ProcessStopped: Fold._process_stopped,
    ev.TrialFinished: Fold._trial_finished,
}


def _completed(event: ev.GpuSample, before: ev.GpuSample) -> ev.GpuSample:
    """A sample with what it leaves out, without a reason, as it was before."""
    left_out = [n for n in _NOW_AND_THEN if getattr(event, n) is None and n not in event.reasons]
    reasons = event.reasons | {name: before.reasons[name] for name in left_out if name in before.reasons}
    stands = {name: getattr(before, name) for name in left_out}
    return replace(event, **stands, reasons=dict(sorted(reasons.items())))


def _ratio(part: float, seconds: float) -> float | None:
    """A part over seconds; None where these are not positive or too few for a finite ratio."""
    ratio = part / seconds if seconds > 0 else math.inf
    return ratio if math.isfinite(ratio) else None


def _sum(one: ev.SamplerFinished, other: ev.SamplerFinished) -> ev.SamplerFinished:
    """What two supervisors of a run, one after the other, spent on sampling."""
    slowest = max(one, other, key=lambda cost: cost.nvml_slowest_s)
    return ev.SamplerFinished(
        seconds=one.seconds + other.seconds,
        rounds=one.rounds + other.rounds,
        cpu_s=one.cpu_s + other.cpu_s,
        nvml_calls=one.nvml_calls + other.nvml_calls,
        nvml_s=one.nvml_s + other.nvml_s,
        nvml_slowest=slowest.nvml_slowest,
        nvml_slowest_s=slowest.nvml_slowest_s,
    )


def _sentence(event: Event, source: TrialState | None, selected_by: Metric) -> tuple[str, str] | None:
    """Severity and sentence of the events that people read in the log; None for the others."""
    match event:
        case ev.DataPrepared():
            origin = "mapped" if event.reused else "prepared"
            return "info", f"data {origin} in {event.seconds:.1f} s ({event.fingerprint[:12]})"
        case ev.EngineChosen() if event.candidates:
            chosen = ", ".join(f"{setting} = {value}" for setting, value in event.choice.items())
            return "info", f"engine probed in {event.seconds:.1f} s: {chosen}"
        case ev.EncoderChecked():
            size = "not finite" if event.relative is None else f"{event.relative:.1e}"
            verdict = "are" if event.equal else "are NOT"
            sentence = (
                f"encoder: vectors of {event.items} items {verdict} those of AutoModel (relative {size})"
            )
            return "info" if event.equal else "error", sentence
        case ev.AuditFinished():
            verdict = "equivalent" if event.equivalent else "NOT equivalent"
            worst = "not finite" if event.relative is None else f"{event.relative:.1e}"
            severity = "info" if event.equivalent and not event.unequal else "error"
            others = "".join(f"; {name} is NOT equivalent" for name in event.unequal)
            return severity, f"audit: gram-1s and e2e are {verdict} (relative {worst}){others}"
        case ev.WarmedUp() if event.compile_s is not None:
            return "info", f"encoder compiled in {event.compile_s:.1f} s, not counted as training"
        case ev.Evaluated():
            score = event.metrics.get(selected_by.name)
            words = "–" if score is None else f"{score:.4f}"
            star = ", the best so far" if event.best and event.part == "validation" else ""
            within = f", step {event.step:,}" if _is_within_epoch(event, source) else ""
            return "info", f"epoch {event.epoch}{within}: {event.part} {selected_by.title} {words}{star}"
        case ev.Preloading():
            if event.seconds is None:
                return "info", f"process {event.pid} loads the libraries for all workers"
            return "info", f"libraries loaded in {event.seconds:.1f} s"
        case ev.WorkerSpawned():
            return "info", f"worker {event.pid} started"
        case ev.GpuAbsent():
            return "info", f"no GPU watched: {event.reason}"
        case ev.Warned():
            return "warning", event.message
        case ev.TrialFinished():
            bad = event.outcome in ("failed", "diverged")
            sentence = f"{event.outcome}: {event.reason}" if event.reason else event.outcome
            return "error" if bad else "info", sentence
        case ev.WorkerExited() if event.stopped:
            return "info", "worker killed, since the run was to end"
        case ev.TrialDropped(decided_after=None):
            return "info", "skipped before it began"
        case ev.DecisionLooked():
            words = ", ".join(f"{row.get('label')} {row.get('verdict')}" for row in event.rows)
            end = "; decided, the trials left are not run" if event.decided else ""
            return "info", f"seed {event.seeds} of at most {event.most}: {words}{end}"
        case ev.WorkerExited() if event.code not in (ExitCode.OK, ExitCode.STOPPED, ExitCode.INTERRUPTED):
            return "error", f"worker ended with code {event.code}"
        case ev.TrialResumed():
            where = f"resumes at step {event.step:,}" if event.step else "starts over: there is no checkpoint"
            return "info", where
        case ev.RunPaused():
            return "info", "paused"
        case ev.RunResumed():
            return "info", "resumed"
        case ev.Marked():
            return "info", f"mark: {event.text}"
        case ev.RunFinished():
            return "info", f"run finished in {event.seconds:.1f} s"
    return None


def _with_null(trial: TrialName | TrialState, strategy: str) -> str:
    return NULL + strategy if trial.is_null else strategy


def _is_within_epoch(event: ev.Evaluated, trial: TrialState | None) -> bool:
    """True for weights that were scored neither at the end of an epoch nor of training."""
    plan = trial.plan if trial is not None else None
    if plan is None or not plan.steps_per_epoch or event.step == plan.max_steps:
        return False
    return event.step % plan.steps_per_epoch != 0


def fold(records: Iterable[tuple[str, Record]]) -> RunState:
    """Fold records given as (source, record)."""
    folding = Fold()
    for source, record in records:
        folding.apply(source, record)
    return folding.state
