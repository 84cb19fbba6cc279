"""What surrounds the capture of a CUDA graph, with stand-ins for CUDA; tests/gpu has the capture itself."""

import weakref
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from grambench.training.graphs import Graph


class Token:
    """Lives as long as the node of autograd whose hook holds it."""


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stream; capturing runs the body once."""
    made = SimpleNamespace(wait_stream=lambda _other: None, used=[])

    def capture(_graph: object, _pool: object, stream: object, capture_error_mode: str) -> Any:
        assert capture_error_mode == "thread_local"
        made.used.append(stream)
        return nullcontext()

    def entered(stream: object) -> Any:
        made.used.append(stream)
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "current_stream", lambda: made)
    monkeypatch.setattr(torch.cuda, "stream", entered)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: None))
    monkeypatch.setattr(torch.cuda, "graph", capture)
    return made


def node_of(parameter: nn.Parameter) -> Any:
    """The node that adds to the parameter's gradient."""
    return parameter.expand_as(parameter).grad_fn.next_functions[0][0]  # type: ignore[union-attr]


def test_no_node_of_autograd_outlives_a_step(stream: Any) -> None:
    """It would belong to the stream on which it was made, the default one, and end the capture."""
    layer = nn.Linear(3, 2)
    tokens: list[Any] = []
    alive: list[int] = []

    def body() -> tuple[Tensor]:
        alive.append(sum(token() is not None for token in tokens))
        loss = layer(torch.ones(4, 3)).sum()
        for parameter in layer.parameters():
            token = Token()
            node_of(parameter).register_prehook(lambda _gradients, token=token: None)
            tokens.append(weakref.ref(token))
        loss.backward()
        return (loss.detach(),)

    Graph(body, list(layer.parameters()), list(layer.parameters()), None, stream)
    assert len(tokens) == 8
    assert alive == [0, 0, 0, 0]


def test_everything_runs_on_one_stream_and_is_put_back(stream: Any) -> None:
    weight = nn.Parameter(torch.zeros(2))

    def body() -> tuple[Tensor]:
        with torch.no_grad():
            weight.add_(1)
        return (weight.detach().sum(),)

    graph = Graph(body, [weight], [weight], None, stream)
    assert stream.used == [stream, stream]
    assert weight.tolist() == [0, 0]
    assert weight.grad is None
    (result,) = graph.replay()
    assert float(result) == 8.0  # what the fourth run has left in its place
