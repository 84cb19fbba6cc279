"""What the sampler's events change: readings of GPUs, worker processes and the host, and whose they are."""

from dataclasses import fields, replace

from grambench.events import types as ev
from grambench.events.disturbance import credit_disturbance
from grambench.events.energy import credit_energy
from grambench.events.folding.folded import Folded, Handler
from grambench.events.load import GPU_READINGS, weigh
from grambench.events.state import SETUP, GpuState, HostState, TrialState

_NOW_AND_THEN = ("energy_j", "sm_clock_mhz", "memory_clock_mhz", "throttle", "foreign_processes")
"""What a sample may leave out, without a reason; the previous reading then remains valid."""
_SUMMED = ("seconds", "rounds", "cpu_s", "nvml_calls", "nvml_s")
_HOST_FIELDS = tuple(each.name for each in fields(HostState))


def _gpu_sample(known: Folded, _: str, event: ev.GpuSample) -> None:
    state = known.state
    unread = ev.GpuSample(event.uuid, event.index, event.name)
    gpu = state.gpus.setdefault(event.uuid, GpuState(unread))
    identity = {name: getattr(event, name) for name in ("parent_uuid", "instance", "slices")}
    gpu.last = replace(gpu.last, **identity)
    holder, since_s = _holder_of(known, gpu), state.elapsed_s - gpu.sampled_s
    earner = credit_energy(event, gpu, holder, state.trials, state.elapsed_s)
    used = event.memory_used_bytes
    if holder is not None and used is not None:
        if holder.baseline_device_used_bytes is None:
            holder.baseline_device_used_bytes = used
        holder.peak_device_used_bytes = max(used, holder.peak_device_used_bytes or 0)
    gpu.last = _completed(event, gpu.last)
    trains = holder is not None and holder.phase == "train"
    if earner is not None and gpu.trained and (trains or event.edge) and since_s > 0:
        weigh(earner.load, {name: getattr(gpu.last, name) for name in GPU_READINGS}, since_s)
    gpu.trained = trains
    for series, value in (
        (gpu.memory_series, used),
        (gpu.utilization_series, event.utilization_percent),
        (gpu.power_series, event.power_w),
    ):
        if value is not None:
            series.add(state.elapsed_s, value)


def _holder_of(known: Folded, gpu: GpuState) -> TrialState | None:
    """The trial that has the turn on a GPU or MIG slice."""
    holders = (known.state.trials.get(name) for name in reversed(known.state.holders))
    return next((trial for trial in holders if trial and known.state.gpu_of(trial) is gpu), None)


def _completed(event: ev.GpuSample, before: ev.GpuSample) -> ev.GpuSample:
    """A sample whose omitted fields, if no reason is given, are those of the previous one."""
    left_out = [n for n in _NOW_AND_THEN if getattr(event, n) is None and n not in event.reasons]
    reasons = event.reasons | {name: before.reasons[name] for name in left_out if name in before.reasons}
    stands = {name: getattr(before, name) for name in left_out}
    return replace(event, **stands, reasons=dict(sorted(reasons.items())))


def _gpu_absent(known: Folded, _: str, event: ev.GpuAbsent) -> None:
    known.state.gpu_absent = event.reason


def _process_sample(known: Folded, _: str, event: ev.ProcessSample) -> None:
    if event.trial == SETUP:
        return
    state, trial = known.state, known.trial(event.trial)
    if event.rss_bytes is not None:
        _take_resident_memory(trial, event.rss_bytes)
    trial.gpu_memory_bytes = event.gpu_memory_bytes
    trial.seen_on = event.gpu_uuids or trial.seen_on
    if event.gpu_memory_bytes is not None:
        trial.peak_gpu_memory_bytes = max(event.gpu_memory_bytes, trial.peak_gpu_memory_bytes or 0)
    trial.memory_reason = event.reasons.get("gpu_memory_bytes", trial.memory_reason)
    uuid = trial.started.gpu_uuid if trial.started else None
    gpu = state.gpus.get(uuid or "")
    has_turn = trial.name in state.holders
    credit_disturbance(event, trial, state.trials, state.host, gpu, has_turn, state.elapsed_s)


def _take_resident_memory(trial: TrialState, rss_bytes: int) -> None:
    trial.rss_bytes = rss_bytes
    trial.peak_rss_bytes = max(rss_bytes, trial.peak_rss_bytes or 0)
    if trial.progress is None:
        trial.baseline_rss_bytes = rss_bytes
    elif trial.started is not None and trial.started.gpu_uuid is None:
        trial.memory_series.add(trial.train_s, rss_bytes)


def _host_sample(known: Folded, _: str, event: ev.HostSample) -> None:
    known.state.host = HostState(**{name: getattr(event, name) for name in _HOST_FIELDS})


def _sampler_finished(known: Folded, _: str, event: ev.SamplerFinished) -> None:
    before = known.state.sampling
    known.state.sampling = event if before is None else _sum(before, event)


def _sum(one: ev.SamplerFinished, other: ev.SamplerFinished) -> ev.SamplerFinished:
    """The cost of sampling of two supervisors of a run, one after the other."""
    slowest = max(one, other, key=lambda cost: cost.nvml_slowest_s)
    return replace(slowest, **{name: getattr(one, name) + getattr(other, name) for name in _SUMMED})


HANDLERS: dict[type[ev.Event], Handler] = {
    ev.GpuSample: _gpu_sample,
    ev.GpuAbsent: _gpu_absent,
    ev.ProcessSample: _process_sample,
    ev.HostSample: _host_sample,
    ev.SamplerFinished: _sampler_finished,
}
