"""A transformer cut below one of its layers: the part below once for each item, the part above on its output.

The layers that are left out let the hidden states pass; masks, positions and what comes after the last layer
remain the model's own business. Legend: X items or rows, L token positions, D width.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from grambench.errors import ConfigError

_CANNOT_CUT = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What models raise whose layers exchange more than hidden states."""
_TOLERANCE = 1e-4
"""Of the largest state: rounding gives 1e-6, a lost mask or bias 1e-2."""
OTHER_ADAPT = "Use --set encoder.adapt=full, none or lora, or another encoder."


def layers_of(backbone: nn.Module) -> list[nn.Module]:
    """The layers of a transformer, first to last.

    Raises:
        ConfigError: the model has no single list of them: ALBERT runs one layer many times, XLM has a list of
            attentions and another of feed-forward networks.
    """
    lists = {name: module for name, module in backbone.named_modules() if isinstance(module, nn.ModuleList)}
    outer = [
        module
        for name, module in lists.items()
        if len(module) and not any(name.startswith(f"{other}.") for other in lists)
    ]
    config: Any = getattr(backbone, "config", None)
    number = getattr(config, "num_hidden_layers", None)
    if len(outer) != 1 or (isinstance(number, int) and len(outer[0]) != number):
        raise ConfigError(f"{type(backbone).__name__} does not keep its layers in one list.", OTHER_ADAPT)
    return list(outer[0])


@contextmanager
def _replaced(layers: Sequence[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    """Let layers compute another function."""
    for layer in layers:
        layer.forward = forward
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # the class's own remains


def _states_in(args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    states: Tensor = args[0] if args else kwargs["hidden_states"]
    return states


def _states_out(output: Any) -> Tensor:
    states: Tensor = output[0] if isinstance(output, tuple) else output
    return states


class Cut:
    """A transformer in two parts: `below` layers with the embeddings, and the rest."""

    def __init__(self, backbone: nn.Module, below: int, probe: Callable[[], Tensor]) -> None:
        """
        Args:
            backbone: the transformer; its modules stay as they are.
            below: layers of the lower part, at least 1.
            probe: runs the whole transformer on a few tokens; returns its last hidden states, with a graph.
        """
        self.layers, self.below = layers_of(backbone), below
        self.width = 0
        """Features of the hidden states between layers."""
        self._extra = self._outputs_beside_states(probe)
        self._injected: Tensor | None = None

    def _outputs_beside_states(self, probe: Callable[[], Tensor]) -> int | None:
        """How many outputs a layer has beside the hidden states; None: it returns these alone."""
        found: list[int | None] = []

        def look(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self.width = int(_states_out(output).shape[-1])
            found.append(len(output) - 1 if isinstance(output, tuple) else None)

        handle = self.layers[0].register_forward_hook(look)
        try:
            with torch.no_grad():
                probe()
        finally:
            handle.remove()
        return found[0]

    def _as_output(self, states: Tensor) -> Any:
        return states if self._extra is None else (states, *[None] * self._extra)

    def _pass(self, *args: Any, **kwargs: Any) -> Any:
        return self._as_output(_states_in(args, kwargs))

    def _inject(self, *_args: Any, **_kwargs: Any) -> Any:
        assert self._injected is not None
        return self._as_output(self._injected)

    def states_below(self, run: Callable[[], Tensor]) -> Tensor:
        """Hidden states [X, L, D] after the lower part, while `run` calls the transformer."""
        kept: list[Tensor] = []
        handle = self.layers[self.below - 1].register_forward_hook(
            lambda _module, _inputs, output: kept.append(_states_out(output))
        )
        try:
            with _replaced(self.layers[self.below :], self._pass):
                run()
        finally:
            handle.remove()
        return kept[0]

    @contextmanager
    def on_states(self, states_XLD: Tensor) -> Iterator[None]:
        """Within the block, the transformer runs its upper part on these states, whatever it is given."""
        self._injected = states_XLD
        lower = self.layers[: self.below]
        try:
            with _replaced(lower[:1], self._inject), _replaced(lower[1:], self._pass):
                yield
        finally:
            self._injected = None


def cut_below(
    backbone: nn.Module, layers: int, probe: Callable[[bool], Tensor]
) -> tuple[list[nn.Parameter], Cut]:
    """Cut a transformer, and find what has to stay frozen for states below the cut to stay valid.

    Args:
        backbone: the transformer.
        layers: below the cut.
        probe: runs the whole transformer on a few tokens in order, or in reverse; returns its last hidden
            states with a graph.

    Returns:
        Parameters that the lower part reads, or that nothing reads; and the cut.

    Raises:
        ConfigError: the transformer gives other states when it is cut (T5's layers hand the position biases
            of the first one on), or its layers are not in one list.
    """
    named = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    try:
        cut = Cut(backbone, layers, lambda: probe(False))
        with torch.enable_grad():
            whole = probe(False)
            below = cut.states_below(lambda: probe(False))
            lower = torch.autograd.grad(below.sum(), named, allow_unused=True)
            with cut.on_states(below.detach()):
                above = probe(True)  # the tokens themselves must not matter there
                upper = torch.autograd.grad(above.sum(), named, allow_unused=True)
    except _CANNOT_CUT as error:
        raise _uncuttable(backbone) from error
    if below.shape[:2] != whole.shape[:2] or not _are_close(above.detach(), whole.detach()):
        raise _uncuttable(backbone)
    inside = {id(p) for layer in cut.layers[layers:] for p in layer.parameters()}
    read = {id(p) for p, grad in zip(named, upper, strict=True) if grad is not None} | inside
    shared = {id(p) for p, grad in zip(named, lower, strict=True) if grad is not None}
    return [p for p in named if id(p) not in read or id(p) in shared], cut


def _are_close(found: Tensor, wanted: Tensor) -> bool:
    return float((found - wanted).abs().max()) <= _TOLERANCE * float(wanted.abs().max())


def _uncuttable(backbone: nn.Module) -> ConfigError:
    return ConfigError(
        f"The layers of {type(backbone).__name__} cannot run on stored states of the layers below.",
        OTHER_ADAPT,
    )


@contextmanager
def captured(layers: Sequence[nn.Module], numbers: Sequence[int]) -> Iterator[list[Tensor]]:
    """Collect hidden states [X, L, D] while a transformer runs: of the embeddings (0), after layers (1 …).

    Args:
        layers: of the transformer.
        numbers: ascending.
    """
    kept: list[Tensor] = []
    with ExitStack() as stack:
        for number in numbers:
            if number:
                handle = layers[number - 1].register_forward_hook(
                    lambda _module, _inputs, output: kept.append(_states_out(output))
                )
            else:
                handle = layers[0].register_forward_pre_hook(
                    lambda _module, args, kwargs: kept.append(_states_in(args, kwargs)), with_kwargs=True
                )
            stack.callback(handle.remove)
        yield kept
