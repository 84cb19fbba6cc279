"""Between host and device: what is kept where, copies that wait for nothing, and the marked waits.

In a training step the device works ahead of the host. The host waits for it only inside `host_reads`;
a test runs whole steps and fails at a read outside such a point.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HOST = torch.device("cpu")
_open = 0
_around: list[Callable[[], AbstractContextManager[object]]] = []


@contextmanager
def host_reads() -> Iterator[None]:
    """The enclosed lines read numbers of the device on the host, and so may wait for it."""
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
    """Every `host_reads` meanwhile lies within a context that `enter` makes: for checks of waits."""
    _around.append(enter)
    try:
        yield
    finally:
        _around.remove(enter)


def is_marked() -> bool:
    """True inside `host_reads`."""
    return _open > 0


def read(tensor: Tensor) -> NDArray[Any]:
    """The values on the host: a marked wait."""
    with host_reads():
        return tensor.cpu().numpy()


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; a copy from the host is queued, not waited for."""
    if tensor.device == device or device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def stored(array: NDArray[Any], device: torch.device, resident: bool) -> Tensor:
    """A mapped array as a tensor of its own memory: on the device, or else on the host, pinned for CUDA."""
    return placed(np.array(array), device, resident)


def placed(array: NDArray[Any], device: torch.device, resident: bool) -> Tensor:
    """As `stored`, of an array whose memory the tensor may share."""
    tensor = torch.from_numpy(array)
    if resident:
        return tensor.to(device)
    return tensor.pin_memory() if device.type == "cuda" else tensor
