"""Which device a worker uses, and in which precision."""

import platform
from dataclasses import dataclass
from importlib.metadata import version

import psutil
import torch

from grambench.config.spec import Spec
from grambench.errors import MachineError


@dataclass(frozen=True, slots=True)
class Device:
    """A resolved device."""

    torch: torch.device
    name: str
    gpu_uuid: str | None
    """As NVML spells it; NVML ignores CUDA_VISIBLE_DEVICES, so a number would not do."""
    autocast: bool
    """bf16 autocast of the encoder."""
    threads: int

    @property
    def precision(self) -> str:
        """`bf16` or `fp32`."""
        return "bf16" if self.autocast else "fp32"


def resolve_device(spec: Spec, sharing: int = 1) -> Device:
    """Choose the device and set the number of threads; `sharing`: workers that train on the CPU at once.

    Raises:
        MachineError: a CUDA device is asked for and not there, or bf16 where it does not work.
    """
    threads = spec.cpu_threads or max(1, (psutil.cpu_count(logical=False) or 1) // max(1, sharing))
    torch.set_num_threads(threads)
    wants_cuda = spec.device.startswith("cuda")
    if wants_cuda and not torch.cuda.is_available():
        raise MachineError(
            f"--device {spec.device}: torch {torch.__version__} sees no CUDA device.",
            "Use --device cpu, or install a CUDA build of torch and the NVIDIA driver.",
        )
    if spec.device == "cpu" or not torch.cuda.is_available():
        if spec.encoder.precision == "bf16":
            raise MachineError(
                "encoder.precision = bf16 needs a CUDA device.", "Use --set encoder.precision=auto."
            )
        return Device(torch.device("cpu"), _cpu_name(), None, False, threads)
    index = int(spec.device.partition(":")[2] or 0) if wants_cuda else 0
    if index >= torch.cuda.device_count():
        raise MachineError(
            f"--device {spec.device}: there are only {torch.cuda.device_count()} CUDA devices.",
            "Devices are counted from cuda:0, among those that CUDA_VISIBLE_DEVICES shows.",
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if spec.encoder.precision == "bf16" and not has_bf16:
        raise MachineError(
            f"{torch.cuda.get_device_name(device)} has no bf16.", "Use --set encoder.precision=fp32."
        )
    autocast = has_bf16 and spec.encoder.precision != "fp32"
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    uuid = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
    return Device(device, torch.cuda.get_device_name(device), uuid, autocast, threads)


def versions() -> dict[str, str]:
    """Versions that decide about numbers and speed."""
    found = {"python": platform.python_version()}
    for package in ("torch", "transformers", "tokenizers", "numpy", "grambench"):
        found[package] = version(package)
    found["torch"] = torch.__version__
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    return found


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
