"""The report's part about one trial: one strategy with one seed."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from grambench.events.types import Outcome, Phase
from grambench.reports.section import OLDER_REPORT, GrownSection, Model, Section, build_section

Point = tuple[float, float]


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


class Times(Section):
    """Training seconds, excluding evaluation, saving, waiting and stops of the process."""

    train_s_to_best: float | None
    """Primary: training seconds before the evaluation that selected the checkpoint."""
    train_s: float | None
    """Training seconds of the whole trial."""
    encoder_s: float | None
    """Of these, seconds in the encoder, forward and backward."""
    target_auc: float | None
    """The validation AUC, or score by `run.selected_by`, that `train_s_to_target` waits for."""
    target_source: str
    """Where the target comes from."""
    train_s_to_target: float | None
    """Training seconds to the target, read between validations made monotone; null: not reached."""
    epoch_s: float | None
    """Median training seconds of a finished epoch."""
    epochs_s: list[float]
    """Training seconds of each finished epoch."""
    samples_per_s: float | None
    """Users trained on per training second."""
    items_encoded_per_s: float | None
    """Item encodings per training second, recomputation included."""
    tokens_per_s: float | None
    """Token positions encoded per training second, padding excluded."""


class Memory(Section):
    """Five measurements of the GPU, never mixed, and two of the host; all in bytes."""

    torch_peak_allocated_bytes: int | None
    """Largest sum of live tensors on the device, torch's count."""
    torch_peak_reserved_bytes: int | None
    """Largest memory that torch's allocator held, cache included."""
    nvml_process_peak_bytes: int | None
    """Largest memory of the worker process as NVML saw it, CUDA context included; sampled."""
    nvml_device_peak_bytes: int | None
    """Largest used memory of the whole GPU while the trial ran; sampled."""
    nvml_device_baseline_bytes: int | None
    """Used memory of the whole GPU at the trial's first sample."""
    rss_peak_bytes: int | None
    """Largest resident memory of the worker and its children; sampled."""
    rss_baseline_bytes: int | None
    """The same at the last sample before training."""


class Energy(Section):
    """What the trial's GPU used while the trial had the turn, evaluation included."""

    joules: float | None
    """Joules of the whole GPU."""
    source: Literal["counter", "integrated"] | None
    """NVML's energy counter, or its power integrated over the samples."""


class Disturbed(Section):
    """What disturbed the training; `warnings` has the disturbances that lasted long enough to matter."""

    stopped_s: float | None
    """Seconds for which the process was stopped or frozen while it trained; not part of `times.train_s`."""
    share: float | None
    """Share of the sampled training time in which something else disturbed it; 0 to 1."""
    seconds: dict[str, float] | None
    """Type of disturbance, for example `busy-cpu` -> seconds of the sampled training time."""


class Load(GrownSection):
    """How hard its training worked the machine: means and sums over the samples taken while it trained."""

    gpu_utilization_percent: float | None = None
    """Mean share of the time in which a kernel ran on its GPU, in percent."""
    gpu_power_w: float | None = None
    """Mean power of its GPU in watts."""
    gpu_sm_clock_mhz: float | None = None
    """Mean clock of its GPU's streaming multiprocessors in MHz."""
    gpu_throttled_s: float | None = None
    """Seconds in which heat, a hardware slowdown or a power brake held its GPU's clocks down."""
    gpu_foreign_s: float | None = None
    """Seconds in which another process computed on its GPU."""
    cpu_percent: float | None = None
    """Mean CPU time of its worker in percent; 100 is one CPU."""
    foreign_cpu_s: float | None = None
    """CPU seconds that processes other than the run's workers used meanwhile."""
    stopped_s: float | None = None
    """Seconds for which its process was stopped or frozen, while it trained or not."""


def _unknown() -> Disturbed:
    """For a report written before disturbances were detected."""
    return build_section(Disturbed, None, otherwise=OLDER_REPORT)


class Scored(Section):
    """A number predicted before the trial trained, and what was measured then."""

    predicted: float | None
    """The prediction, in the unit of what it predicts."""
    measured: float | None
    """The same, measured."""
    ratio: float | None
    """Predicted over measured."""


class Forecast(Section):
    """What a probe before the clock started predicted for one process."""

    epoch_s: Scored
    """Training seconds of an epoch; measured: `times.epoch_s`."""
    peak_bytes: Scored
    """Peak memory; measured: torch's peak on a GPU, else the largest resident memory of the worker."""
    reuse_ratio: Scored
    """R of what the strategy encodes, a ratio; measured: `reuse_ratio`."""
    seconds: float | None
    """Seconds that the prediction took, which are not training time."""
    note: str
    """What the prediction leaves out; empty: nothing that is known."""

    @property
    def is_made(self) -> bool:
        """Whether anything was predicted."""
        return any(each.predicted is not None for each in (self.epoch_s, self.peak_bytes, self.reuse_ratio))


def no_forecast() -> Forecast:
    """Of a trial whose log has none, as in reports of earlier versions; it is left out of report.json."""
    why = "nothing was predicted"
    none = build_section(Scored, None, otherwise=why)
    return Forecast(
        epoch_s=none, peak_bytes=none, reuse_ratio=none, seconds=None, note="", reasons={"seconds": why}
    )


class SpeedUp(Section):
    """Reference over trial for times, trial over reference for rates: above 1, the trial is faster."""

    samples_per_s: float | None
    """Ratio of users trained on per training second."""
    epoch_s: float | None
    """Ratio of the median seconds per epoch."""
    train_s_to_best: float | None
    """Ratio of the training seconds to the best checkpoint."""
    train_s_to_target: float | None
    """Ratio of the training seconds to the target score."""


class Divergence(Section):
    """The first non-finite number; no weight was changed from that step on."""

    step: int
    """The step, from 1."""
    last_loss: float | None
    """The newest finite mean loss per user."""
    last_loss_step: int | None
    """The step at which it was read."""
    last_drift: float | None
    """The newest finite drift of a window, a ratio."""


class Clipping(Section):
    """How often the gradient of a module was clipped (`clip_norm`)."""

    share: float | None
    """Share of its updates; 0 to 1."""
    mean_norm: float | None
    """Mean norm of its gradient before that; of the mean loss, or of the pseudo-loss of multi-step GRAM."""


class Windows(GrownSection):
    """Windows of multi-step GRAM; means are over the newest ones, which the fold keeps."""

    closed: int
    """Windows closed, a count."""
    averaged: int
    """Number of newest windows that the means below are over."""
    mean_steps: float | None
    """CF steps of a window."""
    shortest_steps: int | None
    """CF steps of the shortest of them."""
    longest_steps: int | None
    """CF steps of the longest of them."""
    mean_unique_items: float | None
    """Distinct items of a window."""
    mean_reuse_ratio: float | None
    """R of a window: occurrences / unique items."""
    mean_drift: float | None
    """Mean of ‖h̃ − h‖ / ‖h‖ at the close, a ratio."""
    largest_drift: float | None
    """Largest of the same."""
    mean_pseudo_loss: float | None
    """Mean of ½ ‖h̃ − CE(c)‖² over the items."""
    mean_encoder_s: float | None
    """Seconds of the encoder's steps in a window."""
    mean_spread_drift: float | None = None
    """Mean at the close of ‖h̃ − h‖ over the mean distance of the window's items to their mean, a ratio."""
    mean_untouched_items: float | None = None
    """Items encoded for a window but read by none of its steps."""


class Staleness(Section):
    """How far vectors that the filter read lay behind the encoder, of a sample of at most 64 items.

    Measured before a validation, after a CF step; at the end of a window before the encoder is trained.
    """

    step: int
    """CF steps done."""
    train_s: float
    """Training seconds at which it was measured; the measurement takes none."""
    items: int
    """Items in the sample, a count."""
    mean_age: float
    """CF steps since a vector was encoded: the mean."""
    p90_age: float
    """The same: the 90th percentile."""
    max_age: int
    """The same: the largest."""
    drift: float | None
    """Mean distance of the vectors from the encoder's, over these' mean distance from their mean, a ratio."""


class Curves(Model):
    """[x, y] pairs with x in training seconds, thinned to at most 256 points; the newest is kept."""

    throughput: list[Point]
    """y: users per training second."""
    loss: list[Point]
    """y: mean loss per user."""
    memory: list[Point]
    """y: bytes; torch's allocation on a GPU, else resident memory of the worker."""
    drift: list[Point]
    """y: drift at the close of a window, a ratio."""
    energy: list[Point] = Field(default_factory=list)
    """y: joules of the GPU so far, where they were measured."""

    @model_serializer(mode="wrap")
    def _as_before_without_energy(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = fields(self)
        if not self.energy:
            del found["energy"]
        return found


class Rank(Section):
    """One of the ranks since its process started."""

    rank: int
    """Its number, from 0."""
    host: str | None
    """Name of its machine."""
    device: str | None
    """`cpu`, `cuda:0` …"""
    waiting_share: float | None
    """Share of its training seconds in messages between ranks and waiting for them; 0 to 1."""
    peak_bytes: int | None
    """Peak memory that torch allocated on its GPU, in bytes."""


class RankPart(Section):
    """What one number of ranks has trained: rates of several numbers are never one number."""

    ranks: int
    """Ranks, a count; 1: one process."""
    from_step: int
    """CF steps done before."""
    to_step: int
    """CF steps at its end, as far as the trial kept them."""
    samples_per_s: float | None
    """Users trained on per training second, of a resumed trial from its first report on."""


class Ranks(Section):
    """The ranks of torch.distributed that train it together, since they were last started."""

    size: int
    """W, a count."""
    nodes: int | None
    """Machines, a count."""
    backend: str | None
    """What carries their messages: `nccl` or `gloo`."""
    batch_size: int | None
    """Users in a batch of all ranks, a count."""
    reuse_ratio_of_a_part: float | None
    """R of the users of one rank alone: appearances per distinct item in its part of a batch; sampled."""
    reuse_ratio: float | None
    """R of a whole batch: appearances per distinct item; over the same batches."""
    received_bytes_per_step: float | None
    """Bytes of messages that a rank receives for a CF step, the mean over ranks and steps."""
    waiting_share: float | None
    """Share of all ranks' training seconds in messages and waiting for one another; 0 to 1."""
    restarts: int
    """How often all ranks started again because one had died, a count."""
    efficiency: float | None
    """Samples/s over W times those of one process, a ratio."""
    ranks: list[Rank]
    """Each of them."""
    parts: list[RankPart]
    """What each number of ranks has trained, in order."""

    @property
    def several(self) -> bool:
        """Whether it was ever trained by more than one process."""
        return self.size > 1 or any(part.ranks > 1 for part in self.parts)


def one_process() -> Ranks:
    """Of a trial that one process trained, as all were in reports of earlier versions."""
    why = "one process trained it"
    return build_section(Ranks, None, otherwise=why, size=1, restarts=0, ranks=[], parts=[])


class Work(Section):
    """Factors by which the encoder's work is smaller than that of padded end-to-end training of all layers.

    The unit is a layer run forward on an item; a trained layer takes 3, one with low-rank updates 2. Above 1
    a factor saves work.
    """

    padding: float | None
    """Padded positions over real items, a ratio: engineering."""
    trained_layers: float | None
    """All layers trained over what is trained, frozen layers run in each step, a ratio: another model."""
    cached_layers: float | None
    """That over frozen layers computed once, a ratio: the cache's."""
    repeated_items: float | None
    """Items of batches over distinct items of each batch, a ratio: single-step GRAM's."""
    windows: float | None
    """Distinct items of each batch over those of windows, a ratio: multi-step GRAM's. Of `speedyfeed`, over
    those that its cache does not give."""
    recomputation: float | None
    """Forward passes that are run again, a ratio below 1: the price of chunks, checkpoints and windows."""
    product: float | None
    """All of them multiplied, a ratio."""


class Adaptation(Section):
    """Which part of the encoder was trained, and what computing the rest once has cost."""

    adapt: str | None
    """As `encoder.adapt` of the trial."""
    layers: int | None
    """Layers of the transformer, a count."""
    frozen_layers: int | None
    """Of these, first layers that are not trained, a count."""
    trainable_parameters: int | None
    """Trained parameters of the encoder, a count."""
    cache_bytes: int | None
    """States of the frozen part, of all items; a file of the run takes as much while it lasts."""
    cache_dtype: str | None
    """Their type, such as float16."""
    cache_on_device: bool | None
    """They lie on the device; else in the mapped file."""
    cache_s: float | None
    """Seconds that computing them took, whichever trial did; part of the training time."""
    cache_built: bool | None
    """This trial computed them; else an earlier one of the run."""
    train_s_without_cache: float | None
    """Training seconds less `cache_s`."""
    break_even_epochs: float | None
    """Epochs after which computing them once has cost less than in each step."""
    work: Work
    """What saves the encoder's work, factor by factor."""


def not_adapted() -> Adaptation:
    """Of a trial that says nothing of it, as in reports of earlier versions."""
    why = "the trial does not say which part of an encoder it trains"
    work = build_section(Work, None, otherwise=why)
    return build_section(Adaptation, None, otherwise=why, work=work)


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
    disturbed: Disturbed = Field(default_factory=_unknown)
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
