"""Which of the sampled GPUs a worker uses: torch, NVML and CUDA_VISIBLE_DEVICES name a MIG slice differently.

A slice is `MIG-<uuid>`, before driver 470 `MIG-GPU-<uuid of its GPU>/<GPU instance>/<compute instance>`, and
some versions of CUDA give its bare UUID, or that of its GPU. CUDA_VISIBLE_DEVICES takes prefixes of them.
"""

import re
from collections.abc import Collection, Mapping
from typing import Protocol, TypeVar

from grambench.events.types import GpuSample

_OLD_FORM = re.compile(r"MIG-(GPU-[^/]+)/(\d+)/(\d+)")


class Gpu(Protocol):
    """A GPU, or a slice of one, as NVML names it."""

    last: GpuSample
    """Its newest sample."""


_G = TypeVar("_G", bound=Gpu)


def used_gpu(uuid: str, gpus: Mapping[str, _G], seen_on: Collection[str] = ()) -> _G | None:
    """The GPU or slice that a worker names `uuid`; None if NVML does not list it or it is ambiguous.

    Args:
        uuid: as the worker names it.
        gpus: those of the machine, by NVML's UUID.
        seen_on: UUIDs of those whose process lists hold the worker.
    """
    exact = gpus.get(uuid)
    if exact is not None and exact.last.slices is None:
        return exact
    meant = candidates(uuid, gpus)
    if len(meant) > 1 or (exact is not None and exact.last.slices != len(meant)):  # some not sampled yet
        meant = [gpu for gpu in meant if gpu.last.uuid in seen_on]
    return meant[0] if len(meant) == 1 else None


def candidates(uuid: str, gpus: Mapping[str, _G]) -> list[_G]:
    """Usable GPUs and slices that a worker's `uuid` may mean; for a divided GPU all of its slices."""
    old = _OLD_FORM.fullmatch(uuid)
    if old is not None:
        instance = f"{old[2]}/{old[3]}"
        return [gpu for gpu in gpus.values() if gpu.last.uuid == uuid or _is_part(gpu, old[1], instance)]
    bare = _bare(uuid)
    named = [gpu for gpu in gpus.values() if bare and _bare(gpu.last.uuid).startswith(bare)]
    parents = {gpu.last.uuid for gpu in named if gpu.last.slices is not None}
    slices = [gpu for gpu in gpus.values() if gpu.last.parent_uuid in parents]
    return slices or [gpu for gpu in named if gpu.last.slices is None]


def _is_part(gpu: Gpu, parent: str, instance: str) -> bool:
    return gpu.last.instance == instance and _bare(gpu.last.parent_uuid).startswith(_bare(parent))


def _bare(uuid: str) -> str:
    return uuid.removeprefix("MIG-").removeprefix("GPU-").lower()
