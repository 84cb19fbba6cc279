"""Every event that a log may hold (`codec.py` has the form of a line).

Workers write trial events into `<trial>/events.jsonl`, the supervisor its own into
`supervisor.jsonl`. Durations are in seconds (`_s`), sizes in bytes, counters run from the start of the
trial. A field that could not be measured is None, and `reasons` says why where an event carries it.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

Phase = Literal["start", "prepare", "audit", "load", "probe", "train", "evaluate", "save", "test", "done"]
Outcome = Literal["completed", "early-stopped", "interrupted", "stopped", "skipped", "diverged", "failed"]
"""`interrupted`: a signal or the runner's end; `--resume` continues the trial from its checkpoint."""


_FIELDS: dict[str, frozenset[str]] = {}
"""Type -> the names of its fields, as they are first needed."""


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; `type` is the name in the log."""

    type: ClassVar[str] = ""

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Build from a decoded line; fields of a newer writer are ignored."""
        known = _FIELDS.get(cls.type) or _FIELDS.setdefault(
            cls.type, frozenset(f.name for f in dataclasses.fields(cls))
        )
        return cls(**{key: value for key, value in fields.items() if key in known})


# --- the supervisor's events -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The supervisor started or resumed the run."""

    type: ClassVar[str] = "run_started"
    run: str
    preset: str
    trials: list[str]
    """Trials in running order, each `<label>.s<seed>`, with `.r<repeat>` behind it from the second on."""
    pid: int
    model_label: str = ""
    """The encoder in words, for example `nreimers/TinyBERT_L-6_H-768_v2`."""
    data_label: str = ""
    schedule: str = "sequential"
    spec: dict[str, Any] = field(default_factory=dict)
    """The specification, as in `run.json`."""
    strategies: dict[str, str] = field(default_factory=dict)
    """Label -> strategy, of trials with a label of their own; any other label is the strategy's name."""


@dataclass(frozen=True, slots=True)
class Preloading(Event):
    """The process that workers are forked from loads the libraries."""

    type: ClassVar[str] = "preloading"
    pid: int
    seconds: float | None = None
    """What it took; None: it has begun."""


@dataclass(frozen=True, slots=True)
class WorkerSpawned(Event):
    """A worker process began; `trial` is `setup` for preparation and audit."""

    type: ClassVar[str] = "worker_spawned"
    trial: str
    pid: int


@dataclass(frozen=True, slots=True)
class TurnGranted(Event):
    """A worker may train; `seconds` None: until it is done."""

    type: ClassVar[str] = "turn_granted"
    trial: str
    turn: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RunPaused(Event):
    """A watcher paused the run: no worker has a turn until it is resumed."""

    type: ClassVar[str] = "run_paused"


@dataclass(frozen=True, slots=True)
class RunResumed(Event):
    """The pause is over."""

    type: ClassVar[str] = "run_resumed"


@dataclass(frozen=True, slots=True)
class Marked(Event):
    """A watcher's remark."""

    type: ClassVar[str] = "marked"
    text: str


@dataclass(frozen=True, slots=True)
class WorkerExited(Event):
    """A worker process ended; a negative code is the signal that ended it."""

    type: ClassVar[str] = "worker_exited"
    trial: str
    code: int
    log_tail: str = ""
    """Last lines of its worker.log when the code is not 0."""
    stopped: bool = False
    """True when the runner killed it because the run was to end."""
    why: str = ""
    """Why the runner killed it, or what else is known about its end."""


@dataclass(frozen=True, slots=True)
class TrialDropped(Event):
    """A trial that had not begun is left out: a watcher skipped it, or the run is decided."""

    type: ClassVar[str] = "trial_dropped"
    trial: str
    decided_after: int | None = None
    """Seeds that decided the run; None: a watcher skipped it."""


@dataclass(frozen=True, slots=True)
class DecisionLooked(Event):
    """The supervisor compared the test scores of the finished seeds (`training.until_decided`)."""

    type: ClassVar[str] = "decision_looked"
    seeds: int
    """Finished seeds, a count."""
    most: int
    """Seeds after which the run ends in any case, a count."""
    rows: list[dict[str, Any]]
    """Of each label that is compared: `label`, `seeds` (count) in which both sides have a score, mean
    `difference` of the score by `evaluation.select_by` from the reference's, its interval's ends `low` and
    `high` (None: too few seeds), and `verdict`."""
    decided: bool
    """No further seed begins."""


@dataclass(frozen=True, slots=True)
class GpuSample(Event):
    """NVML's reading of one GPU. Clocks and the energy counter are not read each time: then they are None
    without a reason, and the previous reading remains valid."""

    type: ClassVar[str] = "gpu_sample"
    uuid: str
    index: int
    name: str
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    utilization_percent: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    energy_j: float | None = None
    """Total energy counter since the driver was loaded."""
    sm_clock_mhz: int | None = None
    """Clock of the streaming multiprocessors."""
    memory_clock_mhz: int | None = None
    throttle: list[str] | None = None
    """Why the clocks are lower than they could be; empty: they are not."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Field name -> why it could not be read."""
    parent_uuid: str = ""
    """Of a MIG slice: its GPU, to which power, energy, temperature and clocks belong; empty: a whole GPU."""
    instance: str = ""
    """Of a MIG slice: `<GPU instance>/<compute instance>`."""
    slices: int | None = None
    """MIG is on, and NVML lists so many slices, each with samples of its own; None: off, or a slice."""
    edge: bool = False
    """Read because a turn or a worker began or ended: the time since the sample before still belongs to
    the trial that had the turn then."""
    foreign_processes: int | None = None
    """Other processes that compute on the GPU; None: not listed this time, or they cannot be told apart."""


@dataclass(frozen=True, slots=True)
class GpuAbsent(Event):
    """No GPU can be watched; no error on a machine without a driver."""

    type: ClassVar[str] = "gpu_absent"
    reason: str


@dataclass(frozen=True, slots=True)
class ProcessSample(Event):
    """psutil's and NVML's reading of one worker and its children."""

    type: ClassVar[str] = "process_sample"
    trial: str
    pid: int
    rss_bytes: int | None = None
    cpu_percent: float | None = None
    """100 is one core."""
    gpu_memory_bytes: int | None = None
    """NVML's memory of this process over all GPUs, as last listed: at most a few seconds ago."""
    reasons: dict[str, str] = field(default_factory=dict)
    waiting_percent: float | None = None
    """Time for which a thread was runnable without a CPU since the last sample, of the thread that waited
    longest; 100: all the time."""
    major_faults_per_s: float | None = None
    """Pages that had to be read from disk."""
    gpu_uuids: list[str] = field(default_factory=list)
    """GPUs and MIG slices whose process lists hold it or its children."""
    seconds: float | None = None
    """Time since the reading before, which the log leaves out where it was like the last one that it has;
    None: the first reading, or an older log, which leaves none out."""


@dataclass(frozen=True, slots=True)
class HostSample(Event):
    """psutil's reading of the whole machine; readings like the one before are left out for a few seconds."""

    type: ClassVar[str] = "host_sample"
    cpu_percent: float
    """100 is every core busy."""
    memory_used_bytes: int
    memory_total_bytes: int
    disk_free_bytes: int | None = None
    """Of the file system that holds the run."""
    disk_total_bytes: int | None = None
    cpus: int | None = None
    """CPUs on which the run may compute."""
    busy_cpus: float | None = None
    """How many of these were busy since the last sample, the run's own work included."""
    pressure_percent: float | None = None
    """Time since the last sample in which some task of the machine waited for a CPU (Linux' PSI)."""
    throttled_percent: float | None = None
    """Time since the last sample for which the control group had used up its CPU quota; summed over CPUs."""
    swap_bytes_per_s: float | None = None
    """Read from swap and written to it."""


@dataclass(frozen=True, slots=True)
class SamplerFinished(Event):
    """The sampling of one supervisor has ended; what it cost."""

    type: ClassVar[str] = "sampler_finished"
    seconds: float = 0.0
    """How long it sampled."""
    rounds: int = 0
    cpu_s: float = 0.0
    """CPU time of its thread: NVML, psutil and writing the samples."""
    nvml_calls: int = 0
    """Calls after NVML was opened, failed ones included."""
    nvml_s: float = 0.0
    """Wall time inside these calls."""
    nvml_slowest: str = ""
    """Name of the slowest call; empty: there was none."""
    nvml_slowest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The supervisor is done; the last line of a complete log."""

    type: ClassVar[str] = "run_finished"
    exit_code: int
    seconds: float


# --- events of the setup worker ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PrepareProgress(Event):
    """Preparation of the data, in units of its phase (texts, rows, bytes)."""

    type: ClassVar[str] = "prepare_progress"
    phase: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class DataPrepared(Event):
    """The mapped arrays are ready."""

    type: ClassVar[str] = "data_prepared"
    folder: str
    fingerprint: str
    counts: dict[str, Any]
    """The manifest's counts (items, tokens, and per part: impressions, clicks, …)."""
    seconds: float
    reused: bool
    """True when an earlier preparation was mapped."""
    vocabulary: str = "encoder"
    """Whose tokens the items are: `encoder`, `words` (`eernn`, `nrms`) or `language-model` (`lm-kt`)."""


@dataclass(frozen=True, slots=True)
class FilesChecked(Event):
    """Files that a run reads were read to their end by the setup, before the run's first result."""

    type: ClassVar[str] = "files_checked"
    subject: str
    """`data.` and a vocabulary (see `DataPrepared`), `encoder.model`, `language_model.model` or
    `words.vectors`."""
    folder: str
    files: dict[str, str]
    """File, by its path in the folder -> SHA-256 of what was read."""
    states: dict[str, list[int]] = field(default_factory=dict)
    """File -> size, mtime and ctime in ns, inode: a trial reads a file again only where they differ."""
    bytes: int = 0
    seconds: float = 0.0
    note: str = ""
    """Why there was nothing to compare the digests with; empty: they are those of what was written."""


@dataclass(frozen=True, slots=True)
class EngineChosen(Event):
    """How the training core runs on this device: the same for all trials, the audit and every resume."""

    type: ClassVar[str] = "engine_chosen"
    choice: dict[str, Any]
    """Setting -> value, for example `encoder.bucket_tokens`: 16384."""
    candidates: list[dict[str, Any]] = field(default_factory=list)
    """What was measured: `setting`, `value`, `seconds` (None: it was dropped) and `why`."""
    seconds: float = 0.0
    """Of the probe."""
    reused: bool = False
    """An earlier setup of this run had chosen."""


@dataclass(frozen=True, slots=True)
class EncoderChecked(Event):
    """Item vectors, through the layout of the run, against those of the encoder's own model; fp32."""

    type: ClassVar[str] = "encoder_checked"
    equal: bool
    """Within the tolerance; else the setup refuses to train."""
    tolerance: float
    items: int
    """Compared."""
    relative: float | None
    """Largest norm of a difference over the vector's norm; None: a vector was not finite."""
    layout: str = ""
    """`buckets` or `packed`."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AuditFinished(Event):
    """Gradients of gram-1s against e2e on one batch, float64."""

    type: ClassVar[str] = "audit_finished"
    equivalent: bool
    tolerance: float
    users: int
    occurrences: int
    unique_items: int
    encoder_absolute: float | None
    """Largest |difference| over the encoder's gradients; None: a gradient was not finite."""
    encoder_relative: float | None
    """The same over the largest |gradient| of the encoder."""
    filter_absolute: float | None
    filter_relative: float | None
    seconds: float
    note: str = ""
    plugins: list[dict[str, Any]] = field(default_factory=list)
    """Of each strategy of another package that claims the update of e2e: strategy, package, and as above
    equivalent, encoder_relative and filter_relative."""

    @property
    def unequal(self) -> list[str]:
        """Strategies of other packages whose claim does not hold."""
        return [str(found.get("strategy")) for found in self.plugins if not found.get("equivalent")]

    @property
    def relative(self) -> float | None:
        """The larger of both relative differences; None: a gradient was not finite."""
        if self.encoder_relative is None or self.filter_relative is None:
            return None
        return max(self.encoder_relative, self.filter_relative)


# --- events of a trial's worker ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """First line of a worker's log."""

    type: ClassVar[str] = "worker_started"
    trial: str
    pid: int
    device: str
    """`cpu`, `cuda:0` …"""
    device_name: str
    gpu_uuid: str | None
    versions: dict[str, str]
    """torch, transformers, numpy, python, cuda and driver versions as the worker sees them."""
    threads: int
    precision: str
    """`fp32`, `bf16` (autocast of the encoder) or `bf16-weights`."""
    attention: str | None = None
    """Kernels that the encoder's attention takes: `efficient`, `math` …; None: an older log."""
    tf32: bool | None = None
    """fp32 matrix products may use TF32; None: an older log."""
    allocator: dict[str, str] | None = None
    """Settings of torch's memory on the device, empty on a CPU; None: an older log."""
    stops_seen: bool | None = None
    """Stops of the process are detected and excluded from its training seconds; None: an older log."""


@dataclass(frozen=True, slots=True)
class PhaseEntered(Event):
    """What the worker does now."""

    type: ClassVar[str] = "phase_entered"
    phase: Phase


@dataclass(frozen=True, slots=True)
class TrialPlanned(Event):
    """Everything decided before the clock starts."""

    type: ClassVar[str] = "trial_planned"
    strategy: str
    seed: int
    steps_per_epoch: int
    max_steps: int
    batch_size: int
    window_steps: int
    """CF steps between two encoder updates; 1 for E2E and single-step."""
    encoder_parameters: int
    filter_parameters: int
    micro_batch: int | None = None
    """Users per E2E micro-batch; None where it does not apply."""
    encoder_chunk: int | None = None
    """Items per recomputed chunk of single-step; None when one graph is held."""
    encoder_batch: int | None = None
    """Items in one encoder step at the close of a window; None where it does not apply."""
    encoder_revision: str | None = None
    """Commit of the pretrained model on the hub; None: a folder, or from scratch."""
    bucket_tokens: int | None = None
    """Most token positions in one call of the encoder."""
    tokens_on_device: bool = True
    """Token ids lie on the device; else in host memory."""
    interactions_on_device: bool = True
    """Histories and candidates lie on the device; else in host memory."""
    layout: str = "buckets"
    """How items share the encoder's calls: `buckets` or `packed`."""
    graphs: str = "off"
    """Which steps run over fixed shapes, as CUDA graphs on CUDA, and why others do not."""
    why: str = ""
    """How the automatic choices were made."""
    label: str = ""
    """What the trial is called; empty: an older log, in which trials are called as their strategies."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Dotted key -> value, of the settings that the trial has in place of the run's."""
    package: str = ""
    """Name and version of the package that the strategy comes from; empty: grambench."""


@dataclass(frozen=True, slots=True)
class TrialResumed(Event):
    """A new worker continues from a checkpoint; what was logged after it will be done again."""

    type: ClassVar[str] = "trial_resumed"
    step: int
    """CF steps of the checkpoint; 0: there was none, and the trial starts over."""
    train_s: float
    windows: int
    """Windows closed before it."""


@dataclass(frozen=True, slots=True)
class WarmedUp(Event):
    """Sizes were probed and the work of a step was run before the clock started; no weight changed."""

    type: ClassVar[str] = "warmed_up"
    seconds: float
    """All of it."""
    compile_s: float | None = None
    """Of these, what torch.compile took: the first calls less later ones. None: not asked for."""


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Counters of a trial so far; read at a synchronised point, at most a few times a second."""

    type: ClassVar[str] = "progress"
    epoch: int
    """Epoch under way, from 1."""
    step: int
    """CF steps done."""
    train_s: float
    """Training seconds so far: evaluation, saving and waiting excluded."""
    encode_s: float
    """Of these, seconds in the encoder (forward and backward)."""
    samples: int
    """Users trained on so far (each sample of each epoch)."""
    occurrences: int
    """Item appearances in the batches so far, padding excluded."""
    unique_items: int
    """Sum over windows of their distinct items (what GRAM has to encode)."""
    items_encoded: int
    """Item encodings so far, recomputation included."""
    tokens_encoded: int
    """Token positions of these, padding excluded."""
    loss: float | None
    """Mean loss of a user over the steps since the last event."""
    encoder_lr: float
    filter_lr: float
    memory_allocated_bytes: int | None = None
    """torch's current device memory; None on a CPU."""
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class TurnEnded(Event):
    """The worker gave its turn back (schedule `race`, or a pause)."""

    type: ClassVar[str] = "turn_ended"
    turn: int
    train_s: float
    """Training seconds of this turn."""
    switch_s: float
    """Seconds from the grant to the first step that counts: waking up and warming up."""


@dataclass(frozen=True, slots=True)
class WindowClosed(Event):
    """The encoder followed its pseudo-targets (multi-step only)."""

    type: ClassVar[str] = "window_closed"
    window: int
    step: int
    steps: int
    unique_items: int
    occurrences: int
    drift: float | None
    """Mean ‖h̃ − h‖ / ‖h‖ of the touched items at the close."""
    pseudo_loss: float | None
    """Mean over the items of ½ ‖h̃ − CE(c)‖² during the encoder's pass."""
    encoder_s: float
    """Seconds in the encoder since the last window closed."""
    reuse_ratio: float | None = None
    """R of the window: occurrences / unique items."""
    spread_drift: float | None = None
    """Mean ‖h̃ − h‖ of the touched items over the mean ‖h − h̄‖ of the window's; what `gram-auto` goes by."""
    untouched_items: int | None = None
    """Items that were encoded for the window and that no step of it has read, beside `unique_items`."""


@dataclass(frozen=True, slots=True)
class EpochFinished(Event):
    """One pass over the train samples."""

    type: ClassVar[str] = "epoch_finished"
    epoch: int
    steps: int
    train_s: float
    """Training seconds of this epoch alone."""
    samples: int
    occurrences: int
    unique_items: int
    items_encoded: int
    tokens_encoded: int


@dataclass(frozen=True, slots=True)
class Evaluated(Event):
    """Scores of one part; its own clock, not the trial's."""

    type: ClassVar[str] = "evaluated"
    part: Literal["validation", "test"]
    epoch: int
    """From 1: the epoch that has ended, or the one under way (`evaluation.every`)."""
    step: int
    train_s: float
    """Training seconds spent before this evaluation."""
    metrics: dict[str, float | None]
    """News: auc, mrr, ndcg@5, ndcg@10, means over the scored impressions. Knowledge tracing: auc over all
    scored answers, csauc over those to cold items with csauc_low and csauc_high."""
    impressions: int
    """Impressions, or answers, that were scored."""
    skipped: int
    """One-class impressions, which have no AUC."""
    sampled: bool
    """True when `evaluation.max_impressions` left some out."""
    seconds: float
    best: bool
    """True when it is the best validation AUC so far (test: the selected checkpoint)."""


@dataclass(frozen=True, slots=True)
class CheckpointSaved(Event):
    """Weights on disk, relative to the trial's folder."""

    type: ClassVar[str] = "checkpoint_saved"
    path: str
    epoch: int
    step: int
    bytes: int
    sha256: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Diverged(Event):
    """A number was not finite; the weights were left as they were before that step."""

    type: ClassVar[str] = "diverged"
    step: int
    """The step, from 1."""
    last_loss: float | None
    """The newest finite mean loss of a user; None: there was none."""
    last_loss_step: int | None
    """The step at which it was read."""
    last_drift: float | None
    """The newest finite drift of a window; None: no window has closed."""


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something a careful reader of the report should know."""

    type: ClassVar[str] = "warned"
    code: str
    """Stable short name, for example `sampled-evaluation`."""
    message: str


@dataclass(frozen=True, slots=True)
class ProcessStopped(Event):
    """The worker was stopped or frozen from outside, and continues."""

    type: ClassVar[str] = "process_stopped"
    seconds: float
    training_s: float = 0.0
    """Of these, those that fell into training; its clock has left them out."""


@dataclass(frozen=True, slots=True)
class TrialFinished(Event):
    """Last line of a worker's log."""

    type: ClassVar[str] = "trial_finished"
    outcome: Outcome
    reason: str = ""
    exit_code: int = 0
