"""A CUDA graph of a part of training: captured once, then replayed with one launch.

Kernels that take microseconds are bound by the host, which needs 17 to 24 µs to launch each; a graph
launches them all at once. See https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_WARM_UPS = 3
"""Runs before a capture: libraries choose algorithms, and lazy tensors are allocated."""


class Graph:
    """A captured function without arguments that reads and writes tensors at fixed addresses.

    It must not synchronise with the device, and must draw random numbers from torch's own generator.
    """

    def __init__(
        self,
        body: Callable[[], tuple[Tensor, ...]],
        touched: Sequence[Tensor],
        parameters: Sequence[nn.Parameter],
        pool: Any,
        stream: torch.cuda.Stream,
    ) -> None:
        """Warm up and capture `body`; all tensors are restored afterwards.

        Args:
            body: function to capture; its results keep their addresses, and replays overwrite them.
            touched: tensors that the body modifies.
            parameters: whose gradients the body sets.
            pool: from `torch.cuda.graph_pool_handle()`; graphs that never run concurrently may share one.
            stream: for warm-up and capture, the same for all graphs of a pool. An autograd node belongs to
                the stream on which it was created; one that outlives the warm-up must not pull another
                stream into the capture.

        Raises:
            RuntimeError: something in the body cannot be captured.
        """
        # detached: a clone's history would keep an autograd node of another stream alive
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
            # other threads (data transfers, the heartbeat) may keep using the device
            with torch.cuda.graph(self._graph, pool, stream, capture_error_mode="thread_local"):
                self._results = body()
            self._gradients = [(parameter, parameter.grad) for parameter in parameters]
        finally:
            with torch.no_grad():
                for tensor, value in zip(touched, before, strict=True):
                    tensor.copy_(value)
            _drop_gradients(parameters)

    def replay(self) -> tuple[Tensor, ...]:
        """Replay the graph; returns copies of the results, and reattaches gradients to their parameters."""
        self._graph.replay()
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        return tuple(result.clone() for result in self._results)


def _drop_gradients(parameters: Sequence[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None
