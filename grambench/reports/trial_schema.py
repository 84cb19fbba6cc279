"""The report's part about one trial: one strategy with one seed."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from grambench.events.types import Outcome, Phase
from grambench.reports.adaptation_schema import Adaptation, not_adapted
from grambench.reports.forecast_schema import Forecast, no_forecast
from grambench.reports.measured_schema import Disturbed, Energy, Load, Memory, SpeedUp, Times, not_detected
from grambench.reports.ranks_schema import Ranks, one_process
from grambench.reports.section import GrownSection, Model, Section
from grambench.reports.training_schema import Clipping, Curves, Divergence, Staleness, Windows


class Caution(Model):
    """Something a careful reader should know."""

    code: str
    """Stable short name, for example `sampled-evaluation`."""
    message: str
    """One sentence."""


class Worker(GrownSection):
    """The process that trained, as it reported itself."""

    device: str
    """`cpu`, `cuda:0` …"""
    device_name: str
    """The device's name."""
    gpu_uuid: str | None
    """UUID of the GPU, the name that NVML knows it by."""
    versions: dict[str, str]
    """torch, transformers, numpy, python, cuda and driver versions."""
    threads: int
    """Threads of torch, a count."""
    precision: str
    """Of the encoder: `fp32`, `bf16` autocast, or `bf16-weights`."""
    attention: str | None = None
    """Kernels that the encoder's attention uses: `efficient`, `math`, `flash`."""
    tf32: bool | None = None
    """True when fp32 matrix products may use TF32."""
    allocator: dict[str, str] | None = None
    """Settings of torch's allocator on the device; empty on a CPU."""


class Plan(GrownSection):
    """What was decided before the clock started."""

    batch_size: int
    """Users in a batch, a count."""
    window_steps: int
    """CF steps between two encoder updates; 1 for E2E and single-step."""
    steps_per_epoch: int
    """CF steps in an epoch."""
    max_steps: int
    """Maximum CF steps of the trial."""
    micro_batch: int | None
    """Users whose graph E2E holds at once."""
    encoder_chunk: int | None
    """Items that single-step recomputes at once."""
    encoder_batch: int | None
    """Items in one encoder step when a window closes."""
    encoder_parameters: int
    """Parameters of the encoder, a count."""
    filter_parameters: int
    """Parameters of the collaborative filter, a count."""
    encoder_revision: str | None
    """Commit of the pretrained model on the hub."""
    bucket_tokens: int | None
    """Maximum number of token positions in one call of the encoder."""
    tokens_on_device: bool
    """Token ids lie on the device; else in host memory."""
    interactions_on_device: bool
    """Histories and candidates lie on the device; else in host memory."""
    layout: str = "buckets"
    """How items share the encoder's calls: `buckets` or `packed`."""
    graphs: str = "off"
    """Which steps run over fixed shapes, as CUDA graphs on CUDA, and why others do not."""
    warm_up_s: float | None
    """Seconds of the warm-up before the clock started, so that the first step is as fast as any."""
    compile_s: float | None
    """Of these, seconds of torch.compile."""
    why: str
    """How the automatic choices were made."""
    package: str = ""
    """Name and version of the package that the strategy comes from; empty: grambench."""


class Scores(Section):
    """One evaluation: means over the scored impressions, or over all scored answers of students."""

    epoch: int
    """Current epoch, from 1."""
    step: int
    """CF steps done."""
    train_s: float
    """Training seconds spent before it."""
    auc: float | None
    """Area under the ROC curve, ties one half: per impression, or pooled over all answers; 0 to 1."""
    mrr: float | None
    """Mean over all positives of 1 / rank; 0 to 1."""
    ndcg_at_5: float | None
    """nDCG of the first 5; 0 to 1."""
    ndcg_at_10: float | None
    """nDCG of the first 10; 0 to 1."""
    csauc: float | None
    """Knowledge tracing: AUC of the answers to items not seen in training; 0 to 1."""
    csauc_low: float | None
    """Lower end of its 95 % bootstrap interval by students; version 0.1: over answers."""
    csauc_high: float | None
    """Upper end of its 95 % bootstrap interval by students; version 0.1: over answers."""
    others: dict[str, float] = Field(default_factory=dict)
    """Metrics that have no field of their own, by name."""
    impressions: int
    """Impressions scored (knowledge tracing: answers), a count."""
    skipped: int
    """Impressions of one class, which have no AUC, a count."""
    sampled: bool
    """True when only a fixed sample of the part was scored."""
    seconds: float
    """Seconds of the evaluation itself; not part of the training time."""

    def value(self, metric: str) -> float | None:
        """The score by the name of its metric, such as `ndcg@5`."""
        field = metric.replace("@", "_at_")
        return getattr(self, field) if field in type(self).model_fields else self.others.get(metric)

    @model_serializer(mode="wrap")
    def _as_before_without_others(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = fields(self)
        if not self.others:
            del found["others"]
        return found


class Predictions(Model):
    """A file of predictions, made with the best weights."""

    part: str
    """`test`, or `unlabelled-` and the name of a split."""
    file: str
    """Relative to the trial's folder."""
    labelled: bool
    """False: the part has no labels, and was never evaluated."""
    rows: int
    """Impressions, or answers of students, a count."""
    unknown: int
    """Candidates without a row in the items' files, ranked last, a count."""
    sha256: str
    """Of the file."""


class Trial(Section):
    """One label with one seed, the first time or again."""

    name: str
    """`<label>.s<seed>`, of a repeat `<label>.s<seed>.r<repeat>`."""
    strategy: str
    """For example `e2e` or `gram-1s`."""
    label: str = ""
    """Its label; empty: a report of an earlier version, where it is the strategy."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Dotted key -> value of the settings that replaced those in `spec`, once it was planned."""
    seed: int
    """Seed of weights, batches and negatives."""
    repeat: int = 1
    """From 1: the how many-th process with this label and seed, a count."""
    outcome: Outcome | None
    """How it ended."""
    phase: Phase | None
    """Its last phase."""
    outcome_reason: str
    """Why it ended that way; empty if there is nothing to add."""
    exit_code: int | None
    """Exit code of its process; negative: the signal."""
    worker: Worker | None
    """The process that trained."""
    plan: Plan | None
    """What was decided before the clock started."""
    epochs_finished: int
    """Passes over the train samples, a count."""
    steps: int
    """CF steps done."""
    resumed_steps: list[int]
    """CF steps at which the trial was resumed after an interruption."""
    turns: int
    """Turns that it took and gave back (schedule race), a count."""
    switch_s: float
    """Seconds that starting these turns cost, warm-up included; not part of the training time."""
    diverged: Divergence | None
    """Where a number was not finite."""
    best_validation: Scores | None
    """The evaluation that selected the checkpoint."""
    test: Scores | None
    """The selected checkpoint on the test part."""
    predictions: list[Predictions] = Field(default_factory=list)
    """Files of predictions, where they were asked for."""
    times: Times
    """Seconds and rates."""
    memory: Memory
    """Peaks and baselines."""
    energy: Energy
    """Joules."""
    disturbed: Disturbed = Field(default_factory=not_detected)
    """Stops of the process, and load on the machine."""
    load: Load = Field(default_factory=Load)
    """How hard its training worked the machine."""
    ranks: Ranks = Field(default_factory=one_process)
    """The ranks that trained it; left out for one process."""
    adaptation: Adaptation = Field(default_factory=not_adapted)
    """The trained part of the encoder; left out where the trial does not say."""
    clipping: dict[Literal["encoder", "filter"], Clipping] = Field(default_factory=dict)
    """Modules whose gradient was to be clipped; left out where there are none."""
    reuse_ratio: float | None
    """R = occurrences / unique items over the windows, a ratio (eq. 10, 11)."""
    forecast: Forecast = Field(default_factory=no_forecast)
    """What was predicted before it trained, and how well; left out if nothing was."""
    speedups: dict[Literal["e2e", "e2e-unique"], SpeedUp]
    """Reference strategy of the same seed -> ratios."""
    windows: Windows
    """Windows of multi-step GRAM."""
    staleness: list[Staleness] = Field(default_factory=list)
    """Before every validation; left out where each vector that the filter reads is encoded for its step."""
    validations: list[Scores]
    """Every evaluation of the validation part, in order."""
    curves: Curves
    """Curves over its training time."""
    warnings: list[Caution]
    """Warnings about this trial."""

    @property
    def sizes(self) -> set[int]:
        """The numbers of ranks that have trained it."""
        return {part.ranks for part in self.ranks.parts} or {self.ranks.size}

    @model_serializer(mode="wrap")
    def _as_before_without_new_fields(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = fields(self)
        if not self.predictions:
            found.pop("predictions", None)  # a caller may have left it out
        if not self.ranks.several:
            found.pop("ranks", None)
        if self.adaptation.adapt is None:
            found.pop("adaptation", None)
        if not self.clipping:
            found.pop("clipping", None)
        if not self.staleness:
            found.pop("staleness", None)
        if not self.forecast.is_made:
            found.pop("forecast", None)
        return found


def rates_of(trials: Sequence[Trial]) -> list[float]:
    """Samples/s of those that have been measured; empty where several numbers of ranks trained them."""
    return [rate for trial in trials if are_alike(trials) and (rate := trial.times.samples_per_s)]


def why_no_rate(trials: Sequence[Trial]) -> str:
    """Why there are none."""
    return "no window was closed" if are_alike(trials) else "several numbers of ranks trained them"


def are_alike(trials: Sequence[Trial]) -> bool:
    """Whether one number of ranks trained them all, so that their rates are comparable."""
    return len(set().union(*(trial.sizes for trial in trials))) < 2
