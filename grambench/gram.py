"""GRAM (NAACL 2022, arXiv 2204.04179) for any encoder, filter and optimiser: Algorithm 1 in plain PyTorch.

The functions implement the method, and grambench's own strategies use them; `SingleStep` and `MultiStep`
combine them with an encoder, a loss and two optimisers. 𝓛 is a sum over the users of a batch (eq. 8).
Legend: I items of the catalogue, U distinct items of a batch or window, N items, D width.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding
from torch.optim import Optimizer

Encode = Callable[[Any], Tensor]
"""Item ids -> vectors [N, D]."""
FilterPass = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Item vectors [N, D] -> 𝓛 and the gradient [N, D] of the mean loss."""
EncoderPass = Callable[[Tensor, Tensor], None]
"""Called with item vectors [N, D] that have a graph, and their gradient."""
_EPS = 1e-12


def ignore(*_: object) -> None:
    """A hook that does nothing."""


def loss_backward(
    loss: Tensor, divisor: int, check: Callable[..., None] = ignore, leaf: Tensor | None = None
) -> Tensor:
    """Accumulate the gradients of `loss / divisor`; returns the loss, detached.

    The divisor is that of the whole batch, even if the loss is that of a part (a micro-batch or a rank).
    `check` is called with the loss and, if `leaf` is given, its gradient.
    """
    (loss / divisor).backward()
    check(loss, None if leaf is None else leaf.grad)
    return loss.detach()


def filter_backward(
    loss: Callable[[Tensor], Tensor], vectors_ND: Tensor, users: int, check: Callable[..., None] = ignore
) -> tuple[Tensor, Tensor]:
    """Steps (2) and (3) of Algorithm 1 up to the pseudo-target; the graph is cut at the item vectors.

    Accumulates the gradient of the mean loss over `users` in the filter's parameters.

    Returns:
        𝓛, and the gradient [N, D] of the mean loss.

    Raises:
        ValueError: the loss does not depend on the vectors.
    """
    leaf_ND = vectors_ND.detach().requires_grad_()
    summed = loss_backward(loss(leaf_ND), users, check, leaf_ND)
    if leaf_ND.grad is None:
        raise ValueError("The loss does not depend on the item vectors: compute it from those passed to it.")
    return summed, leaf_ND.grad


def encoder_backward(vectors_ND: Tensor, gradient_ND: Tensor) -> None:
    """Step (4) for N = 1: backpropagate ∂𝓛/∂h through the existing graph.

    The gradient of the pseudo-loss ½ Σ ‖h̃ − CE(c)‖² at h̃ = h − ∂𝓛/∂h is this vector-Jacobian
    product, without a second forward pass or a subtraction of nearly equal numbers.
    """
    torch.autograd.backward(vectors_ND, gradient_ND)


@dataclass(frozen=True, slots=True)
class RandomState:
    """States of the CPU's generator and, on CUDA, the device's, so that a recomputation draws the same."""

    cpu: Tensor
    cuda: Tensor | None
    device: torch.device

    @classmethod
    def capture(cls, device: torch.device) -> Self:
        """The current states."""
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(torch.get_rng_state(), cuda, device)

    def restore(self) -> None:
        """Restore the states."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)


def single_step(
    encode: Encode,
    chunks: Sequence[Any],
    order_U: Tensor,
    filter_pass: FilterPass,
    encoder_pass: EncoderPass = encoder_backward,
) -> Tensor:
    """Algorithm 1 with N = 1: the update of E2E from one encoding of each distinct item; returns 𝓛.

    With several chunks only one graph is held at a time, at the cost of about one more forward pass: the
    encoder runs without a graph, then is recomputed chunk by chunk (cf. GradCache, Gao et al., 2021). Random
    states are replayed, so that dropout draws the same masks twice. `order_U` gives, for each item of the
    chunks, its row among the vectors that the filter reads; ignored for a single chunk.
    """
    if len(chunks) == 1:
        vectors_UD = encode(chunks[0])
        loss, gradient_UD = filter_pass(vectors_UD)
        encoder_pass(vectors_UD, gradient_UD)
        return loss
    vectors_UD, states = _without_graph(encode, chunks, order_U)
    loss, gradient_UD = filter_pass(vectors_UD)
    after = RandomState.capture(order_U.device)
    for items_N, rows_N, state in zip(chunks, order_U.split([len(c) for c in chunks]), states, strict=True):
        state.restore()
        encoder_pass(encode(items_N), gradient_UD[rows_N])
    after.restore()
    return loss


@torch.no_grad()
def _without_graph(
    encode: Encode, chunks: Sequence[Any], order_U: Tensor
) -> tuple[Tensor, list[RandomState]]:
    states, pieces = [], []
    for items_N in chunks:
        states.append(RandomState.capture(order_U.device))
        pieces.append(encode(items_N))
    vectors_UD = torch.cat(pieces)
    return torch.empty_like(vectors_UD).index_copy_(0, order_U, vectors_UD), states


def row_adagrad(squares_I: Tensor, items_N: Tensor, gradient_ND: Tensor, lr: float) -> Tensor:
    """Displacements [N, D] of distinct items: G ← G + mean(g²), −lr · g / √G; `squares_I` holds G in fp64.

    A row's first displacement has length lr · √D for any g and any vectors.
    """
    squares_N = squares_I[items_N] + gradient_ND.square().mean(dim=1).double()
    squares_I[items_N] = squares_N
    scale_N = lr / (squares_N + _EPS).sqrt()
    return -scale_N[:, None].to(gradient_ND.dtype) * gradient_ND


def pseudo_loss_backward(
    encode: Encode,
    items_N: Any,
    targets_ND: Tensor,
    divisor: int,
    chunk: int,
    backward: Callable[[Tensor, int], Tensor] = loss_backward,
) -> list[Tensor]:
    """Gradients of ½ Σ ‖h̃ − CE(c)‖² / `divisor` (eq. 2, 9); returns the sum of each `chunk` of items."""
    losses = []
    for start in range(0, len(items_N), chunk):
        part = slice(start, start + chunk)
        residual_ND = encode(items_N[part]) - targets_ND[part]
        losses.append(backward(0.5 * residual_ND.square().sum(), divisor))
    return losses


def fit_encoder_to_table(
    passes: Iterable[tuple[Any, Tensor]], batch: int, step: Callable[[Any, Tensor], Sequence[Tensor]]
) -> Tensor:
    """Step (4) for N > 1: encoder steps towards h̃ over mini-batches of the window's items.

    Args:
        passes: for each pass the ids in the order in which they are encoded, and the rows of their targets.
        batch: items per encoder step.
        step: an encoder step on ids and the rows of their targets h̃; returns pseudo-losses, summed over the
            items.

    Returns:
        The mean pseudo-loss per item during the last pass.
    """
    losses: list[Tensor] = []
    for items_U, rows_U in passes:
        losses.clear()
        for start in range(0, len(items_U), batch):
            part = slice(start, start + batch)
            losses += step(items_U[part], rows_U[part])
    return torch.stack(losses).sum() / len(rows_U)


class ItemTable(nn.Module):
    """The vectors h̃ [I, D] of a window's items, moved by the filter's gradients (eq. 1, 6); not parameters.

    Keep it in fp32 or wider: bf16 loses displacements smaller than 2⁻⁸ of a vector's length.
    """

    rows_ID: Tensor
    squares_I: Tensor
    known_I: Tensor
    """Which items the open window holds."""

    def __init__(
        self,
        items: int,
        width: int,
        rule: Literal["adagrad", "sgd"] = "adagrad",
        lr: float = 0.1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """
        Args:
            items: I; ids are 0 to I − 1.
            width: D.
            rule: `adagrad` (see `row_adagrad`), or `sgd`, which with lr 1 is exactly eq. 6.
            lr: step size.
            dtype: of the vectors.

        Raises:
            ValueError: unknown rule.
        """
        super().__init__()
        if rule not in ("adagrad", "sgd"):
            raise ValueError(f"Unknown table rule {rule!r}: use 'adagrad' or 'sgd'.")
        self.rule, self.lr = rule, lr
        self.register_buffer("rows_ID", torch.zeros(items, width, dtype=dtype))
        self.register_buffer("squares_I", torch.zeros(items, dtype=torch.float64))
        self.register_buffer("known_I", torch.zeros(items, dtype=torch.bool))

    def begin_epoch(self) -> None:
        """Reset the squares that `adagrad` accumulates over an epoch."""
        self.squares_I.zero_()

    def join(self, items_N: Tensor, vectors_ND: Tensor) -> None:
        """Add distinct items to the window, at h."""
        self.rows_ID[items_N] = vectors_ND.detach().to(self.rows_ID)
        self.known_I[items_N] = True

    def move(self, items_N: Tensor, gradient_ND: Tensor) -> None:
        """Step (3): apply the gradient of 𝓛 to distinct items; all other rows stay bit-equal."""
        if self.rule == "sgd":
            displacement_ND = -self.lr * gradient_ND
        else:
            displacement_ND = row_adagrad(self.squares_I, items_N, gradient_ND, self.lr)
        self.rows_ID.index_add_(0, items_N, displacement_ND)


class Optimizers(NamedTuple):
    """Any optimisers of `torch.optim` whose step needs no closure; schedulers are up to the caller."""

    encoder: Optimizer
    filter: Optimizer


@dataclass(frozen=True, slots=True)
class Hooks:
    """Callbacks for timing, checks and counts; no-ops by default."""

    encoding: Callable[[], AbstractContextManager[Any]] = nullcontext
    """Returns a context manager that wraps each forward and backward pass of the encoder, such as a timer."""
    check: Callable[[Tensor, Tensor | None], None] = ignore
    """Called with every loss and, for the filter's loss, its gradient [U, D] with respect to the vectors."""
    count: Callable[[int], None] = ignore
    """Called with the number of items of every encoder call."""


NO_HOOKS = Hooks()


@dataclass
class _Method:
    """Common base of `SingleStep` and `MultiStep`."""

    encode: Encode
    """Distinct item ids [N], on the encoder's device -> vectors [N, D] with a graph."""
    loss: Callable[[Tensor, Any], Tensor]
    """Vectors [*items.shape, D] of the ids passed to `step`, and its batch -> 𝓛, a scalar."""
    optimizers: Optimizers
    hooks: Hooks = field(default=NO_HOOKS, kw_only=True)

    @property
    def device(self) -> torch.device:
        """The encoder's device."""
        device: torch.device = self.optimizers.encoder.param_groups[0]["params"][0].device
        return device

    def _encoded(self, items_N: Tensor) -> Tensor:
        with self.hooks.encoding():
            vectors_ND = self.encode(items_N)
        self.hooks.count(len(items_N))
        if vectors_ND.dim() != 2 or len(vectors_ND) != len(items_N):
            shape = list(vectors_ND.shape)
            raise ValueError(f"`encode` returned {shape} for {len(items_N)} ids: return one row for each id.")
        return vectors_ND

    def _filter_pass(self, place: Tensor, batch: Any, users: int) -> FilterPass:
        """The filter reads rows `place` of the vectors [U, D]; `place` has the shape of the occurrences."""
        return lambda vectors_UD: filter_backward(
            lambda leaf_UD: self.loss(embedding(place, leaf_UD), batch), vectors_UD, users, self.hooks.check
        )

    def _encoder_pass(self, vectors_ND: Tensor, gradient_ND: Tensor) -> None:
        if not vectors_ND.requires_grad:
            raise ValueError("`encode` returned vectors without a graph: leave gradients on.")
        with self.hooks.encoding():
            encoder_backward(vectors_ND, gradient_ND)


@dataclass
class SingleStep(_Method):
    """Single-step GRAM (Algorithm 1 with N = 1): the update of E2E, with each distinct item encoded once."""

    chunk: int | None = None
    """Items whose graph is held at once, at the cost of about one more forward pass; None: all."""

    def gradients(self, items: Tensor, batch: Any, users: int) -> Tensor:
        """Accumulate the gradients of a batch, or of a part of one, in both modules; returns 𝓛, detached.

        Args:
            items: ids of any shape, with repetitions; mask padding in the loss.
            batch: passed to the loss.
            users: number of users in the whole batch; the gradients are those of the mean loss over them.

        Raises:
            ValueError: `encode` does not return a vector with a graph for each id, or the loss does not
                depend on the vectors.
        """
        items_U, place = items.to(self.device).unique(return_inverse=True)
        count = len(items_U)
        chunks, order_U = items_U.split(self.chunk or count), torch.arange(count, device=self.device)
        filter_pass = self._filter_pass(place, batch, users)
        return single_step(self._encoded, chunks, order_U, filter_pass, self._encoder_pass)

    def step(self, items: Tensor, batch: Any, users: int) -> Tensor:
        """`gradients`, followed by an update of both modules."""
        loss = self.gradients(items, batch, users)
        for optimizer in self.optimizers:
            _update(optimizer)
        return loss


@dataclass
class MultiStep(_Method):
    """Multi-step GRAM (Algorithm 1, N > 1): filter steps on a table, to which the encoder is then fitted."""

    table: ItemTable
    """Table of the whole catalogue; moved to the encoder's device."""
    steps: int
    """CF steps per window, at least 1."""
    encoder_batch: int = 64
    """Items per encoder step when a window closes."""
    chunk: int | None = None
    """Of these, items whose graph is held at once; None: all."""
    order: Callable[[int], Tensor] = torch.randperm
    """Number of items -> the permutation in which the encoder is trained on them."""
    taken: int = field(default=0, init=False)
    """Steps taken in the open window."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"A window of {self.steps} steps: use 1 or more.")
        self.table.to(self.device)

    def step(self, items: Tensor, batch: Any, users: int) -> Tensor:
        """Update filter and table; the last step of a window also trains the encoder.

        Arguments, result and errors as for `SingleStep.gradients`.
        """
        items_U, place = items.to(self.device).unique(return_inverse=True)
        new_N = items_U[~self.table.known_I[items_U]]
        if len(new_N):  # the encoder is constant within a window, so items may join when first seen
            with torch.no_grad():
                self.table.join(new_N, self._encoded(new_N))
        loss, gradient_UD = self._filter_pass(place, batch, users)(self.table.rows_ID[items_U])
        _update(self.optimizers.filter)
        self.table.move(items_U, gradient_UD * users)  # eq. 8: 𝓛 is a sum over the users
        self.taken += 1
        if self.taken == self.steps:
            self.close()
        return loss

    def close(self) -> Tensor | None:
        """Fit the encoder to the table and open the next window; call it when an epoch or training ends.

        Returns:
            The mean pseudo-loss of the window's items; None if no window was open.
        """
        if not self.taken:
            return None
        items_U = self.table.known_I.nonzero()[:, 0]
        rows_U = self.order(len(items_U)).to(self.device)
        targets_UD = self.table.rows_ID[items_U]
        passes = [(items_U[rows_U], rows_U)]
        pseudo_loss = fit_encoder_to_table(
            passes,
            self.encoder_batch,
            lambda items_N, rows_N: self._encoder_step(items_N, targets_UD[rows_N]),
        )
        self.table.known_I.zero_()
        self.taken = 0
        return pseudo_loss

    def state_dict(self) -> dict[str, Any]:
        """The state of the open window; modules and optimisers are saved separately."""
        return {"taken": self.taken, "table": self.table.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state returned by `state_dict`."""
        self.taken = state["taken"]
        self.table.load_state_dict(state["table"])

    def _encoder_step(self, items_N: Tensor, targets_ND: Tensor) -> list[Tensor]:
        count = len(items_N)
        losses = pseudo_loss_backward(
            self._encoded, items_N, targets_ND, count, self.chunk or count, self._pseudo_backward
        )
        _update(self.optimizers.encoder)
        return losses

    def _pseudo_backward(self, loss: Tensor, items: int) -> Tensor:
        with self.hooks.encoding():
            return loss_backward(loss, items, self.hooks.check)


def _update(optimizer: Optimizer) -> None:
    optimizer.step()
    optimizer.zero_grad()
