"""Events of a trial: its plan, what it trained, and how it scored."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from grambench.events.types.base import Event


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
    """Maximum number of token positions in one call of the encoder."""
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
    """The trial's label; empty: an older log, in which it is the strategy's name."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Dotted key -> value of the trial's settings that replace the run's."""
    package: str = ""
    """Name and version of the package that the strategy comes from; empty: grambench."""
    adapt: str = "full"
    """What of the transformer is trained, as in `encoder.adapt`."""
    trainable_parameters: int | None = None
    """Trained parameters of the encoder; None: an older log, in which all are trained."""
    layers: int | None = None
    """Layers of the transformer; None: not known, as for baselines with other encoders."""
    frozen_layers: int = 0
    """Of these, first layers that are not trained."""


@dataclass(frozen=True, slots=True)
class TrialResumed(Event):
    """A new worker continues from a checkpoint; what was logged after it will be repeated."""

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
    """Seconds of all of it."""
    compile_s: float | None = None
    """Of these, seconds of torch.compile: the first calls less later ones. None: not requested."""


@dataclass(frozen=True, slots=True)
class TrialForecast(Event):
    """What the trial will cost in one process, from a probe before its clock starts; the report scores it."""

    type: ClassVar[str] = "trial_forecast"
    epoch_s: float | None = None
    """Training seconds of an epoch."""
    peak_bytes: int | None = None
    """Peak memory: on a GPU what torch allocates there, on a CPU the process's resident memory."""
    reuse_ratio: float | None = None
    """R of what the strategy encodes: over a window, or over a batch; None: vectors are kept for longer."""
    reuse_of_batch: float | None = None
    """Occurrences / distinct items of a batch."""
    reuse_of_epoch: float | None = None
    """Occurrences / distinct items of an epoch; None: not counted."""
    items_per_epoch: int | None = None
    """Item encodings, recomputation excluded."""
    tokens_per_epoch: int | None = None
    """Token positions of these, padding excluded."""
    note: str = ""
    """What the prediction leaves out; empty: nothing that is known."""
    seconds: float | None = None
    """Seconds that it took to measure and count."""
    once_s: float = 0.0
    """Training seconds that are spent once, beside those of each epoch: a frozen part encodes every item."""


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Counters of a trial so far; read at a synchronised point, at most a few times a second."""

    type: ClassVar[str] = "progress"
    epoch: int
    """Current epoch, from 1."""
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
    """Mean loss per user over the steps since the last event."""
    encoder_lr: float
    filter_lr: float
    memory_allocated_bytes: int | None = None
    """torch's current device memory; None on a CPU."""
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    batch_items: int | None = None
    """Sum over steps of the distinct items of each batch; None: an older log."""
    encoder_clipped: float | None = None
    """Share of the encoder's updates so far whose gradient was clipped; None: `clip_norm` is unset, or there
    was no update."""
    encoder_gradient_norm: float | None = None
    """Mean norm of the gradients of these updates before they were clipped."""
    filter_clipped: float | None = None
    filter_gradient_norm: float | None = None


@dataclass(frozen=True, slots=True)
class WindowClosed(Event):
    """The encoder was updated towards its pseudo-targets (multi-step only)."""

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
    """Mean ‖h̃ − h‖ of the touched items over the mean ‖h − h̄‖ of the window's; `gram-auto`'s criterion."""
    untouched_items: int | None = None
    """Items encoded for the window but read by none of its steps; not in `unique_items`."""


@dataclass(frozen=True, slots=True)
class StalenessMeasured(Event):
    """How far vectors that the filter read lie behind the encoder, before a validation; a sample of them."""

    type: ClassVar[str] = "staleness_measured"
    step: int
    train_s: float
    items: int
    """Items in the sample, of those that the last step, or its window, has read."""
    mean_age: float
    """CF steps since a vector was encoded."""
    p90_age: float
    max_age: int
    drift: float | None
    """Mean ‖v − CE(c)‖ over the mean ‖CE(c) − mean of CE(c)‖; None: not finite."""


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
    """From 1: the epoch that has ended, or the current one (`evaluation.every`)."""
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
class PredictionsWritten(Event):
    """The best weights have scored a part, for others to evaluate; its own clock, not the trial's."""

    type: ClassVar[str] = "predictions_written"
    part: str
    """`test`, or `unlabelled-` and the name of a split."""
    file: str
    """Relative to the trial's folder."""
    labelled: bool
    """False: the part has no labels, and was never evaluated."""
    rows: int
    """Impressions, or answers."""
    unknown: int
    """Candidates without a row in the items' files, which are ranked last."""
    bytes: int
    sha256: str
    seconds: float


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
    """A number was not finite; the weights are those before that step."""

    type: ClassVar[str] = "diverged"
    step: int
    """The step, from 1."""
    last_loss: float | None
    """The newest finite mean loss per user; None: there was none."""
    last_loss_step: int | None
    """The step at which it was read."""
    last_drift: float | None
    """The newest finite drift of a window; None: no window has closed."""
