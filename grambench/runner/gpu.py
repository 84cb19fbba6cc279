"""NVML's readings of the GPUs. A missing driver is not an error, and no reading is ever guessed.

NVML ignores CUDA_VISIBLE_DEVICES, so GPUs are identified by UUID. Each reading fails independently:
None, with NVML's error as the reason. API: https://docs.nvidia.com/deploy/nvml-api/
"""

import contextlib
import functools
import importlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from grambench.events.types import GpuAbsent, GpuSample
from grambench.runner.nvml_meter import MeteredNvml, NvmlCost

_T = TypeVar("_T")
_LOST = ("UNINITIALIZED", "GPU_IS_LOST", "RESET_REQUIRED", "DRIVER_NOT_LOADED")
_CLOCKS = ("sm_clock_mhz", "memory_clock_mhz", "throttle")
_OF_THE_WHOLE = ("power_w", "temperature_c", "energy_j", *_CLOCKS)
"""What NVML measures for a GPU but not for its MIG slices."""
_UNAVAILABLE = frozenset({2**32 - 1, 2**64 - 1})


class ProcessMemory(NamedTuple):
    """NVML's memory of one process over all GPUs; `reason` says why `used_bytes` is None."""

    used_bytes: int | None
    reason: str = ""
    listed: bool = True
    """False when NVML does not list the process at all."""
    gpus: tuple[str, ...] = ()
    """UUIDs of the GPUs and MIG slices that list it."""


@dataclass(slots=True)
class _Gpu:
    index: int
    uuid: str
    name: str
    mig: bool
    handle: Any
    """NVML's handle; None while the GPU cannot be reached."""
    trouble: str = ""
    """Why `handle` is None."""
    whole: "_Gpu | None" = None
    """Of a MIG slice: the GPU that it is a part of."""
    instance: str = ""
    """`<GPU instance>/<compute instance>` of a slice."""
    slices: int = 0
    """Of a divided GPU: the number of MIG slices that NVML lists."""
    hidden: str = ""
    """Why slices are missing from the list."""


_THROTTLE = {
    0x0004: "power cap",
    0x0008: "hardware slowdown",
    0x0010: "sync boost",
    0x0020: "heat",
    0x0040: "heat (hardware)",
    0x0080: "power brake",
    0x0002: "fixed clocks",
}
"""Bits of nvmlClocksEventReasons (0x1 is an idle GPU): https://docs.nvidia.com/deploy/nvml-api/"""


class GpuSampler:
    """Watches every GPU of the machine; not thread-safe."""

    def __init__(
        self,
        nvml: Any = None,
        reopen_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is loaded before `open`.

        Args:
            nvml: a module with pynvml's functions; None imports `pynvml` (distribution nvidia-ml-py).
            reopen_s: shortest time between two attempts to reach a lost GPU again, in seconds.
            clock: monotonic seconds.
        """
        self._nvml: Any = None if nvml is None else MeteredNvml(nvml, clock)
        self._reopen_s = reopen_s
        self._clock = clock
        self._gpus: list[_Gpu] = []
        self._initialised = False
        self._lost = False
        self._tried_s = 0.0
        self.computing: dict[str, set[int]] = {}
        """UUID -> pids that compute on the GPU, as last listed by `process_memory`."""

    def open(self) -> GpuAbsent | None:
        """Find the GPUs; returns why none can be watched, or None when there is at least one."""
        absent = self._open()
        if self._nvml is not None:
            self._nvml.cost = NvmlCost()
        return absent

    def _open(self) -> GpuAbsent | None:
        try:
            if self._nvml is None:
                self._nvml = MeteredNvml(importlib.import_module("pynvml"), self._clock)
            self._gpus = self._discover()
        except Exception as error:  # no library, no driver or no permission: the same to a run
            self.close()
            return GpuAbsent(_words(error))
        if not self._gpus:
            self.close()
            return GpuAbsent("the NVIDIA driver lists no GPU")
        return None

    def close(self) -> None:
        """Shut NVML down; harmless if it was never opened."""
        if self._initialised:
            self._initialised = False
            with contextlib.suppress(Exception):
                self._nvml.nvmlShutdown()
        self._gpus = []

    def cost(self) -> NvmlCost:
        """The cost of NVML's calls since `open`, whose own calls are not counted."""
        known: NvmlCost = NvmlCost() if self._nvml is None else self._nvml.cost
        return known

    def driver_version(self) -> str:
        """The NVIDIA driver's version.

        Raises:
            Exception: NVML's error; the sampler must be open.
        """
        return _text(self._nvml.nvmlSystemGetDriverVersion())

    def sample(self, clocks: bool = True, energy: bool = True) -> list[GpuSample]:
        """One reading of each GPU found by `open`, lost ones included.

        Args:
            clocks: read clocks and throttle reasons too; else they are None, without a reason.
            energy: the same for the energy counter.
        """
        if self._lost and self._clock() - self._tried_s >= self._reopen_s:
            self._reopen()
        return [self._sample(gpu, clocks, energy) for gpu in self._gpus]

    def process_memory(self, pids: Iterable[int]) -> dict[int, ProcessMemory]:
        """Memory of processes: the compute and graphics lists of every GPU, summed over GPUs.

        A process in both lists of a GPU is counted once. A GPU whose lists cannot be read counts
        only as the reason for a process found nowhere else. A list may be empty, or hold the host's
        pids, inside a container. The list of a divided GPU repeats those of its slices, and is read
        only if none of theirs can be.
        """
        used: dict[int, int | None] = {}
        where: dict[int, list[str]] = {}
        troubles: list[str] = []
        read: list[_Gpu | None] = []
        for gpu in sorted(self._gpus, key=lambda gpu: gpu.mig and gpu.whole is None):
            if gpu in read:
                continue
            try:
                for pid, share in self._processes(gpu).items():
                    known = used.get(pid, 0)
                    used[pid] = None if share is None or known is None else known + share
                    where.setdefault(pid, []).append(gpu.uuid)
                read.append(gpu.whole)
            except Exception as error:
                troubles.append(f"{_called(gpu)}: {self._note(error)}")
        missing = "; ".join(troubles) or _unlisted(used, bool(self._gpus))
        return {pid: _process_memory(pid, used, missing, where.get(pid, ())) for pid in pids}

    # --- GPUs ----------------------------------------------------------------------------------

    def _discover(self) -> list[_Gpu]:
        if not self._initialised:
            self._nvml.nvmlInit()
            self._initialised = True
        found = []
        for index in range(self._nvml.nvmlDeviceGetCount()):
            gpu = self._meet(index)
            found += [gpu, *(self._slices(gpu) if gpu.mig else [])]
        return found

    def _meet(self, index: int) -> _Gpu:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(nvml.nvmlDeviceGetUUID(handle))
        except Exception as error:  # one faulty GPU does not hide the others
            return _Gpu(index, f"index-{index}", "unknown", False, None, self._note(error))
        name, mig = "unknown", False
        with contextlib.suppress(Exception):
            name = _text(nvml.nvmlDeviceGetName(handle))
        with contextlib.suppress(Exception):
            mig = nvml.nvmlDeviceGetMigMode(handle)[0] == 1
        return _Gpu(index, uuid, name, mig, handle)

    def _slices(self, gpu: _Gpu) -> list[_Gpu]:
        """The MIG slices of a divided GPU; in a container only those assigned to it."""
        nvml, found = self._nvml, []
        try:
            places = range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu.handle))
        except Exception as error:
            gpu.hidden = self._note(error)
            return []
        for place in places:
            try:
                handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu.handle, place)
                uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            except Exception as error:
                if not _is(nvml, error, "NOT_FOUND", "INVALID_ARGUMENT"):  # an empty place
                    gpu.hidden = self._note(error)
                continue
            name, instance = f"{gpu.name} MIG", ""
            with contextlib.suppress(Exception):
                name = _text(nvml.nvmlDeviceGetName(handle))
            with contextlib.suppress(Exception):
                parts = nvml.nvmlDeviceGetGpuInstanceId(handle), nvml.nvmlDeviceGetComputeInstanceId(handle)
                instance = f"{parts[0]}/{parts[1]}"
            found.append(_Gpu(gpu.index, uuid, name, True, handle, whole=gpu, instance=instance))
        gpu.slices = len(found)
        return found

    def _reopen(self) -> None:
        """Restart NVML and renew the handles of the known GPUs; the list itself stays."""
        self._tried_s, self._lost = self._clock(), False
        known = self._gpus
        self.close()
        found, trouble = {}, "the driver does not list the GPU any more"
        try:
            found = {gpu.uuid: gpu for gpu in self._discover()}
        except Exception as error:
            trouble = self._note(error)
        for gpu in known:
            again = found.get(gpu.uuid)
            gpu.handle = again.handle if again else None
            gpu.trouble = again.trouble if again else trouble
            self._lost |= gpu.handle is None
        self._gpus = known

    def _note(self, error: Exception) -> str:
        """The error's text; notes that NVML must be restarted if a GPU was lost."""
        if _is_lost(self._nvml, error) and not self._lost:
            self._lost, self._tried_s = True, self._clock()
        if _is(self._nvml, error, "UNINITIALIZED"):
            return f"{_words(error)} (the driver was reset or unloaded)"
        return _words(error)

    # --- one reading ---------------------------------------------------------------------------

    def _sample(self, gpu: _Gpu, clocks: bool, energy: bool) -> GpuSample:
        return self._sample_slice(gpu, clocks, energy) if gpu.whole else self._sample_gpu(gpu, clocks, energy)

    def _sample_slice(self, gpu: _Gpu, clocks: bool, energy: bool) -> GpuSample:
        """A MIG slice has its own memory; everything else is measured for its GPU, or not at all."""
        whole = gpu.whole
        assert whole is not None
        reasons: dict[str, str] = {}
        memory = self._read(gpu, reasons, "memory_used_bytes", lambda: self._memory(gpu, reasons))
        if memory is None:
            reasons["memory_total_bytes"] = reasons["memory_used_bytes"]
        reasons["utilization_percent"] = "MIG reports no utilisation per slice"
        sharing = f"GPU {whole.index}, which {whole.slices} MIG slice{'s' * (whole.slices > 1)} share"
        for name in _OF_THE_WHOLE:
            reasons[name] = f"measured for the whole of {sharing}"
        for name in (*(() if clocks else _CLOCKS), *(() if energy else ("energy_j",))):
            del reasons[name]
        return GpuSample(
            uuid=gpu.uuid,
            index=gpu.index,
            name=gpu.name,
            memory_used_bytes=memory[0] if memory else None,
            memory_total_bytes=memory[1] if memory else None,
            reasons=reasons,
            parent_uuid=whole.uuid,
            instance=gpu.instance,
        )

    def _sample_gpu(self, gpu: _Gpu, clocks: bool, energy: bool) -> GpuSample:
        reasons: dict[str, str] = {}
        read = functools.partial(self._read, gpu, reasons)
        memory = read("memory_used_bytes", lambda: self._memory(gpu, reasons))
        if memory is None:
            reasons["memory_total_bytes"] = reasons["memory_used_bytes"]
        utilization = read("utilization_percent", lambda: self._utilization(gpu))
        if gpu.hidden:
            reasons["slices"] = gpu.hidden
        return GpuSample(
            uuid=gpu.uuid,
            index=gpu.index,
            name=gpu.name,
            memory_used_bytes=memory[0] if memory else None,
            memory_total_bytes=memory[1] if memory else None,
            utilization_percent=utilization,
            power_w=read("power_w", lambda: self._milli("PowerUsage", gpu)),
            temperature_c=read("temperature_c", lambda: self._temperature(gpu)),
            energy_j=read("energy_j", lambda: self._milli("TotalEnergyConsumption", gpu)) if energy else None,
            sm_clock_mhz=read("sm_clock_mhz", lambda: self._clock_mhz("SM", gpu)) if clocks else None,
            memory_clock_mhz=read("memory_clock_mhz", lambda: self._clock_mhz("MEM", gpu))
            if clocks
            else None,
            throttle=read("throttle", lambda: self._throttle(gpu)) if clocks else None,
            reasons=reasons,
            slices=gpu.slices if gpu.mig else None,
        )

    def _clock_mhz(self, domain: str, gpu: _Gpu) -> int:
        kind = getattr(self._nvml, f"NVML_CLOCK_{domain}")
        return int(_available(self._nvml.nvmlDeviceGetClockInfo(gpu.handle, kind)))

    def _throttle(self, gpu: _Gpu) -> list[str]:
        """The reasons for low clocks, in words; idleness is not one."""
        nvml = self._nvml
        call = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        call = call or nvml.nvmlDeviceGetCurrentClocksThrottleReasons  # bindings before 12.535
        bits = int(call(gpu.handle))
        return [words for bit, words in _THROTTLE.items() if bits & bit]

    def _read(self, gpu: _Gpu, reasons: dict[str, str], name: str, call: Callable[[], _T]) -> _T | None:
        if gpu.handle is None:
            reasons[name] = gpu.trouble
            return None
        try:
            return call()
        except Exception as error:  # also a binding older or newer than the driver
            reasons[name] = self._note(error)
            if gpu.mig and _is(self._nvml, error, "NOT_SUPPORTED") and name == "utilization_percent":
                reasons[name] += " (MIG is on: a divided GPU has no utilisation)"
            elif gpu.mig and _is(self._nvml, error, "NO_PERMISSION"):
                reasons[name] += " (MIG is on: only an administrator may read the whole GPU)"
            return None

    def _memory(self, gpu: _Gpu, reasons: dict[str, str]) -> tuple[int, int]:
        """Used and total bytes; v2 of the struct leaves the driver's reserved share out of "used"."""
        nvml = self._nvml
        try:
            info = nvml.nvmlDeviceGetMemoryInfo(gpu.handle, version=nvml.nvmlMemory_v2)
        except Exception as error:
            if _is_lost(nvml, error):
                raise
            info = nvml.nvmlDeviceGetMemoryInfo(gpu.handle)
            reasons["memory_note"] = (
                f"v1 struct, the driver's reserved memory counts as used (v2: {_words(error)})"
            )
        used, total = _available(info.used), _available(info.total)
        if total == 0:
            raise ValueError("NVML gives a total of 0 bytes, as on GPUs that share the host's memory")
        return int(used), int(total)

    def _utilization(self, gpu: _Gpu) -> float:
        return float(_available(self._nvml.nvmlDeviceGetUtilizationRates(gpu.handle).gpu))

    def _milli(self, quantity: str, gpu: _Gpu) -> float:
        """A quantity that NVML gives in thousandths (mW, mJ), in units (W, J)."""
        return float(_available(getattr(self._nvml, f"nvmlDeviceGet{quantity}")(gpu.handle))) / 1000

    def _temperature(self, gpu: _Gpu) -> float:
        nvml = self._nvml
        try:
            degrees = nvml.nvmlDeviceGetTemperatureV(gpu.handle, nvml.NVML_TEMPERATURE_GPU)
        except Exception as error:  # drivers before 570 and bindings before 12.570 know only the old call
            if _is_lost(nvml, error):
                raise
            degrees = nvml.nvmlDeviceGetTemperature(gpu.handle, nvml.NVML_TEMPERATURE_GPU)
        return float(_available(degrees))

    def _processes(self, gpu: _Gpu) -> dict[int, int | None]:
        """pid -> bytes on one GPU; None where NVML lists the process but not its memory."""
        if gpu.handle is None:
            raise LookupError(gpu.trouble)
        nvml = self._nvml
        rows = list(nvml.nvmlDeviceGetComputeRunningProcesses(gpu.handle))
        self.computing[gpu.uuid] = {row.pid for row in rows}
        with contextlib.suppress(Exception):  # a GPU for computing alone may have no graphics list
            rows += nvml.nvmlDeviceGetGraphicsRunningProcesses(gpu.handle)
        instances: dict[tuple[int, Any, Any], int | None] = {}
        for row in rows:
            key = (row.pid, getattr(row, "gpuInstanceId", None), getattr(row, "computeInstanceId", None))
            share = None if row.usedGpuMemory in _UNAVAILABLE else row.usedGpuMemory
            known = instances.get(key)
            instances[key] = share if known is None else max(known, share or 0)
        used: dict[int, int | None] = {}
        for (pid, *_), share in instances.items():
            total = used.get(pid, 0)
            used[pid] = None if share is None or total is None else total + share
        return used


def _process_memory(
    pid: int, used: dict[int, int | None], missing: str, gpus: Iterable[str]
) -> ProcessMemory:
    if pid not in used:
        return ProcessMemory(None, missing, listed=False)
    share = used[pid]
    if share is None:
        words = "NVML lists the process but not its memory (WSL, or no permission)"
        return ProcessMemory(None, words, gpus=tuple(gpus))
    return ProcessMemory(share, gpus=tuple(gpus))


def _called(gpu: _Gpu) -> str:
    return f"GPU {gpu.index}" if gpu.whole is None else f"slice {gpu.uuid}"


def _unlisted(used: dict[int, int | None], watching: bool) -> str:
    if not watching:
        return "no GPU is watched"
    if not used:
        return "NVML lists no process (none holds GPU memory, or a container hides them)"
    return "NVML lists other processes only (it holds no GPU memory, or a container has its own pids)"


def _is_lost(nvml: Any, error: Exception) -> bool:
    return _is(nvml, error, *_LOST)


def _is(nvml: Any, error: Exception, *names: str) -> bool:
    """Whether it is one of these NVML errors."""
    code = getattr(error, "value", None)
    return code is not None and code in {getattr(nvml, f"NVML_ERROR_{name}", None) for name in names}


def _available(value: _T) -> _T:
    """The value, unless it is NVML's mark for "not available" (all bits set)."""
    if value in _UNAVAILABLE:
        raise ValueError("NVML marks the value as not available")
    return value


def _words(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return "the pynvml module is missing (install nvidia-ml-py)"
    return str(error) or type(error).__name__


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
