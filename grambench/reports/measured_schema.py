"""What a trial took and what its process met: seconds, memory, energy, load."""

from typing import Literal

from grambench.reports.section import OLDER_REPORT, GrownSection, Section, build_section


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


def not_detected() -> Disturbed:
    """For a report written before disturbances were detected."""
    return build_section(Disturbed, None, otherwise=OLDER_REPORT)
