"""The GPUs that a run may use, by NVML: the parent never asks torch."""

import os
from collections.abc import Sequence

from grambench.config.spec import Spec
from grambench.events.types import GpuSample
from grambench.runner.facts import installed_version
from grambench.runner.gpu import GpuSampler


def usable_gpus(spec: Spec) -> tuple[list[GpuSample], str]:
    """The GPUs or MIG slices that the run's devices name, and why there is none (empty: there is)."""
    if spec.device.split(",")[0] == "cpu":
        return [], "the device is cpu"
    visible, why = visible_gpus()
    if not visible:
        return [], why
    wanted = [int(device.partition(":")[2] or 0) for device in spec.devices]
    if len(wanted) == 1 and spec.ranks.nproc > 1:
        wanted = [*range(spec.ranks.nproc)]
    used = [visible[place] for place in wanted if place < len(visible)]
    return used, "" if used else f"there is no {spec.device}"


def visible_gpus() -> tuple[list[GpuSample], str]:
    """All GPUs or MIG slices that a run may use, and why there is none (empty: there is)."""
    if (installed_version("torch") or "").endswith("+cpu"):
        return [], "torch is a CPU build"
    sampler = GpuSampler()
    absent = sampler.open()
    if absent is not None:
        return [], absent.reason
    try:
        visible = _visible([gpu for gpu in sampler.sample() if gpu.slices is None])
    except Exception as error:  # NVML's errors have no base class before the module is loaded
        return [], f"NVML fails: {error}"
    finally:
        sampler.close()
    return visible, "" if visible else "CUDA_VISIBLE_DEVICES shows none"


def _visible(gpus: Sequence[GpuSample]) -> list[GpuSample]:
    """Those that CUDA_VISIBLE_DEVICES shows, in its order; CUDA ignores what follows an unknown name."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return [*gpus]
    visible = []
    for name in map(str.strip, names.split(",")):
        meant = [gpu for gpu in gpus if name and (name == str(gpu.index) or gpu.uuid.startswith(name))]
        if not meant:
            break
        visible.append(meant[0])
    return visible
