"""The state of a run: the fold builds it from events, and every view shows it."""

from dataclasses import dataclass, field
from typing import Any

from grambench.config.trial_name import NULL, TrialName
from grambench.events.gpu_identity import used_gpu
from grambench.events.load import Weighed
from grambench.events.log_check import LogCheck
from grambench.events.rounds import Round, RoundRows
from grambench.events.series import Series
from grambench.events.types import (
    AuditFinished,
    CheckpointSaved,
    DataPrepared,
    DecisionLooked,
    Diverged,
    EncoderChecked,
    EngineChosen,
    EpochFinished,
    Evaluated,
    FilesChecked,
    GpuSample,
    GroupFormed,
    Outcome,
    Phase,
    PredictionsWritten,
    PrepareProgress,
    Progress,
    RankSample,
    RanksLaunched,
    RankStarted,
    SamplerFinished,
    StalenessMeasured,
    StatesCached,
    TrialForecast,
    TrialPlanned,
    WarmedUp,
    WindowClosed,
    WorkerStarted,
)
from grambench.metrics.catalogue import SELECTS, Metric, metric

SETUP = "setup"
STATES = "states"
"""Folder of states of frozen layers in a run's; removed when the run has completed."""


@dataclass(slots=True)
class GpuState:
    """One GPU as last sampled, and over time (x: seconds of the run)."""

    last: GpuSample
    """The newest sample; what it left out is as last read."""
    memory_series: Series = field(default_factory=Series)
    utilization_series: Series = field(default_factory=Series)
    power_series: Series = field(default_factory=Series)
    sampled_s: float = 0.0
    """Seconds of the run at the last sample."""
    credited: str = ""
    """The trial that the last sample was credited to; empty: none."""
    trained: bool = False
    """That trial trained at the last sample."""
    counted_j: float | None = None
    """The last successful reading of the energy counter."""
    uncounted: dict[str, float] = field(default_factory=dict)
    """Trial (empty: none) -> joules since then by power; the next reading is divided in this proportion."""


@dataclass(slots=True)
class HostState:
    """The machine as last sampled."""

    cpu_percent: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    disk_free_bytes: int | None = None
    """On the file system that holds the run."""
    disk_total_bytes: int | None = None
    cpus: int | None = None
    """CPUs on which the run may compute."""
    busy_cpus: float | None = None
    """How many of these are busy."""
    pressure_percent: float | None = None
    throttled_percent: float | None = None
    swap_bytes_per_s: float | None = None


@dataclass(slots=True)
class RankState:
    """One of the ranks that train a trial; its counters run since its process started."""

    started: RankStarted | None = None
    sample: RankSample | None = None
    """The newest."""
    before: RankSample | None = None
    """The one before."""
    seen_s: float | None = None
    """Seconds of the run at the newest."""


@dataclass(slots=True)
class GroupState:
    """The ranks of a trial since they were last started."""

    launched: RanksLaunched | None = None
    formed: GroupFormed | None = None
    """None: they have not met yet."""
    ranks: dict[int, RankState] = field(default_factory=dict)
    began_step: int = 0
    """CF steps done before."""
    steps: int = 0
    """CF steps since then, at the newest samples."""

    @property
    def size(self) -> int:
        """W; before they have met, of those that are started."""
        if self.formed is not None:
            return self.formed.size
        return self.launched.nproc * self.launched.nnodes if self.launched else 1


@dataclass(slots=True)
class Stretch:
    """What one number of ranks has trained of a trial."""

    size: int
    """Ranks; 1: one process."""
    from_step: int
    """CF steps done before."""
    first: Progress | None
    """Counters at which it is measured from; None: the trial's beginning."""
    last: Progress
    """The newest counters, of closed windows."""


@dataclass(slots=True)
class TrialState:
    """One entry of the run with one seed, the first time or again."""

    name: str
    """`<label>.s<seed>`, of a repeat `<label>.s<seed>.r<repeat>`; also the folder's name."""
    strategy: str
    """Of a null test: prefixed with `null-`."""
    seed: int
    repeat: int = 1
    """From 1: the how many-th process with this label and seed."""
    phase: Phase | None = None
    """None: it has not begun."""
    outcome: Outcome | None = None
    """None: it has not ended."""
    reason: str = ""
    decided_after: int | None = None
    """It was left out, because so many seeds had decided the run (`training.until_decided`)."""
    exit_code: int | None = None
    started: WorkerStarted | None = None
    plan: TrialPlanned | None = None
    warmed_up: WarmedUp | None = None
    states: StatesCached | None = None
    """States of the frozen part of the encoder."""
    forecast: TrialForecast | None = None
    """What it would cost; the newest prediction."""
    progress: Progress | None = None
    settled: Progress | None = None
    """The counters when the last window closed: within a window the encoder's share is still missing, so
    only these give comparable rates and ratios."""
    epochs: list[EpochFinished] = field(default_factory=list)
    evaluations: list[Evaluated] = field(default_factory=list)
    """Validation, in order."""
    best: Evaluated | None = None
    """The validation that selected the checkpoint."""
    test: Evaluated | None = None
    predictions: list[PredictionsWritten] = field(default_factory=list)
    """The newest of each part."""
    windows: list[WindowClosed] = field(default_factory=list)
    """The newest `WINDOWS_KEPT`."""
    windows_closed: int = 0
    staleness: list[StalenessMeasured] = field(default_factory=list)
    """Before each validation, in order; empty: every vector that the filter reads is encoded for its step."""
    drift_series: Series = field(default_factory=Series)
    """Training seconds -> drift at the close of a window."""
    checkpoint: CheckpointSaved | None = None
    """The weights selected by validation."""
    resumable: CheckpointSaved | None = None
    """The newest state from which an interrupted trial can be resumed."""
    resumed_steps: list[int] = field(default_factory=list)
    """CF steps at which later workers resumed the trial."""
    diverged: Diverged | None = None
    """Where a number was not finite."""
    warnings: dict[str, str] = field(default_factory=dict)
    """Code -> message."""
    rate: float | None = None
    """Samples per training second over the last few progress events."""
    rate_series: Series = field(default_factory=Series)
    """Training seconds -> samples/s."""
    loss_series: Series = field(default_factory=Series)
    """Training seconds -> mean loss per user."""
    encode_series: Series = field(default_factory=Series)
    """Training seconds -> share of them in the encoder, 0 to 1."""
    encoder_lr_series: Series = field(default_factory=Series)
    """Training seconds -> learning rate of the encoder."""
    memory_series: Series = field(default_factory=Series)
    """Training seconds -> bytes: torch's allocation on a GPU, else resident memory of the process."""
    rss_bytes: int | None = None
    peak_rss_bytes: int | None = None
    baseline_rss_bytes: int | None = None
    """Resident memory at the last sample before training."""
    gpu_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None
    """NVML's memory of the process."""
    peak_device_used_bytes: int | None = None
    """NVML's used memory of the whole GPU while this trial ran."""
    baseline_device_used_bytes: int | None = None
    """The same at its start."""
    energy_series: Series = field(default_factory=Series)
    """Training seconds -> joules of the trial so far."""
    energy_start_j: float | None = None
    """The GPU's energy counter at the trial's start, advanced by what the GPU used while others had the
    turn or it was not sampled: `energy_end_j - energy_start_j` is the trial's own."""
    energy_end_j: float | None = None
    """The same counter at its newest reading that covers the trial."""
    integrated_energy_j: float | None = None
    """Power integrated over the samples, if there is no energy counter."""
    memory_reason: str = ""
    """Why the GPU numbers are missing."""
    seen_on: list[str] = field(default_factory=list)
    """UUIDs of the GPUs and MIG slices that list its process."""
    turn: int | None = None
    """The last turn that it was granted."""
    turns: int = 0
    """Turns that it had and gave back."""
    switch_s: float = 0.0
    """Seconds that starting these turns cost; not part of the training seconds."""
    group: GroupState | None = None
    """Its ranks; None: one process trains it, or has not begun."""
    restarts: int = 0
    """How often its ranks started again because one of them had died."""
    stretches: list[Stretch] = field(default_factory=list)
    """In order; more than one if it was resumed with another number of ranks."""
    rounds: list[Round] = field(default_factory=list)
    """What its closed windows had cost at the end of each of these turns."""
    round_rows: RoundRows = field(default_factory=RoundRows)
    stops: int = 0
    """How often its process was stopped or frozen from outside."""
    stopped_s: float = 0.0
    stopped_training_s: float = 0.0
    """Of these, those during training, which are excluded from its training seconds."""
    cpu_percent: float | None = None
    """Of its worker, as last sampled; 100 is one CPU."""
    sampled_s: float = 0.0
    """Seconds of the run at the last sample of its worker."""
    was_training: bool = False
    """It trained at that sample."""
    disturbed_by: list[str] = field(default_factory=list)
    """Types of disturbance at the last sample in which it trained."""
    foreign_cpus: float | None = None
    """CPUs that others kept busy at that sample; None: an older log."""
    load: dict[str, Weighed] = field(default_factory=dict)
    """Reading of its GPU or worker (`load.py`) -> over the samples of its training."""
    watched_s: float = 0.0
    """Seconds of training between samples."""
    disturbed_s: dict[str, float] = field(default_factory=dict)
    """Type of disturbance -> seconds of these."""
    disturbed_any_s: float = 0.0
    """Seconds of these with at least one kind."""
    foreign_cpu_s: float = 0.0
    """CPU seconds used by others while they kept the CPUs busy."""
    foreign_of_cpus: int | None = None
    """The number of CPUs that these refer to."""

    @property
    def label(self) -> str:
        """Its name in views: the strategy's name, unless it has its own label."""
        name = TrialName.parse(self.name)
        return name.label if name else self.name

    @property
    def trial_name(self) -> TrialName:
        """Label, seed and repeat."""
        return TrialName(self.label, self.seed, self.repeat)

    @property
    def is_null(self) -> bool:
        """True for a null test."""
        return self.label.startswith(NULL)

    @property
    def settings(self) -> dict[str, Any]:
        """Dotted key -> value of the settings that replace the run's; empty before it was planned."""
        return self.plan.settings if self.plan else {}

    @property
    def ended(self) -> bool:
        """True when no more events will follow."""
        return self.outcome is not None

    @property
    def train_s(self) -> float:
        """Training seconds so far."""
        return self.progress.train_s if self.progress else 0.0


@dataclass(slots=True)
class SetupState:
    """Preparation of the data and the audit."""

    phase: Phase | None = None
    prepare: PrepareProgress | None = None
    data: DataPrepared | None = None
    engine: EngineChosen | None = None
    audit: AuditFinished | None = None
    encoder: EncoderChecked | None = None
    checks: dict[str, FilesChecked] = field(default_factory=dict)
    """Subject -> the newest check of its files."""
    started: WorkerStarted | None = None
    outcome: Outcome | None = None
    reason: str = ""
    exit_code: int | None = None


@dataclass(slots=True)
class LogLine:
    """One line of the log that people read."""

    wall: str
    elapsed_s: float
    """Seconds since the run's first event."""
    trial: str
    """The trial, or `setup`; empty: the run itself."""
    severity: str
    """info, warning or error."""
    text: str


@dataclass(slots=True)
class RunState:
    """A whole run."""

    run: str = ""
    preset: str = ""
    model_label: str = ""
    data_label: str = ""
    schedule: str = "sequential"
    select_by: str = SELECTS
    """The metric that selects checkpoints."""
    scores_test: bool = True
    """Each trial scores the test part at its end."""
    tuned: dict[str, int] = field(default_factory=dict)
    """Label -> trials of `grambench tune` that chose its settings; empty: it did not."""
    pid: int | None = None
    started_wall: str = ""
    elapsed_s: float = 0.0
    """From the first to the newest event."""
    active: str | None = None
    """The trial (or `setup`) that has the turn."""
    holders: list[str] = field(default_factory=list)
    """All trials that have a turn, newest last: several with the schedule `parallel`."""
    paused: bool = False
    """Paused: all turns are withheld."""
    setup: SetupState = field(default_factory=SetupState)
    trials: dict[str, TrialState] = field(default_factory=dict)
    gpus: dict[str, GpuState] = field(default_factory=dict)
    gpu_absent: str = ""
    """Why no GPU is watched."""
    looks: list[DecisionLooked] = field(default_factory=list)
    """Of `training.until_decided`, by their number of seeds."""
    sampling: SamplerFinished | None = None
    """What sampling cost, summed over the supervisors that reported it; None: none has."""
    host: HostState = field(default_factory=HostState)
    marks: list[tuple[float, str]] = field(default_factory=list)
    """Seconds of the run and text of the newest `MARKS_KEPT` marks."""
    log: list[LogLine] = field(default_factory=list)
    """The newest `LOG_KEPT`."""
    finished: bool = False
    exit_code: int | None = None
    seconds: float | None = None
    """Seconds of the whole run, once it has finished."""
    warnings: dict[str, str] = field(default_factory=dict)
    """Warnings about the run itself: code -> message."""
    logs: dict[str, LogCheck] = field(default_factory=dict, compare=False)
    """Log (empty: the supervisor's) -> what is wrong with it."""

    def named(self, name: TrialName) -> TrialState | None:
        """The trial of a label, a seed and a repeat."""
        return self.trials.get(str(name))

    @property
    def metric(self) -> Metric:
        """The metric that selects checkpoints."""
        return metric(self.select_by)

    def gpu_of(self, trial: TrialState) -> GpuState | None:
        """The GPU or MIG slice that a trial uses; None: none, or NVML does not say which."""
        uuid = trial.started.gpu_uuid if trial.started else None
        return None if uuid is None else used_gpu(uuid, self.gpus, trial.seen_on)

    @property
    def log_complaints(self) -> list[str]:
        """What is wrong with the logs, in sentences without a full stop; empty: nothing."""
        return [
            complaint
            for name, check in self.logs.items()
            for complaint in check.complaints(name or "the supervisor's log", self.finished)
        ]
