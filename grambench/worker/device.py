"""Which device a worker uses, and in which precision."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version

import psutil
import torch

from grambench import __version__
from grambench.config.spec import Spec
from grambench.cpu import cpu_model
from grambench.errors import MachineError
from grambench.models.attention import attention_in_use, choose_attention

_ALLOCATOR_SETTINGS = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING")


@dataclass(frozen=True, slots=True)
class Device:
    """A resolved device."""

    torch: torch.device
    name: str
    gpu_uuid: str | None
    """As NVML spells it; NVML ignores CUDA_VISIBLE_DEVICES, so an index would be ambiguous."""
    autocast: bool
    """bf16 autocast of the encoder."""
    threads: int
    half_weights: bool = False
    """The encoder computes on bf16 copies of its weights instead."""
    tf32: bool = False
    """Matrix products and LSTMs in fp32 use TF32."""

    @property
    def precision(self) -> str:
        """`bf16`, `bf16-weights` or `fp32`."""
        if self.half_weights:
            return "bf16-weights"
        return "bf16" if self.autocast else "fp32"

    def attention(self) -> str:
        """The kernels that the encoder's attention uses here."""
        half = self.autocast or self.half_weights
        return attention_in_use(self.torch, torch.bfloat16 if half else torch.float32)

    def allocator(self) -> dict[str, str]:
        """Settings of torch's allocator on the device; empty on a CPU."""
        if self.torch.type != "cuda":
            return {}
        found = {name: os.environ[name] for name in _ALLOCATOR_SETTINGS if name in os.environ}
        return {"backend": torch.cuda.get_allocator_backend(), **found}


def resolve_device(spec: Spec, sharing: int = 1, tf32: bool = False) -> Device:
    """Choose the device, and set threads, attention and TF32 for this process.

    Args:
        spec: the specification, with what the probe has chosen.
        sharing: workers that train on the CPU at once.
        tf32: fp32 products on CUDA may use TF32; never in the audit.

    Raises:
        MachineError: the CUDA device does not exist, or bf16 does not work on it.
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
        if spec.encoder.precision.startswith("bf16"):
            raise MachineError(
                f"encoder.precision = {spec.encoder.precision} needs a CUDA device.",
                "Use --set encoder.precision=auto.",
            )
        return Device(torch.device("cpu"), cpu_model(), None, False, threads)
    index = int(spec.device.partition(":")[2] or 0) if wants_cuda else 0
    if index >= torch.cuda.device_count():
        raise MachineError(
            f"--device {spec.device}: there are only {torch.cuda.device_count()} CUDA devices.",
            "Devices are counted from cuda:0, among those that CUDA_VISIBLE_DEVICES shows.",
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    choose_attention(device, "math" if spec.engine.attention == "math" else "efficient")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if spec.encoder.precision.startswith("bf16") and not has_bf16:
        raise MachineError(
            f"{torch.cuda.get_device_name(device)} cannot do bf16.", "Use --set encoder.precision=fp32."
        )
    half_weights = spec.encoder.precision == "bf16-weights"
    autocast = has_bf16 and spec.encoder.precision != "fp32"
    uuid = gpu_uuid(index, str(torch.cuda.get_device_properties(device).uuid))
    name = torch.cuda.get_device_name(device)
    return Device(device, name, uuid, autocast, threads, half_weights, tf32)


def gpu_uuid(index: int, reported: str) -> str:
    """The UUID of a CUDA device; `events/gpu_identity.py` finds the GPU or MIG slice that it means.

    Args:
        index: of the device, among those that CUDA_VISIBLE_DEVICES shows.
        reported: the UUID that CUDA gives, with or without a prefix; of a MIG slice, perhaps its GPU's.
    """
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    named = shown[index].strip() if index < len(shown) else ""
    if named.startswith("MIG-"):
        return named
    return reported if reported.startswith(("GPU-", "MIG-")) else f"GPU-{reported}"


def versions() -> dict[str, str]:
    """Versions that affect numbers and speed."""
    found = {"python": platform.python_version()}
    for package in ("torch", "transformers", "tokenizers", "numpy"):
        found[package] = version(package)
    found["grambench"] = __version__  # a checkout may be used without being installed
    found["torch"] = torch.__version__
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    return found
