"""Events of the setup worker: preparation, checks of files, probe and audit."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from grambench.events.types.base import Event


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
    """The setup has read files of the run completely, before the run's first result."""

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
    """Why there was nothing to compare the digests with; empty: they match what was written."""


@dataclass(frozen=True, slots=True)
class EngineChosen(Event):
    """How the training core runs on this device: the same for all trials, the audit and every resume."""

    type: ClassVar[str] = "engine_chosen"
    choice: dict[str, Any]
    """Setting -> value, for example `encoder.bucket_tokens`: 16384."""
    candidates: list[dict[str, Any]] = field(default_factory=list)
    """What was measured: `setting`, `value`, `seconds` (None: it was dropped) and `why`."""
    seconds: float = 0.0
    """Seconds of the probe."""
    reused: bool = False
    """An earlier setup of this run had chosen."""


@dataclass(frozen=True, slots=True)
class EncoderChecked(Event):
    """Item vectors in the run's layout against those of the original model; fp32."""

    type: ClassVar[str] = "encoder_checked"
    equal: bool
    """Whether the difference is within the tolerance; else the setup refuses to train."""
    tolerance: float
    items: int
    """Compared."""
    relative: float | None
    """Largest norm of a difference over the vector's norm; None: a vector was not finite."""
    layout: str = ""
    """`buckets` or `packed`."""
    seconds: float = 0.0
    cause: str = ""
    """Why the vectors differ: `padding` (the model itself reads it), `words` (its embeddings are more than
    a lookup); empty: they do not, or for another reason."""


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
    """For each strategy of another package that claims e2e's update, and for e2e-gc: strategy, package, and
    as above equivalent, encoder_relative and filter_relative."""
    self_relative: float | None = None
    """Largest relative difference of e2e from itself with a batch of other composition: what the model's own
    arithmetic leaves open. None: not measured, since the gradients agree to 1e-10."""
    ranks: int = 1
    """Ranks on the CPU whose gradients of both strategies were compared with those of e2e in one process;
    1: none were."""
    ranks_relative: float | None = None
    """Their largest relative difference. None: not compared, or a gradient was not finite."""
    ranks_equivalent: bool = True
    adapts: list[dict[str, Any]] = field(default_factory=list)
    """For each way in which trials adapt the encoder, if there are several: adapt, and as above equivalent,
    encoder_relative and filter_relative, whose largest are given above."""

    @property
    def passed(self) -> bool:
        """Whether everything that was audited holds."""
        return self.equivalent and self.ranks_equivalent and not self.unequal

    @property
    def unequal(self) -> list[str]:
        """Of these strategies those whose claim does not hold."""
        return [str(found.get("strategy")) for found in self.plugins if not found.get("equivalent")]

    @property
    def relative(self) -> float | None:
        """The larger of both relative differences; None: a gradient was not finite."""
        if self.encoder_relative is None or self.filter_relative is None:
            return None
        return max(self.encoder_relative, self.filter_relative)
