"""A CUDA graph of a piece of training: captured once, then replayed with one launch.

Kernels that take microseconds wait for a host that needs 17 to 24 µs for each of them; a graph launches all
of them at once. See https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_WARM_UPS = 3
"""Runs before a capture: libraries choose algorithms, and lazily made tensors come into being."""


class Graph:
    """A body without arguments that reads and writes tensors at fixed addresses.

    Nothing in it may ask the device anything, and its random draws must come from torch's own generator.
    """

    def __init__(
        self,
        body: Callable[[], tuple[Tensor, ...]],
        touched: Sequence[Tensor],
        parameters: Sequence[nn.Parameter],
        pool: Any,
        stream: torch.cuda.Stream,
    ) -> None:
        """Warm the body up and capture it; afterwards every tensor holds what it held before.

        Args:
            body: what is captured; its results stay where they are and are overwritten by the next replay.
            touched: tensors that the body changes.
            parameters: whose gradients the body leaves behind.
            pool: of `torch.cuda.graph_pool_handle()`; graphs that never run at once may share one.
            stream: where it is warmed up and captured, the same for all graphs of a pool. A node of autograd
                belongs to the stream that it was made on; one that outlives the warm-up must not draw
                another stream into the capture.

        Raises:
            RuntimeError: something in the body cannot be captured.
        """
        # detached: a clone's history would keep a node of autograd alive that belongs to another stream
        before = [tensor.detach().clone() for tensor in touched]
        try:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    _drop_gradients(parameters)
                    body()
            torch.cuda.current_stream().wait_stream(stream)
            _drop_gradients(parameters)
            self._graph = torch.cuda.CUDAGraph()
            # other threads (data on its way, the heartbeat) may go on talking to the device
            with torch.cuda.graph(self._graph, pool, stream, capture_error_mode="thread_local"):
                self._results = body()
            self._gradients = [(parameter, parameter.grad) for parameter in parameters]
        finally:
            with torch.no_grad():
                for tensor, value in zip(touched, before, strict=True):
                    tensor.copy_(value)
            _drop_gradients(parameters)

    def replay(self) -> tuple[Tensor, ...]:
        """Run it; results are copies of their own, gradients hang on their parameters again."""
        self._graph.replay()
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        return tuple(result.clone() for result in self._results)


def _drop_gradients(parameters: Sequence[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None
