"""Transfers between host and device: placement, non-blocking copies and marked synchronisation.

In a training step the device works ahead of the host. The host waits for it only inside `host_reads`;
a test runs whole steps and fails at a read outside such a point.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

HOST = torch.device("cpu")
_open = 0
_around: list[Callable[[], AbstractContextManager[object]]] = []


@contextmanager
def host_reads() -> Iterator[None]:
    """The enclosed lines read device values on the host, and so may wait for the device."""
    global _open
    _open += 1
    try:
        with ExitStack() as stack:
            for enter in _around:
                stack.enter_context(enter())
            yield
    finally:
        _open -= 1


@contextmanager
def around_host_reads(enter: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
    """Within the block, each `host_reads` also enters a context from `enter`: for tests of waits."""
    _around.append(enter)
    try:
        yield
    finally:
        _around.remove(enter)


def is_marked() -> bool:
    """True inside `host_reads`."""
    return _open > 0


def read(tensor: Tensor) -> NDArray[Any]:
    """The values, copied to the host: a marked wait."""
    with host_reads():
        return tensor.cpu().numpy()


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; a copy from the host is asynchronous."""
    if tensor.device == device or device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def stored(array: NDArray[Any], device: torch.device, resident: bool) -> Tensor:
    """An array on the device if `resident`, else on the host (pinned for CUDA); not to be written to.

    On a CPU the tensor is the array's own memory: processes that map one file share its pages, and a write to
    a read-only mapping would end the process.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        tensor = torch.from_numpy(array)
    if resident:
        return tensor.to(device)
    return tensor.pin_memory() if device.type == "cuda" else tensor
