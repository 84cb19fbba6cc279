"""A pynvml without a GPU: every reading is a value, or the name of the NVML error that it raises."""

from types import SimpleNamespace
from typing import Any

MIB = 1 << 20
WORDS = {
    1: "Uninitialized",
    2: "Invalid Argument",
    3: "Not Supported",
    4: "Insufficient Permissions",
    6: "Not Found",
    9: "Driver Not Loaded",
    12: "NVML Shared Library Not Found",
    13: "Function Not Found",
    15: "GPU is lost",
    16: "GPU requires restart",
    999: "Unknown Error",
}
CODES = {
    "NVML_ERROR_UNINITIALIZED": 1,
    "NVML_ERROR_INVALID_ARGUMENT": 2,
    "NVML_ERROR_NOT_SUPPORTED": 3,
    "NVML_ERROR_NO_PERMISSION": 4,
    "NVML_ERROR_NOT_FOUND": 6,
    "NVML_ERROR_DRIVER_NOT_LOADED": 9,
    "NVML_ERROR_LIBRARY_NOT_FOUND": 12,
    "NVML_ERROR_FUNCTION_NOT_FOUND": 13,
    "NVML_ERROR_GPU_IS_LOST": 15,
    "NVML_ERROR_RESET_REQUIRED": 16,
    "NVML_ERROR_UNKNOWN": 999,
}


class NVMLError(Exception):
    """As pynvml's: a code, and its words."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return WORDS[self.value]


def error(name: str) -> NVMLError:
    return NVMLError(CODES[f"NVML_ERROR_{name}"])


def process(pid: int, used: int | None, instance: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=used, gpuInstanceId=instance, computeInstanceId=instance)


class FakeGpu:
    """Readings of one GPU; assign an exception to make a call fail."""

    def __init__(self, uuid: str) -> None:
        self.uuid: Any = uuid
        self.name: Any = "NVIDIA H200"
        self.handle: Any = None
        self.memory: Any = (5 * MIB, 100 * MIB)
        self.memory_v1: Any = (7 * MIB, 100 * MIB)
        self.utilization: Any = 42
        self.power: Any = 123_456
        self.temperature: Any = 55
        self.temperature_old: Any = 54
        self.energy: Any = 9_000_500
        self.clock: Any = 1_980
        self.memory_clock: Any = 3_201
        self.throttle: Any = 0
        self.compute: Any = []
        self.graphics: Any = []
        self.mig: Any = error("NOT_SUPPORTED")
        self.slices: Any = []
        """One a place of a MIG slice; None where there is none."""
        self.instance: Any = error("INVALID_ARGUMENT")

    def fail(self, name: str) -> None:
        """Make every reading of this GPU raise one NVML error."""
        for reading in vars(self):
            setattr(self, reading, error(name))


def divided(uuid: str, *slices: FakeGpu | Exception | None) -> FakeGpu:
    """A GPU with MIG on, as NVML shows it to a user: only its slices tell their memory and processes."""
    gpu = FakeGpu(uuid)
    gpu.mig, gpu.slices = (1, 1), list(slices)
    gpu.memory = gpu.memory_v1 = gpu.compute = error("NO_PERMISSION")
    gpu.utilization = error("NOT_SUPPORTED")
    return gpu


def mig_slice(uuid: str, instance: int, used: int = MIB) -> FakeGpu:
    """A slice: what is measured for a whole GPU is refused."""
    part = FakeGpu(uuid)
    part.name, part.instance, part.memory = "NVIDIA H200 MIG 1g.18gb", (instance, 0), (used, 18 * MIB)
    for reading in ("power", "energy", "clock", "memory_clock", "throttle", "temperature", "utilization"):
        setattr(part, reading, error("INVALID_ARGUMENT"))
    return part


class FakeNvml:
    """The functions of pynvml that grambench calls."""

    nvmlMemory_v2 = 0x02000028
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    def __init__(self, *gpus: FakeGpu) -> None:
        self.gpus = list(gpus)
        self.init: Exception | None = None
        self.inits = 0
        self.shutdowns = 0
        for name, code in CODES.items():
            setattr(self, name, code)

    def nvmlInit(self) -> None:
        self.inits += 1
        if self.init is not None:
            raise self.init

    def nvmlShutdown(self) -> None:
        self.shutdowns += 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.12"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        _value(self.gpus[index].handle)
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> Any:
        return _value(gpu.uuid)

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> Any:
        return _value(gpu.name)

    def nvmlDeviceGetMigMode(self, gpu: FakeGpu) -> Any:
        return _value(gpu.mig)

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: FakeGpu) -> int:
        return len(_value(gpu.slices))

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: FakeGpu, index: int) -> FakeGpu:
        found: FakeGpu = _value(gpu.slices[index] or error("NOT_FOUND"))
        return found

    def nvmlDeviceGetGpuInstanceId(self, gpu: FakeGpu) -> Any:
        return _value(gpu.instance)[0]

    def nvmlDeviceGetComputeInstanceId(self, gpu: FakeGpu) -> Any:
        return _value(gpu.instance)[1]

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu, version: int | None = None) -> SimpleNamespace:
        used, total = _value(gpu.memory if version == self.nvmlMemory_v2 else gpu.memory_v1)
        return SimpleNamespace(used=used, total=total)

    def nvmlDeviceGetClockInfo(self, gpu: FakeGpu, kind: int) -> Any:
        return _value(gpu.clock if kind == self.NVML_CLOCK_SM else gpu.memory_clock)

    def nvmlDeviceGetCurrentClocksEventReasons(self, gpu: FakeGpu) -> Any:
        return _value(gpu.throttle)

    def nvmlDeviceGetUtilizationRates(self, gpu: FakeGpu) -> SimpleNamespace:
        return SimpleNamespace(gpu=_value(gpu.utilization), memory=0)

    def nvmlDeviceGetPowerUsage(self, gpu: FakeGpu) -> Any:
        return _value(gpu.power)

    def nvmlDeviceGetTemperatureV(self, gpu: FakeGpu, sensor: int) -> Any:
        return _value(gpu.temperature)

    def nvmlDeviceGetTemperature(self, gpu: FakeGpu, sensor: int) -> Any:
        return _value(gpu.temperature_old)

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: FakeGpu) -> Any:
        return _value(gpu.energy)

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: FakeGpu) -> Any:
        return _value(gpu.compute)

    def nvmlDeviceGetGraphicsRunningProcesses(self, gpu: FakeGpu) -> Any:
        return _value(gpu.graphics)


def _value(reading: Any) -> Any:
    if isinstance(reading, Exception):
        raise reading
    return reading
